"""What stands in for the parts of a sink that do I/O, and for the encoder.

The pipeline, the delivery and the uploader are the real ones, without the loops and timeouts of
asyncio around them; rows and places are as simple as can be.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spoolsink.appender import Appender
from spoolsink.assignment import Assignment
from spoolsink.backoff import Backoff
from spoolsink.boundaries import Boundaries
from spoolsink.consumer import GroupConsumer
from spoolsink.cut import CutObject, ObjectState
from spoolsink.cuts import PartitionCuts
from spoolsink.delivery import Delivery
from spoolsink.encoder import DEAD_LETTERS, Encoded, Rejected
from spoolsink.errors import (
    ConversionError,
    DeadLetterAwayError,
    ObjectStoreError,
    SegmentCorruptError,
)
from spoolsink.pipeline import Pipeline
from spoolsink.records import Batch
from spoolsink.segment import SealedSegment
from spoolsink.uploader import Uploader
from tests.simulation.history import OnError, Settings
from tests.simulation.models import ModelSpool
from tests.simulation.network import NoAnswerError, SendLetters, ask
from tests.simulation.store import ModelStore
from tests.simulation.surroundings import Shape

if TYPE_CHECKING:
    from tests.simulation.process import Process

HOUR_MS = 5_000
"""An hour of the wall-clock layout: short, so that histories see many."""

_REST_SECONDS = 15.0


class ModelLayout:
    """`h=HOUR/p=N`: a function of the record and of the cut's instant."""

    def __init__(self, settings: Settings, shape: Shape) -> None:
        self.uses_wallclock = settings.is_wallclock
        self._places = settings.places + shape.variant

    def now(self, instant_ms: int) -> str:
        return str(instant_ms // HOUR_MS if self.uses_wallclock else 0)

    def place(self, offset: int, instant_ms: int) -> str:
        return f"h={self.now(instant_ms)}/p={offset * 7 % self._places}"


class ModelEncoder:
    """Rows are the values; a record with a key is a bad one."""

    def __init__(self, layout: ModelLayout, on_error: OnError) -> None:
        self.layout = layout
        self._has_letter_rows = on_error == "prefix"

    def encode(self, batch: Batch, instant_ms: int) -> Encoded:
        if any(batch.keys):
            return self._encode_bad(batch, instant_ms)
        return self._encoded(batch, self._places(batch.offsets, instant_ms))

    def _places(self, offsets: Sequence[int], instant_ms: int) -> list[str]:
        return [self.layout.place(offset, instant_ms) for offset in offsets]

    def _encode_bad(self, batch: Batch, instant_ms: int) -> Encoded:
        bad = {o for o, key in zip(batch.offsets, batch.keys, strict=True) if key}
        rejected = tuple(
            Rejected(offset, ConversionError("bad", batch.tp, offset)) for offset in sorted(bad)
        )
        if not self._has_letter_rows:
            kept = _without(batch, bad)
            places = self._places(kept.offsets, instant_ms)
            return replace(self._encoded(kept, places), rejected=rejected)
        places = [
            DEAD_LETTERS if offset in bad else self.layout.place(offset, instant_ms)
            for offset in batch.offsets
        ]
        times = [
            None if offset in bad else time_ms
            for offset, time_ms in zip(batch.offsets, batch.timestamps, strict=True)
        ]
        return replace(self._encoded(batch, places), rejected=rejected, times_ms=times)

    def _encoded(self, batch: Batch, places: list[str]) -> Encoded:
        rows = [value or b"" for value in batch.values]
        return Encoded(
            batch=batch,
            next_offset=batch.next_offset,
            offsets=batch.offsets,
            rows=rows,
            places=places,
            sizes=[len(row) for row in rows],
            times_ms=batch.timestamps,
        )


def _without(batch: Batch, bad: set[int]) -> Batch:
    kept = [index for index, offset in enumerate(batch.offsets) if offset not in bad]
    return replace(
        batch,
        offsets=[batch.offsets[i] for i in kept],
        timestamps=[batch.timestamps[i] for i in kept],
        keys=[batch.keys[i] for i in kept],
        values=[batch.values[i] for i in kept],
    )


class ModelLetters:
    """The dead letter topic's producer: nothing is passed before it is acknowledged."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    async def send(self, batch: Batch, rejected: Sequence[Rejected]) -> None:
        if not rejected:
            return
        values = dict(zip(batch.offsets, batch.values, strict=True))
        identities = tuple((values[r.offset] or b"").decode().strip() for r in rejected)
        try:
            await self._sent(SendLetters(identities))
        except NoAnswerError as error:
            raise DeadLetterAwayError("no answer") from error

    async def _sent(self, letters: SendLetters) -> None:
        await ask(letters)


class ModelPipeline(Pipeline):
    """The real loop, a turn at a time, and its drain without a timeout of asyncio's."""

    def begin_drain(self) -> None:
        self._is_draining = True

    @property
    def is_draining(self) -> bool:
        return self._is_draining

    @property
    def is_full(self) -> bool:
        return self._is_full

    async def turn(self, consumer: GroupConsumer) -> bool:
        """False when a drain has nothing left to do."""
        if self._is_draining and await self._is_drained():
            return False
        await self._turn(consumer)
        return True


class ModelUploader(Uploader):
    """The real uploader; a process that was killed aborts nothing."""

    def __init__(self, store: ModelStore, process: "Process") -> None:
        super().__init__(
            store,
            part_bytes=process.shape.part_bytes or 1 << 30,
            uploads=1 << 30,
            make_backoff=_no_backoff,
            sleep=no_sleep,
            on_upload_started=process.spool.note_upload,
            on_upload_ended=process.spool.clear_upload,
        )
        self._process = process

    async def _abandon(self, key: str, upload_id: str) -> None:
        if not self._process.is_alive:
            return
        try:
            await self._store.abort(key, upload_id)
        except ObjectStoreError:
            return
        await self._on_ended(key, upload_id)


class ModelDelivery(Delivery):
    """The real delivery; bodies of damaged segments are what a disk would give."""

    damaged_numbers: set[int]
    verifies_segments = True

    async def commit_settled(self) -> None:
        """A rebalance waits for a commit's answer only so long."""

    def _body(self, segment: SealedSegment) -> Iterator[bytes]:
        if segment.number not in self.damaged_numbers:
            return segment.read()
        if self.verifies_segments:
            raise SegmentCorruptError(f"segment {segment.number}", 0, "a checksum does not hold")
        return iter(b"".join(segment.read()).splitlines(keepends=True)[:-1])

    def take_queued(self) -> tuple[Appender, CutObject] | None:
        return None if self._queue.empty() else self._queue.get_nowait()

    async def upload_queued(self, appender: Appender, target: CutObject) -> None:
        try:
            await self._upload(appender, target)
        except GeneratorExit:
            target.state = ObjectState.WAITING
            raise

    def _not_taken(self, appender: Appender, target: CutObject, reason: str) -> None:
        self.resting.append((self._monotonic() + _REST_SECONDS, target))

    resting: list[tuple[float, CutObject]]

    def wake_rested(self) -> None:
        """What `_rest` does when its time is over."""
        now = self._monotonic()
        for at, target in self.resting:
            if at <= now:
                target.state = ObjectState.WAITING
        self.resting = [rest for rest in self.resting if rest[0] > now]

    async def commit(self) -> None:
        await self._commit_once()


def _no_backoff() -> Backoff:
    """Between two tries other actions of the history happen anyway."""
    return Backoff(0.0, 0.0, lambda: 0.0)


async def no_sleep(_seconds: float) -> None:
    """Time passes by the history's actions only."""


@dataclass(frozen=True)
class Parts:
    """What a planted bug replaces."""

    cuts: type[PartitionCuts] = PartitionCuts
    appender: type[Appender] = Appender
    delivery: type[ModelDelivery] = ModelDelivery
    uploader: type[ModelUploader] = ModelUploader
    store: type[ModelStore] = ModelStore
    boundaries: type[Boundaries] = Boundaries
    is_fenced: bool = True
    assignment: type[Assignment] = Assignment
    pipeline: type[ModelPipeline] = ModelPipeline
    letters: type[ModelLetters] = ModelLetters
    spool: type[ModelSpool] = ModelSpool
