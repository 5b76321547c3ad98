"""Ranges of Kafka's logs, read without a group: nothing is joined, nothing is committed.

What comes is what the sink would have seen: the same isolation, the same batches, empty ones for
transaction markers, aborted and compacted records.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaTopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from spoolsink import batch_tap, kafka_causes, kafka_security, kafka_stop
from spoolsink.config_model import Kafka
from spoolsink.errors import ConsumerError, OffsetsGoneError
from spoolsink.records import Batch, TopicPartition

ASK_SECONDS = 15.0
SILENCE_SECONDS = 60.0
"""How long a range that the log has may bring nothing."""

_STOP_SECONDS = 5.0
_POLL_MS = 500
_BATCHES = 16


class LogReader:
    """One consumer for one range after the other; owned by one task."""

    def __init__(self, settings: Kafka, *, client_id: str) -> None:
        self._settings = settings
        self._causes = kafka_causes.Causes()
        batch_tap.install()
        self._consumer: Any = AIOKafkaConsumer(
            **kafka_security.client_arguments(settings),
            bootstrap_servers=list(settings.bootstrap_servers),
            client_id=client_id,
            client_rack=settings.client_rack,
            auto_offset_reset="none",
            enable_auto_commit=False,
            isolation_level=settings.isolation,
            fetch_max_bytes=settings.fetch_max_bytes,
            max_partition_fetch_bytes=settings.fetch_partition_max_bytes,
            key_deserializer=batch_tap.Tap(settings.batch_max_bytes),
        )

    async def start(self) -> None:
        """Connect; raises ConsumerError where no broker answers."""
        await self._causes.started(self._consumer.start, self._settings.bootstrap_servers)

    async def stop(self) -> None:
        """Close, however long Kafka takes."""
        try:
            await kafka_stop.stop(self._consumer, _STOP_SECONDS)
        finally:
            self._causes.close()

    async def topics(self) -> frozenset[str]:
        """Names of all topics that this user may see; raises ConsumerError."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return frozenset(await self._consumer.topics())
        except (TimeoutError, KafkaError) as error:
            raise ConsumerError(f"the list of topics: {error or 'no answer'}") from error

    async def read(self, tp: TopicPartition, start: int, end: int) -> AsyncIterator[Batch]:
        """All of `[start, end)`, in batches that follow each other.

        Raises:
            OffsetsGoneError: the log begins behind the position by now.
            ConsumerError: it does not answer, or has nothing below `end` for a minute.
        """
        asked = KafkaTopicPartition(*tp)
        self._consumer.assign([asked])
        self._consumer.seek(asked, start)
        position, heard = start, time.monotonic()
        while position < end:
            for batch in await self._poll(asked, tp):
                if batch.start != position:
                    continue  # fetched for a range before this one
                yield batch.before(end)
                position, heard = batch.next_offset, time.monotonic()
                if batch.refusal is not None and batch.next_offset == batch.start:
                    return  # nothing behind it can be had
                if position >= end:
                    return
            if time.monotonic() - heard > SILENCE_SECONDS:
                raise ConsumerError(f"{tp}: nothing from offset {position} on for a minute")

    async def _poll(self, asked: KafkaTopicPartition, tp: TopicPartition) -> list[Batch]:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                found = await self._consumer.getmany(
                    asked, timeout_ms=_POLL_MS, max_records=_BATCHES
                )
        except OffsetOutOfRangeError as error:
            raise OffsetsGoneError(f"{tp}: the log has moved on") from error
        except (TimeoutError, KafkaError) as error:
            raise ConsumerError(f"{tp}: {error or 'no answer'}") from error
        batches: list[Batch] = found.get(asked, [])
        return batches
