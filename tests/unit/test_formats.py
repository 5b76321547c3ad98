"""Rows of each format, the full form, and codecs of whole objects."""

import gzip
import json
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from spoolsink.errors import FormatError
from spoolsink.formats import make_format
from spoolsink.formats.compression import make_compressor
from spoolsink.formats.json_text import encode
from spoolsink.layout_template import WHOLE
from spoolsink.records import Batch, Headers, TimestampType, TopicPartition
from spoolsink.restore.record import parse_line, unpacker


def batch_of(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None = None,
    headers: Sequence[Headers] | None = None,
) -> Batch:
    count = len(values)
    return Batch(
        TopicPartition("orders", 3), 7, 7 + count, range(7, 7 + count), [1_000] * count,
        TimestampType.CREATE, keys or [None] * count, values, headers,
    )  # fmt: skip


def body(rows: Sequence[object]) -> bytes:
    assert not any(isinstance(row, FormatError) for row in rows)
    return b"".join(row for row in rows if isinstance(row, bytes))


def test_jsonl_keeps_the_producers_bytes() -> None:
    values = [b'{"b": 1.0,"a":[ ]}', None, b'{"x":\n"y"}']
    assert body(make_format("jsonl", value="json").rows(batch_of(values), {}, {})) == (
        b'{"b": 1.0,"a":[ ]}\nnull\n{"x": "y"}\n'
    )


def test_jsonl_of_other_values() -> None:
    values = [
        "a\n\u00e9",
        b"\xff",
        Decimal("1.10"),
        date(2026, 1, 31),
        {"n": None, "t": True},
        2**70,
    ]
    rows = make_format("jsonl", value="string").rows(batch_of([b"x"] * 6), {}, {WHOLE: values})
    assert body(rows).decode().splitlines() == [
        '"a\\n\u00e9"', '{"base64": "/w=="}', "1.10", '"2026-01-31"', '{"n": null, "t": true}',
        "1180591620717411303424",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("NaN"), object(), "\ud800", {1, 2}]
)
def test_what_json_cannot_say_is_an_error_of_its_record_alone(value: object) -> None:
    rows = make_format("jsonl", value="a:B").rows(batch_of([b"x"] * 3), {}, {WHOLE: [1, value, 2]})
    assert isinstance(rows[1], FormatError)
    assert [rows[0], rows[2]] == [b"1\n", b"2\n"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")), st.lists
    )
)
def test_plain_data_reads_back(value: object) -> None:
    text = encode(value)
    assert b"\n" not in text
    assert json.loads(text) == value


def test_a_text_that_looks_like_our_mark_for_decimals_stays_a_text() -> None:
    text = "0123456789abcdef:1"
    assert encode([Decimal("1.0"), text]) == b'[1.0, "0123456789abcdef:1"]'


def test_text_and_bytes_write_values_as_they_came_and_nothing_for_null() -> None:
    values = [b"a", None, b"b\xff"]
    assert body(make_format("text", value="bytes").rows(batch_of(values), {}, {})) == b"a\nb\xff\n"
    split = make_format("bytes", value="bytes", separator=b"|")
    assert body(split.rows(batch_of(values), {}, {})) == b"a|b\xff|"
    joined = make_format("bytes", value="bytes", separator=b"")
    assert body(joined.rows(batch_of(values), {}, {})) == b"ab\xff"


def test_the_full_form_tells_everything_in_order() -> None:
    full = make_format("jsonl", value="json", key="string", form="full")
    batch = batch_of(
        [b'{"v": 1}', None], [b"k", None], [[("h", b"x"), ("h", None), ("b", b"\xff")], []]
    )
    first, second = body(full.rows(batch, {WHOLE: ["k", None]}, {})).splitlines()
    assert first == (
        b'{"topic":"orders","partition":3,"offset":7,"timestamp":1000,"timestamp_type":"create",'
        b'"key":"k","headers":[{"key": "h", "value": "x"}, {"key": "h", "value": null}, '
        b'{"key": "b", "value": {"base64": "/w=="}}],"value":{"v": 1}}'
    )
    assert json.loads(second) == {
        "topic": "orders", "partition": 3, "offset": 8, "timestamp": 1000,
        "timestamp_type": "create",
        "key": None, "headers": [], "value": None, "tombstone": True,
    }  # fmt: skip


def test_the_full_form_of_bytes_is_base64() -> None:
    full = make_format("jsonl", value="bytes", key="bytes", form="full")
    row = json.loads(body(full.rows(batch_of([b"v"], [b"k"]), {WHOLE: [b"k"]}, {WHOLE: [b"v"]})))
    assert (row["key"], row["value"]) == ({"base64": "aw=="}, {"base64": "dg=="})


@pytest.mark.parametrize(
    ("kind", "compression", "extension", "content_type"),
    [
        ("jsonl", "none", ".json", "application/x-ndjson"),
        ("jsonl", "gzip", ".json.gz", "application/gzip"),
        ("text", "zstd", ".txt.zst", "application/zstd"),
        ("bytes", "none", ".bin", "application/octet-stream"),
        ("csv", "gzip", ".csv.gz", "application/gzip"),
        ("csv", "none", ".csv", "text/csv"),
        ("avro", "snappy", ".avro", "application/avro"),
        ("parquet", "zstd", ".parquet", "application/vnd.apache.parquet"),
    ],
)
def test_extensions_and_content_types(
    kind: str, compression: str, extension: str, content_type: str
) -> None:
    form = make_format(kind, value="bytes", compression=compression)
    assert (form.extension, form.content_type) == (extension, content_type)
    assert make_format(kind, value="bytes", extension=".x").extension == ".x"


@given(st.lists(st.binary(max_size=200), max_size=20), st.sampled_from(["none", "gzip", "zstd"]))
def test_a_compressed_body_reads_back_with_other_tools(
    chunks: list[bytes], compression: str
) -> None:
    compressor = make_compressor(compression)
    packed = b"".join([*map(compressor.compress, chunks), compressor.flush()])
    tools: dict[str, Callable[[bytes], bytes]] = {
        "none": bytes,
        "gzip": gzip.decompress,
        "zstd": _unzstd,
    }
    assert tools[compression](packed) == b"".join(chunks)


def _unzstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def test_gzip_bodies_do_not_carry_the_time() -> None:
    compressor = make_compressor("gzip", 9)
    packed = compressor.compress(b"x") + compressor.flush()
    assert packed[4:8] == b"\0\0\0\0"


@pytest.mark.parametrize("key", [b"null", b" null", b"null ", None, b'"null"', b"1"])
def test_a_key_that_is_the_document_null_is_told_from_no_key(key: bytes | None) -> None:
    full = make_format("jsonl", value="json", key="json", form="full")
    [row] = full.rows(batch_of([b"{}"], [key]), {}, {})
    assert isinstance(row, bytes)
    as_it_was = unpacker("json")
    found = parse_line(row.rstrip(b"\n"), as_it_was, as_it_was).key
    assert (found if found is None else found.strip()) == (key if key is None else key.strip())
