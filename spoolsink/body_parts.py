"""An object's body as parts of one size, read and summed away from the event loop."""

import asyncio
import io
from collections.abc import Callable, Iterator

MAX_PARTS = 10_000
"""S3's limit of parts of one multipart upload."""


class PartReader:
    """The body a part at a time, read and summed in a worker thread; keeps one part at most."""

    def __init__(
        self,
        chunks: Iterator[bytes],
        part_bytes: int,
        checksum_of: Callable[[bytes], str | None],
    ) -> None:
        self._parts = split_body(chunks, part_bytes)
        self._checksum_of = checksum_of
        self.body = b""
        self.checksum: str | None = None
        self.is_last = False

    async def advance(self) -> None:
        """Go on to the next part; there must be one."""
        self.body = b""  # let go of first, or two parts would be in memory
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


def split_body(chunks: Iterator[bytes], part_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """Parts of exactly `part_bytes`, the last one shorter or equal; True marks it.

    Holds one part and one chunk at most. A chunk that is a part by itself is handed on as it is:
    `BytesIO` shares the bytes that it begins with, and gives what it holds without a copy.
    """
    part = io.BytesIO()
    size = 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while size + len(rest) > part_bytes:
            room = part_bytes - size
            part.write(rest[:room])
            yield part.getvalue(), False
            part, size, rest = io.BytesIO(), 0, rest[room:]
        if size == 0 and len(rest) == len(chunk):
            part = io.BytesIO(chunk)
            part.seek(0, io.SEEK_END)
        else:
            part.write(rest)
        size += len(rest)
    yield part.getvalue(), True
