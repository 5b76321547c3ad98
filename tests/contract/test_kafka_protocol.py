"""Our own requests on a real broker, and each private part of aiokafka that they stand on."""

import asyncio
import inspect
import uuid
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    IllegalGenerationError,
    InvalidTopicError,
    KafkaProtocolError,
    KafkaTimeoutError,
    NodeNotReadyError,
    NotCoordinatorForGroupError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
)
from aiokafka.protocol.api import Request, RequestStruct
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchResponse_v3
from aiokafka.protocol.metadata import MetadataRequest_v4, MetadataRequest_v5

from spoolsink import kafka_protocol
from spoolsink.kafka_protocol import (
    UNKNOWN_TOPIC_ID,
    TopicIds,
    describe_topics,
    fetch_offsets,
    list_offsets,
    send_offset_commit,
)
from spoolsink.records import TopicPartition
from tests.integration.test_servers import make_topic
from tests.servers.processes import KafkaServer


class GenerousKafka(KafkaServer):
    """A broker that creates each topic that somebody asks for, unless told not to."""

    def command(self) -> list[str]:
        command = super().command()
        properties = self.directory / "server.properties"
        key = "auto.create.topics.enable="
        properties.write_text(properties.read_text().replace(f"{key}false", f"{key}true"))
        return command


@asynccontextmanager
async def consumer_of(kafka: KafkaServer, **settings: Any) -> AsyncIterator[AIOKafkaConsumer]:
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, enable_auto_commit=False, **settings
    ) as consumer:
        yield consumer


@asynccontextmanager
async def member_of(
    kafka: KafkaServer, topic: str, group: str
) -> AsyncIterator[tuple[AIOKafkaConsumer, GroupCoordinator]]:
    """A consumer that has joined the group."""
    async with consumer_of(kafka, group_id=group) as consumer:
        consumer.subscribe([topic])
        async with asyncio.timeout(30):
            while not consumer.assignment():
                await consumer.getmany(timeout_ms=100)
        yield consumer, consumer._coordinator


@asynccontextmanager
async def admin_of(kafka: KafkaServer) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


def new_group() -> str:
    return f"g-{uuid.uuid4().hex[:8]}"


async def describe_until(
    client: AIOKafkaClient, topics: list[str], is_there: Callable[[TopicIds], bool]
) -> TopicIds:
    """A broker answers from a cache that follows the controller a moment later."""
    async with asyncio.timeout(30):
        while True:
            found = await describe_topics(client, topics)
            if is_there(found):
                return found


async def describe_all(client: AIOKafkaClient, topics: list[str]) -> TopicIds:
    return await describe_until(client, topics, lambda found: found.ids.keys() == set(topics))


async def test_topics_have_the_ids_that_kafka_prints_and_absent_ones_none(
    kafka: KafkaServer,
) -> None:
    one, other = await make_topic(kafka), await make_topic(kafka, partitions=3)
    absent = f"absent-{uuid.uuid4().hex[:8]}"
    async with consumer_of(kafka) as consumer:
        await describe_all(consumer._client, [one, other])
        found = await describe_topics(consumer._client, [one, absent, other])
    assert found.cluster_id == "AAAAAAAAAAAAAAAAAAAAAQ"
    assert set(found.ids) == {one, other}
    assert found.ids[one] != found.ids[other]
    for text in found.ids.values():
        assert len(text) == 22
        assert len(urlsafe_b64decode(text + "==")) == 16


async def test_a_topic_that_is_created_anew_has_another_id(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka)
    async with consumer_of(kafka) as consumer:
        client = consumer._client
        before = await describe_all(client, [topic])
        assert await describe_topics(client, [topic]) == before
        old = before.ids[topic]
        async with admin_of(kafka) as admin:
            await admin.delete_topics([topic])
            await admin.create_topics([NewTopic(topic, 1, 1)])
        after = await describe_until(
            client, [topic], lambda found: found.ids.get(topic, old) != old
        )
    assert after.cluster_id == before.cluster_id
    assert after.ids.keys() == {topic}


async def test_a_topic_that_kafka_refuses_is_its_error(kafka: KafkaServer) -> None:
    async with consumer_of(kafka) as consumer:
        with pytest.raises(InvalidTopicError, match="no topic"):
            await describe_topics(consumer._client, ["no topic"])


