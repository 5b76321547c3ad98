"""What stands in for the parts of a sink that do I/O, and for the encoder.

Group, uploader and delivery make each call a request under way (`network`); rows and places are as
simple as can be.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from spoolsink.appender import Appender
from spoolsink.assignment import Assignment
from spoolsink.boundaries import Boundaries
from spoolsink.consumer import Membership
from spoolsink.cut import Commit, CutObject, ObjectState
from spoolsink.cuts import PartitionCuts
from spoolsink.delivery import Delivery
from spoolsink.encoder import Encoded, Rejected
from spoolsink.errors import (
    ConsumerError,
    ConversionError,
    ObjectConflictError,
    SegmentCorruptError,
)
from spoolsink.records import Batch, OffsetRange, TopicPartition
from spoolsink.segment import SealedSegment
from spoolsink.uploader import Outcome, Upload, is_same
from tests.simulation.history import Settings
from tests.simulation.models import (
    CLUSTER,
    TP,
    Broker,
    Bucket,
    Counts,
    Log,
    StoredObject,
)
from tests.simulation.network import (
    Head,
    Network,
    NoAnswerError,
    Put,
    ReadCommitted,
    SendCommit,
    ask,
)

if TYPE_CHECKING:
    from tests.simulation.process import Process

HOUR_MS = 5_000
"""An hour of the wall-clock layout: short, so that histories see many."""


class Surroundings(Protocol):
    """What a process needs of the world."""

    settings: Settings
    log: Log
    broker: Broker
    bucket: Bucket
    network: Network
    counts: Counts
    parts: "Parts"

    def monotonic(self) -> float: ...
    def wall_ms(self) -> int: ...
    def committed_was_read(self, process: "Process") -> None: ...
    def rejoin(self, process: "Process") -> None: ...


class Shape(NamedTuple):
    """The configuration of one process: `variant` is what the fingerprint covers."""

    variant: int = 0
    rotation: int = 0
    has_max_open: bool = False

    @property
    def fingerprint(self) -> str:
        return f"{self.variant:08x}"


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
    """Rows are the values; a record with a key is one that is skipped."""

    def __init__(self, layout: ModelLayout) -> None:
        self.layout = layout

    def encode(self, batch: Batch, instant_ms: int) -> Encoded:
        kept = [i for i, key in enumerate(batch.keys) if key is None]
        offsets = [batch.offsets[i] for i in kept]
        rows = [batch.values[i] or b"" for i in kept]
        bad = [offset for offset, key in zip(batch.offsets, batch.keys, strict=True) if key]
        return Encoded(
            batch=batch,
            next_offset=batch.next_offset,
            offsets=offsets,
            rows=rows,
            places=[self.layout.place(offset, instant_ms) for offset in offsets],
            sizes=[len(row) for row in rows],
            times_ms=[batch.timestamps[i] for i in kept],
            rejected=tuple(Rejected(o, ConversionError("bad", batch.tp, o)) for o in bad),
        )


class ModelGroup:
    """The consumer: what `Assignment` and `Delivery` use of `GroupConsumer`."""

    def __init__(self, world: Surroundings, process: "Process") -> None:
        self.membership: Membership | None = None
        self.assigned: frozenset[TopicPartition] = frozenset()
        self.position = -1
        self._world = world
        self._process = process

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        return [TP]

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.position = offset

    def pause(self, tps: Collection[TopicPartition]) -> None:
        """Nothing is prefetched here."""

    async def topic_ids(self, topics: Collection[str]) -> "Ids":
        return Ids(CLUSTER, dict.fromkeys(topics, self._world.log.topic_id))

    async def log_ranges(
        self, tps: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, OffsetRange]:
        return dict.fromkeys(tps, self._world.log.range)

    async def committed(
        self, tps: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, Commit | None]:
        self._world.committed_was_read(self._process)
        return {TP: self._world.broker.committed}


class DeliveryGroup:
    """The same consumer as `Delivery` sees it: each call is a request under way."""

    is_lease_fresh = True
    """The weaker fence is the harder test: nothing here relies on the lease."""

    has_coordinator = True

    def __init__(self, world: Surroundings, process: "Process") -> None:
        self._world = world
        self._process = process

    @property
    def membership(self) -> Membership | None:
        return self._process.group.membership

    def forget_coordinator(self) -> None:
        """It is found again at once."""

    async def committed(
        self, tps: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, Commit | None]:
        try:
            return {TP: await ask(ReadCommitted())}
        except NoAnswerError as error:
            raise ConsumerError("no answer") from error

    async def send_commit(
        self, membership: Membership, commits: Mapping[TopicPartition, Commit]
    ) -> Mapping[TopicPartition, int]:
        try:
            return {TP: await ask(SendCommit(membership.generation, commits[TP]))}
        except NoAnswerError as error:
            raise ConsumerError("no answer") from error

    async def rejoin(self) -> None:
        self._world.rejoin(self._process)


class Ids(NamedTuple):
    """Metadata, as `takeover` reads it."""

    cluster_id: str
    ids: Mapping[str, str]


class ModelUploader:
    """The real uploader's decisions with one request at a time, and every body in one piece."""

    def __init__(self, world: Surroundings) -> None:
        self._world = world

    async def upload(
        self, upload: Upload, is_allowed: Callable[[], bool], *, create_only: bool
    ) -> tuple[Outcome, str]:
        for key in upload.keys:
            outcome = await self._upload(key, upload, is_allowed, create_only=create_only)
            if outcome is not None:
                return outcome, key
        raise ObjectConflictError("PutObject", "Taken", "every key is taken", "", upload.keys[0])

    async def _upload(
        self, key: str, upload: Upload, is_allowed: Callable[[], bool], *, create_only: bool
    ) -> Outcome | None:
        """None where the key is taken by other content."""
        while True:
            try:
                if not create_only:
                    found = await ask(Head(key))
                    if found is not None:
                        return self._known(found, upload)
                body = b"".join(upload.body())
                if not is_allowed():
                    return Outcome.STOPPED
                if await self._put(
                    Put(key, StoredObject(body, dict(upload.metadata)), create_only)
                ):
                    return Outcome.CREATED
                found = await ask(Head(key))
                return self._known(found, upload)
            except NoAnswerError:
                continue  # doubtful: the same conditional write again

    async def _put(self, request: Put) -> bool:
        return bool(await ask(request))

    def _known(self, found: StoredObject, upload: Upload) -> Outcome | None:
        return Outcome.EXISTED if is_same(found.metadata, upload.metadata) else None


class ModelDelivery(Delivery):
    """The real delivery; bodies of damaged segments are what a disk would give."""

    damaged_numbers: set[int]
    verifies_segments = True

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

    async def commit(self) -> None:
        await self._commit_once()


@dataclass(frozen=True)
class Parts:
    """What a planted bug replaces."""

    cuts: type[PartitionCuts] = PartitionCuts
    appender: type[Appender] = Appender
    delivery: type[ModelDelivery] = ModelDelivery
    uploader: type[ModelUploader] = ModelUploader
    boundaries: type[Boundaries] = Boundaries
    is_fenced: bool = True
    assignment: type[Assignment] = Assignment
