"""Waiting for what an operator must mend."""

import asyncio

import pytest

from spoolsink.errors import SpoolError, SpoolFullError
from spoolsink.health import Health
from spoolsink.holding import held


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
