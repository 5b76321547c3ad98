"""The end of an aiokafka consumer or producer, whole also where aiokafka's own is cut short.

Read in aiokafka 0.14: `AIOKafkaConsumer.stop` ends its coordinator, then its fetcher, then its
connections. Where the first has no answer in our time (a join, LeaveGroup), the latter two would
stay for good, and the heartbeats as well; and `Fetcher.close` cancels a fetch that waits to ask a
lost broker again, and lets that cancellation escape. `AIOKafkaProducer.stop` waits for everything
that is pending, and is done at the second call, whatever the first has left: tasks that go on
asking for metadata, for good.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError, ProducerClosed

from spoolsink.errors import ConsumerError
from spoolsink.holding import cancelled

T = TypeVar("T")

CLOSE_SECONDS = 1.0


class Questions:
    """What we ask Kafka beside aiokafka's own tasks; a consumer's, and ended before it.

    One that went on behind the end would open a connection that nobody closes. Each caller waits
    for its answer, so there are no more of them than callers.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_over = False

    async def ask(self, question: Coroutine[Any, Any, T], timeout_seconds: float) -> T:
        """The answer; raises TimeoutError, and ConsumerError where `end` came first.

        A cancellation of the caller's is the question's as well.
        """
        if self._is_over:
            question.close()
            raise _given_up()
        task = asyncio.create_task(question, name="question to kafka")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is None or caller.cancelling():
                raise
            raise _given_up() from None

    async def end(self) -> None:
        """Give up what is under way; nothing more is asked."""
        self._is_over = True
        await cancelled(self._tasks)


def _given_up() -> ConsumerError:
    return ConsumerError("not asked to the end: this member of the group has been stopped")


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
        await _close_rest(consumer)
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise


async def stop_producer(producer: AIOKafkaProducer, timeout_seconds: float) -> None:
    """Close; what is not acknowledged in that time is given up. Also where it is cancelled."""
    try:
        async with asyncio.timeout(timeout_seconds):
            await producer.stop()
    except (TimeoutError, KafkaError):
        await _end_sending(producer)
    except asyncio.CancelledError:
        await _end_sending(producer)
        raise


async def _end_sending(producer: AIOKafkaProducer) -> None:
    sender = producer._sender.sender_task  # noqa: SLF001 (tests/contract names what is touched)
    if sender is not None:
        sender.cancel()
    # Whoever waits for what is pending, aiokafka's own flush too.
    producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001
    await _close(producer.client)
    if sender is not None and not sender.done():
        # It waits for requests that are under way, which the end of their connections ends.
        await asyncio.wait({sender}, timeout=CLOSE_SECONDS)
        await cancelled({sender})


async def _close_rest(consumer: AIOKafkaConsumer) -> None:
    # Before the connections: whoever still asks would open another.
    await cancelled([task for task in _tasks_of(consumer) if task is not None])
    await _close(consumer._client)  # noqa: SLF001


async def _close(client: AIOKafkaClient) -> None:
    with suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()


def _tasks_of(consumer: AIOKafkaConsumer) -> Iterator[asyncio.Task[Any] | None]:
    # tests/contract names what is touched.
    fetcher, coordinator = consumer._fetcher, consumer._coordinator  # noqa: SLF001
    if fetcher is not None:
        yield fetcher._fetch_task  # noqa: SLF001
        yield from fetcher._pending_tasks  # noqa: SLF001
    if isinstance(coordinator, GroupCoordinator):
        yield coordinator._coordination_task  # noqa: SLF001
        # Its heartbeats would keep a member alive that reads nothing, and what it was assigned.
        yield coordinator._heartbeat_task  # noqa: SLF001
        yield coordinator._commit_refresh_task  # noqa: SLF001
