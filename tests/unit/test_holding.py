"""Waiting for what an operator must mend."""

import asyncio

import pytest

from spoolsink.errors import SpoolError, SpoolFullError
from spoolsink.health import Health
from spoolsink.holding import held, unless


def new_health() -> Health:
    return Health(clock=lambda: 0.0)


async def test_what_holds_is_told_and_tried_again() -> None:
    health, seen = new_health(), list[bool]()

    async def attempt() -> str:
        seen.append(health.is_failed)
        if len(seen) < 3:
            raise SpoolFullError("no room")
        return "open"

    stopping = asyncio.Event()
    found = await held(
        attempt, SpoolFullError, source="spool", health=health, stopping=stopping, again_seconds=0
    )
    assert (found, seen) == ("open", [False, True, True])
    assert health.is_ready


async def test_a_stop_ends_the_wait() -> None:
    health, stopping = new_health(), asyncio.Event()

    async def attempt() -> str:
        stopping.set()
        raise SpoolFullError("no room")

    assert (
        await held(attempt, SpoolFullError, source="spool", health=health, stopping=stopping)
        is None
    )
    assert health.is_failed


async def test_another_error_is_the_callers() -> None:
    async def attempt() -> str:
        raise SpoolError("a symbolic link")

    stopping = asyncio.Event()
    with pytest.raises(SpoolError, match="a symbolic link"):
        await held(attempt, SpoolFullError, source="s", health=new_health(), stopping=stopping)


async def test_work_that_a_stop_cancels_has_ended_on_return() -> None:
    """A consumer's start: its stop may not run beside it."""
    stopping, steps = asyncio.Event(), list[str]()

    async def start() -> None:
        stopping.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # connections take a turn of the loop to close
            steps.append("ended")

    assert not await unless(stopping, start())
    assert steps == ["ended"]


async def test_how_cancelled_work_ends_is_nobodys_concern() -> None:
    stopping = asyncio.Event()

    async def start() -> None:
        stopping.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise SpoolError("on its way out")

    assert not await unless(stopping, start())


async def test_work_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spoolsink.holding._END_SECONDS", 0.01)
    stopping, release = asyncio.Event(), asyncio.Event()
    tasks = list[asyncio.Task[None] | None]()

    async def start() -> None:
        tasks.append(asyncio.current_task())
        stopping.set()
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()

    assert not await unless(stopping, start())
    release.set()
    assert tasks[0] is not None
    await asyncio.wait({tasks[0]})
    assert tasks[0].cancelled()


async def test_a_cancellation_from_outside_ends_the_work_as_well() -> None:
    started, steps = asyncio.Event(), list[str]()

    async def start() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("ended")

    caller = asyncio.create_task(unless(asyncio.Event(), start()))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert steps == ["ended"]


async def test_work_that_is_done_or_fails_is_told() -> None:
    async def start() -> None:
        pass

    async def fail() -> None:
        raise SpoolError("no broker")

    assert await unless(asyncio.Event(), start())
    with pytest.raises(SpoolError, match="no broker"):
        await unless(asyncio.Event(), fail())
