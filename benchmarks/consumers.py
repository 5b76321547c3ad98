"""`python -m benchmarks.consumers aiokafka|librdkafka SERVERS TOPIC FILE`: a topic into a file.

Bare consumers without group, upload or parsing: what any sink on these libraries costs at least.
They end at the offsets that were the logs' ends when they began.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Assigned

_ASK_SECONDS = 30.0
_AT_A_TIME = 10_000


async def _aiokafka(servers: str, topic: str, file: BinaryIO) -> None:
    # The library's defaults check every batch's CRC.
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        tps = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        ends = await consumer.end_offsets(tps)
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            polled = await consumer.getmany(timeout_ms=1000, max_records=_AT_A_TIME)
            values = [record.value for records in polled.values() for record in records]
            _write(file, values)
    finally:
        await consumer.stop()


def _librdkafka(servers: str, topic: str, file: BinaryIO) -> None:
    # `check.crcs` is off, as it is by default.
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "none"})
    known = consumer.list_topics(topic, _ASK_SECONDS).topics[topic].partitions
    tps = [Assigned(topic, number, 0) for number in known]
    left = sum(_length(consumer, tp) for tp in tps)
    consumer.assign(tps)
    while left:
        values: list[Any] = [record.value() for record in consumer.consume(_AT_A_TIME, 1.0)]
        _write(file, values)
        left -= len(values)
    consumer.close()


def _write(file: BinaryIO, values: Sequence[Any]) -> None:
    if values:
        file.write(b"\n".join(values) + b"\n")


def _length(consumer: Consumer, tp: Assigned) -> int:
    found = consumer.get_watermark_offsets(tp, _ASK_SECONDS)
    assert found is not None
    return found[1] - found[0]


def main(arguments: Sequence[str]) -> None:
    """The four arguments, all strings."""
    library, servers, topic, name = arguments
    with Path(name).open("wb") as file:
        if library == "aiokafka":
            asyncio.run(_aiokafka(servers, topic, file))
        else:
            _librdkafka(servers, topic, file)


if __name__ == "__main__":
    main(sys.argv[1:])
