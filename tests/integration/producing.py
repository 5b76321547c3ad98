"""What tests produce: the same records at every run, with times of long ago."""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

START_MS = 1_625_392_800_000
"""2021-07-04T10:00:00Z."""

COUNTRIES = ("de", "fr", "a b/c=d", None)


class Sent(NamedTuple):
    """One record to be produced."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_ms: int = START_MS
    partition: int = 0


def document(number: int, padding: int = 0) -> bytes:
    """JSON with odd white space, nested objects, a list, and a field that is sometimes null."""
    fields = {
        "n": number,
        "user": {"id": number % 3, "country": COUNTRIES[number % 4]},
        "items": [{"id": f"i{number % 2}"}, {"id": "last"}],
        "price": number / 4,
        "pad": "x" * padding,
    }
    text = json.dumps(fields, separators=(" , ", " :\t") if number % 2 else (",", ":"))
    return text.encode()


def documents(
    count: int, *, start: int = 0, step_ms: int = 60_000, padding: int = 0, partitions: int = 1
) -> list[Sent]:
    """JSON records a step of time apart, spread over the topic's partitions."""
    return [
        Sent(
            document(number, padding),
            json.dumps({"k": number % 2}).encode(),
            [("kind", b"odd" if number % 2 else b"even"), ("kind", b"h%d" % (number % 2))],
            START_MS + number * step_ms,
            number % partitions,
        )
        for number in range(start, start + count)
    ]


@asynccontextmanager
async def producer_on(bootstrap_servers: str, **settings: Any) -> AsyncIterator[AIOKafkaProducer]:
    """Waits a little for company, so that a Kafka batch holds many records."""
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, linger_ms=5, **settings
    ) as producer:
        yield producer


async def send(producer: AIOKafkaProducer, topic: str, records: Iterable[Sent]) -> None:
    """All of them, acknowledged."""
    futures = [
        await producer.send(
            topic,
            record.value,
            record.key,
            partition=record.partition,
            timestamp_ms=record.timestamp_ms,
            headers=list(record.headers),
        )
        for record in records
    ]
    for future in futures:
        await future


async def produce(
    bootstrap_servers: str, topic: str, records: Iterable[Sent], **settings: Any
) -> None:
    """A producer for these records alone; `settings` as aiokafka spells them."""
    async with producer_on(bootstrap_servers, **settings) as producer:
        await send(producer, topic, records)


async def produce_transactions(
    bootstrap_servers: str, topic: str, records: Sequence[Sent], *, aborted: Sequence[Sent]
) -> None:
    """One committed transaction, then an aborted one at the log's end."""
    async with producer_on(bootstrap_servers, transactional_id=f"tx-{topic}") as producer:
        async with producer.transaction():
            await send(producer, topic, records)
        await producer.begin_transaction()
        await send(producer, topic, aborted)
        await producer.abort_transaction()
