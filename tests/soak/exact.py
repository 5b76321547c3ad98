"""Whether S3 holds what was produced, each record once: every byte, one object in memory at a time.

Shares no code with the sink and asks neither it nor Kafka: the records follow from their numbers.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from backports import zstd

from tests.soak.load import Load, numbers_of, place_of

_KEY = re.compile(
    r"topics/(?P<topic>[^/]+)/place=(?P<place>[^/]+)/(?P=topic)"
    r"\+(?P<partition>\d+)\+(?P<first>\d{10,})\+(?P<last>\d{10,})\.json\.zst"
)


class Held(NamedTuple):
    """What a bucket holds."""

    objects: int
    records: int
    object_bytes: int


class _Object(NamedTuple):
    first: int
    last: int
    path: Path


def verify(bucket: Path, load: Load, counts: list[int]) -> Held:
    """AssertionError with the first object that is not as it must be; `counts` by partition."""
    found = _objects(bucket)
    wanted = {
        (partition, place_of(number))
        for partition, count in enumerate(counts)
        for number in range(min(count, 100))
    }
    assert found.keys() == wanted, f"S3 partitions: {sorted(found.keys() ^ wanted)}"
    records = 0
    for (partition, place), objects in found.items():
        records += _verify_place(partition, place, objects, load, counts[partition])
    assert records == sum(counts), f"{records} records of {sum(counts)}"
    paths = [one.path for objects in found.values() for one in objects]
    return Held(len(paths), records, sum(path.stat().st_size for path in paths))


def _objects(bucket: Path) -> dict[tuple[int, str], list[_Object]]:
    found: dict[tuple[int, str], list[_Object]] = defaultdict(list)
    for path in bucket.rglob("*"):
        key = str(path.relative_to(bucket))
        if path.is_dir() or key.startswith(".sgwtmp/") or path.name == ".spoolsink-probe":
            continue  # the server's own; the probe may stay
        parts = _KEY.fullmatch(key)
        assert parts, f"no key of ours: {key}"
        one = _Object(int(parts["first"]), int(parts["last"]), path)
        found[int(parts["partition"]), parts["place"]].append(one)
    return found


def _verify_place(
    partition: int, place: str, objects: list[_Object], load: Load, count: int
) -> int:
    """Object follows object without a gap, up to the last record that belongs here."""
    expected = next(number for number in range(100) if place_of(number) == place)
    records = 0
    for one in sorted(objects):
        assert one.first == expected, f"{one.path.name}: {expected} should come next"
        body = zstd.decompress(one.path.read_bytes())
        numbers = numbers_of(place, one.first, body.count(b"\n"))
        assert numbers[-1] == one.last, f"{one.path.name}: ends at {numbers[-1]}"
        assert body == load.rows(partition, numbers), f"{one.path.name}: other bytes"
        expected = one.last + numbers.step
        records += len(numbers)
    assert expected >= count, f"{partition}, place={place}: nothing from {expected} to {count}"
    return records
