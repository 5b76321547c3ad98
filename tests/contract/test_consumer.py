"""The group member on a real broker, and each private attribute of aiokafka that it stands on."""

import asyncio
import inspect
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import fetcher, group_coordinator, subscription_state
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.producer.sender import Sender

from spoolsink.config_model import Kafka
from spoolsink.consumer import GroupConsumer
from spoolsink.cut import Commit
from spoolsink.errors import ConsumerError
from spoolsink.records import TopicPartition
from tests.integration.test_servers import make_topic
from tests.servers.processes import KafkaServer

ILLEGAL_GENERATION, UNKNOWN_MEMBER = 22, 25


async def nothing() -> None:
    """No gate to close."""


@asynccontextmanager
async def member_of(
    kafka: KafkaServer,
    topic: str,
    group: str,
    clock: Callable[[], float] | None = None,
    **settings: object,
) -> AsyncIterator[GroupConsumer]:
    config = Kafka.model_validate(
        {
            "bootstrap_servers": kafka.bootstrap_servers,
            "topics": topic,
            "session_timeout": "6s",
            **settings,
        }
    )
    hooks = {} if clock is None else {"boottime": clock}
    consumer = GroupConsumer(
        config,
        group,
        client_id="test",
        on_revoked=nothing,
        on_assigned=lambda _: None,
        **hooks,
    )
    await consumer.start()
    try:
        while consumer.membership is None:
            await consumer.poll(0.1, 1)
        yield consumer
    finally:
        await consumer.stop(5)


