"""Requests on their way, and the coroutines of the sink that wait for their answers.

The real coroutines run without an event loop: each runs until it asks the world for something, and
goes on when the world answers, in whatever order that happens.
"""

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

from spoolsink.cut import Commit
from spoolsink.records import TopicPartition


class SendCommit(NamedTuple):
    """OffsetCommit; answered with Kafka's error code."""

    generation: int
    commits: Mapping[TopicPartition, Commit]


class ReadCommitted(NamedTuple):
    """OffsetFetch; answered with the committed offsets by topic partition."""


class SendLetters(NamedTuple):
    """Produce to the dead letter topic; answered when all replicas have them."""

    identities: tuple[str, ...]


class Put(NamedTuple):
    """PutObject; answered with a `store.Refusal`, or None when it took effect."""

    key: str
    body: bytes
    metadata: Mapping[str, str]
    create_only: bool


class Head(NamedTuple):
    """HeadObject; answered with the object's metadata, or None."""

    key: str


class CreateUpload(NamedTuple):
    """CreateMultipartUpload; answered with the upload's id."""

    key: str
    metadata: Mapping[str, str]


class UploadPart(NamedTuple):
    """UploadPart; answered with the part's ETag."""

    upload_id: str
    number: int
    body: bytes


class Complete(NamedTuple):
    """CompleteMultipartUpload with numbers and ETags; answered as a Put is."""

    key: str
    upload_id: str
    parts: tuple[tuple[int, str], ...]
    create_only: bool


class Abort(NamedTuple):
    """AbortMultipartUpload."""

    upload_id: str


class DiskWork(NamedTuple):
    """What a thread of the spool does, while the event loop goes on; always done in the end."""


StoreRequest = Put | Head | CreateUpload | UploadPart | Complete | Abort
Request = SendCommit | ReadCommitted | SendLetters | DiskWork | StoreRequest


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


@dataclass(eq=False, slots=True)
class Waiting:
    """A request, and who waits for the answer; nobody does after a deadline."""

    request: Request
    process: Asker
    work: Coroutine[Any, Any, Any]
    is_awaited: bool = True
    is_done: bool = False
    """It took effect, and only the answer is still under way."""
    answer: Any = None


class _Threads:
    """All that the sink's coroutines ask of a running loop: a thread's work is done at once."""

    def run_in_executor(self, _executor: object, work: Callable[[], object]) -> Awaitable[object]:
        return _done(work)

    def get_debug(self) -> bool:
        return False


async def _done(work: Callable[[], object]) -> object:
    return work()


_THREADS = cast(asyncio.AbstractEventLoop, _Threads())


class Network:
    """Everything under way; `on_sent` sees each request as it leaves its process."""

    def __init__(self, on_sent: Callable[[Waiting], None]) -> None:
        self.waiting: list[Waiting] = []
        self._on_sent = on_sent

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

    def is_busy(self, process: Asker, *kinds: type[Request]) -> bool:
        """Whether the process waits for the answer to a request of these kinds."""
        return any(
            w.process is process and w.is_awaited and isinstance(w.request, kinds)
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
        asyncio._set_running_loop(_THREADS)
        try:
            request = work.send(answer) if error is None else work.throw(error)
            while request is None:  # it only lets others run for a moment
                request = work.send(None)
        except StopIteration:
            return
        finally:
            asyncio._set_running_loop(None)
        waiting = Waiting(request, process, work)
        self.waiting.append(waiting)
        self._on_sent(waiting)
