"""The servers that everything else is proved against do what they are said to do."""

import uuid

import pytest
from aiobotocore.session import get_session
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from botocore.config import Config
from botocore.exceptions import ClientError

from spoolsink.intent import CommitMetadata, Identity, Mark, decode, encode
from tests.servers.processes import KafkaServer, S3Server


async def make_topic(kafka: KafkaServer, partitions: int = 1) -> str:
    topic = f"t-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()
    return topic


async def test_kafka_keeps_a_record_and_its_lz4_batch(kafka: KafkaServer) -> None:
    topic = await make_topic(kafka)
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, compression_type="lz4"
    ) as producer:
        await producer.send_and_wait(topic, b"value", b"key", headers=[("h", b"x")])
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        record = await consumer.getone()
    assert (record.key, record.value, record.headers) == (b"key", b"value", (("h", b"x"),))


async def test_kafka_keeps_our_commit_metadata_as_it_is(kafka: KafkaServer) -> None:
    """The protocol stands on this: the string beside the offset comes back byte for byte."""
    topic, group = await make_topic(kafka), f"g-{uuid.uuid4().hex[:8]}"
    tp = TopicPartition(topic, 0)
    marks = tuple(Mark(2**40 + i, 1000, "0123456789abcdef", 1_790_000_000_000) for i in range(60))
    sent = CommitMetadata(Identity("c" * 22, "t" * 22, "f00dcafe", "owner123"), marks)
    text = encode(sent)
    assert len(text) > 2_000
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, group_id=group, enable_auto_commit=False
    ) as consumer:
        consumer.assign([tp])
        await consumer.commit({tp: (0, text)})
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(group, partitions=[tp])
    finally:
        await admin.close()
    assert found[tp] == OffsetAndMetadata(0, text)
    assert decode(found[tp].metadata) == sent


async def test_s3_refuses_a_conditional_write_on_a_taken_key(s3: S3Server) -> None:
    """Nothing is ever overwritten: If-None-Match, on a single put."""
    async with get_session().create_client(
        "s3",
        endpoint_url=s3.endpoint_url,
        region_name=s3.region,
        aws_access_key_id=s3.access_key_id,
        aws_secret_access_key=s3.secret_access_key,
        config=Config(s3={"addressing_style": "path"}),
    ) as client:
        await client.create_bucket(Bucket="servers")
        key = {"Bucket": "servers", "Key": "a/o+0+0000000000+0000000001.json"}
        await client.put_object(**key, Body=b"first", IfNoneMatch="*")
        with pytest.raises(ClientError, match="PreconditionFailed"):
            await client.put_object(**key, Body=b"other", IfNoneMatch="*")
    stored = s3.root / "servers" / "a" / "o+0+0000000000+0000000001.json"
    assert stored.read_bytes() == b"first"
