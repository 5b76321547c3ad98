"""A soak of seconds on real servers, and that its judges see what they are there for."""

from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from tests.integration.harness import Bench
from tests.soak.exact import verify
from tests.soak.load import Load, numbers_of, place_of
from tests.soak.run import Plan, Soak
from tests.soak.samples import Bounds, Sample

MIB = 1 << 20
SHORT = Plan(
    5,
    store_mib_per_second=2,
    spool_mib=20,
    write_buffer_mib=4,
    backlog_mib=8,
    cut_mib=2,
    partitions=2,
    sample_seconds=0.25,
)


async def test_a_store_slower_than_kafka_leaves_memory_descriptors_and_disk_bounded(
    bench: Bench,
) -> None:
    lines: list[str] = []
    outcome = await Soak(SHORT, bench, lines.append).run()
    assert not outcome.bounds.broken(), outcome.text()
    assert outcome.held.records == outcome.bounds.samples[-1].records


# -- bounds ----------------------------------------------------------------------------------------


def samples(count: int = 30) -> list[Sample]:
    """Of a sink that keeps every bound: it is paused every other five seconds."""
    return [
        Sample(float(n), 100 * MIB, 20, 30 * MIB, n // 5 % 2 == 1, n, n, n, 0, n / 1000, 0.0)
        for n in range(count)
    ]


def stalled(one: Sample, *, seconds: float, waited: float = 0.0) -> dict[str, object]:
    """Once, for so long, with the thread in the queue for a core meanwhile."""
    is_behind = one.seconds > 12
    return {
        "stalls": int(is_behind),
        "stall_seconds": one.stall_seconds + seconds * is_behind,
        "core_wait_seconds": waited * is_behind,
    }


def changed(change: Callable[[Sample], dict[str, object]]) -> Bounds:
    found = [one._replace(**change(one)) for one in samples()]  # type: ignore[arg-type]
    return Bounds(found, max_spool_bytes=64 * MIB)


def test_a_sink_within_its_bounds_is_told_as_flat_and_counted() -> None:
    bounds = changed(lambda _: {})
    assert bounds.broken() == []
    assert (bounds.pauses, bounds.resumes) == (3, 2)
    assert bounds.slope(lambda one: one.resident_bytes) == pytest.approx(0)
    assert "paused, resumed" in bounds.table()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: {"resident_bytes": (100 + int(one.seconds)) * MIB}, "memory rises by 19"),
        (lambda _: {"resident_bytes": 201 * MIB}, "201 MiB resident"),
        (lambda one: {"descriptors": int(one.seconds)}, "descriptors rise by 19"),
        (lambda one: {"spool_bytes": 65 * MIB if one.seconds == 7 else 0}, "the spool takes"),
        (lambda one: stalled(one, seconds=0.11), "1 stalls of the event loop"),
        (lambda _: {"is_paused": False}, "never full"),
        (lambda one: {"is_paused": one.seconds > 9}, "did not go on"),
    ],
)
def test_each_bound_that_does_not_hold_is_named(
    change: Callable[[Sample], dict[str, object]], words: str
) -> None:
    assert any(words in line for line in changed(change).broken())


def test_a_stall_while_the_thread_waited_for_a_core_is_counted_and_no_fault_of_the_sink() -> None:
    def counted(seconds: float, waited: float) -> tuple[int, int]:
        found = changed(lambda one: stalled(one, seconds=seconds, waited=waited))
        return found.stalls, found.own_stalls

    assert counted(0.15, 0.15) == (1, 0)
    assert counted(0.15, 0.08) == (1, 0)
    assert counted(0.15, 0.04) == (1, 1)


# -- what S3 holds ---------------------------------------------------------------------------------

COUNTS = [400, 200]
LOAD = Load(200)


def write(bucket: Path) -> None:
    """Each S3 partition in two objects."""
    for partition, count in enumerate(COUNTS):
        for place in {place_of(number) for number in range(100)}:
            every = [number for number in range(count) if place_of(number) == place]
            middle = (len(every) + 1) // 2
            for part in filter(None, (every[:middle], every[middle:])):
                directory = bucket / f"topics/t/place={place}"
                directory.mkdir(parents=True, exist_ok=True)
                name = f"t+{partition}+{part[0]:010d}+{part[-1]:010d}.json.zst"
                numbers = numbers_of(place, part[0], len(part))
                assert list(numbers) == part
                (directory / name).write_bytes(zstd.compress(LOAD.rows(partition, numbers)))


def removed(path: Path) -> None:
    path.unlink()


def doubled(path: Path) -> None:
    _, partition, first, last = path.name.split("+")
    name = f"t+{partition}+{int(first) + 2:010d}+{last}"
    path.with_name(name).write_bytes(path.read_bytes())


def other_byte(path: Path) -> None:
    body = zstd.decompress(path.read_bytes())
    path.write_bytes(zstd.compress(body.replace(b'"text":"', b'"text":"?', 1)))


def one_row_less(path: Path) -> None:
    body = zstd.decompress(path.read_bytes())
    path.write_bytes(zstd.compress(body[body.index(b"\n") + 1 :]))


def test_what_was_produced_is_found_exactly_once(tmp_path: Path) -> None:
    write(tmp_path)
    held = verify(tmp_path, LOAD, COUNTS)
    assert held.records == sum(COUNTS)


@pytest.mark.parametrize("damage", [removed, doubled, other_byte, one_row_less])
@pytest.mark.parametrize("which", ["first", "last"])
def test_an_object_that_is_missing_doubled_or_changed_is_found(
    tmp_path: Path, damage: Callable[[Path], None], which: str
) -> None:
    write(tmp_path)
    found = sorted((tmp_path / "topics/t/place=hot").glob("t+0+*"))
    damage(found[0 if which == "first" else -1])
    with pytest.raises(AssertionError):
        verify(tmp_path, LOAD, COUNTS)
