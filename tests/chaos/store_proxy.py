"""S3 as it is on a bad day: a proxy before the real server that answers otherwise when asked to.

1. Whatever it does is what a store, a load balancer or the network between could do: it may lie
   about whether something took effect, never about what an object holds.
2. Writes of one key reach the server one after the other, for S3 is atomic where a file system
   is not.
3. What the server confirmed is told to the witness before the client hears of it.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from tests.chaos import wire
from tests.chaos.wire import Message, answer, error, read_message, reset
from tests.chaos.witness import Witness

SILENCE_SECONDS = 8.0
"""Longer than any deadline of a sink under test."""
_LATE_SECONDS = 4.0
_SLOW_STEP_BYTES = 64

WRITES = frozenset({"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"})
FINAL = frozenset({"PutObject", "CompleteMultipartUpload"})
"""Operations that make an object."""
OF_UPLOADS = frozenset({"UploadPart", "CompleteMultipartUpload"})
ALL = WRITES | {"HeadObject", "AbortMultipartUpload", "DeleteObject", "List"}


@dataclass(frozen=True)
class Trouble:
    """A kind of answer, the operations that may get it, and of how many of them."""

    kind: str
    share: float
    number: int | None = None
    """Of the sink that is meant; None for all."""


@dataclass
class StoreProxy:
    """One listening port for each sink, all of them before the same server."""

    server_port: int
    rng: random.Random
    abort: Callable[[str, str], None]
    """Aborts a multipart upload by key and id, at the server itself; blocks."""
    witness: Witness
    troubles: list[Trouble] = field(default_factory=list)
    silenced: set[int] = field(default_factory=set)
    """Sinks that are cut off: their requests vanish."""
    requests: Counter[str] = field(default_factory=Counter)
    caused: Counter[str] = field(default_factory=Counter)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _late: set[asyncio.Task[None]] = field(default_factory=set)
    _key_locks: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )

    async def listen(self, number: int, port: int) -> None:
        """For one sink."""
        serve = partial(self._serve, number)
        server = await asyncio.start_server(serve, "127.0.0.1", port, limit=wire.MAX_HEAD_BYTES)
        self._servers.append(server)

    async def close(self) -> None:
        """End all connections; what was to come late comes now or never."""
        for server in self._servers:
            server.close()
        for writer in list(self._writers):
            reset(writer)
        await self.settled()
        for server in self._servers:
            await server.wait_closed()

    async def settled(self) -> None:
        """Wait until nothing is on its way to the server."""
        while self._late:
            await asyncio.wait(self._late)

    # -- one connection ------------------------------------------------------------------------

    async def _serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._writers.add(writer)
        try:
            while (request := await read_message(reader)) is not None:
                self.requests[request.operation] += 1
                if not await self._answer(number, request, writer):
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client or the server went away
        finally:
            self._writers.discard(writer)
            reset(writer)

    async def _answer(self, number: int, request: Message, writer: asyncio.StreamWriter) -> bool:
        """False when the connection is of no use any more."""
        if number in self.silenced:
            await asyncio.sleep(SILENCE_SECONDS)
            return False
        kind = self._kind_for(number, request)
        if kind is None:
            writer.write((await self._forward(request)).raw)
            await writer.drain()
            return True
        self.caused[kind] += 1
        return await KINDS[kind].act(self, request, writer)

    def _kind_for(self, number: int, request: Message) -> str | None:
        for trouble in self.troubles:
            if (
                trouble.number in {None, number}
                and request.operation in KINDS[trouble.kind].operations
                and self.rng.random() < trouble.share
            ):
                return trouble.kind
        return None

    # -- the server ----------------------------------------------------------------------------

    async def _forward(self, request: Message) -> Message:
        """The server's own answer."""
        if request.operation not in FINAL:
            return await self._ask(request)
        async with self._key_locks[request.key]:
            found = await self._ask(request)
            if found.status == 200:
                is_create_only = request.headers.get("if-none-match") == "*"
                self.witness.completed(request.key, create_only=is_create_only)
            return found

    async def _ask(self, request: Message) -> Message:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.server_port, limit=wire.MAX_HEAD_BYTES
        )
        try:
            writer.write(request.raw)
            await writer.drain()
            found = await read_message(reader, has_body=request.method != "HEAD")
        finally:
            writer.transport.abort()
        if found is None:
            raise ConnectionAbortedError
        return found

    # -- kinds ---------------------------------------------------------------------------------

    async def _maybe(self, request: Message) -> Message | None:
        """Take effect or not, as chance will have it."""
        return await self._forward(request) if self.rng.random() < 0.5 else None

    async def tell(
        self, status: int, code: str, request: Message, writer: asyncio.StreamWriter
    ) -> bool:
        """An error, instead of any effect."""
        is_head = request.method == "HEAD"
        writer.write(answer(status, "" if is_head else error(code)))
        await writer.drain()
        return True

    async def tell_afterwards(
        self, status: int, code: str, request: Message, writer: asyncio.StreamWriter
    ) -> bool:
        """An error, behind the effect."""
        await self._forward(request)
        return await self.tell(status, code, request, writer)

    async def slow(self, request: Message, writer: asyncio.StreamWriter) -> bool:
        """The true answer, in drops."""
        raw = (await self._forward(request)).raw
        pause = self.rng.uniform(0.05, 0.4)
        for start in range(0, len(raw), _SLOW_STEP_BYTES):
            writer.write(raw[start : start + _SLOW_STEP_BYTES])
            await writer.drain()
            await asyncio.sleep(pause)
        return True

    async def silent(self, request: Message, _writer: asyncio.StreamWriter) -> bool:
        """No answer at all, until long after the client gave up."""
        await self._maybe(request)
        await asyncio.sleep(SILENCE_SECONDS)
        return False

    async def reset_before(self, _request: Message, writer: asyncio.StreamWriter) -> bool:
        """The request is lost."""
        reset(writer)
        return False

    async def reset_after(self, request: Message, writer: asyncio.StreamWriter) -> bool:
        """The answer is lost."""
        await self._forward(request)
        reset(writer)
        return False

    async def late(self, request: Message, writer: asyncio.StreamWriter) -> bool:
        """The connection is lost at once; the effect comes seconds later."""
        task = asyncio.create_task(self._send_late(request), name="late request")
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        reset(writer)
        return False

    async def _send_late(self, request: Message) -> None:
        await asyncio.sleep(self.rng.uniform(0.2, _LATE_SECONDS))
        await self._forward(request)

    async def error_in_200(self, request: Message, writer: asyncio.StreamWriter) -> bool:
        """S3 may begin with 200 and find out afterwards that it cannot."""
        await self._maybe(request)
        writer.write(answer(200, error("InternalError")))
        await writer.drain()
        return True

    async def empty_200(self, request: Message, writer: asyncio.StreamWriter) -> bool:
        """A load balancer's idea of an answer."""
        await self._maybe(request)
        writer.write(answer(200))
        await writer.drain()
        return True

    async def white_space(self, request: Message, writer: asyncio.StreamWriter) -> bool:
        """S3 keeps a Complete alive with spaces, here for ever."""
        await self._maybe(request)
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nTransfer-Encoding: chunked"
        writer.write(f"{head}\r\n\r\n".encode())
        for _ in range(int(SILENCE_SECONDS / 0.2)):
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(0.2)
        return False

    async def vanished(self, request: Message, writer: asyncio.StreamWriter) -> bool:
        """A life-cycle rule aborts the upload right before the request."""
        await asyncio.to_thread(self.abort, request.key, request.upload_id)
        writer.write((await self._forward(request)).raw)
        await writer.drain()
        return True


