"""Requests on their way, and the coroutines of the sink that wait for their answers.

The real coroutines run without an event loop: each runs until it asks the world for something, and
goes on when the world answers, in whatever order that happens.
"""

import types
from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from spoolsink.cut import Commit
from tests.simulation.models import StoredObject


class SendCommit(NamedTuple):
    """OffsetCommit; answered with Kafka's error code."""

    generation: int
    commit: Commit


class ReadCommitted(NamedTuple):
    """OffsetFetch; answered with the committed `Commit`, or None."""


class Put(NamedTuple):
    """PutObject; answered with whether it took effect."""

    key: str
    stored: StoredObject
    create_only: bool


class Head(NamedTuple):
    """HeadObject; answered with the object, or None."""

    key: str


Request = SendCommit | ReadCommitted | Put | Head


class NoAnswerError(Exception):
    """A deadline passed: the request may have had its effect, or still may."""


@types.coroutine
def ask(request: Request) -> Generator[Request, Any, Any]:
    """Wait for the world's answer."""
    return (yield request)


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Run what asks for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError(f"{work} waits for something")


class Asker(Protocol):
    """The process whose coroutine it is."""

    is_alive: bool


@dataclass(eq=False)
class Waiting:
    """A request, and who waits for the answer; nobody does after a deadline."""

    request: Request
    process: Asker
    work: Coroutine[Any, Any, Any]
    is_awaited: bool = True
    is_done: bool = False
    """It took effect, and only the answer is still under way."""
    answer: Any = None


class Network:
    """Everything under way."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []

    def start(self, process: Asker, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine until it asks for something, or ends."""
        self._continue(process, work, None, None)

    def answer(self, waiting: Waiting, answer: object) -> None:
        """The reply arrives, unless nobody waits for it any more."""
        self.waiting.remove(waiting)
        if waiting.is_awaited and waiting.process.is_alive:
            self._continue(waiting.process, waiting.work, answer, None)

    def expire(self, waiting: Waiting) -> None:
        """The asker's deadline passes; the request itself stays under way."""
        waiting.is_awaited = False
        if waiting.process.is_alive:
            self._continue(waiting.process, waiting.work, None, NoAnswerError())

    def is_busy(self, process: Asker, kind: type[Request]) -> bool:
        """Whether the process waits for the answer to a request of the kind."""
        return any(
            w.process is process and w.is_awaited and isinstance(w.request, kind)
            for w in self.waiting
        )

    def bury(self, process: Asker) -> None:
        """The process is dead: what it sent may still arrive, and nobody hears the answer."""
        process.is_alive = False
        for waiting in self.waiting:
            if waiting.process is process:
                waiting.is_awaited = False
                waiting.work.close()

    def _continue(
        self,
        process: Asker,
        work: Coroutine[Any, Any, Any],
        answer: object,
        error: Exception | None,
    ) -> None:
        try:
            request = work.send(answer) if error is None else work.throw(error)
        except StopIteration:
            return
        self.waiting.append(Waiting(request, process, work))