async def produce(kafka: KafkaServer, topic: str, count: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        for number in range(count):
            await producer.send_and_wait(topic, b"%d" % number, partition=0)


def group_id() -> str:
    return f"g-{uuid.uuid4().hex[:8]}"


async def test_nothing_is_read_before_the_beginning_is_known(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka)
    tp = TopicPartition(topic, 0)
    await produce(kafka, topic, 5)
    async with member_of(kafka, topic, group_id()) as consumer:
        assert consumer.assigned == {tp}
        for _ in range(3):
            assert not (await consumer.poll(0.2, 10)).batches
        consumer.seek(tp, 3)
        consumer.resume([tp])
        values: list[bytes | None] = []
        while len(values) < 2:
            for batch in (await consumer.poll(0.5, 10)).batches.get(tp, []):
                values += batch.values
        assert values == [b"3", b"4"]


async def test_a_commit_keeps_its_metadata_and_is_read_back(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka)
    tp = TopicPartition(topic, 0)
    async with member_of(kafka, topic, group_id()) as consumer:
        assert await consumer.committed([tp]) == {tp: None}
        assert consumer.membership is not None
        codes = await consumer.send_commit(consumer.membership, {tp: Commit(0, "s1;text")})
        assert codes == {tp: 0}
        assert await consumer.committed([tp]) == {tp: Commit(0, "s1;text")}


async def test_a_commit_of_an_older_membership_is_fenced(kafka: KafkaServer) -> None:
    """Also of our own: that is what makes a late copy of a lost commit harmless."""
    topic = await make_topic(kafka)
    tp = TopicPartition(topic, 0)
    async with member_of(kafka, topic, group_id()) as consumer:
        old = consumer.membership
        assert old is not None
        await consumer.rejoin()
        assert consumer.membership is None
        while consumer.membership is None:
            await consumer.poll(0.1, 1)
        assert consumer.membership != old
        codes = await consumer.send_commit(old, {tp: Commit(7, "late")})
        assert codes[tp] in {ILLEGAL_GENERATION, UNKNOWN_MEMBER}
        assert await consumer.committed([tp]) == {tp: None}


async def test_a_position_that_the_log_has_not_is_told_not_reset(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka)
    tp = TopicPartition(topic, 0)
    await produce(kafka, topic, 2)
    async with member_of(kafka, topic, group_id()) as consumer:
        consumer.seek(tp, 99)
        consumer.resume([tp])
        while True:
            polled = await consumer.poll(0.5, 10)
            assert not polled.batches
            if polled.out_of_range:
                break
        assert list(polled.out_of_range) == [tp]
        assert (await consumer.log_ranges([tp]))[tp] == (0, 2)


async def test_the_lease_ends_when_the_clock_passes_it(kafka: KafkaServer) -> None:
    """A suspended process finds its lease over before it sends anything."""
    topic = await make_topic(kafka)
    now = 1000.0
    async with member_of(kafka, topic, group_id(), clock=lambda: now) as consumer:
        assert consumer.is_lease_fresh
        now += 5.0
        assert not consumer.is_lease_fresh
        assert consumer.silent_seconds >= 4.0


async def test_the_lease_counts_from_the_request_not_from_when_it_is_told(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process suspended between SyncGroup and its callback must not believe in a fresh lease."""
    topic, now = await make_topic(kafka), 1000.0
    send = group_coordinator.CoordinatorGroupRebalance._send_sync_group_request

    async def suspended(rebalance: object, request: object) -> object:
        nonlocal now
        answer = await send(rebalance, request)
        now += 10.0
        return answer

    monkeypatch.setattr(
        group_coordinator.CoordinatorGroupRebalance, "_send_sync_group_request", suspended
    )
    async with member_of(kafka, topic, group_id(), clock=lambda: now) as consumer:
        assert not consumer.is_lease_fresh


async def test_a_revocation_closes_the_gate_before_others_get_anything(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka, 2)
    group = group_id()
    async with member_of(kafka, topic, group) as first:
        assert len(first.assigned) == 2
        before = first.membership
        async with member_of_while(kafka, topic, group, first) as second:
            assert first.membership != before
            assert len(first.assigned) == len(second.assigned) == 1
            assert not first.assigned & second.assigned


@asynccontextmanager
async def member_of_while(
    kafka: KafkaServer, topic: str, group: str, other: GroupConsumer
) -> AsyncIterator[GroupConsumer]:
    """A second member; the first one's loop goes on, as it would in its own process."""
    config = Kafka.model_validate({"bootstrap_servers": kafka.bootstrap_servers, "topics": topic})
    consumer = GroupConsumer(
        config, group, client_id="b", on_revoked=nothing, on_assigned=lambda _: None
    )
    await consumer.start()
    try:
        while consumer.membership is None or len(other.assigned) != 1:
            await consumer.poll(0.1, 1)
            await other.poll(0.1, 1)
        yield consumer
    finally:
        await consumer.stop(5)


async def test_a_broker_that_is_away_is_told_with_its_address() -> None:
    config = Kafka.model_validate({"bootstrap_servers": "127.0.0.1:1", "topics": "t"})
    consumer = GroupConsumer(
        config, "g", client_id="t", on_revoked=nothing, on_assigned=lambda _: None
    )
    with pytest.raises(ConsumerError, match=r"127\.0\.0\.1:1"):
        await consumer.start()
    await consumer.stop(1)


async def test_a_fetch_that_was_waiting_does_not_cancel_who_stops(kafka: KafkaServer) -> None:
    """As when the broker is lost: a fetch waits to ask again, and `close` cancels it."""
    topic = await make_topic(kafka, 1)
    async with member_of(kafka, topic, group_id()) as consumer:
        inner = consumer._consumer
        inner._fetcher._pending_tasks.add(asyncio.create_task(asyncio.sleep(60)))
        await consumer.stop(5)
        assert not [c for c in inner._client._conns.values() if c.connected()]


async def test_an_end_without_an_answer_leaves_no_fetch_no_heartbeat_and_no_connection(
    kafka: KafkaServer,
) -> None:
    topic = await make_topic(kafka, 1)
    async with member_of(kafka, topic, group_id()) as consumer:
        inner = consumer._consumer
        heartbeats = inner._coordinator._heartbeat_task
        assert not heartbeats.done()
        await consumer.stop(0)
        assert inner._fetcher._fetch_task.done()
        assert heartbeats.done()
        assert not [c for c in inner._client._conns.values() if c.connected()]


async def test_a_question_under_way_opens_no_connection_behind_the_end(kafka: KafkaServer) -> None:
    config = Kafka.model_validate({"bootstrap_servers": kafka.bootstrap_servers, "topics": "t"})
    consumer = GroupConsumer(
        config, group_id(), client_id="t", on_revoked=nothing, on_assigned=lambda _: None
    )
    await consumer.start(joins=False)
    client, is_begun, has_ended = consumer._consumer._client, asyncio.Event(), asyncio.Event()

    async def asks_late() -> None:
        is_begun.set()
        await has_ended.wait()
        await client._get_conn(client.get_random_node(), no_hint=True)

    asking = asyncio.create_task(consumer._asked(asks_late()))
    await is_begun.wait()
    await consumer.stop(5)
    has_ended.set()
    with pytest.raises(ConsumerError, match="stopped"):
        await asking
    assert not [c for c in client._conns.values() if c.connected()]


def test_what_is_touched_of_aiokafka_is_there() -> None:
    """A new version that moves one of these fails here, by name."""
    coordinator = group_coordinator.GroupCoordinator
    for name in (
        "_do_heartbeat",
        "_maybe_leave_group",
        "reset_generation",
        "ensure_coordinator_known",
        "coordinator_dead",
    ):
        assert callable(getattr(coordinator, name)), name
    source = inspect.getsource(group_coordinator)
    for name in ("self._coordination_task", "self.coordinator_id", "self.generation", "member_id"):
        assert name in source, name
    for name in ("self._heartbeat_task", "self._commit_refresh_task"):
        assert name in source, name
    # The heartbeat task looks the method up at each beat, so that ours is called.
    assert "success = await self._do_heartbeat()" in source
    # So is what sends SyncGroup, from whose request a session is counted.
    assert "await self._coordinator._send_req(request)" in source
    assert "self._max_partition_fetch_bytes" in inspect.getsource(fetcher.Fetcher)
    assert "self._position" in inspect.getsource(subscription_state.TopicPartitionState.seek)
    assert callable(AIOKafkaClient._wait_on_metadata)
    # Looked up at each connection, so that ours is called.
    assert "bootstrap_conn = await create_conn(" in inspect.getsource(AIOKafkaClient.bootstrap)
    assert isinstance(Sender.sender_task, property)
    assert callable(MessageAccumulator.fail_all)
    for name in ("self._sender = Sender(", "self._message_accumulator = MessageAccumulator("):
        assert name in inspect.getsource(AIOKafkaProducer), name
    for name in ("self._fetch_task", "self._pending_tasks"):
        assert name in inspect.getsource(fetcher.Fetcher), name
