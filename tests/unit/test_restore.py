"""What a restore reads, and in which order."""

import gzip
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from spoolsink.audit.places import Stored
from spoolsink.errors import BackupError, RetryableStoreError
from spoolsink.formats import make_format
from spoolsink.formats.schema_rows import envelope_schema
from spoolsink.layout_template import WHOLE
from spoolsink.records import NO_TIMESTAMP, Headers, TimestampType
from spoolsink.restore.containers import avro_records, parquet_records
from spoolsink.restore.merge import in_order
from spoolsink.restore.objects import make_decoder, records_of
from spoolsink.restore.record import Restored, parse_line, unpacker
from tests.unit.builders import TP, batch_of, config_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
HEADERS = st.lists(st.tuples(TEXT, st.none() | st.binary(max_size=8)), max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.just({"base64": "eA=="}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
LINE = (
    b'{"topic":"t","partition":0,"offset":1,"timestamp":2,"timestamp_type":"create",'
    b'"key":null,"headers":[],"value":"x"}'
)
FULL: dict[str, Any] = {"records": {"form": "full", "value": "string"}}


def record(offset: int, value: bytes | None = b"v") -> Restored:
    return Restored(offset, 1000 + offset, False, b"k", [("h", b"\x00\xff"), ("n", None)], value)


# -- the full form ---------------------------------------------------------------------------------


@given(st.none() | st.binary(), st.none() | st.binary(), HEADERS)
def test_lines_of_bytes_are_read_back_as_they_were(
    key: bytes | None, value: bytes | None, headers: Headers
) -> None:
    assert _round_trip("bytes", (key, key), (value, value), headers) == (key, value, headers)


@given(st.none() | TEXT, st.none() | TEXT, HEADERS)
def test_lines_of_texts_are_read_back_as_they_were(
    key: str | None, value: str | None, headers: Headers
) -> None:
    raw = [None if text is None else text.encode() for text in (key, value)]
    found = _round_trip("string", (raw[0], key), (raw[1], value), headers)
    assert found == (*raw, headers)


@given(JSON, JSON, st.sampled_from([(",", ":"), (" , ", "\t: ")]), HEADERS)
def test_lines_of_documents_are_read_back_but_for_white_space(
    key: object, value: object, separators: tuple[str, str], headers: Headers
) -> None:
    def text(tree: object) -> bytes:
        told = json.dumps(tree, separators=separators, ensure_ascii=len(headers) > 1)
        return f" {told} ".encode()

    found = _round_trip("json", (text(key), key), (text(value), value), headers)
    assert found == (text(key).rstrip(), text(value), headers)


@pytest.mark.parametrize(
    "document",
    [b"1.50", b"12345678901234567890123.0", b'{"a":1,"a":2}', b'"\\ud800"', b"1e999", b"null"],
)
def test_the_producer_s_spelling_of_a_document_is_kept(document: bytes) -> None:
    assert _round_trip("json", (b"1", 1), (document, None), [])[1] == document


def _round_trip(
    kind: str,
    key: tuple[bytes | None, object],
    value: tuple[bytes | None, object],
    headers: Headers,
) -> tuple[bytes | None, bytes | None, Headers]:
    form = make_format("jsonl", value=kind, key=kind, form="full")
    batch = batch_of([value[0]], 7, keys=[key[0]], headers=[headers], times=[NO_TIMESTAMP])
    batch = replace(batch, timestamp_type=TimestampType.LOG_APPEND)
    [row] = form.rows(batch, {WHOLE: [key[1]]}, {WHOLE: [value[1]]})
    assert isinstance(row, bytes)
    found = parse_line(row.removesuffix(b"\n"), unpacker(kind), unpacker(kind))
    assert (found.offset, found.timestamp, found.is_log_append) == (7, NO_TIMESTAMP, True)
    return found.key, found.value, found.headers


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b'{"a": 1}',
        b'{"topic":"t","partition":0,"offset":1,"timestamp":2}',
        LINE.replace(b'"offset":1', b'"offset":1.5'),
        LINE.replace(b'"x"', b'{"base64": "eA=="}'),
        LINE.replace(b'"headers":[]', b'"headers":[7]'),
        LINE[:-20],
        b"\xff",
    ],
)
def test_what_is_no_line_of_the_full_form_is_refused(line: bytes) -> None:
    with pytest.raises(BackupError, match="no line of the full form"):
        parse_line(line, unpacker("string"), unpacker("string"))


# -- objects ---------------------------------------------------------------------------------------


class Body:
    """One object, in small pieces; breaks off as often as it is told."""

    def __init__(self, body: bytes, breaks: int = 0) -> None:
        self._body = body
        self._breaks = breaks

    async def body(self, key: str) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), 7):
            yield self._body[at : at + 7]
            if self._breaks:
                self._breaks -= 1
                raise RetryableStoreError("GetObject", "Reset", "broke off", "b", key)


async def read(body: bytes, breaks: int = 0, **form: str) -> list[Restored]:
    decode = make_decoder(config_of(**FULL, format=form))
    found = records_of(Body(body, breaks), "k", decode)
    return [record async for piece in found for record in piece]


def lines(count: int) -> bytes:
    form = make_format("jsonl", value="string", key="string", form="full")
    texts = [f"value {n}\n" * 50 for n in range(count)]
    batch = batch_of([text.encode() for text in texts])
    rows = form.rows(batch, {WHOLE: [None] * count}, {WHOLE: texts})
    return b"".join(row for row in rows if isinstance(row, bytes))


