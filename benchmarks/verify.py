"""Exactly once: what lies in S3 is the data set, each record once and where it belongs."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
from confluent_kafka import Consumer, TopicPartition

from benchmarks.data import DataSet

TIME_TEMPLATE = "year={time:%Y}/month={time:%m}/day={time:%d}/hour={time:%H}"
FIELD_TEMPLATE = "place={value.place}"

# Milliseconds as JSON has them, or the text that Avro's timestamps become.
_TIME = "coalesce(make_timestamp(try_cast(at_ms as bigint) * 1000), try_cast(at_ms as timestamp))"
_HOUR = f"strftime({_TIME}, '/year=%Y/month=%m/day=%d/hour=%H/')"
_PLACES = {
    "time": _HOUR,
    "spread": _HOUR,
    "mixed": "'/place=' || place || '/'",
}
_QUERY = """
select count(*), count(distinct id), min(id), max(id),
       count(*) filter (where not contains(filename, {place}))
from read_json('{files}', format = 'newline_delimited', filename = true,
               hive_partitioning = false,
               columns = {{id: 'bigint', place: 'varchar', at_ms: 'varchar'}})
"""
_ASK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Written:
    """Of all objects of a bucket; `misplaced` lie in an S3 partition that is not theirs."""

    records: int
    distinct: int
    lowest: int
    highest: int
    misplaced: int
    objects: int
    object_bytes: int

    def problems(self, data: DataSet) -> list[str]:
        """What is wrong with it; empty when every record is there once."""
        found = []
        if self.records != data.records:
            found.append(f"{self.records} records written, {data.records} produced")
        if self.distinct != self.records:
            found.append(f"{self.records - self.distinct} records more than once")
        if (self.lowest, self.highest) != (0, data.records - 1):
            found.append(f"ids from {self.lowest} to {self.highest}")
        if self.misplaced:
            found.append(f"{self.misplaced} records in a foreign S3 partition")
        return found


def written_in(
    bucket: Path, data: DataSet, *, ending: str = ".json*", is_placed: bool = True
) -> Written:
    """Read every object of the bucket, past the S3 server.

    Not `is_placed`: the layout is another's, and nothing is said of places.
    """
    files = [path for path in bucket.rglob(f"*{ending}") if path.is_file()]
    if not files:
        return Written(0, 0, -1, -1, 0, 0, 0)
    place = _PLACES[data.order] if is_placed else "''"
    query = _QUERY.format(place=place, files=f"{bucket}/**/*{ending}")
    with duckdb.connect() as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    records, distinct, lowest, highest, misplaced = row
    size = sum(path.stat().st_size for path in files)
    return Written(records, distinct, lowest, highest, misplaced, len(files), size)


class Group:
    """The sink's consumer group, asked from outside; never joins it."""

    def __init__(self, bootstrap_servers: str, group_id: str, topic: str, partitions: int) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": group_id})
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]

    def committed(self) -> list[int]:
        """The group's offsets by topic partition; negative where there is none."""
        found = self._consumer.committed(self._partitions, timeout=_ASK_SECONDS)
        return [tp.offset for tp in found]

    def ends(self) -> list[int]:
        """Ends of the logs."""
        ranges = [
            self._consumer.get_watermark_offsets(tp, timeout=_ASK_SECONDS)
            for tp in self._partitions
        ]
        return [pair[1] for pair in ranges if pair is not None]

    def close(self) -> None:
        """Once."""
        self._consumer.close()
