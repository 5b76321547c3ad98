"""Whether S3 holds what Kafka holds: shares no code with the sink, reads both by other means.

1. Every record that is to be delivered is in exactly one object, in its S3 partition's directory,
   with the bytes that it must have, in offset order.
2. Keys and metadata tell the truth about their object.
3. Cuts follow each other from the start to the committed offset, and what lies between two of
   them holds no record to be delivered.
4. The committed offset is the log's end, also behind transaction markers.
"""

import base64
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from tests.integration.harness import Bench, SinkProcess, eventually

_KEY = re.compile(
    r"(?P<directory>.*)/(?P<topic>[^/+]+)\+(?P<partition>\d+)"
    r"\+(?P<first>\d{10,})\+(?P<last>\d{10,})(?P<extension>\.[a-z.]+)?"
)
_INTENTS, _FLOOR = 5, 6
"""Fields of the commit metadata, by `;`."""


def json_row(record: Any) -> bytes | None:
    """What `value: json` writes of a record: the producer's bytes, raw line ends as spaces."""
    value = b"null" if record.value is None else bytes(record.value)
    return value.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


def full_row(record: Any, *, is_parsed: bool = True) -> dict[str, Any]:
    """Form `full`, its fields in order; keys and values are text here, headers any bytes.

    Not `is_parsed`: the value stays text, as dead letters have it.
    """
    value = None if record.value is None else record.value.decode()
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "timestamp_type": "create",
        "key": None if record.key is None else record.key.decode(),
        "headers": [{"key": k, "value": _text_or_base64(v)} for k, v in record.headers],
        "value": json.loads(value) if value is not None and is_parsed else value,
    } | ({"tombstone": True} if record.value is None else {})