async def test_asking_for_a_topic_never_creates_it(tmp_path: Path) -> None:
    generous = GenerousKafka(tmp_path)
    generous.start()
    try:
        async with consumer_of(generous) as consumer, admin_of(generous) as admin:
            assert (await describe_topics(consumer._client, ["asked-for"])).ids == {}
            speak_metadata_up_to(9, consumer._client)
            assert (await describe_topics(consumer._client, ["asked-for"])).ids == {}
            assert "asked-for" not in await admin.list_topics()
    finally:
        generous.stop()


def speak_metadata_up_to(version: int, client: AIOKafkaClient) -> None:
    """What is left of a real broker where it says that it knows no later version."""
    for connection in client._conns.values():
        connection._versions = {**connection._versions, 3: (0, version)}


async def test_a_broker_without_topic_ids_answers_with_a_fixed_text(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka)
    async with consumer_of(kafka) as consumer:
        await describe_all(consumer._client, [topic])
        speak_metadata_up_to(9, consumer._client)
        found = await describe_topics(consumer._client, [topic, "absent"])
    assert found.ids == {topic: UNKNOWN_TOPIC_ID}
    assert found.cluster_id == "AAAAAAAAAAAAAAAAAAAAAQ"


async def test_versions_ten_and_twelve_say_the_same(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka)
    async with consumer_of(kafka) as consumer:
        latest = await describe_all(consumer._client, [topic])
        speak_metadata_up_to(11, consumer._client)
        assert await describe_topics(consumer._client, [topic]) == latest


async def test_a_cluster_that_has_not_given_ids_yet_is_one_without() -> None:
    """While a cluster is upgraded to 2.8 the field is there and is all zeros."""
    row: tuple[object, ...] = (0, "t", bytes(16), False, [], 0, {})
    client = AnsweringClient(SimpleNamespace(API_VERSION=10, topics=[row], cluster_id=None))
    assert await describe_topics(client, ["t"]) == ("", {"t": UNKNOWN_TOPIC_ID})


class AnsweringClient:
    """One broker, one answer: for what no broker at hand can be made to say."""

    def __init__(self, answer: object, *, is_ready: bool = True) -> None:
        self._answer = answer
        self._is_ready = is_ready
        self.cluster = SimpleNamespace(brokers=lambda: [SimpleNamespace(nodeId=1)])

    async def ready(self, node_id: int) -> bool:
        return self._is_ready

    async def send(self, node_id: int, request: object, **_: object) -> object:
        return self._answer


async def test_no_broker_in_reach_is_said() -> None:
    with pytest.raises(NodeNotReadyError):
        await describe_topics(AnsweringClient(None, is_ready=False), ["t"])


async def test_a_commit_comes_back_with_its_metadata(kafka: KafkaServer) -> None:
    topic, group = await make_topic(kafka, partitions=3), new_group()
    tps = [TopicPartition(topic, number) for number in range(3)]
    async with member_of(kafka, topic, group) as (consumer, coordinator):
        where = (consumer._client, coordinator.coordinator_id, group)
        codes = await send_offset_commit(
            *where, coordinator.generation, coordinator.member_id,
            {tps[0]: (7, "m" * 3_000), tps[1]: (0, "")},
        )  # fmt: skip
        assert codes == {tps[0]: 0, tps[1]: 0}
        found = await fetch_offsets(*where, tps)
    assert found == {tps[0]: (7, "m" * 3_000), tps[1]: (0, ""), tps[2]: None}


@pytest.mark.parametrize(
    ("generation_step", "member", "error"),
    [(-1, None, IllegalGenerationError), (0, "somebody-else", UnknownMemberIdError)],
)
async def test_a_commit_of_another_generation_or_member_is_refused_and_changes_nothing(
    kafka: KafkaServer, generation_step: int, member: str | None, error: type[Any]
) -> None:
    topic, group = await make_topic(kafka), new_group()
    tp = TopicPartition(topic, 0)
    async with member_of(kafka, topic, group) as (consumer, coordinator):
        where = (consumer._client, coordinator.coordinator_id, group)
        codes = await send_offset_commit(
            *where,
            coordinator.generation + generation_step,
            member or coordinator.member_id,
            {tp: (7, "x")},
        )
        assert codes == {tp: error.errno}
        assert await fetch_offsets(*where, [tp]) == {tp: None}


