"""The producer of dead letters, with a broker that acknowledges nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from spoolsink import dead_letters
from spoolsink.config_model import Kafka
from spoolsink.dead_letters import DeadLetterTopic
from spoolsink.encoder import Rejected
from spoolsink.errors import ConversionError, DeadLetterAwayError
from tests.unit.builders import batch_of
from tests.unit.silent_broker import METADATA, PRODUCE, SilentBroker


@pytest.fixture(params=[PRODUCE, METADATA], ids=["produce", "metadata"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[SilentBroker]:
    found = SilentBroker(request.param)
    async with found.serving():
        yield found


def letters_to(broker: SilentBroker) -> DeadLetterTopic:
    settings = Kafka.model_validate({"bootstrap_servers": broker.address, "topics": "t"})
    return DeadLetterTopic(settings, "dead", sink="sink")


def sending(letters: DeadLetterTopic) -> "asyncio.Task[None]":
    bad = [Rejected(offset, ConversionError("not JSON")) for offset in range(2)]
    return asyncio.create_task(letters.send(batch_of([b"x", b"y"]), bad))


def clients_tasks() -> list[str]:
    """What goes on in aiokafka's own files."""
    return [
        repr(task)
        for task in asyncio.all_tasks()
        if any("aiokafka" in frame.f_code.co_filename for frame in task.get_stack())
    ]


async def test_each_attempt_that_is_not_acknowledged_ends_with_all_that_it_began(
    broker: SilentBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by reading: tasks of each went on, and asked for metadata for good."""
    monkeypatch.setattr(dead_letters, "_SEND_SECONDS", 0.3)
    monkeypatch.setattr(dead_letters, "_STOP_SECONDS", 0.1)
    letters = letters_to(broker)
    for _ in range(2):
        with pytest.raises(DeadLetterAwayError, match="no answer within"):
            await sending(letters)
        await broker.left()
        assert clients_tasks() == []


async def test_a_close_that_is_cancelled_closes_all_the_same(broker: SilentBroker) -> None:
    letters = letters_to(broker)
    under_way = sending(letters)
    await broker.asked()
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way
    closing = asyncio.create_task(letters.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait({closing})
    await broker.left()
    assert clients_tasks() == []
