"""An object's body as parts of one size, read and summed away from the event loop."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

Piece = bytes | bytearray | memoryview
Body = Sequence[Piece]
"""Never put together: parts of 5 MiB in one block took longer than to read and sum them."""

MAX_PARTS = 10_000
"""S3's limit of parts of one multipart upload."""

_SMALL_BYTES = 32 * 1024
"""A smaller piece is copied together with its neighbours: each piece is a call of the system."""
_PIECE_BYTES = 256 * 1024


class PartReader:
    """The body a part at a time, read and summed in a worker thread; keeps one part at most."""

    def __init__(
        self,
        chunks: Iterator[bytes],
        part_bytes: int,
        checksum_of: Callable[[Body], str | None],
    ) -> None:
        self._parts = split_body(chunks, part_bytes)
        self._checksum_of = checksum_of
        self.body: Body = ()
        self.checksum: str | None = None
        self.is_last = False

    async def advance(self) -> None:
        """Go on to the next part; there must be one."""
        self.body = ()  # let go of first, or two parts would be in memory
        await asyncio.to_thread(self._read)

    def _read(self) -> None:
        # Not handed back as a result, which the thread would keep for a while.
        self.body, self.is_last = next(self._parts)
        self.checksum = self._checksum_of(self.body)


def part_bytes_for(size_bytes: int, part_bytes: int) -> int:
    """The configured part size, grown where the object would need more than 10,000 parts.

    `size_bytes` counts encoded rows; codecs may add a little to what cannot be compressed.
    """
    most = size_bytes + size_bytes // 100 + 1024
    return max(part_bytes, -(-most // MAX_PARTS))


def split_body(chunks: Iterator[bytes], part_bytes: int) -> Iterator[tuple[Body, bool]]:
    """Parts of exactly `part_bytes`, the last one shorter or equal; True marks it.

    Holds one part and one chunk at most. Only small pieces are copied.
    """
    part = _Part()
    for chunk in chunks:
        rest = memoryview(chunk)
        while part.size_bytes + len(rest) > part_bytes:
            room = part_bytes - part.size_bytes
            part.add(rest[:room])
            yield part.ended(), False
            part, rest = _Part(), rest[room:]
        part.add(rest)
    yield part.ended(), True


class _Part:
    """Pieces of a part that is not full yet."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._pieces: list[Piece] = []
        self._small = bytearray()

    def add(self, piece: memoryview) -> None:
        self.size_bytes += len(piece)
        if len(piece) >= _SMALL_BYTES:
            self.ended()
            self._pieces.append(piece)
        else:
            self._small += piece
            if len(self._small) >= _PIECE_BYTES:
                self.ended()

    def ended(self) -> Body:
        if self._small:
            self._pieces.append(self._small)
            self._small = bytearray()
        return self._pieces