async def test_a_broker_that_is_not_the_coordinator_is_an_error() -> None:
    answer = OffsetFetchResponse_v3(0, [], NotCoordinatorForGroupError.errno)
    with pytest.raises(NotCoordinatorForGroupError):
        await fetch_offsets(AnsweringClient(answer), 1, "g", [TopicPartition("t", 0)])


async def test_an_error_of_one_topic_partition_is_never_no_offset() -> None:
    tp = TopicPartition("t", 0)
    answer = OffsetFetchResponse_v3(0, [("t", [(0, -1, "", 3)])], 0)
    with pytest.raises(UnknownTopicOrPartitionError, match="t-0"):
        await fetch_offsets(AnsweringClient(answer), 1, "g", [tp])
    with pytest.raises(KafkaProtocolError, match="no answer"):
        await fetch_offsets(AnsweringClient(OffsetFetchResponse_v3(0, [], 0)), 1, "g", [tp])


async def test_the_end_of_the_log_is_the_last_stable_offset_under_read_committed(
    kafka: KafkaServer,
) -> None:
    topic = await make_topic(kafka)
    tp = TopicPartition(topic, 0)
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"x-{uuid.uuid4().hex}"
    ) as producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"first")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"open")
        ends = {}
        for isolation in ("read_committed", "read_uncommitted"):
            async with consumer_of(kafka, isolation_level=isolation) as consumer:
                ends[isolation] = (await list_offsets(consumer, [tp]))[tp]
        await producer.abort_transaction()
    # A record, its marker, and the record of the transaction that is open.
    assert ends == {"read_committed": (0, 2), "read_uncommitted": (0, 3)}


async def test_the_start_of_the_log_follows_what_was_deleted(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka)
    tp = TopicPartition(topic, 0)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        for _ in range(5):
            await producer.send_and_wait(topic, b"v")
    async with admin_of(kafka) as admin, consumer_of(kafka) as consumer:
        await admin.delete_records({tp: RecordsToDelete(before_offset=3)})
        assert await list_offsets(consumer, [tp]) == {tp: (3, 5)}
        assert await list_offsets(consumer, []) == {}


async def test_the_log_of_an_absent_topic_is_a_timeout_not_a_hang(kafka: KafkaServer) -> None:
    async with consumer_of(kafka, request_timeout_ms=1000) as consumer:
        with pytest.raises(KafkaTimeoutError):
            await list_offsets(consumer, [TopicPartition("absent", 0)])


def test_no_version_of_our_metadata_request_allows_creation() -> None:
    versions = kafka_protocol._DescribeTopics._CLASSES
    assert [v.API_VERSION for v in versions] == [4, 5, 10, 12]
    for version in range(4, 14):
        built = kafka_protocol._DescribeTopics(["t"]).prepare({3: (0, version)})
        assert built.allow_auto_topic_creation is False


def test_what_is_touched_of_aiokafka_is_there() -> None:
    """A new version that moves one of these fails here, by name."""
    consumer = inspect.getsource(AIOKafkaConsumer)
    assert "self._client = AIOKafkaClient(" in consumer
    assert "self._coordinator = GroupCoordinator(" in consumer
    for name in ("ready", "send"):
        assert "group" in inspect.signature(getattr(AIOKafkaClient, name)).parameters
    assert ConnectionGroup.COORDINATION == 1
    assert OffsetCommitRequest.DEFAULT_RETENTION_TIME == -1
    assert MetadataRequest_v4.SCHEMA is MetadataRequest_v5.SCHEMA
    assert MetadataRequest_v4.SCHEMA.names == ("topics", "allow_auto_topic_creation")
    assert "FLEXIBLE_VERSION" in inspect.getsource(RequestStruct.parse_response_header)
    assert "reversed(self._CLASSES)" in inspect.getsource(Request.prepare)
    # `list_offsets` says which end it answers with, because of this line.
    offsets = inspect.getsource(Fetcher._proc_offset_request)
    assert "OffsetRequest(-1, self._isolation_level" in offsets
    fields = inspect.getsource(GroupCoordinator.__init__)
    assert all(f"self.{name}" in fields for name in ("coordinator_id", "generation", "member_id"))
