"""Data sets: JSON records of one size, the same for the same seed, produced into a new topic.

`time` order: the records' times run through the S3 partitions one after the other, as events do.
`mixed` order: neighbours lie in different S3 partitions, and each S3 partition in one topic
partition only, so that as many segments are open as there are S3 partitions.
`spread` order: the same, and each S3 partition is an hour: also for sinks that know time only.
"""

import random
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

SEED = 20260131
START_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""

HOUR_MS = 3_600_000
_WORDS = 997
_TEXT_BYTES = 1 << 20
_MIN_SIZE_BYTES = 100
_ASK_SECONDS = 30.0
_SEND_SECONDS = 300.0
"""A thousand new topic partitions on a busy machine take a minute."""


Order = Literal["time", "mixed", "spread"]


class Row(NamedTuple):
    """One record as it is produced."""

    partition: int
    timestamp_ms: int
    value: bytes


@dataclass(frozen=True, slots=True)
class DataSet:
    """`places` counts S3 partitions, `batch_bytes` limits a Kafka batch before compression."""

    records: int
    size_bytes: int
    codec: str
    partitions: int
    places: int
    order: Order
    batch_bytes: int = 65_536

    def __post_init__(self) -> None:
        if self.size_bytes < _MIN_SIZE_BYTES:
            raise ValueError(f"records have at least {_MIN_SIZE_BYTES} bytes")
        if self.order != "time" and self.places < self.partitions:
            raise ValueError(f"{self.order} order needs an S3 partition for each topic partition")
        if self.records < self.places:
            raise ValueError("every S3 partition needs a record")

    def rows(self) -> Iterator[Row]:
        """All records, in the order of their `id`, which counts from 0."""
        rng = random.Random(SEED)
        text = _text(rng)
        places = self._in_time() if self.order == "time" else self._mixed(rng)
        step = len(text) - self.size_bytes
        for number, place in zip(range(self.records), places, strict=False):
            time_ms = START_MS + self._time_of(number, place)
            start = number * 7919 % step
            partition = (number if self.order == "time" else place) % self.partitions
            yield Row(partition, time_ms, self._value(number, place, time_ms, text[start:]))

    def _value(self, number: int, place: int, time_ms: int, text: memoryview) -> bytes:
        head = b'{"id":%d,"place":"%05d","at_ms":%d,"user":{"id":%d,"vip":%s},"text":"' % (
            number,
            place,
            time_ms,
            number * 31 % 10_007,
            b"true" if number % 10 == 0 else b"false",
        )
        return b'%s%s"}' % (head, text[: self.size_bytes - len(head) - 2])

    def _in_time(self) -> Iterator[int]:
        return (number * self.places // self.records for number in range(self.records))

    def _mixed(self, rng: random.Random) -> Iterator[int]:
        places = list(range(self.places))
        while True:
            rng.shuffle(places)
            yield from places

    def _time_of(self, number: int, place: int) -> int:
        if self.order == "mixed":
            return number
        if self.order == "spread":
            return place * HOUR_MS + number % HOUR_MS
        # Within the hour of its S3 partition, growing.
        first = -(-place * self.records // self.places)
        count = -(-(place + 1) * self.records // self.places) - first
        return place * HOUR_MS + (number - first) * HOUR_MS // count


def _text(rng: random.Random) -> memoryview:
    words = [
        "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9)))
        for _ in range(_WORDS)
    ]
    found = " ".join(rng.choices(words, k=_TEXT_BYTES // 4))
    return memoryview(found.encode()[:_TEXT_BYTES])


def produce(data: DataSet, bootstrap_servers: str) -> str:
    """A new topic with all records in it, acknowledged; returns its name."""
    topic = new_topic(data, bootstrap_servers)
    send(data, data.rows(), topic, bootstrap_servers)
    return topic


def new_topic(data: DataSet, bootstrap_servers: str) -> str:
    """Its name; it is empty."""
    topic = f"bench-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    created = admin.create_topics([NewTopic(topic, data.partitions, 1)])
    created[topic].result(_ASK_SECONDS)
    return topic


def send(data: DataSet, rows: Iterable[Row], topic: str, bootstrap_servers: str) -> None:
    """Returns when all are acknowledged; a topic partition keeps the order of the rows."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "compression.type": data.codec,
            "batch.size": data.batch_bytes,
            "linger.ms": 200,
            "log_level": 3,
            # Retries neither double nor reorder: what is verified later is ours alone.
            "enable.idempotence": True,
        }
    )
    for row in rows:
        _send(producer, topic, row)
    if producer.flush(_SEND_SECONDS):
        raise RuntimeError("Kafka did not take all records")


def _send(producer: Producer, topic: str, row: Row) -> None:
    while True:
        try:
            producer.produce(topic, row.value, partition=row.partition, timestamp=row.timestamp_ms)
        except BufferError:
            producer.poll(0.1)
        else:
            return
