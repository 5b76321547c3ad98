"""One member of the consumer group: the door to aiokafka's consumer.

1. Generation and member id are captured at assignment (`membership`); nothing of ours is ever
   committed under others, whatever aiokafka's coordinator holds at that moment.
2. At an assignment every topic partition is paused at once; it is read from only after `seek` and
   `resume`. What was fetched before that is never handed out.
3. A revocation calls `on_revoked` before the group is joined anew, and waits for it briefly.
4. The last heartbeat is told on a clock that counts suspension.

aiokafka's own retries of the group go on behind this; what only a new consumer mends is raised, and
`service` makes a new one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaTopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.protocol.group import SyncGroupRequest

from spoolsink import batch_tap, kafka_causes, kafka_protocol, kafka_security, kafka_stop
from spoolsink.config_model import Kafka
from spoolsink.config_types import whole_name
from spoolsink.cut import Commit
from spoolsink.errors import ConsumerError
from spoolsink.records import Batch, OffsetRange, TopicPartition

T = TypeVar("T")

METADATA_SECONDS = 30
"""How old the list of topics may be: new ones are found within 60 s."""

ASK_SECONDS = 15.0
"""Deadline of any question to a broker; aiokafka's own loops have none."""

_REVOKE_SECONDS = 3.0
_AGAIN_SECONDS = 0.3
_MIN_PARTITION_BYTES = 16 * 1024
_MAX_HEARTBEAT_SECONDS = 3.0
_REBALANCE_SECONDS = 30.0
"""Below aiokafka's request timeout (40 s): JoinGroup is waited for no longer than that."""


class Membership(NamedTuple):
    """Who we were when the topic partitions were assigned."""

    generation: int
    member_id: str


class Polled(NamedTuple):
    """What one poll brought: batches, and topic partitions whose position the log has not."""

    batches: Mapping[TopicPartition, list[Batch]]
    out_of_range: Collection[TopicPartition] = ()


