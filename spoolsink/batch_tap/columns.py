"""The records of a Kafka batch as columns: by our compiled decoder, or by aiokafka's.

aiokafka's makes an object of each record and takes twice to four times as long; it serves where
ours was not built, and for old message formats. Both give the same of the same bytes, and refuse
the same (tests/property/test_columns.py).
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cramjam
from aiokafka.codec import gzip_decode, snappy_decode
from aiokafka.errors import CorruptRecordException

from spoolsink.batch_tap.bounds import HEADER_BYTES, codec_of, is_old, timestamp_type_of
from spoolsink.records import (
    NO_TIMESTAMP,
    Headers,
    TimeBounds,
    ValueFacts,
    bounds_of,
    facts_of,
)

decode: Callable[..., Any] | None
try:
    from spoolsink.batch_tap import _columns
except ImportError:  # no compiler when this was installed
    decode = None
else:
    decode = _columns.decode

IS_COMPILED = decode is not None
"""Whether the compiled decoder was built."""

_HEADER = struct.Struct(">q15xiqq14xi")
"""Base offset, last offset delta, first and greatest timestamp, record count."""

_PLAIN: dict[int, Callable[[memoryview], Any]] = {
    0: lambda payload: payload,
    1: gzip_decode,
    2: snappy_decode,
    3: cramjam.lz4.decompress,
    4: cramjam.zstd.decompress,
}


class Columns(NamedTuple):
    """Of equal length; `headers` is None when no record has any, `times` without a record."""

    offsets: Sequence[int]
    timestamps: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers] | None
    facts: ValueFacts
    times: TimeBounds | None


def columns_of(raw: Any, view: memoryview) -> Columns:
    """Of aiokafka's batch and its bytes; raises what `bounds.DAMAGE` lists."""
    if decode is None or is_old(view) or codec_of(view) not in _PLAIN:
        return columns_by_record(raw, view)
    base, last_delta, first_ms, log_ms, count = _HEADER.unpack_from(view)
    payload = _PLAIN[codec_of(view)](view[HEADER_BYTES:])
    clock = log_ms if timestamp_type_of(view) else None
    is_dense = count == last_delta + 1
    offsets, timestamps, keys, values, headers, facts, times = decode(
        payload, max(0, count), base, first_ms, clock, is_dense
    )
    bounds = None if times is None else TimeBounds(*times)
    return Columns(offsets, timestamps, keys, values, headers, ValueFacts(*facts), bounds)


def columns_by_record(raw: Any, view: memoryview) -> Columns:
    """The same, record by record."""
    base, last_delta, _, _, count = (0, 0, 0, 0, 0) if is_old(view) else _HEADER.unpack_from(view)
    if is_old(view) or count != last_delta + 1:
        return _sparse_by_record(raw)
    timestamps: list[int] = []
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    headers: list[Headers] = []
    timed, keyed, valued, headed = timestamps.append, keys.append, values.append, headers.append
    record = None
    # Each record is let go of at once: a list of them costs a third of the speed.
    for record in raw:
        timed(record.timestamp)
        keyed(record.key)
        valued(record.value)
        headed(record.headers or ())
    offsets = _dense(base, count, None if record is None else record.offset)
    found = headers if any(headers) else None
    times = bounds_of(timestamps) if timestamps else None
    return Columns(offsets, timestamps, keys, values, found, facts_of(values), times)


def _dense(base: int, count: int, last: int | None) -> Sequence[int]:
    """As many records as offsets: nothing was compacted away, so that the offsets are known."""
    offsets = range(base, base + count)
    if last is not None and last != offsets[-1]:
        raise CorruptRecordException(f"offset {last} where {offsets[-1]} is due")
    return offsets


def _sparse_by_record(raw: Any) -> Columns:
    """Of a compacted batch, or of an old format, which also has records without a timestamp."""
    records = list(raw)
    headers = [record.headers or () for record in records]
    values = [record.value for record in records]
    times = [NO_TIMESTAMP if record.timestamp is None else record.timestamp for record in records]
    return Columns(
        [record.offset for record in records],
        times,
        [record.key for record in records],
        values,
        headers if any(headers) else None,
        facts_of(values),
        bounds_of(times) if times else None,
    )
