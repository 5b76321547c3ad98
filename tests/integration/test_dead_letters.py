"""Dead letters on real servers: bad records are elsewhere, whole, and the good ones are in S3."""

import json

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.integration.harness import Bench
from tests.integration.oracle import Oracle
from tests.integration.producing import Sent, documents, produce

POISON = Sent(b'{"n": 1, "n" 2}', b'"k"')
BINARY = Sent(b"\xff\xfe", None)


async def test_bad_records_lie_under_their_prefix_once_also_through_a_kill(bench: Bench) -> None:
    topic, servers = await bench.topic(), bench.kafka.bootstrap_servers
    await produce(servers, topic, [*documents(3), POISON, BINARY, *documents(3, start=3)])
    sink = bench.sink(
        {
            "records": {"on_error": "dead_letter", "dead_letter": {"prefix": "dead"}},
            "format": {"compression": "gzip"},
            "rotate": {"max_age": "1s"},
        }
    )
    sink.start({"SPOOLSINK_FAULT_POINT": "complete.after"})
    assert await sink.ended() == -9
    sink.start()
    await Oracle(bench).until_committed(sink)
    await sink.stopped()
    bucket = bench.s3.root / bench.bucket
    [letters] = [path for path in bucket.rglob("*.json") if "dead" in path.parts]
    assert letters.relative_to(bucket).as_posix() == (
        f"dead/{topic}/partition=0/{topic}+0+0000000003+0000000004.json"
    )
    first, second = map(json.loads, letters.read_text().splitlines())
    assert (first["offset"], first["value"], first["key"]) == (3, '{"n": 1, "n" 2}', '"k"')
    assert first["error"]["stage"] == "convert"
    assert first["error"]["class"] == "ConversionError"
    assert second["value"] == {"base64": "//4="}
    good = [path.name for path in bucket.rglob("*.json.gz")]
    assert good == [f"{topic}+0+0000000000+0000000007.json.gz"]


async def test_bad_records_go_to_their_topic_as_they_came(bench: Bench) -> None:
    topic, servers = await bench.topic(), bench.kafka.bootstrap_servers
    letters = await bench.topic(name=f"{topic}-dead")
    await produce(servers, topic, [*documents(3), POISON, *documents(3, start=3), BINARY])
    dead = {"on_error": "dead_letter", "dead_letter": {"topic": letters}}
    sink = bench.sink({"kafka": {"topics": [topic]}, "records": dead, "rotate": {"max_age": "1s"}})
    sink.start()
    await sink.until_metric("dead_letters_total", 2)
    await sink.flushed()
    await sink.stopped()
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")
    async with consumer:
        consumer.assign([TopicPartition(letters, 0)])
        found = [await consumer.getone(), await consumer.getone()]
    assert [(record.value, record.key) for record in found] == [
        (POISON.value, POISON.key),
        (BINARY.value, BINARY.key),
    ]
    marks = dict(found[0].headers)
    assert marks["__connect.errors.topic"] == topic.encode()
    assert marks["__connect.errors.offset"] == b"3"
    assert marks["__connect.errors.partition"] == b"0"
    assert marks["__connect.errors.task.id"] == b"0"
    assert marks["__connect.errors.connector.name"] == bench.name.encode()
    assert marks["__connect.errors.exception.message"].startswith(b"not JSON")
    assert marks["__connect.errors.stage"] == b"convert"
    assert marks["__connect.errors.exception.class.name"] == b"ConversionError"


async def test_a_letter_is_as_large_as_its_topic_allows(bench: Bench) -> None:
    topic, servers = await bench.topic(), bench.kafka.bootstrap_servers
    letters = await bench.topic(name=f"{topic}-dead")
    # Just below Kafka's limit; with the headers of a letter it is above.
    large = Sent(b"\xff" * 1_048_400)
    await produce(servers, topic, [large, *documents(2)])
    dead = {"on_error": "dead_letter", "dead_letter": {"topic": letters}}
    sink = bench.sink({"kafka": {"topics": [topic]}, "records": dead, "rotate": {"max_age": "1s"}})
    sink.start()
    await sink.until_failed(f"dead letter topic {letters}")
    assert await sink.metric("dead_letters_total") in {None, 0.0}
    await _allow(servers, letters, 2_000_000)
    await sink.until_metric("dead_letters_total", 1)
    await sink.flushed()
    await sink.stopped()


async def _allow(servers: str, topic: str, size_bytes: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        settings = {"max.message.bytes": str(size_bytes)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, settings)])
    finally:
        await admin.close()


async def test_a_dead_letter_topic_that_is_absent_holds_and_passes_nothing(bench: Bench) -> None:
    topic, servers = await bench.topic(), bench.kafka.bootstrap_servers
    await produce(servers, topic, [POISON, *documents(2)])
    dead = {"on_error": "dead_letter", "dead_letter": {"topic": f"{topic}-dead"}}
    sink = bench.sink({"kafka": {"topics": [topic]}, "records": dead, "rotate": {"max_age": "1s"}})
    sink.start()
    await sink.until_failed(f"dead letter topic {topic}-dead")
    assert await sink.metric("dead_letters_total") in {None, 0.0}
    await bench.topic(name=f"{topic}-dead")
    await sink.until_metric("dead_letters_total", 1)
    await sink.flushed()
    await sink.stopped()
