"""A transactional producer that never rests: commits, aborts, starts anew after every error.

What became of a transaction is not remembered: the oracle reads it from Kafka.
"""

import asyncio
import json
import random
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.chaos.settings import BAD_VALUE, Settings
from tests.integration.producing import START_MS, document

_STEP_MS = 20_000
_LATE_MS = 3_600_000
_TRANSACTION_SECONDS = 30.0
_BEGIN_SECONDS = 120.0
_STOP_SECONDS = 5.0
_RETRY_SECONDS = 0.5


class Traffic:
    """Of one campaign: `run` until `finish`, as often as there are rounds."""

    def __init__(
        self, bootstrap_servers: str, topics: dict[str, int], settings: Settings, rng: random.Random
    ) -> None:
        self.records_sent = 0
        self.aborted = 0
        """Transactions that were given up, by chance or by an error."""
        self._servers = bootstrap_servers
        self._topics = topics
        self._settings = settings
        self._rng = rng
        self._number = 0
        self._stopping = asyncio.Event()
        self._producer: AIOKafkaProducer | None = None
        self._id = f"chaos-{next(iter(topics))}"

    async def begin(self) -> None:
        """Some records, before anything goes wrong."""
        async with asyncio.timeout(_BEGIN_SECONDS):
            while not self.records_sent:
                await self._once(self._rng.randint(5, 20))

    async def run(self, seconds: float) -> None:
        """Produce for so long, and leave no transaction open."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            count = self._rng.randint(1, 1 + int(self._settings.records_per_second))
            await self._once(count)
            await asyncio.sleep(count / self._settings.records_per_second)

    async def finish(self) -> None:
        """The last transaction is over, with all its markers in the log.

        A producer of the same name is only let in when they are.
        """
        await self.close()
        async with asyncio.timeout(_BEGIN_SECONDS):
            while self._producer is None:
                await self._start()
        await self.close()

    async def _once(self, count: int) -> None:
        if self._producer is None:
            await self._start()
            return
        try:
            async with asyncio.timeout(_TRANSACTION_SECONDS):
                await self._transaction(self._producer, count)
        except (KafkaError, TimeoutError, RuntimeError, AssertionError, ValueError, OSError):
            # The broker is away, or the transaction's fate is unknown: the next start settles it.
            self.aborted += 1
            await self.close()

    async def _start(self) -> None:
        """A new producer under the same name aborts what the one before it left open."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            transactional_id=self._id,
            linger_ms=5,
            request_timeout_ms=5000,
            transaction_timeout_ms=60_000,
            compression_type=self._settings.compression_type,
        )
        try:
            async with asyncio.timeout(_TRANSACTION_SECONDS):
                await producer.start()
        except (KafkaError, TimeoutError, OSError):
            await _stopped(producer)
            await asyncio.sleep(_RETRY_SECONDS)
        except BaseException:
            await _stopped(producer)
            raise
        else:
            self._producer = producer

    async def close(self) -> None:
        """Whatever becomes of the transaction that is open."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stopped(producer)

    async def _transaction(self, producer: AIOKafkaProducer, count: int) -> None:
        await producer.begin_transaction()
        futures = [await self._send(producer) for _ in range(count)]
        for future in futures:
            await future
        if self._rng.random() < 0.2:
            await producer.abort_transaction()
            self.aborted += 1
        else:
            await producer.commit_transaction()
            self.records_sent += count

    async def _send(self, producer: AIOKafkaProducer) -> "asyncio.Future[object]":
        self._number += 1
        number, rng = self._number, self._rng
        topic = rng.choice(list(self._topics))
        late_ms = _LATE_MS if rng.random() < 0.03 else 0
        future: asyncio.Future[object] = await producer.send(
            topic,
            self._value(number),
            None if rng.random() < 0.1 else json.dumps({"k": number % 2}).encode(),
            partition=rng.randrange(self._topics[topic]),
            timestamp_ms=START_MS + number * _STEP_MS - late_ms,
            headers=[("kind", b"even"), ("kind", b"h%d" % number)] if number % 3 else [],
        )
        return future

    def _value(self, number: int) -> bytes | None:
        chance = self._rng.random()
        if chance < 0.05:
            return None
        if chance < 0.08 and self._settings.has_bad_records:
            return BAD_VALUE
        padding = self._settings.padding
        return document(number, self._rng.randint(padding // 2, padding) if padding else 0)


async def _stopped(producer: AIOKafkaProducer) -> None:
    """Whatever state it is in."""
    with suppress(KafkaError, TimeoutError, RuntimeError, OSError, AttributeError):
        await asyncio.wait_for(producer.stop(), _STOP_SECONDS)
