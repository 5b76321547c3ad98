"""`records.dead_letter.topic`: bad records to a Kafka topic, as Kafka Connect marks them.

A letter carries the record's own key, value and headers, and says in headers of its own where it
came from and what was wrong. All replicas have it before the offset can be committed; a record that
is read again is sent again (at least once).
"""

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from spoolsink import kafka_security, kafka_start, kafka_stop
from spoolsink.config_model import Kafka
from spoolsink.encoder import Rejected
from spoolsink.errors import DeadLetterAwayError
from spoolsink.records import Batch

_SEND_SECONDS = 15.0
_STOP_SECONDS = 1.0
"""For what is under way; it is sent again."""

_MESSAGE_CHARACTERS = 1_000
_HEADER = "__connect.errors."
_MARKS_BYTES = 1024 * 1024
"""More than the headers of our own take, beside a record as large as a batch may be."""
_TASK = "0"
"""Connect's scripts look for one; a process has no others."""


class DeadLetterTopic:
    """One producer, made at the first letter and anew after a failure; owned by the engine."""

    def __init__(self, settings: Kafka, topic: str, *, sink: str) -> None:
        self._settings = settings
        self._topic = topic
        self._sink = sink
        self._producer: Any = None

    async def send(self, batch: Batch, rejected: Sequence[Rejected]) -> None:
        """Returns when every letter is acknowledged.

        Raises DeadLetterAwayError where one is not, within 15 s: the sink holds, none is passed.
        """
        sent: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                producer = await self._started()
                for one in rejected:
                    sent.append(await self._sent(producer, batch, one))  # noqa: PERF401 (see below)
                await asyncio.gather(*sent)
        except (TimeoutError, KafkaError, OSError) as error:
            await self.close()
            reason = str(error) or f"no answer within {_SEND_SECONDS:.0f} s"
            raise DeadLetterAwayError(f"dead letter topic {self._topic}: {reason}") from error
        finally:
            # Those that nobody has come to wait for: their failure would be told as unheard.
            for one_sent in sent:
                one_sent.cancel()

    async def close(self) -> None:
        """What is under way is given up: it was not acknowledged."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await kafka_stop.stop_producer(producer, _STOP_SECONDS)

    async def _started(self) -> Any:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                **kafka_security.client_arguments(self._settings),
                bootstrap_servers=list(self._settings.bootstrap_servers),
                client_id=f"spoolsink-{self._sink}-dead-letters",
                acks="all",
                enable_idempotence=True,
                # The broker is to say what is too large for it, not the client's own default.
                max_request_size=self._settings.batch_max_bytes + _MARKS_BYTES,
            )
            await kafka_start.whole(self._producer.start)
        return self._producer

    async def _sent(self, producer: Any, batch: Batch, rejected: Rejected) -> Any:
        row = bisect_left(batch.offsets, rejected.offset)
        error = rejected.error
        told = {
            "topic": batch.tp.topic,
            "partition": str(batch.tp.partition),
            "offset": str(rejected.offset),
            "connector.name": self._sink,
            "task.id": _TASK,
            "stage": error.stage,
            "exception.class.name": type(error).__name__,
            "exception.message": error.message[:_MESSAGE_CHARACTERS],
        }
        marks = [(f"{_HEADER}{name}", text.encode()) for name, text in told.items()]
        headers = [*batch.headers_at(row), *marks]
        return await producer.send(
            self._topic, value=batch.values[row], key=batch.keys[row], headers=headers
        )