class GroupConsumer:
    """Made for one membership of the process in its group; `stop` ends it for good."""

    def __init__(
        self,
        settings: Kafka,
        group_id: str,
        *,
        client_id: str,
        on_revoked: Callable[[], Awaitable[None]],
        on_assigned: Callable[[frozenset[TopicPartition]], None],
        boottime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self.assigned: frozenset[TopicPartition] = frozenset()
        self.membership: Membership | None = None
        self._settings = settings
        self._group_id = group_id
        self._boottime = boottime
        self._lease_until = 0.0
        self._heard_at = self._synced_at = boottime()
        self._on_revoked, self._on_assigned = on_revoked, on_assigned
        self._causes = kafka_causes.Causes()
        self._questions = kafka_stop.Questions()
        batch_tap.install()
        self._consumer: Any = AIOKafkaConsumer(
            **_client_settings(settings, group_id, client_id),
            key_deserializer=batch_tap.Tap(settings.batch_max_bytes),
        )

    # -- the group -----------------------------------------------------------------------------

    async def start(self, *, joins: bool = True) -> None:
        """Connect and begin to join the group; raises ConsumerError where no broker answers.

        BrokerRefusedError where one refuses us; both say why.
        Without `joins` only questions can be asked.
        """
        settings = self._settings
        await self._causes.started(self._consumer.start, settings.bootstrap_servers)
        if not joins:
            return
        coordinator = self._consumer._coordinator  # noqa: SLF001 (tests/contract names it)
        coordinator._do_heartbeat = self._noting(coordinator._do_heartbeat)  # noqa: SLF001
        coordinator._send_req = self._dating(coordinator._send_req)  # noqa: SLF001
        listener = _Listener(self._revoked, self._joined)
        if settings.topics_pattern is not None:
            # aiokafka only matches the beginning; ours is the whole name.
            whole = whole_name(settings.topics_pattern)
            self._consumer.subscribe(pattern=whole.pattern, listener=listener)
        else:
            self._consumer.subscribe(topics=settings.topics, listener=listener)

    async def stop(self, timeout_seconds: float) -> None:
        """Leave the group (a static member stays in it) and close, however long Kafka takes."""
        self.membership = None
        try:
            await self._questions.end()
            await kafka_stop.stop(self._consumer, timeout_seconds)
        finally:
            self._causes.close()

    async def rejoin(self) -> None:
        """Join anew as another member, so that a commit still under way is fenced."""
        self.membership = None
        coordinator = self._consumer._coordinator  # noqa: SLF001
        leaving = coordinator._maybe_leave_group()  # noqa: SLF001 (resets the generation)
        try:
            await self._questions.ask(leaving, ASK_SECONDS)
        except (TimeoutError, KafkaError, ConsumerError):
            coordinator.reset_generation()

    @property
    def silent_seconds(self) -> float:
        """Since the group's coordinator last took us for a member."""
        return self._boottime() - self._heard_at

    @property
    def is_lease_fresh(self) -> bool:
        """Whether the broker still holds us for a member, as far as can be known."""
        return self.membership is not None and self._boottime() < self._lease_until

    def _noting(self, heartbeat: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
        async def noted() -> bool:
            sent = self._boottime()
            try:
                is_ok = await heartbeat()
            except KafkaError as error:
                if not self._causes.refuses(error):
                    raise
                # aiokafka would never send another one, nor join anew, once the right is back.
                await asyncio.sleep(_AGAIN_SECONDS)
                return False
            if is_ok:
                self._renew(sent)
            return is_ok

        return noted

    def _dating(self, send: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        """The broker counts a session from SyncGroup; the assignment is told of only later."""

        async def dated(request: Any) -> Any:
            if isinstance(request, SyncGroupRequest):
                self._synced_at = self._boottime()
            return await send(request)

        return dated

    def _renew(self, sent: float) -> None:
        self._causes.answered()
        self._heard_at = max(self._heard_at, sent)
        # A fifth of the session is the margin for the request that is about to be sent.
        self._lease_until = sent + self._settings.session_timeout * 0.8

    async def _revoked(self) -> None:
        self.membership = None
        self.assigned = frozenset()
        try:
            async with asyncio.timeout(_REVOKE_SECONDS):
                await self._on_revoked()
        except TimeoutError:
            return

    def _joined(self, assigned: Iterable[KafkaTopicPartition]) -> None:
        coordinator = self._consumer._coordinator  # noqa: SLF001
        self.membership = Membership(coordinator.generation, coordinator.member_id)
        self._renew(self._synced_at)
        self.assigned = frozenset(TopicPartition(*tp) for tp in assigned)
        for tp in assigned:
            # A position of no meaning, so that aiokafka looks for none of its own.
            self._consumer.seek(tp, 0)
            self._consumer.pause(tp)
        share = self._settings.fetch_buffer // max(1, len(self.assigned))
        self._consumer._fetcher._max_partition_fetch_bytes = max(  # noqa: SLF001
            _MIN_PARTITION_BYTES, min(share, self._settings.fetch_partition_max_bytes)
        )
        self._on_assigned(self.assigned)

    # -- reading -------------------------------------------------------------------------------

    async def poll(self, timeout_seconds: float, max_batches: int) -> Polled:
        """The next batches of what is not paused; blocks while the group is being joined.

        Raises ConsumerError; with `needs_restart` only a new consumer helps. BrokerRefusedError
        where the group is lost because a broker lets us in no more; aiokafka tries on.
        """
        if self._causes.refusal is not None and not self.is_lease_fresh:
            raise kafka_causes.refused(self._causes.refusal)
        try:
            found = await self._consumer.getmany(
                timeout_ms=int(timeout_seconds * 1000), max_records=max_batches
            )
        except NoOffsetForPartitionError:
            return Polled({})  # aiokafka asked before `_joined` had set a position
        except OffsetOutOfRangeError as error:
            return Polled({}, [TopicPartition(*tp) for tp in error.args[0]])
        except KafkaError as error:
            raise kafka_causes.translated(error, "poll") from error
        return Polled({TopicPartition(*tp): batches for tp, batches in found.items()})

    @property
    def is_coordinating(self) -> bool:
        """False when aiokafka's background task has died: make a new consumer."""
        return not self._consumer._coordinator._coordination_task.done()  # noqa: SLF001

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go on from an offset; nothing happens when it is not assigned any more."""
        self._if_assigned(lambda: self._consumer.seek(_kafka(tp), offset))

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        """Fetch nothing of them."""
        for tp in tps:
            self._if_assigned(lambda tp=tp: self._consumer.pause(_kafka(tp)))  # type: ignore[misc]

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        """Fetch them again."""
        for tp in tps:
            self._if_assigned(lambda tp=tp: self._consumer.resume(_kafka(tp)))  # type: ignore[misc]

    def _if_assigned(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (IllegalStateError, AssertionError):
            # Between a revocation and the listener's call: the next assignment sees to it.
            return

    # -- questions and commits -----------------------------------------------------------------

    async def topic_ids(self, topics: Collection[str]) -> kafka_protocol.TopicIds:
        """Cluster id, and the id of every topic that exists."""
        return await self._asked(
            kafka_protocol.describe_topics(self._consumer._client, sorted(topics))  # noqa: SLF001
        )

    async def topics(self) -> frozenset[str]:
        """Names of all that this user may see; asks the cluster."""
        return frozenset(await self._asked(self._consumer.topics()))

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        """All of a topic, as far as the metadata knows."""
        numbers = self._consumer.partitions_for_topic(topic) or ()
        return [TopicPartition(topic, number) for number in sorted(numbers)]

    async def all_of(self, topic: str) -> list[TopicPartition]:
        """All of a topic that is not subscribed to; asks the cluster."""
        client = self._consumer._client  # noqa: SLF001
        await self._asked(client._wait_on_metadata(topic))  # noqa: SLF001
        return self.partitions_of(topic)

    async def committed(
        self, tps: Collection[TopicPartition]
    ) -> dict[TopicPartition, Commit | None]:
        """The group's offset with its metadata, None where it has none."""
        found = await self._asked(self._fetch_offsets(tps))
        return {tp: None if pair is None else Commit(*pair) for tp, pair in found.items()}

    async def _fetch_offsets(
        self, tps: Collection[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, str] | None]:
        coordinator, client = self._consumer._coordinator, self._consumer._client  # noqa: SLF001
        while True:
            await coordinator.ensure_coordinator_known()
            node = coordinator.coordinator_id
            try:
                return await kafka_protocol.fetch_offsets(client, node, self._group_id, list(tps))
            except KafkaError as error:
                coordinator.coordinator_dead()
                if not error.retriable:
                    raise
            # A broker that has just started is not yet sure whose coordinator it is.
            await asyncio.sleep(_AGAIN_SECONDS)

    async def log_ranges(
        self, tps: Collection[TopicPartition]
    ) -> dict[TopicPartition, OffsetRange]:
        """Start and end of each log."""
        found = await self._asked(kafka_protocol.list_offsets(self._consumer, list(tps)))
        return {tp: OffsetRange(*pair) for tp, pair in found.items()}

    async def try_topic(self, topic: str) -> None:
        """Raises BrokerRefusedError where it may not be read; nothing is."""
        await self._asked(kafka_protocol.try_topic(self._consumer._client, topic))  # noqa: SLF001

    async def try_group(self) -> None:
        """Raises BrokerRefusedError where the group may not be joined; it is not."""
        coordinator = self._consumer._coordinator  # noqa: SLF001
        await self._asked(kafka_protocol.try_group(coordinator, self._group_id))

    async def send_commit(
        self, membership: Membership, commits: Mapping[TopicPartition, Commit]
    ) -> dict[TopicPartition, int]:
        """One OffsetCommit under the captured membership: Kafka's error code for each.

        Raises ConsumerError when there was no answer: the outcome is unknown then.
        """
        coordinator = self._consumer._coordinator  # noqa: SLF001
        client, node = self._consumer._client, coordinator.coordinator_id  # noqa: SLF001
        offsets = {tp: (commit.offset, commit.metadata) for tp, commit in commits.items()}
        return await self._asked(
            kafka_protocol.send_offset_commit(client, node, self._group_id, *membership, offsets)
        )

    @property
    def has_coordinator(self) -> bool:
        """Whether a commit could be sent; aiokafka looks for one by itself."""
        return self._consumer._coordinator.coordinator_id is not None  # noqa: SLF001

    def forget_coordinator(self) -> None:
        """It answered that it is not the group's coordinator (any more)."""
        self._consumer._coordinator.coordinator_dead()  # noqa: SLF001

    async def _asked(self, question: Coroutine[Any, Any, T]) -> T:
        self._causes.follow()
        try:
            return await self._questions.ask(question, ASK_SECONDS)
        except TimeoutError as error:
            raise ConsumerError(f"no answer from Kafka within {ASK_SECONDS:.0f} s") from error
        except KafkaError as error:
            raise kafka_causes.translated(error, self._group_id) from error


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(
        self,
        revoked: Callable[[], Awaitable[None]],
        joined: Callable[[Iterable[KafkaTopicPartition]], None],
    ) -> None:
        self._revoked, self._joined = revoked, joined

    async def on_partitions_revoked(self, revoked: object) -> None:  # noqa: ARG002 (eager: all)
        await self._revoked()

    def on_partitions_assigned(self, assigned: Iterable[KafkaTopicPartition]) -> None:
        self._joined(assigned)


def _client_settings(settings: Kafka, group_id: str, client_id: str) -> dict[str, Any]:
    session = settings.session_timeout
    return {
        **kafka_security.client_arguments(settings),
        "bootstrap_servers": list(settings.bootstrap_servers),
        "client_id": client_id,
        "group_id": group_id,
        "group_instance_id": settings.group_instance_id,
        "client_rack": settings.client_rack,
        "auto_offset_reset": "none",
        "enable_auto_commit": False,
        "isolation_level": settings.isolation,
        "session_timeout_ms": int(session * 1000),
        "heartbeat_interval_ms": int(min(_MAX_HEARTBEAT_SECONDS, session / 10) * 1000),
        "rebalance_timeout_ms": int(_REBALANCE_SECONDS * 1000),
        "fetch_max_bytes": settings.fetch_max_bytes,
        "max_partition_fetch_bytes": settings.fetch_partition_max_bytes,
        "metadata_max_age_ms": METADATA_SECONDS * 1000,
        # Exactly one, and not `sticky`, which is broken in aiokafka 0.14 (issues 1175 and 1176).
        "partition_assignment_strategy": (RoundRobinPartitionAssignor,),
    }


def _kafka(tp: TopicPartition) -> KafkaTopicPartition:
    return KafkaTopicPartition(tp.topic, tp.partition)
