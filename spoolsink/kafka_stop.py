"""The end of an aiokafka consumer, whole also where aiokafka's own is cut short.

Read in aiokafka 0.14: `AIOKafkaConsumer.stop` ends its coordinator, then its fetcher, then its
connections. Where LeaveGroup has no answer in our time, the latter two would stay for good; and
`Fetcher.close` cancels a fetch that waits to ask a lost broker again, and lets that cancellation
escape.
"""

import asyncio
from contextlib import suppress

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

CLOSE_SECONDS = 1.0


async def stop(consumer: AIOKafkaConsumer, timeout_seconds: float) -> None:
    """Leave the group and close, however long Kafka takes.

    What LeaveGroup could not do, the session timeout does. A cancellation of the caller's own is
    raised on.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            await consumer.stop()
    except (TimeoutError, KafkaError):
        await _close_rest(consumer)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        await _close_rest(consumer)


async def _close_rest(consumer: AIOKafkaConsumer) -> None:
    fetcher = consumer._fetcher  # noqa: SLF001 (tests/contract names what is touched)
    if fetcher is not None:
        for task in (fetcher._fetch_task, *fetcher._pending_tasks):  # noqa: SLF001
            task.cancel()
    with suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await consumer._client.close()  # noqa: SLF001
