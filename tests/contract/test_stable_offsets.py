"""OffsetFetch with `require_stable`, and what a restore leaves on a real Kafka."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import CoordinationType

from spoolsink.config_model import Kafka
from spoolsink.errors import ConsumerError
from spoolsink.restore.record import Restored
from spoolsink.restore.stable_offsets import stable_offsets
from spoolsink.restore.target import Target
from tests.servers.processes import KafkaServer

TOPIC, GROUP = "stable-offsets", "restore-stable-offsets"


@pytest.fixture
async def settings(kafka: KafkaServer) -> AsyncIterator[Kafka]:
    servers = kafka.bootstrap_servers
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 2, 1)])
    yield Kafka.model_validate({"bootstrap_servers": [servers], "topics": [TOPIC]})
    await admin.delete_topics([TOPIC])
    await admin.close()


def records(*offsets: int) -> list[Restored]:
    return [Restored(offset, 1_000, False, None, [], b"%d" % offset) for offset in offsets]


async def test_progress_is_told_when_its_transaction_is_decided(settings: Kafka) -> None:
    servers = list(settings.bootstrap_servers)
    # A cluster that has just started has no coordinator yet; `progress` waits for it.
    first = Target(settings, TOPIC, identity=f"{GROUP}-0")
    await first.start()
    assert await first.progress([0, 1]) == {}
    await first.stop()
    async with AIOKafkaProducer(bootstrap_servers=servers, transactional_id=GROUP) as producer:
        client = producer.client

        async def told() -> dict[int, int] | None:
            node = await client.coordinator_lookup(CoordinationType.GROUP, GROUP)
            assert await client.ready(node)
            return await stable_offsets(client, node, GROUP, TOPIC, [0, 1])

        assert await told() == {}
        await producer.begin_transaction()
        await producer.send_offsets_to_transaction({TopicPartition(TOPIC, 1): 42}, GROUP)
        assert await told() is None
        await producer.commit_transaction()
        target = Target(settings, TOPIC, identity=GROUP)
        await target.start()
        assert await target.progress([0, 1]) == {1: 42}
        await target.stop()


async def test_a_second_run_takes_over_and_the_first_can_commit_nothing(settings: Kafka) -> None:
    first, second = (Target(settings, TOPIC, identity=f"{GROUP}-2") for _ in range(2))
    await first.start()
    await first.send(0, records(5, 7))
    await first.commit(0, 8)
    await first.send(0, records(8, 9))
    await second.start()
    assert await second.progress([0, 1]) == {0: 8}
    with pytest.raises(ConsumerError):
        await first.commit(0, 10)
    await second.send(0, records(8, 9, 11))
    await second.commit(0, 12)
    await first.stop()
    await second.stop()
    async with AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=list(settings.bootstrap_servers),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    ) as consumer:
        found = [(await consumer.getone()).value for _ in range(5)]
    assert found == [b"5", b"7", b"8", b"9", b"11"]
