"""A cluster of two brokers: racks are read near, and leaders and coordinators move."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.integration.harness import Bench
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce
from tests.servers.kafka_pair import RACKS, KafkaPair
from tests.servers.processes import KafkaServer, S3Server
from tests.servers.relay import Relay


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaPair]:
    found = KafkaPair(tmp_path_factory.mktemp("pair"))
    found.start()
    yield found
    found.stop()


@pytest.fixture
def bench(pair: KafkaPair, s3: S3Server, tmp_path: Path) -> Iterator[Bench]:
    # All that a bench asks of Kafka is its address.
    found = Bench(cast("KafkaServer", pair), s3, tmp_path)
    found.make_bucket()
    yield found
    found.close()


@pytest.fixture
async def relays(pair: KafkaPair) -> AsyncIterator[list[Relay]]:
    found = [Relay(node.advertised_port, node.clients_port) for node in pair.nodes]
    async with AsyncExitStack() as stack:
        for relay in found:
            await stack.enter_async_context(relay.serving())
        yield found


async def make_topic(bench: Bench, replicas: list[int]) -> str:
    """One topic partition; the first replica leads."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.kafka.bootstrap_servers)
    await admin.start()
    try:
        topic = NewTopic(bench.name, -1, -1, replica_assignments={0: replicas})
        await admin.create_topics([topic])
    finally:
        await admin.close()
    bench.partition_counts[bench.name] = 1
    return bench.name


def through(relays: list[Relay], **kafka: object) -> dict[str, object]:
    """A sink that only knows the relays."""
    servers = [f"127.0.0.1:{relay.port}" for relay in relays]
    return {"kafka": {"bootstrap_servers": servers, **kafka}, "rotate": {"records": 50}}


@pytest.mark.timeout(240)
async def test_a_replica_of_the_own_rack_is_read_and_not_the_leader(
    bench: Bench, relays: list[Relay]
) -> None:
    topic, oracle = await make_topic(bench, [1, 2]), Oracle(bench)
    servers = bench.kafka.bootstrap_servers
    await produce(servers, topic, documents(300, padding=10_000), acks="all")
    sink = bench.sink(through(relays, client_rack=RACKS[1]))
    await oracle.run(sink, 300)
    leader, follower = (relay.received_bytes for relay in relays)
    assert follower > 3_000_000
    assert leader < 300_000


@pytest.mark.timeout(240)
async def test_a_broker_that_dies_is_left_for_its_replica_with_nothing_lost(
    bench: Bench, pair: KafkaPair, relays: list[Relay]
) -> None:
    topic, oracle = await make_topic(bench, [2, 1]), Oracle(bench)
    servers = bench.kafka.bootstrap_servers
    await produce(servers, topic, documents(125), acks="all")
    sink = bench.sink(through(relays))
    sink.start()
    await sink.until_metric("records_total", 125)
    assert relays[1].received_bytes > 0
    pair.nodes[1].kill()
    await produce(servers, topic, documents(125, start=125), acks="all")
    await sink.until_metric("records_total", 250)
    await oracle.until_committed(sink, flushes=True)
    await sink.ready()
    pair.nodes[1].start()
    await produce(servers, topic, documents(50, start=250), acks="all")
    await oracle.until_committed(sink, flushes=True)
    await sink.ready()
    await sink.stopped()
    await oracle.verify()
