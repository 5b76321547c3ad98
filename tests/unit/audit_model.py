"""A bucket and a log in memory, and one audit over them; as a program it tells its own memory."""

import asyncio
import resource
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from spoolsink.audit import make_places
from spoolsink.audit.auditor import Auditor
from spoolsink.audit.catalog import Catalog
from spoolsink.audit.finding import Finding
from spoolsink.audit.group import Standing
from spoolsink.audit.log_judge import LogJudge
from spoolsink.audit.rulings import Rulings
from spoolsink.audit.scan import Scan
from spoolsink.object_store import OpenUpload, StoredObject
from spoolsink.records import Batch, OffsetRange, TopicPartition
from tests.unit.builders import TP, config_of, policies_of

RECORDS = 10
"""Of each object of `ManyObjects`."""


class ModelBucket:
    """Keys with their metadata; `asked` are the HEAD requests, `most` those at the same time."""

    def __init__(self, objects: Mapping[str, Mapping[str, str]]) -> None:
        self.uploads: list[str] = []
        self.asked = self.most = 0
        self._objects = objects
        self._present = 0

    async def list_objects(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        for key in sorted(self._objects):
            if key.startswith(prefix):
                yield key, 1

    async def list_uploads(self, prefix: str) -> AsyncIterator[OpenUpload]:
        for key in self.uploads:
            if key.startswith(prefix):
                yield OpenUpload(key, "id", datetime.now(UTC))

    async def head(self, key: str) -> StoredObject | None:
        self.asked += 1
        self._present += 1
        self.most = max(self.most, self._present)
        await asyncio.sleep(0)
        self._present -= 1
        return self._said(key)

    def _said(self, key: str) -> StoredObject | None:
        metadata = self._objects.get(key)
        return None if metadata is None else StoredObject(1, dict(metadata))


class ManyObjects(ModelBucket):
    """Objects that are made up while they are listed, in several directories."""

    def __init__(self, count: int) -> None:
        super().__init__({})
        self._count = count

    async def list_objects(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        for number in range(self._count):
            first = number * RECORDS
            place = f"p={number % 97}-{'x' * 60}"
            yield f"{prefix}{place}/orders+0+{first:010}+{first + RECORDS - 1:010}.json", 1

    def _said(self, key: str) -> StoredObject | None:
        first = int(key.split("+")[2])
        return StoredObject(1, told(TP, first, first + RECORDS - 1, (first, first + RECORDS)))


def told(
    tp: TopicPartition,
    first: int,
    last: int,
    cut: tuple[int, int],
    *,
    records: int | None = None,
    of: int | None = None,
) -> dict[str, str]:
    """The user metadata of an object; as many records as offsets where nothing else is said."""
    count = last + 1 - first if records is None else records
    said = {
        "topic": tp.topic,
        "partition": tp.partition,
        "first-offset": first,
        "last-offset": last,
        "records": count,
        "cut": cut[0],
        "cut-end": cut[1],
        "cut-records": count if of is None else of,
        "digest": f"d:{first}-{last}",
    }
    return {f"spoolsink-{name}": str(value) for name, value in said.items()}


class ModelLog:
    """Batches of one topic partition, one behind the other."""

    def __init__(self, batches: Sequence[Batch] = ()) -> None:
        self.batches = batches

    async def read(self, tp: TopicPartition, start: int, end: int) -> AsyncIterator[Batch]:
        for batch in self.batches:
            if batch.tp == tp and batch.next_offset > start and batch.start < end:
                yield batch.since(start).before(end)


async def audit_of(
    bucket: ModelBucket,
    log: ModelLog | None = None,
    *,
    before: Standing | None,
    after: Standing | None = None,
    range_: OffsetRange | None = None,
    **sections: Any,
) -> list[Finding]:
    """The findings about one topic partition; `range_` is what Kafka has of it."""
    config, found = config_of(**sections), list[Finding]()
    policies = policies_of(**sections)
    with Catalog() as catalog:
        auditor = Auditor(
            catalog,
            starts_at_log=config.kafka.start_from in {None, "earliest"},
            has_schemas=False,
            note=found.append,
        )
        scan = Scan(
            bucket,
            make_places(config, (TP.topic,)),
            on_object=catalog.add,
            on_unknown=auditor.unknown,
        )
        await scan.objects()
        catalog.close_objects()
        judge = LogJudge(
            log or ModelLog(),
            encoder=policies.encoder,
            naming=policies.naming,
            logs={} if range_ is None else {TP: range_},
            stops=policies.bad_records.stops,
        )
        rulings = Rulings(
            judge, catalog, knows_places=True, writes_all=config.format.type == "jsonl"
        )
        standings = {TP: after or before or Standing(None, -1)}
        await auditor.judge(TP, rulings, before=before, after=standings, log=range_)
    return found


def main() -> Iterator[str]:
    """The findings about so many objects, and the most memory that it took, in bytes."""
    count = int(sys.argv[1])
    end = count * RECORDS
    found = asyncio.run(audit_of(ManyObjects(count), before=Standing(end + 1, end + 1)))
    yield str(len(found))
    yield str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    sys.stdout.write(" ".join(main()))
