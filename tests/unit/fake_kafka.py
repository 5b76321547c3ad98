"""A broker with logs and one group, and a member of it that does what the test says."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from spoolsink.consumer import GroupConsumer, Membership, Polled
from spoolsink.cut import Commit
from spoolsink.errors import ConsumerError
from spoolsink.kafka_protocol import TopicIds
from spoolsink.records import Batch, OffsetRange, TopicPartition
from tests.unit.builders import CLUSTER, TOPIC_ID, batch_of

BATCH_RECORDS = 4
_generations = count(1)


@dataclass
class FakeBroker:
    """Logs, and what the group has committed; `codes` and `losses` script the next commits.

    `losses`: "request" and "reply" are lost on their way, "late" is a request that is still under
    way when its sender has given up, until `deliver`. Questions named in `silent` have no answer.
    """

    logs: dict[TopicPartition, list[bytes | None]] = field(default_factory=dict)
    starts: dict[TopicPartition, int] = field(default_factory=dict)
    offsets: dict[TopicPartition, Commit] = field(default_factory=dict)
    topic_ids: dict[str, str] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    requests: list[Mapping[TopicPartition, Commit]] = field(default_factory=list)
    late: list[Mapping[TopicPartition, Commit]] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, tp: TopicPartition, values: Sequence[bytes | None]) -> None:
        self.logs.setdefault(tp, []).extend(values)
        self.topic_ids.setdefault(tp.topic, TOPIC_ID)

    def range_of(self, tp: TopicPartition) -> OffsetRange:
        return OffsetRange(self.starts.get(tp, 0), len(self.logs[tp]))

    def batches(self, tp: TopicPartition, position: int) -> Iterable[Batch]:
        """What is there from the position on, at most `BATCH_RECORDS` each."""
        log = self.logs[tp]
        for start in range(position, len(log), BATCH_RECORDS):
            yield batch_of(log[start : start + BATCH_RECORDS], start, tp=tp)

    def commit(self, commits: Mapping[TopicPartition, Commit]) -> dict[TopicPartition, int]:
        self.requests.append(commits)
        self.heard.set()
        loss = self.losses.pop(0) if self.losses else ""
        if loss in {"request", "late"}:
            self.late += [commits] if loss == "late" else []
            raise ConsumerError("no answer")
        code = self.codes.pop(0) if self.codes else 0
        if code == 0:
            self.offsets.update(commits)
        if loss == "reply":
            raise ConsumerError("no answer")
        return dict.fromkeys(commits, code)

    def deliver(self) -> None:
        """What was late arrives; nobody is there for its reply."""
        for commits in self.late:
            self.offsets.update(commits)
        self.late.clear()


class FakeGroup(GroupConsumer):
    """The surface of the real one over a `FakeBroker`; joined and revoked by the test."""

    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.assigned: frozenset[TopicPartition] = frozenset()
        self.membership: Membership | None = None
        self.has_lease = True
        self.is_known = True
        self.is_alive = True
        self.rejoins = 0
        self.batch_count = 16
        self.positions: dict[TopicPartition, int] = {}
        self.resumed: set[TopicPartition] = set()
        self.out_of_range: set[TopicPartition] = set()
        self.questions: list[str] = []

    def join(self, *tps: TopicPartition) -> frozenset[TopicPartition]:
        """Become the member of a new generation."""
        self.assigned = frozenset(tps)
        self.membership = Membership(next(_generations), "me")
        self.positions = dict.fromkeys(tps, 0)
        self.resumed.clear()
        return self.assigned

    def leave(self) -> None:
        self.assigned, self.membership = frozenset(), None

    # -- of the group

    @property
    def is_lease_fresh(self) -> bool:
        return self.membership is not None and self.has_lease

    @property
    def has_coordinator(self) -> bool:
        return self.is_known

    @property
    def is_coordinating(self) -> bool:
        return self.is_alive

    def forget_coordinator(self) -> None:
        self.is_known = False

    async def rejoin(self) -> None:
        self.rejoins += 1
        self.membership = None

    # -- reading

    async def poll(self, timeout_seconds: float, max_batches: int) -> Polled:
        await asyncio.sleep(0)
        found: dict[TopicPartition, list[Batch]] = {}
        for tp in sorted(self.resumed & self.assigned):
            limit = min(max_batches, self.batch_count)
            batches = list(self.broker.batches(tp, self.positions[tp]))[:limit]
            if batches:
                found[tp] = batches
                self.positions[tp] = batches[-1].next_offset
        lost, self.out_of_range = self.out_of_range & self.resumed, set()
        return Polled(found, lost)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.positions[tp] = offset

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        self.resumed -= set(tps)

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        self.resumed |= set(tps) & self.assigned

    # -- questions and commits

    def _asked_for(self, what: str) -> None:
        self.questions.append(what)
        if what in self.broker.silent:
            raise ConsumerError("no answer")

    async def topic_ids(self, topics: Collection[str]) -> TopicIds:
        self._asked_for("topic_ids")
        found = {t: i for t, i in self.broker.topic_ids.items() if t in topics}
        return TopicIds(CLUSTER, found)

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        return sorted(tp for tp in self.broker.logs if tp.topic == topic)

    async def committed(
        self, tps: Collection[TopicPartition]
    ) -> dict[TopicPartition, Commit | None]:
        self._asked_for("committed")
        return {tp: self.broker.offsets.get(tp) for tp in tps}

    async def log_ranges(
        self, tps: Collection[TopicPartition]
    ) -> dict[TopicPartition, OffsetRange]:
        self._asked_for("log_ranges")
        return {tp: self.broker.range_of(tp) for tp in tps}

    async def send_commit(
        self, membership: Membership, commits: Mapping[TopicPartition, Commit]
    ) -> dict[TopicPartition, int]:
        assert membership == self.membership
        return self.broker.commit(commits)
