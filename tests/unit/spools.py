"""Spools for tests: small limits, keys, labels and whole cuts."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit

from spoolsink.intent import Mark, digest_of
from spoolsink.records import TopicPartition
from spoolsink.spool import AnySpool, LocalCut, SealedSegment, SegmentKey, SegmentLabel, Spool

TP = TopicPartition("orders", 0)
OTHER = TopicPartition("orders", 1)
KIB = 1024


def unstarted(directory: Path, **changes: object) -> Spool:
    settings = {"max_bytes": 1024 * KIB, "min_free_bytes": 0, "write_buffer_bytes": 4 * KIB}
    limits = {"pause_at": 0.9, "resume_at": 0.7}
    return Spool(directory, **{**settings, **limits, **changes})  # type: ignore[arg-type]


def spool_of(directory: Path, **changes: object) -> Spool:
    spool = unstarted(directory / "spool", **changes)
    spool.start()
    return spool


def restarted(spool: Spool) -> tuple[Spool, list[LocalCut]]:
    """What the next process finds."""
    spool.close()
    after = unstarted(spool.directory)
    return after, after.start()


def key_of(name: object, tp: TopicPartition = TP, split: int = 0) -> SegmentKey:
    return SegmentKey(tp, f"dt={name}", split)


def label_of(
    key: SegmentKey, start: int = 0, end: int | None = 10, records: int | None = 1
) -> SegmentLabel:
    name = f"topics/{key.tp.topic}/{key.s3_partition}/{key.tp}+{start}+{key.split}.json"
    return SegmentLabel(*key.tp, start, name, end is None, end, records, 17)


def labels_of(keys: Iterable[SegmentKey]) -> dict[SegmentKey, SegmentLabel]:
    return {key: label_of(key) for key in keys}


def cut_of(segments: Sequence[SealedSegment], start: int, end: int) -> LocalCut:
    digest = digest_of((s.label.object_key, s.summary.digest) for s in segments)
    records = sum(s.summary.records for s in segments)
    return LocalCut(segments[0].key.tp, start, Mark(end, records, digest, 17), tuple(segments))


async def sealed_cut(spool: AnySpool, tp: TopicPartition, start: int, names: str) -> LocalCut:
    """A cut with an S3 partition for each letter, the first of them split early."""
    end = start + len(names)
    early = key_of(names[0], tp, 1)
    await spool.append(early, [start], b"early\n")
    segments = await spool.seal({early: label_of(early, start, None, None)})
    keys = [key_of(name, tp, 2) for name in names[1:]]
    for offset, key in enumerate(keys, start + 1):
        await spool.append(key, [offset], f"{key}\n".encode() * 50)
    labels = {key: label_of(key, start, end, len(names)) for key in keys}
    return cut_of(segments + await spool.seal(labels), start, end)


def bytes_on_disk(spool: Spool) -> int:
    return sum(path.stat().st_size for path in spool.directory.rglob("*") if path.is_file())


def names_of(spool: Spool) -> set[str]:
    return {path.name for path in (spool.directory / "segments").iterdir()}


@contextmanager
def files_limited_to(size_bytes: int) -> Iterator[None]:
    """Writes beyond fail, as on a full disk."""
    soft, hard = getrlimit(RLIMIT_FSIZE)
    setrlimit(RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_FSIZE, (soft, hard))
