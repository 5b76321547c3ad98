"""Records of the full form out of avro and parquet files (blocking; for a worker thread).

Both are read block by block: an Avro block, or a slice of a Parquet row group, is in memory.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import IO, Any

import cramjam
import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from spoolsink.errors import BackupError
from spoolsink.records import NO_TIMESTAMP
from spoolsink.restore.record import Restored

_MAGIC = b"Obj\x01"
_SYNC_BYTES = 16
_META = fastavro.parse_schema({"type": "map", "values": "bytes"})
_SNAPPY_CRC_BYTES = 4
_ROWS = 1_000
_MORE = 0x80
_PER_MS = {"ms": 1, "us": 1_000, "ns": 1_000_000}
"""Of Arrow's units; a whole number is ms already."""

_CODECS: dict[str, Callable[[bytes], bytes]] = {
    "null": bytes,
    "deflate": lambda data: zlib.decompress(data, -15),
    # The raw format, then a CRC32 of what it holds.
    "snappy": lambda data: bytes(cramjam.snappy.decompress_raw(data[:-_SNAPPY_CRC_BYTES])),
    # Written in one call, so that the frame knows its size.
    "zstandard": lambda data: zstandard.ZstdDecompressor().decompress(data),
}


def avro_records(file: IO[bytes]) -> Iterator[Restored]:
    """Raises BackupError for what is no container of ours, or ends in its middle."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise BackupError("no Avro container")
    meta: Any = fastavro.schemaless_reader(file, _META, None)
    # Without logical types: a time stays the number that it was, whatever it is.
    schema = fastavro.parse_schema(_plain(json.loads(meta["avro.schema"])))
    decompress = _CODECS[meta.get("avro.codec", b"null").decode()]
    sync = file.read(_SYNC_BYTES)
    while (count := _long(file)) is not None:
        size = _long(file)
        data = file.read(size or 0)
        if size is None or len(data) != size or file.read(_SYNC_BYTES) != sync:
            raise BackupError("an Avro block is not whole")
        block = BytesIO(decompress(data))
        for _ in range(count):
            yield _restored(fastavro.schemaless_reader(block, schema, None))


def parquet_records(file: IO[bytes]) -> Iterator[Restored]:
    """Raises BackupError for what is no file of ours."""
    try:
        source = pq.ParquetFile(file)
        for batch in source.iter_batches(batch_size=_ROWS):
            column = batch.column("timestamp")
            per_ms = _PER_MS[getattr(column.type, "unit", "ms")]
            times = column.cast(pa.int64()).to_pylist()
            rows = batch.drop_columns(["timestamp"]).to_pylist()
            for row, time in zip(rows, times, strict=True):
                yield _restored({**row, "timestamp": None if time is None else time // per_ms})
    except (pa.ArrowException, KeyError) as error:
        raise BackupError(f"no Parquet file of the full form: {error}") from error


def _restored(row: Any) -> Restored:
    try:
        time = row["timestamp"]
        return Restored(
            offset=row["offset"],
            timestamp=NO_TIMESTAMP if time is None else time,
            is_log_append=row["timestamp_type"] == "log_append",
            key=_data(row["key"]),
            headers=[(header["key"], header["value"]) for header in row["headers"]],
            value=None if row["tombstone"] else _data(row["value"]),
        )
    except (KeyError, TypeError) as error:
        raise BackupError(f"a row that is not of the full form: {error!r}") from error


def _data(value: object) -> bytes | None:
    if isinstance(value, str):
        return value.encode()
    if value is None or isinstance(value, bytes):
        return value
    raise BackupError("the values are not whole (format.columns, or a schema of their own)")


def _long(file: IO[bytes]) -> int | None:
    """Zigzag, seven bits a byte, the lowest first; None at the file's end."""
    number, shift = 0, 0
    while byte := file.read(1):
        number |= (byte[0] & ~_MORE) << shift
        if not byte[0] & _MORE:
            return (number >> 1) ^ -(number & 1)
        shift += 7
    return None


def _plain(schema: Any) -> Any:
    """The same schema without logical types."""
    if isinstance(schema, list):
        return [_plain(branch) for branch in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {key: _plain(value) for key, value in schema.items() if key != "logicalType"}
