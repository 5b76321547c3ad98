"""Name lookups that hang delay nobody but other lookups."""

import asyncio
import gc
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from spoolsink.lookups import LOOKUPS, LookupLoop

FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 9092))]


class Resolver:
    """Answers a name that begins with `slow` only when it is let go."""

    def __init__(self) -> None:
        self.goes = threading.Event()
        self.asked = threading.Semaphore(0)

    def __call__(self, host: str, port: int, *_: Any) -> list[tuple[Any, ...]]:
        self.asked.release()
        if host.startswith("slow"):
            self.goes.wait()
        if host == "nobody":
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return FOUND


def in_loop(resolver: Callable[..., Any], work: Callable[[LookupLoop], Awaitable[None]]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LookupLoop)
        async with asyncio.timeout(20):
            await work(loop)

    with asyncio.Runner(loop_factory=lambda: LookupLoop(resolver)) as runner:
        runner.run(main())


def test_names_are_looked_up_as_asyncio_does() -> None:
    async def work(loop: LookupLoop) -> None:
        found = await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
        assert found == socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)

    in_loop(socket.getaddrinfo, work)


def test_a_name_that_nobody_knows_is_an_error_of_the_caller() -> None:
    async def work(loop: LookupLoop) -> None:
        with pytest.raises(socket.gaierror):
            await loop.create_connection(asyncio.Protocol, "nobody", 80)
        assert await loop.getaddrinfo("somebody", 80) == FOUND

    in_loop(Resolver(), work)


def test_threads_for_other_work_are_free_while_every_lookup_hangs() -> None:
    resolver = Resolver()

    async def work(loop: LookupLoop) -> None:
        hanging = [asyncio.create_task(loop.getaddrinfo(f"slow{n}", 1)) for n in range(2 * LOOKUPS)]
        await asyncio.to_thread(lambda: [resolver.asked.acquire() for _ in range(LOOKUPS)])
        assert await asyncio.gather(*(asyncio.to_thread(len, "abc") for _ in range(99))) == [3] * 99
        assert not any(task.done() for task in hanging)
        assert not resolver.asked.acquire(blocking=False)  # the rest wait without a thread
        resolver.goes.set()
        assert await asyncio.gather(*hanging) == [FOUND] * len(hanging)

    in_loop(resolver, work)


def test_a_caller_that_gives_up_leaves_its_place_taken_until_the_answer() -> None:
    resolver = Resolver()

    async def work(loop: LookupLoop) -> None:
        for number in range(LOOKUPS):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await loop.getaddrinfo(f"slow{number}", 1)
        next_one = asyncio.create_task(loop.getaddrinfo("quick", 1))
        await asyncio.to_thread(lambda: [resolver.asked.acquire() for _ in range(LOOKUPS)])
        assert not next_one.done()
        resolver.goes.set()
        assert await next_one == FOUND

    in_loop(resolver, work)


def test_the_end_of_the_loop_does_not_wait_for_a_lookup_that_hangs() -> None:
    resolver = Resolver()

    async def work(loop: LookupLoop) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await loop.getaddrinfo("slow", 1)

    in_loop(resolver, work)  # returns
    threads = [thread for thread in threading.enumerate() if thread.name == "lookup"]
    assert all(thread.daemon for thread in threads)
    resolver.goes.set()
    for thread in threads:
        thread.join(timeout=20)
        assert not thread.is_alive()  # and its answer, to nobody, is no error


def test_a_connection_that_was_lost_unheard_is_no_error_and_a_task_that_failed_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(loop: LookupLoop) -> None:
        loop.create_future().set_exception(ConnectionResetError())
        gc.collect()
        assert not caplog.records

        async def fail() -> None:
            raise ConnectionResetError

        await asyncio.wait([asyncio.create_task(fail())])
        gc.collect()
        [record] = caplog.records
        assert "Task exception was never retrieved" in record.message

    in_loop(Resolver(), work)
