"""The consumer group as a process sees it: what `GroupConsumer` is to the sink.

Fetches are answered at once; what commits depend on is a request under way (`network`).
"""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from spoolsink.consumer import Membership, Polled
from spoolsink.cut import Commit
from spoolsink.errors import ConsumerError
from spoolsink.records import Batch, OffsetRange, TimestampType, TopicPartition
from tests.simulation.models import CLUSTER, Log
from tests.simulation.network import NoAnswerError, ReadCommitted, SendCommit, ask
from tests.simulation.surroundings import Surroundings

if TYPE_CHECKING:
    from tests.simulation.process import Process


class Ids(NamedTuple):
    """Metadata, as `takeover` reads it."""

    cluster_id: str
    ids: Mapping[str, str]


class ModelGroup:
    """The consumer: what pipeline and assignment use of `GroupConsumer`.

    `offsets_of_a_poll` is how far the next poll goes in each topic partition.
    """

    is_coordinating = True

    def __init__(self, world: Surroundings, process: "Process") -> None:
        self.membership: Membership | None = None
        self.assigned: frozenset[TopicPartition] = frozenset()
        self.positions: dict[TopicPartition, int] = {}
        self.offsets_of_a_poll = 0
        self.paused: set[TopicPartition] = set()
        self._world = world
        self._process = process

    def joined(self, membership: Membership, assigned: frozenset[TopicPartition]) -> None:
        """As aiokafka does: whatever was known of positions, the committed ones are fetched."""
        self.membership, self.assigned = membership, assigned
        committed = self._world.broker.committed
        self.positions = {tp: committed[tp].offset for tp in assigned if tp in committed}
        self.paused.clear()

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        return list(self._world.logs)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        if tp in self.assigned:
            self.positions[tp] = offset

    def pause(self, tps: Collection[TopicPartition]) -> None:
        self.paused.update(tps)

    def resume(self, tps: Collection[TopicPartition]) -> None:
        self.paused.difference_update(tps)

    async def poll(self, timeout_seconds: float, max_batches: int) -> Polled:
        found: dict[TopicPartition, list[Batch]] = {}
        lost = []
        for tp, position in list(self.positions.items()):
            if tp in self.paused:
                continue
            log = self._world.logs[tp]
            if not log.start <= position <= log.end:
                lost.append(tp)
                continue
            end = min(position + self.offsets_of_a_poll, log.end)
            if end > position:
                self.positions[tp] = end
                found[tp] = [_batch(tp, log, position, end)]
        self._world.polled(self._process, found.keys())
        return Polled(found, lost)

    async def topic_ids(self, topics: Collection[str]) -> Ids:
        return Ids(CLUSTER, dict.fromkeys(topics, self._world.topic_id))

    async def log_ranges(
        self, tps: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, OffsetRange]:
        return {tp: self._world.logs[tp].range for tp in tps}

    async def committed(
        self, tps: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, Commit | None]:
        for tp in tps:
            self._world.committed_was_read(self._process, tp)
        return {tp: self._world.broker.committed.get(tp) for tp in tps}


class DeliveryGroup:
    """The same consumer as `Delivery` sees it: each call is a request under way."""

    is_lease_fresh = True
    """The weaker fence is the harder test: nothing here relies on the lease."""

    has_coordinator = True

    def __init__(self, group: ModelGroup, rejoin: Callable[[], None]) -> None:
        self._group = group
        self._rejoin = rejoin

    @property
    def membership(self) -> Membership | None:
        return self._group.membership

    def forget_coordinator(self) -> None:
        """It is found again at once."""

    async def committed(
        self, tps: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, Commit | None]:
        try:
            found: Mapping[TopicPartition, Commit] = await ask(ReadCommitted())
        except NoAnswerError as error:
            raise ConsumerError("no answer") from error
        return {tp: found.get(tp) for tp in tps}

    async def send_commit(
        self, membership: Membership, commits: Mapping[TopicPartition, Commit]
    ) -> Mapping[TopicPartition, int]:
        try:
            code = await ask(SendCommit(membership.generation, commits))
        except NoAnswerError as error:
            raise ConsumerError("no answer") from error
        return dict.fromkeys(commits, code)

    async def rejoin(self) -> None:
        self._rejoin()


def _batch(tp: TopicPartition, log: Log, start: int, end: int) -> Batch:
    records = log.read(start, end)
    return Batch(
        tp=tp,
        start=start,
        next_offset=end,
        offsets=[record.offset for record in records],
        timestamps=[record.time_ms for record in records],
        timestamp_type=TimestampType.CREATE,
        keys=[b"bad" if record.is_bad else None for record in records],
        values=[record.row for record in records],
        headers=None,
    )
