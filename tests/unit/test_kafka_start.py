"""A start that is cancelled while a broker is being asked leaves nothing open."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from spoolsink import kafka_start
from tests.unit.silent_broker import METADATA, SilentBroker


@pytest.mark.parametrize("make", [AIOKafkaConsumer, AIOKafkaProducer])
async def test_a_start_that_is_cancelled_leaves_no_connection(make: Callable[..., Any]) -> None:
    """Found by reading: it stayed until it was garbage, which asyncio told as an error."""
    broker = SilentBroker(METADATA)
    async with broker.serving():
        client = make(bootstrap_servers=broker.address)
        starting = asyncio.create_task(kafka_start.whole(client.start))
        await broker.asked()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await starting
        assert caught.tb  # its frames keep the connection from being garbage
        await broker.left()
        await client.stop()


async def test_connections_behind_a_start_are_not_kept() -> None:
    """Tasks that were begun in it make theirs in its context, for as long as the client lives."""
    seen: list[kafka_start._Start | None] = []

    async def start() -> None:
        seen.append(kafka_start._current.get())

    await kafka_start.whole(start)
    assert seen[0] is not None
    assert seen[0].made is None
    assert kafka_start._current.get() is None
