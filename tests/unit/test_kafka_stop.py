"""Questions to Kafka that are still under way when their consumer ends."""

import asyncio
import contextlib

import pytest

from spoolsink.errors import ConsumerError
from spoolsink.kafka_stop import Questions


class Slow:
    """A question that has no answer; `is_over` when it was left."""

    def __init__(self) -> None:
        self.is_begun = asyncio.Event()
        self.is_over = False

    async def answer(self) -> int:
        self.is_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.is_over = True
        return 1


async def test_the_end_gives_up_what_is_under_way_and_tells_who_asked() -> None:
    questions, slow = Questions(), Slow()
    asking = asyncio.create_task(questions.ask(slow.answer(), 60))
    await slow.is_begun.wait()

    await questions.end()

    assert slow.is_over
    with pytest.raises(ConsumerError, match="stopped"):
        await asking


async def test_nothing_is_asked_behind_the_end() -> None:
    questions, slow = Questions(), Slow()
    await questions.end()

    with pytest.raises(ConsumerError, match="stopped"):
        await questions.ask(slow.answer(), 60)

    assert not slow.is_begun.is_set()


async def test_a_caller_that_is_cancelled_takes_its_question_with_it() -> None:
    questions, slow = Questions(), Slow()
    asking = asyncio.create_task(questions.ask(slow.answer(), 60))
    await slow.is_begun.wait()

    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking

    assert asking.cancelled()
    assert slow.is_over


async def test_a_question_without_an_answer_ends_in_time() -> None:
    questions, slow = Questions(), Slow()

    with pytest.raises(TimeoutError):
        await questions.ask(slow.answer(), 0.01)

    assert slow.is_over
