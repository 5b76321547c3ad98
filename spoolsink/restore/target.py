"""The topic that records are sent back to: transactions that hold records and progress together.

1. The offset up to which a partition is restored is committed in the transaction of its records:
   both are there or neither is, whenever the process dies.
2. The same selection has the same transactional id: a second process takes over from the first,
   whose open transaction is aborted, and goes on behind what is committed.
3. Within a partition records are sent in the order in which they are given.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaTopicPartition
from aiokafka.client import CoordinationType
from aiokafka.errors import KafkaError

from spoolsink import kafka_causes, kafka_security
from spoolsink.config_model import Kafka
from spoolsink.errors import ConsumerError
from spoolsink.records import TimestampType
from spoolsink.restore.record import Restored
from spoolsink.restore.stable_offsets import stable_offsets

BATCH_BYTES = 512 * 1024
TRANSACTION_BYTES = 8 * 1024 * 1024
TRANSACTION_SECONDS = 2.0
"""What a kill costs at most, and how late consumers of committed records see them."""

_MAX_RECORD_BYTES = 128 * 1024 * 1024
"""No limit of ours: the broker's decides, and says so."""

_STOP_SECONDS = 5.0
_DECIDE_SECONDS = 60.0
_AGAIN_SECONDS = 0.2


class Target:
    """One producer for one run; owned by the command."""

    def __init__(
        self,
        settings: Kafka,
        topic: str,
        *,
        identity: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`identity` is the transactional id, and the group that keeps the progress."""
        self._settings = settings
        self._topic = topic
        self._identity = identity
        self._monotonic = monotonic
        self._causes = kafka_causes.Causes()
        self._producer: Any = AIOKafkaProducer(
            **kafka_security.client_arguments(settings),
            bootstrap_servers=list(settings.bootstrap_servers),
            client_id=identity,
            transactional_id=identity,
            acks="all",
            compression_type="lz4",
            max_batch_size=BATCH_BYTES,
            max_request_size=_MAX_RECORD_BYTES,
        )
        self._builder: Any = None
        self._sent: list[Any] = []
        self._partition = -1
        self._bytes = 0
        self._opened_at: float | None = None

    async def start(self) -> None:
        """Connect and fence a former run; raises ConsumerError."""
        await self._causes.started(self._producer.start, self._settings.bootstrap_servers)

    async def stop(self) -> None:
        """What is open is aborted, by the next run or the broker where it cannot be now."""
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                # Asked for, so that what went wrong with them is not told as unheard.
                await asyncio.gather(*self._sent, return_exceptions=True)
                if self._opened_at is not None:
                    # Readers of committed records would wait behind it for a minute.
                    await self._producer.abort_transaction()
        except (TimeoutError, KafkaError, AssertionError):
            pass  # aiokafka asserts that a producer which was fenced has nothing to abort
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._producer.stop()
        except (TimeoutError, KafkaError):
            return
        finally:
            self._causes.close()

    async def progress(self, partitions: Sequence[int]) -> dict[int, int]:
        """The offset up to which each partition is restored; absent where nothing is."""
        deadline = self._monotonic() + _DECIDE_SECONDS
        async with self._told():
            while True:
                found = await self._progress(partitions, may_fail=self._monotonic() < deadline)
                if found is not None:
                    return found
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _progress(
        self, partitions: Sequence[int], *, may_fail: bool
    ) -> dict[int, int] | None:
        """None where a former run's transaction is not decided, or no coordinator there, yet."""
        client = self._producer.client
        try:
            node = await client.coordinator_lookup(CoordinationType.GROUP, self._identity)
            if await client.ready(node):
                asked = (client, node, self._identity, self._topic, partitions)
                found = await stable_offsets(*asked)
                if found is not None or may_fail:
                    return found
        except KafkaError as error:
            if not (may_fail and error.retriable):
                raise
            return None
        if may_fail:
            return None
        raise ConsumerError("a former run's transaction is not decided within a minute")

    async def send(self, partition: int, records: Sequence[Restored]) -> None:
        """Queue records; they are there when `commit` returns. Raises ConsumerError."""
        async with self._told():
            if self._opened_at is None:
                await self._producer.begin_transaction()
                self._opened_at = self._monotonic()
            self._partition = partition
            for record in records:
                if self._builder is None or not self._append(record):
                    await self._submit()
                    self._builder = self._producer.create_batch()
                    if not self._append(record):
                        raise RuntimeError("an empty batch took no record")
                self._bytes += record.size_bytes

    @property
    def is_due(self) -> bool:
        """Whether the transaction is large or old enough."""
        if self._opened_at is None:
            return False
        is_old = self._monotonic() - self._opened_at >= TRANSACTION_SECONDS
        return is_old or self._bytes >= TRANSACTION_BYTES

    async def commit(self, partition: int, offset: int) -> None:
        """All that was sent, and that the partition is restored below `offset`."""
        async with self._told():
            if self._opened_at is None:
                await self._producer.begin_transaction()
            await self._submit()
            for told in await asyncio.gather(*self._sent):
                if told.timestamp_type == TimestampType.LOG_APPEND:
                    # The open transaction is never committed.
                    text = "sets its own timestamps (message.timestamp.type): those would be lost"
                    raise ConsumerError(f"the topic {self._topic} {text}")
            offsets = {KafkaTopicPartition(self._topic, partition): offset}
            await self._producer.send_offsets_to_transaction(offsets, self._identity)
            await self._producer.commit_transaction()
        self._sent.clear()
        self._bytes, self._opened_at = 0, None

    def _append(self, record: Restored) -> bool:
        # Not `producer.send`, which refuses records with neither key nor value; Kafka takes them.
        added = self._builder.append(
            timestamp=record.timestamp,
            key=record.key,
            value=record.value,
            headers=record.headers,
        )
        return added is not None

    async def _submit(self) -> None:
        builder, self._builder = self._builder, None
        if builder is not None:
            sent = await self._producer.send_batch(builder, self._topic, partition=self._partition)
            self._sent.append(sent)

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """Errors of aiokafka as ours."""
        self._causes.follow()
        try:
            yield
        except KafkaError as error:
            raise ConsumerError(f"{self._topic}: {error or type(error).__name__}") from error
