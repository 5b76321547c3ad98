"""Objects to records: downloaded to a file that has no name, read from there piece by piece.

A body that breaks off is downloaded anew, so that no record is taken from half an object.
"""

import asyncio
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import islice
from typing import IO, Protocol

import zstandard

from spoolsink.config_model import Config
from spoolsink.errors import BackupError, ConfigError, RetryableStoreError
from spoolsink.formats.compression import GZIP_WBITS
from spoolsink.restore.record import Restored, Unpack, parse_line, unpacker

Decode = Callable[[IO[bytes]], Iterator[Restored]]

_IN_MEMORY_BYTES = 1024 * 1024
_PIECE_BYTES = 256 * 1024
_RECORDS = 500
"""Read at a time: a thread costs as much as a few records."""

_DOWNLOADS = 5


class Bucket(Protocol):
    """What is used of `ObjectReader`."""

    def body(self, key: str) -> AsyncIterator[bytes]: ...


def make_decoder(config: Config) -> Decode:
    """How this configuration's objects are read; raises ConfigError for an absent library."""
    records, form = config.records, config.format
    if form.type == "jsonl":
        unpack = unpacker(records.key), unpacker(records.value)
        return partial(_json_records, compression=form.compression, unpack=unpack)
    try:
        from spoolsink.restore import containers  # noqa: PLC0415 (its libraries are extras)
    except ImportError as error:
        text = f"needs a library: pip install 'spoolsink[avro,parquet]' ({error})"
        raise ConfigError([f"format.type: {form.type} {text}"]) from error
    return containers.avro_records if form.type == "avro" else containers.parquet_records


async def records_of(bucket: Bucket, key: str, decode: Decode) -> AsyncIterator[list[Restored]]:
    """An object's records in offset order, some at a time; raises BackupError."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
        await _download(bucket, key, file)
        found = decode(file)
        last = -1
        while True:
            try:
                piece = await asyncio.to_thread(lambda: list(islice(found, _RECORDS)))
            except BackupError as error:
                raise BackupError(f"s3 key {key}: {error}") from error
            if not piece:
                return
            for record in piece:
                if record.offset <= last:
                    raise BackupError(f"s3 key {key}: offset {record.offset} is behind {last}")
                last = record.offset
            yield piece


async def _download(bucket: Bucket, key: str, file: IO[bytes]) -> None:
    for attempt in range(_DOWNLOADS):
        file.seek(0)
        file.truncate()
        try:
            async for piece in bucket.body(key):
                file.write(piece)
        except RetryableStoreError:
            if attempt == _DOWNLOADS - 1:
                raise
            await asyncio.sleep(attempt)
        else:
            file.seek(0)
            return


def _json_records(
    file: IO[bytes], *, compression: str, unpack: tuple[Unpack, Unpack]
) -> Iterator[Restored]:
    for line in _lines(_plain(file, compression)):
        yield parse_line(line, *unpack)


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest: list[bytes] = []
    for piece in pieces:
        first, *others = piece.split(b"\n")
        rest.append(first)
        if not others:
            continue
        yield b"".join(rest)
        yield from others[:-1]
        rest = [others[-1]]
    if any(rest):
        raise BackupError("the last line has no end")


def _plain(file: IO[bytes], compression: str) -> Iterator[bytes]:
    """The rows, in pieces of a bounded size."""
    if compression == "zstd":
        with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as reader:
            while piece := reader.read(_PIECE_BYTES):
                yield piece
    elif compression == "gzip":
        yield from _gunzipped(file)
    else:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _gunzipped(file: IO[bytes]) -> Iterator[bytes]:
    codec = zlib.decompressobj(GZIP_WBITS)
    while packed := file.read(_PIECE_BYTES):
        try:
            while packed:
                yield codec.decompress(packed, _PIECE_BYTES)
                packed = codec.unconsumed_tail
        except zlib.error as error:
            raise BackupError(f"no gzip: {error}") from error
    if not codec.eof:
        raise BackupError("the gzip stream ends in its middle")
