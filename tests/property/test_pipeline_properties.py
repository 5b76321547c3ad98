"""Records to objects through every process that comes and goes: the same objects, each once.

A process is a real appender with its encoder, boundaries and cuts over a spool in memory. It dies
at any moment; what it may have written to S3 by then stays there, and the next one knows the
committed offset and metadata only.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from spoolsink.cut import CutObject, ObjectState, RepeatLoss
from spoolsink.intent import Identity
from spoolsink.records import Batch
from spoolsink.rotation import RotationReason
from tests.unit.builders import (
    CLUSTER,
    FINGERPRINT,
    NOON,
    TOPIC_ID,
    Bench,
    Clock,
    batch_of,
    body_of,
)

SECOND_MS = 1000
HOUR_MS = 3_600_000


class Record(NamedTuple):
    """`gap` offsets without a record lie before it."""

    gap: int
    place: str
    size: int
    time_ms: int

    @property
    def value(self) -> bytes:
        return b'{"p":"%s","x":"%s"}' % (self.place.encode(), b"x" * self.size)


RECORD = st.builds(
    Record,
    gap=st.sampled_from([0, 0, 0, 1, 3]),
    place=st.sampled_from("abcd"),
    size=st.integers(0, 20),
    time_ms=st.integers(0, 10).map(lambda seconds: NOON + seconds * SECOND_MS),
)
RECORDS = st.lists(RECORD, max_size=30)
LIMIT = st.none() | st.integers(1, 6)
BYTES = st.none() | st.integers(1, 150).map(lambda size: f"{size}B")
SPLITS = st.fixed_dictionaries({"object_records": LIMIT, "object_bytes": BYTES})
CUTS = st.fixed_dictionaries(
    {
        "records": LIMIT,
        "bytes": BYTES,
        "interval": st.none() | st.integers(1, 6).map(lambda seconds: f"{seconds}s"),
        "max_open": st.none() | st.integers(1, 3),
    }
)
BATCHING = st.lists(st.integers(1, 8), max_size=30)


def batches_of(records: Sequence[Record], sizes: Sequence[int], tail: int) -> list[Batch]:
    """One after the other; gaps lie at the beginning of a batch, or at its end."""
    offsets, position = [], 0
    for record in records:
        position += record.gap
        offsets.append(position)
        position += 1
    batches: list[Batch] = []
    start = row = 0
    for size in (*sizes, len(records)):
        chosen = records[row : row + size]
        if not chosen:
            break
        row += len(chosen)
        end = offsets[row - 1] + 1
        if row < len(records) and size % 2:
            end = offsets[row]
        batches.append(
            batch_of(
                [record.value for record in chosen],
                start,
                offsets=offsets[row - len(chosen) : row],
                next_offset=end,
                times=[record.time_ms for record in chosen],
            )
        )
        start = end
    return [*batches, batch_of([], start, next_offset=position + tail)]


def since(batches: Sequence[Batch], offset: int) -> Iterator[Batch]:
    """What Kafka gives to who begins at the offset."""
    for batch in batches:
        if batch.next_offset > offset:
            yield batch.since(offset)


def seen(objects: Sequence[CutObject]) -> list[tuple[str, str, int]]:
    return [(o.key, o.digest, o.records) for o in objects]


async def sealed_by(
    records: Sequence[Record], sizes: Sequence[int], rotate: dict[str, object]
) -> list[list[tuple[str, str, int]]]:
    """The objects of each cut in the end."""
    bench = Bench(rotate=rotate)
    assert await bench.append(*batches_of(records, sizes, 2))
    if bench.appender.is_open:
        await bench.appender.seal(RotationReason.FLUSH)
    return [sorted(seen(cut.objects)) for cut in bench.cuts.sealed]


@given(records=RECORDS, first=BATCHING, second=BATCHING, cuts=CUTS, splits=SPLITS)
@example(  # A full split at the very place where `max_open` would end the cut: it need not.
    records=[Record(0, place, 0, NOON) for place in "aab"],
    first=[],
    second=[2, 1],
    cuts={"max_open": 1},
    splits={"object_records": 2},
)
@settings(max_examples=300, deadline=None)
def test_cuts_and_objects_depend_on_the_records_and_never_on_how_they_were_batched(
    records: list[Record],
    first: list[int],
    second: list[int],
    cuts: dict[str, object],
    splits: dict[str, object],
) -> None:
    rotate = {**cuts, **splits}
    assert asyncio.run(sealed_by(records, first, rotate)) == asyncio.run(
        sealed_by(records, second, rotate)
    )


@given(records=RECORDS, sizes=BATCHING, cuts=CUTS, splits=SPLITS)
@settings(max_examples=200, deadline=None)
def test_every_limit_holds_for_every_cut_and_object(
    records: list[Record], sizes: list[int], cuts: dict[str, object], splits: dict[str, object]
) -> None:
    rotate = {**cuts, **splits}

    found = asyncio.run(sealed_by(records, sizes, rotate))

    counts = [sum(count for _, _, count in cut) for cut in found]
    assert sum(counts) == len(records)
    if (limit := cuts["records"]) is not None:
        assert all(count <= limit for count in counts)  # type: ignore[operator]
    if (limit := splits["object_records"]) is not None:
        assert all(count <= limit for cut in found for _, _, count in cut)  # type: ignore[operator]


# -- one process after the other ------------------------------------------------------------------


@dataclass
class World:
    """What outlives a process: the committed offset, and S3."""

    offset: int = 0
    metadata: str = ""
    objects: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def put(self, thing: CutObject) -> None:
        found = self.objects.setdefault(thing.key, (thing.digest, body_of(thing)))
        assert found == (thing.digest, body_of(thing)), f"{thing.key} is taken by other content"


class Life(NamedTuple):
    """How one process lives; `steps` says what happens after each batch, and is its end."""

    sizes: list[int]
    cuts: dict[str, object]
    wall_ms: int
    steps: list[str]


STEPS = ("", "commit", "lost", "upload", "seal", "confirm")
LIFE = st.builds(
    Life,
    sizes=BATCHING,
    cuts=CUTS,
    wall_ms=st.integers(0, 5).map(lambda hours: NOON + hours * HOUR_MS),
    steps=st.lists(st.sampled_from(STEPS), max_size=40),
)
HOURLY = {"partition": "p={value.p}/h={time:%H}", "time": "wallclock"}


class Process:
    """One life; `world` is asked and changed through commits and uploads only."""

    def __init__(
        self, world: World, life: Life, name: int, layout: dict[str, object], splits: object
    ) -> None:
        assert isinstance(splits, dict)
        self.world = world
        self.bench = Bench(
            at=(world.offset, world.metadata),
            who=Identity(CLUSTER, TOPIC_ID, FINGERPRINT, f"owner{name}"),
            # As real clocks do, it moves at each look: across an hour within some batches.
            clock=Clock(life.wall_ms, step_ms=HOUR_MS // 3),
            layout=layout,
            rotate={**self._of(life, layout), **splits},
        )

    @staticmethod
    def _of(life: Life, layout: dict[str, object]) -> dict[str, object]:
        is_wallclock = layout.get("time") == "wallclock"
        return {**life.cuts, "interval": None} if is_wallclock else life.cuts

    async def step(self, name: str) -> None:
        appender, cuts = self.bench.appender, self.bench.cuts
        if name == "seal" and appender.may_seal:
            await appender.seal(RotationReason.MAX_AGE)
        elif name == "upload":
            for thing in cuts.uploads():
                self.world.put(thing)
        elif name == "confirm":
            for thing in cuts.uploads():
                self.world.put(thing)
                thing.state = ObjectState.CONFIRMED
        elif name in {"commit", "lost"}:
            self._commit()

    def _commit(self) -> None:
        sent = self.bench.cuts.next_commit()
        if sent is not None:
            self.world.offset, self.world.metadata = sent
            self.bench.cuts.commit_done()

    async def live(self, batches: Sequence[Batch], steps: Sequence[str]) -> None:
        """Until the steps are over: some between batches, the rest behind them."""
        left = list(steps)
        for batch in since(batches, self.bench.takeover.seek):
            assert await self.bench.append(batch)
            for step in left[:2]:
                await self.step(step)
            if not left:
                return
            del left[:2]
        for step in left:
            await self.step(step)

    async def finish(self, batches: Sequence[Batch]) -> None:
        """Everything goes well to the end."""
        for batch in since(batches, self.bench.takeover.seek):
            assert await self.bench.append(batch)
            await self.step("commit")
        await self.step("seal")
        for _ in range(3 * len(self.bench.cuts.sealed) + 3):
            await self.step("commit")
            await self.step("confirm")
        assert self.bench.cuts.is_finished


async def history(
    records: Sequence[Record],
    lives: Sequence[Life],
    splits: dict[str, object],
    layout: dict[str, object],
) -> tuple[World, list[RepeatLoss]]:
    world, losses = World(), []
    for name, life in enumerate(lives):
        process = Process(world, life, name, layout, splits)
        # Later processes find more records behind what the earlier ones saw.
        known = records[: len(records) * (name + 1) // len(lives)]
        await process.live(batches_of(known, life.sizes, 0), life.steps)
        losses += process.bench.cuts.lost_repeats
    last = Process(world, lives[-1], len(lives), layout, splits)
    await last.finish(batches_of(records, lives[-1].sizes, 3))
    return world, [*losses, *last.bench.cuts.lost_repeats]


def rows_of(records: Sequence[Record]) -> Counter[bytes]:
    return Counter(record.value + b"\n" for record in records)


@given(
    records=RECORDS,
    lives=st.lists(LIFE, min_size=1, max_size=4),
    splits=SPLITS,
    layout=st.sampled_from([{}, HOURLY]),
)
@example(  # Below a floor only full splits stay as they are: what else lies there grows.
    records=[Record(0, place, 0, NOON) for place in "ababbb"],
    lives=[Life([], {}, NOON, ["commit", "seal", "upload"]), Life([], {}, NOON, [])],
    splits={"object_records": 2},
    layout={},
)
@settings(max_examples=500, deadline=None)
def test_processes_that_die_at_any_moment_leave_every_record_in_one_object(
    records: list[Record],
    lives: list[Life],
    splits: dict[str, object],
    layout: dict[str, object],
) -> None:
    layout = layout or {"partition": "p={value.p}"}

    world, losses = asyncio.run(history(records, lives, splits, layout))

    rows = Counter(line for _, body in world.objects.values() for line in body.splitlines(True))
    assert rows == rows_of(records)
    assert losses == []
