"""Typed columns: what fits goes in whole, what does not is that record's error."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from spoolsink.errors import FormatError
from spoolsink.formats.columns import ColumnReader, fitting, make_column
from spoolsink.formats.csv_text import csv_row
from spoolsink.records import Batch, TimestampType, TopicPartition

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

FITS = [
    ("string", "abc", "abc"),
    ("int", 2**31 - 1, 2**31 - 1),
    ("int", 3.0, 3),
    ("long", -(2**63), -(2**63)),
    ("double", 3, 3.0),
    ("float", 0.5, 0.5),
    ("boolean", False, False),
    ("bytes", b"\xff", b"\xff"),
    ("date", "2026-01-31", date(2026, 1, 31)),
    ("date", date(2026, 1, 31), date(2026, 1, 31)),
    ("timestamp", "2026-01-31T12:00:00Z", NOON),
    ("timestamp", "2026-01-31T12:00:00", NOON),
    ("timestamp", 1769860800000, NOON),
    ("decimal(5,2)", 12.3, Decimal("12.30")),
    ("decimal(5,2)", "999.99", Decimal("999.99")),
    ("decimal(5,2)", 0, Decimal("0.00")),
    ("decimal(38,10)", 10**27, Decimal("1000000000000000000000000000.0000000000")),
    ("timestamp", "2026-01-31T12:00:00z", NOON),
]

MISFITS = [
    ("string", 1),
    ("string", "\ud800"),
    ("int", 2**31),
    ("int", 1.5),
    ("int", True),
    ("long", "1"),
    ("double", "1"),
    ("double", Decimal("9" * 5_000)),  # what an integer of JSON may be
    ("long", Decimal("9" * 5_000)),
    ("boolean", 1),
    ("bytes", "text"),
    ("date", "yesterday"),
    ("date", NOON),
    ("timestamp", "noon"),
    ("timestamp", 1e300),
    ("decimal(5,2)", 1000),
    ("double", Decimal("1e400")),
    ("float", 1e300),
    ("long", Decimal("1e999999999")),
    ("timestamp", "2026-01-31T24:00:00"),
    ("timestamp", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
    ("decimal(5,2)", 0.001),
    ("decimal(5,2)", float("nan")),
    ("string", {"a": 1}),
]


@pytest.mark.parametrize(("kind", "found", "wanted"), FITS)
def test_what_fits_goes_in_whole(kind: str, found: object, wanted: object) -> None:
    fitted = fitting(kind)(found)
    assert fitted == wanted
    assert type(fitted) is type(wanted)


@pytest.mark.parametrize(("kind", "found"), MISFITS)
def test_what_does_not_fit_is_told_with_its_column(kind: str, found: object) -> None:
    reader = ColumnReader([make_column("c", kind, "value.a")])
    [row] = reader.rows(batch_of(1), {}, {("a",): [found]})
    assert isinstance(row, FormatError)
    assert row.message.startswith("column c: found ")
    assert row.message.endswith(f"allowed: {kind}")


@pytest.mark.parametrize(
    "kind", ["text", "decimal", "decimal(39,2)", "decimal(2,3)", "decimal(0,0)"]
)
def test_an_unknown_type_is_refused_with_what_is_allowed(kind: str) -> None:
    with pytest.raises(ValueError, match=r"allowed: string \| int"):
        make_column("c", kind, "value.a")


@pytest.mark.parametrize("path", ["", "value", "value.", "header.", "kay", "offset.a", "a.b"])
def test_an_unknown_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"path|allowed"):
        make_column("c", "string", path)


def test_columns_come_from_everywhere_in_a_record() -> None:
    specs = {
        "a": ("long", "value.n"),
        "k": ("string", "key"),
        "kf": ("string", "key.id"),
        "h": ("string", "header.x.y"),
        "t": ("string", "topic"),
        "p": ("int", "partition"),
        "o": ("long", "offset"),
        "ts": ("timestamp", "timestamp"),
    }
    reader = ColumnReader([make_column(name, *spec) for name, spec in specs.items()])
    assert reader.paths("value") == (("n",),)
    assert reader.paths("key") == ((), ("id",))
    batch = batch_of(2, headers=[[("x.y", b"1"), ("x.y", b"2")], []])
    keys = {(): ["k0", None], ("id",): [None, "i"]}
    rows = reader.rows(batch, keys, {("n",): [7, None]})
    assert rows == [
        [7, "k0", None, "2", "orders", 3, 0, datetime(1970, 1, 1, tzinfo=UTC)],
        [None, None, "i", None, "orders", 3, 1, None],
    ]


def test_csv_tells_null_from_an_empty_string_and_quotes_what_must_be() -> None:
    cells = [None, "", "plain", 'a "b", c', "two\nlines", True, 1, 1.5, Decimal("1E+2"), b"\x00"]
    assert csv_row([*cells, date(2026, 1, 31), NOON]) == (
        b',"",plain,"a ""b"", c","two\nlines",true,1,1.5,100,AA==,2026-01-31,'
        b"2026-01-31T12:00:00+00:00\n"
    )


def batch_of(count: int, headers: list[list[tuple[str, bytes | None]]] | None = None) -> Batch:
    return Batch(
        tp=TopicPartition("orders", 3),
        start=0,
        next_offset=count,
        offsets=range(count),
        timestamps=[0, -1][:count],
        timestamp_type=TimestampType.CREATE,
        keys=[None] * count,
        values=[b"{}"] * count,
        headers=headers,
    )