async def test_every_codec_is_read_and_a_body_that_breaks_off_is_fetched_anew() -> None:
    plain = lines(1300)
    expected = [f"value {n}\n".encode() * 50 for n in range(1300)]
    packed = {
        "none": plain,
        "gzip": gzip.compress(plain),
        "zstd": zstandard.ZstdCompressor().compress(plain),
    }
    for compression, body in packed.items():
        found = await read(body, breaks=1, compression=compression)
        assert [r.value for r in found] == expected
        assert [r.offset for r in found] == list(range(1300))


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_half_an_object_is_refused(compression: str) -> None:
    body = lines(9) if compression == "none" else gzip.compress(lines(9))
    with pytest.raises(BackupError, match=r"s3 key k: .*end"):
        await read(body[:-20], compression=compression)
    with pytest.raises(BackupError):
        await read(b"x" * 40, compression=compression)


async def test_offsets_that_do_not_grow_are_refused() -> None:
    with pytest.raises(BackupError, match="offset 0 is behind 2"):
        await read(lines(3) + lines(1))


ROWS: list[tuple[Any, ...]] = [
    (7, 1_625_392_800_001, "create", b"k", [("h", b"\xff"), ("h", None)], b"v"),
    (9, None, "log_append", None, [], None),
    (10, 300_000_000_000_000, "create", b"", [], b""),
]


def _row(row: tuple[Any, ...]) -> dict[str, object]:
    offset, time, kind, key, headers, value = row
    told = [{"key": name, "value": data} for name, data in headers]
    return {
        "topic": "t",
        "partition": 0,
        "offset": offset,
        "timestamp": time,
        "timestamp_type": kind,
        "key": key,
        "headers": told,
        "value": value,
        "tombstone": value is None,
    }


def _expected() -> list[Restored]:
    return [
        Restored(offset, NO_TIMESTAMP if time is None else time, kind != "create", *rest)
        for offset, time, kind, *rest in ROWS
    ]


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard"])
def test_avro_containers_are_read_whatever_their_codec(codec: str) -> None:
    schema = fastavro.parse_schema(json.loads(envelope_schema('"bytes"', "bytes")))
    file = BytesIO()
    fastavro.writer(file, schema, map(_row, ROWS), codec=codec, sync_interval=1)
    file.seek(0)
    assert list(avro_records(file)) == _expected()
    with pytest.raises(BackupError, match="not whole"):
        list(avro_records(BytesIO(file.getvalue()[:-3])))
    with pytest.raises(BackupError, match="no Avro"):
        list(avro_records(BytesIO(b"nonsense")))


@pytest.mark.parametrize("time", [pa.int64(), pa.timestamp("ms", "UTC"), pa.timestamp("us", "UTC")])
def test_parquet_files_are_read_whatever_the_unit_of_their_times(time: pa.DataType) -> None:
    header = pa.struct([pa.field("key", pa.string()), pa.field("value", pa.binary())])
    columns = [
        ("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()),
        ("timestamp", time), ("timestamp_type", pa.string()), ("key", pa.binary()),
        ("headers", pa.list_(header)), ("value", pa.binary()), ("tombstone", pa.bool_()),
    ]  # fmt: skip
    per_ms = 1_000 if getattr(time, "unit", "ms") == "us" else 1
    rows = [_row(row) for row in ROWS]
    for row in rows:
        row["timestamp"] = None if row["timestamp"] is None else row["timestamp"] * per_ms  # type: ignore[operator]
    arrays = [
        pa.array([row[name] for row in rows], pa.int64()).cast(kind)
        if name == "timestamp"
        else pa.array([row[name] for row in rows], kind)
        for name, kind in columns
    ]
    file = BytesIO()
    pq.write_table(pa.table(arrays, schema=pa.schema(columns)), file)
    assert list(parquet_records(file)) == _expected()
    with pytest.raises(BackupError, match="no Parquet"):
        list(parquet_records(BytesIO(b"nonsense")))


def test_values_that_are_not_whole_are_refused() -> None:
    schema = fastavro.parse_schema(json.loads(envelope_schema('"int"', "bytes")))
    file = BytesIO()
    fastavro.writer(file, schema, [_row((7, 1, "create", b"k", [], 5))])
    file.seek(0)
    with pytest.raises(BackupError, match="not whole"):
        list(avro_records(file))


# -- order -----------------------------------------------------------------------------------------


async def merged(*objects: Sequence[int]) -> tuple[list[int], list[str]]:
    """The offsets as they come, and which objects were opened in which order."""
    opened: list[str] = []
    stored = [
        Stored(str(n), TP, f"d{n}", found[0], found[-1], len(found), 0, None, None, "")
        for n, found in enumerate(objects)
    ]

    async def open_(found: Stored) -> AsyncIterator[list[Restored]]:
        opened.append(found.key)
        offsets = objects[int(found.key)]
        for at in range(0, len(offsets), 2):
            yield [record(offset) for offset in offsets[at : at + 2]]

    ordered = sorted(stored, key=lambda o: o.first)
    found = [r async for piece in in_order(ordered, open_) for r in piece]
    assert found == [record(r.offset) for r in found]
    return [r.offset for r in found], opened


async def test_interleaved_objects_come_in_the_order_of_offsets() -> None:
    offsets, opened = await merged([0, 1, 2], [3, 6, 9], [4, 5], [7, 8, 12], [20, 21])
    assert offsets == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 20, 21]
    assert opened == ["0", "1", "2", "3", "4"]


async def test_a_record_in_two_objects_comes_once() -> None:
    assert (await merged([0, 1, 2, 3], [2, 3, 4], [2, 3, 4]))[0] == [0, 1, 2, 3, 4]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_any_split_into_s3_partitions_is_put_together_again(places: list[int]) -> None:
    objects = [[n for n, p in enumerate(places) if p == place] for place in set(places)]
    # A coroutine that waits for nothing is driven by hand.
    with pytest.raises(StopIteration) as done:
        merged(*objects).send(None)
    assert done.value.value[0] == list(range(len(places)))
