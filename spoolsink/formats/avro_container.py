"""Avro's object container file: header, blocks of datums, a sync marker behind each.

    "Obj" 0x01 | metadata map (avro.schema, avro.codec) | 16 bytes sync
    block* :    count:long size:long | datums, compressed | sync

The datums are those of the segment, byte for byte: nothing is decoded. Source: the Avro
specification 1.12, "Object Container Files".
"""

import json
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from io import BytesIO

import cramjam
import fastavro
import zstandard

from spoolsink.formats.avro_rows import datums
from spoolsink.formats.avro_trees import with_avro_names
from spoolsink.formats.column_rows import long

BLOCK_BYTES = 1024 * 1024
"""Of datums, before compression: what a reader has to hold of the file at a time."""

_MAGIC = b"Obj\x01"
_SYNC_BYTES = 16
_META = fastavro.parse_schema({"type": "map", "values": "bytes"})
_RAW_DEFLATE_WBITS = -15
_SNAPPY_CRC_BYTES = 4
_DEFLATE_LEVEL, _ZSTD_LEVEL = 6, 3

_CODEC_NAMES = {"none": "null", "deflate": "deflate", "snappy": "snappy", "zstd": "zstandard"}


def make_body(compression: str, level: int | None) -> partial[Iterator[bytes]]:
    """What makes the bodies of one format."""
    return partial(_body, compression, level)


def _body(
    compression: str, level: int | None, chunks: Iterator[bytes], schema_text: str, seed: str
) -> Iterator[bytes]:
    """The file's bytes; `chunks` are whole rows, `seed` makes the sync marker."""
    sync = sha256(seed.encode()).digest()[:_SYNC_BYTES]
    compress = _compressor(compression, level)
    yield _header(schema_text, _CODEC_NAMES[compression], sync)
    for chunk in chunks:
        for found in datums(chunk, BLOCK_BYTES):
            payload = compress(b"".join(found))
            yield long(len(found)) + long(len(payload)) + payload + sync


def _header(schema_text: str, codec: str, sync: bytes) -> bytes:
    schema = json.dumps(with_avro_names(json.loads(schema_text)), separators=(",", ":"))
    buffer = BytesIO()
    meta = {"avro.schema": schema.encode(), "avro.codec": codec.encode()}
    fastavro.schemaless_writer(buffer, _META, meta)
    return _MAGIC + buffer.getvalue() + sync


def _compressor(compression: str, level: int | None) -> Callable[[bytes], bytes]:
    if compression == "deflate":
        chosen = _DEFLATE_LEVEL if level is None else level
        return lambda data: _deflated(data, chosen)
    if compression == "snappy":
        return _snappy
    if compression == "zstd":
        return zstandard.ZstdCompressor(_ZSTD_LEVEL if level is None else level).compress
    return lambda data: data


def _deflated(data: bytes, level: int) -> bytes:
    codec = zlib.compressobj(level, zlib.DEFLATED, _RAW_DEFLATE_WBITS)
    return codec.compress(data) + codec.flush()


def _snappy(data: bytes) -> bytes:
    """The raw format, then the CRC32 of what it holds, big-endian."""
    checksum = zlib.crc32(data).to_bytes(_SNAPPY_CRC_BYTES)
    return bytes(cramjam.snappy.compress_raw(data)) + checksum