@dataclass(frozen=True)
class Kind:
    """What is done, and to which operations."""

    act: Callable[[StoreProxy, Message, asyncio.StreamWriter], Awaitable[bool]]
    operations: frozenset[str]


def _told(status: int, code: str) -> Callable[..., Awaitable[bool]]:
    return lambda proxy, request, writer: proxy.tell(status, code, request, writer)


def _told_afterwards(status: int, code: str) -> Callable[..., Awaitable[bool]]:
    return lambda proxy, request, writer: proxy.tell_afterwards(status, code, request, writer)


KINDS: dict[str, Kind] = {
    "503": Kind(_told(503, "SlowDown"), ALL),
    "503 after": Kind(_told_afterwards(503, "SlowDown"), ALL),
    "500": Kind(_told(500, "InternalError"), ALL),
    "500 after": Kind(_told_afterwards(500, "InternalError"), ALL),
    "403 expired": Kind(_told(403, "ExpiredToken"), ALL),
    "404 bucket": Kind(_told(404, "NoSuchBucket"), ALL),
    "409": Kind(_told(409, "ConditionalRequestConflict"), FINAL),
    "412 after": Kind(_told_afterwards(412, "PreconditionFailed"), FINAL),
    "412": Kind(_told(412, "PreconditionFailed"), FINAL),
    "slow": Kind(StoreProxy.slow, ALL),
    "silent": Kind(StoreProxy.silent, ALL),
    "reset before": Kind(StoreProxy.reset_before, ALL),
    "reset after": Kind(StoreProxy.reset_after, ALL),
    "late": Kind(StoreProxy.late, WRITES),
    "error in 200": Kind(StoreProxy.error_in_200, FINAL),
    "empty 200": Kind(StoreProxy.empty_200, WRITES),
    "white space": Kind(StoreProxy.white_space, frozenset({"CompleteMultipartUpload"})),
    "no such upload": Kind(_told(404, "NoSuchUpload"), OF_UPLOADS),
    "vanished": Kind(StoreProxy.vanished, OF_UPLOADS),
}