def _text_or_base64(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def places_of(objects: Sequence["StoredObject"], base: str) -> Callable[[Any], str]:
    """Where each offset lies, for a layout that no record tells; each must lie in one place."""
    places: dict[int, str] = {}
    for found in objects:
        place = found.parts["directory"].removeprefix(f"{base}/")
        for offset in range(found.first, found.last + 1):
            assert offset not in places, f"{offset} is in {places[offset]} and in {place}"
            places[offset] = place
    return lambda record: places.get(record.offset, "nowhere")


@dataclass(frozen=True)
class Expected:
    """What the configuration under test asks for; a row of None is not delivered."""

    place: Callable[[Any], str] = lambda record: f"partition={record.partition}"
    row: Callable[[Any], bytes | None] = json_row
    read: Callable[[bytes], bytes] = bytes
    extension: str = ".json"
    prefix: str = "topics/{topic}"
    starts: Mapping[int, int] = field(default_factory=dict)
    """Kafka partitions that do not begin at offset 0."""
    ends: Mapping[int, int] = field(default_factory=dict)
    """Kafka partitions that stop before the log's end."""


@dataclass(frozen=True)
class StoredObject:
    """A file under the S3 server's root, and the user metadata that HEAD tells."""

    key: str
    body: bytes
    metadata: Mapping[str, str]
    form: ClassVar[re.Pattern[str]] = _KEY

    @property
    def parts(self) -> re.Match[str]:
        """Of the key; every object must have such a one."""
        match = self.form.fullmatch(self.key)
        assert match, f"no key of ours: {self.key}"
        return match

    @property
    def tp(self) -> tuple[str, int]:
        """Topic and Kafka partition, by the key."""
        return self.parts["topic"], int(self.parts["partition"])

    @property
    def first(self) -> int:
        """Offset of its first record."""
        return int(self.parts["first"])

    @property
    def last(self) -> int:
        """Offset of its last record."""
        return int(self.parts["last"])

    def said(self, name: str) -> str | None:
        """`x-amz-meta-spoolsink-<name>`."""
        return self.metadata.get(f"spoolsink-{name}")

    def number(self, name: str) -> int:
        """A number of the metadata, which must be there and plain."""
        said = self.said(name)
        assert said is not None, (self.key, name)
        assert said.isdigit(), (self.key, name, said)
        return int(said)


class Oracle:
    """For one bench; `verify` is called when everything should be delivered."""

    def __init__(self, bench: Bench, expected: Expected | None = None) -> None:
        self._bench = bench
        self._expected = expected or Expected()

    # -- what there is -------------------------------------------------------------------------

    def object_keys(self) -> list[str]:
        """Of all objects, the server's own files and the probe left out."""
        root = self._bench.s3.root / self._bench.bucket
        files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        return sorted(str(path) for path in files if not _is_no_object(path))

    def objects(self) -> list[StoredObject]:
        """All of them, with their metadata."""
        bucket, store = self._bench.bucket, self._bench.store
        root = self._bench.s3.root / bucket
        return [
            StoredObject(
                key,
                (root / key).read_bytes(),
                store.head_object(Bucket=bucket, Key=key)["Metadata"],
            )
            for key in self.object_keys()
        ]

    def unfinished_uploads(self) -> list[str]:
        """Keys of multipart uploads that nobody completed, the probe's left out."""
        found = self._bench.store.list_multipart_uploads(Bucket=self._bench.bucket)
        keys = [upload["Key"] for upload in found.get("Uploads", [])]
        return [key for key in keys if not _is_no_object(Path(key))]

    async def records(self, topic: str) -> dict[int, list[Any]]:
        """All committed records of a topic, by Kafka partition."""
        servers = self._bench.kafka.bootstrap_servers
        async with AIOKafkaConsumer(
            bootstrap_servers=servers, isolation_level="read_committed", enable_auto_commit=False
        ) as consumer:
            tps = self._partitions_of(topic)
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            ends = await consumer.end_offsets(tps)
            found: dict[int, list[Any]] = {tp.partition: [] for tp in tps}
            while [tp for tp in tps if await consumer.position(tp) < ends[tp]]:
                for tp, batch in (await consumer.getmany(timeout_ms=100)).items():
                    found[tp.partition] += batch
        return found

    def _partitions_of(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, n) for n in range(self._bench.partition_counts[topic])]

    async def ends(self, topic: str) -> dict[int, int]:
        """Where each topic partition's deliveries end: the log's end, or where it stops."""
        servers = self._bench.kafka.bootstrap_servers
        async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
            found = await consumer.end_offsets(self._partitions_of(topic))
        return {tp.partition: end for tp, end in found.items()} | dict(self._expected.ends)

    async def committed(self, topic: str) -> dict[int, tuple[int, str]]:
        """The group's offset and metadata of each topic partition that has one."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bench.kafka.bootstrap_servers)
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(self._bench.group)
        except GroupCoordinatorNotAvailableError:
            return {}  # the broker is only now making its topic of offsets
        finally:
            await admin.close()
        return {
            tp.partition: (said.offset, said.metadata)
            for tp, said in found.items()
            if tp.topic == topic and said.offset >= 0
        }

    async def until_committed(
        self, *sinks: SinkProcess, topic: str | None = None, flushes: bool = False
    ) -> None:
        """Until the committed offsets are the log's ends, with nothing promised beyond them.

        `flushes`: what is open is ended again and again meanwhile.
        """
        topic = topic or self._bench.name
        ends = await self.ends(topic)

        async def is_so() -> bool:
            for sink in sinks if flushes else ():
                await sink.ask("/flush", "POST")
            found = await self.committed(topic)
            if any(offset > ends[number] for number, (offset, _) in found.items()):
                # A transaction's marker may come a moment after its producer was answered.
                ends.update(await self.ends(topic))
            return {number: offset for number, (offset, _) in found.items()} == ends and all(
                not promises(said) for _, said in found.values()
            )

        def more() -> str:
            return f"ends: {ends}\n" + "\n".join(sink.tail() for sink in sinks)

        await eventually("committed to the log's end", is_so, more=more)

    async def run(self, sink: SinkProcess, appended: int) -> list[StoredObject]:
        """A whole life: start, append so many records, flush, commit, stop; then the verdict."""
        sink.start()
        await sink.ready()
        await sink.until_metric("records_total", appended)
        await sink.flushed()
        await self.until_committed(sink)
        await sink.stopped()
        return await self.verify()

    # -- the verdict ---------------------------------------------------------------------------

    async def verify(self, *topics: str) -> list[StoredObject]:
        """AssertionError where a rule is broken; the objects otherwise."""
        objects = self.objects()
        by_tp: dict[tuple[str, int], list[StoredObject]] = defaultdict(list)
        for found in objects:
            by_tp[found.tp].append(found)
        for topic in topics or (self._bench.name,):
            ends, committed = await self.ends(topic), await self.committed(topic)
            for number, records in (await self.records(topic)).items():
                offset, metadata = committed[number]
                assert offset == ends[number], f"{topic}-{number}: lag is not zero"
                assert not promises(metadata), f"{topic}-{number}: {metadata}"
                start = self._expected.starts.get(number, 0)
                wanted = [
                    r
                    for r in records
                    if start <= r.offset < ends[number] and self._row(r) is not None
                ]
                self._check(topic, number, by_tp.pop((topic, number), []), wanted)
        assert not by_tp, f"objects of nobody: {list(by_tp)}"
        unfinished = self.unfinished_uploads()
        assert not unfinished, f"unfinished uploads: {unfinished}"
        return objects

    def _row(self, record: Any) -> bytes | None:
        return self._expected.row(record)

    def _check(
        self, topic: str, number: int, objects: Sequence[StoredObject], wanted: Sequence[Any]
    ) -> None:
        directories: dict[str, list[Any]] = defaultdict(list)
        for record in wanted:
            directories[self._directory(topic, record)].append(record)
        for found in objects:
            self._check_metadata(found)
            directory = found.parts["directory"]
            assert directory in directories, f"no record belongs to {found.key}"
        for directory, records in directories.items():
            here = [o for o in objects if o.parts["directory"] == directory]
            self._check_directory(directory, here, records)
        _check_cuts(objects, [r.offset for r in wanted if self._row(r)], wanted)

    def _directory(self, topic: str, record: Any) -> str:
        base = self._expected.prefix.format(topic=topic)
        return "/".join(filter(None, (base, self._expected.place(record))))

    def _check_metadata(self, found: StoredObject) -> None:
        topic, number = found.tp
        assert found.parts["extension"] == self._expected.extension, found.key
        assert found.said("topic") == topic
        assert found.number("partition") == number
        assert found.number("first-offset") == found.first
        assert found.number("last-offset") == found.last
        assert found.said("sink") == self._bench.name
        assert re.fullmatch(r"[a-z0-9]+:[0-9a-f]{16,}", found.said("digest") or ""), found.metadata

    def _check_directory(
        self, directory: str, objects: Sequence[StoredObject], records: Sequence[Any]
    ) -> None:
        """Object after object takes the next records; what no object takes has no bytes."""
        left = list(records)
        for found in sorted(objects, key=lambda o: o.first):
            while left and left[0].offset < found.first and self._row(left[0]) == b"":
                del left[0]
            taken = left[: found.number("records")]
            assert taken, f"{found.key}: its records are in another object already"
            assert (taken[0].offset, taken[-1].offset) == (found.first, found.last), found.key
            rows = b"".join(self._row(record) or b"" for record in taken)
            assert self._expected.read(found.body) == rows, f"{found.key}: other bytes"
            del left[: len(taken)]
        missing = [record.offset for record in left if self._row(record)]
        assert not missing, f"{directory}: no object holds {missing[:20]}"


def _check_cuts(
    objects: Sequence[StoredObject], offsets: Sequence[int], wanted: Sequence[Any]
) -> None:
    """Cuts do not overlap, no record lies between them, and each tells its true size."""
    cuts: dict[int, list[StoredObject]] = defaultdict(list)
    for found in objects:
        cuts[found.number("cut")].append(found)
    position = 0
    for start in sorted(cuts):
        ends = {o.number("cut-end") for o in cuts[start] if o.said("cut-end") is not None}
        assert len(ends) <= 1, f"the cut from {start} has several ends: {ends}"
        end = min(ends, default=max(o.last for o in cuts[start]) + 1)
        assert position <= start, f"the cut from {start} begins before {position}"
        assert not [o for o in offsets if position <= o < start], f"records before {start}"
        assert all(start <= o.first and o.last < end for o in cuts[start]), (start, end)
        for said in (o.number("cut-records") for o in cuts[start] if o.said("cut-end")):
            assert said == sum(start <= record.offset < end for record in wanted)
        position = end
    assert not [o for o in offsets if o >= position], f"records behind {position}"


def promises(metadata: str) -> bool:
    """Whether commit metadata still has an intent or a floor."""
    fields = metadata.split(";")
    return bool(metadata) and bool(fields[_INTENTS] or fields[_FLOOR])


def _is_no_object(path: Path) -> bool:
    # The probe may stay behind where its answer was lost.
    return path.parts[0] == ".sgwtmp" or path.name == ".spoolsink-probe"
