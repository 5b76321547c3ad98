"""What stands in the objects of a campaign, said anew from the contract and read by other means.

Every row is a line of canonical JSON here, whatever its format, so that the oracle can compare.
"""

import csv
import gzip
import io
import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import fastavro
import pyarrow.parquet
from backports import zstd

from tests.integration.oracle import full_row, json_row

Row = Callable[[Any], bytes | None]
Read = Callable[[bytes], bytes]


class Content(NamedTuple):
    """Sections of the configuration, and what the oracle is to expect of a good record."""

    name: str
    format: dict[str, Any]
    form: str
    row: Row
    read: Read
    extension: str


_WHOLE: dict[str, tuple[Read, str]] = {
    "none": (bytes, ""),
    "gzip": (gzip.decompress, ".gz"),
    "zstd": (zstd.decompress, ".zst"),
}


def canonical(fields: Any) -> bytes:
    """One line."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n"


# -- JSON lines ------------------------------------------------------------------------------------


def json_lines(rng: random.Random, *, may_be_full: bool) -> Content:
    """The producer's bytes, or the full form."""
    compression = rng.choice(["none", "none", "gzip", "zstd"])
    unpack, ending = _WHOLE[compression]
    found = {"type": "jsonl", "compression": compression}
    if not may_be_full or rng.random() < 0.7:
        return Content("jsonl", found, "value", json_row, unpack, f".json{ending}")

    def read(body: bytes) -> bytes:
        return b"".join(canonical(json.loads(row)) for row in unpack(body).splitlines())

    return Content(
        "full jsonl", found, "full", lambda r: canonical(full_row(r)), read, f".json{ending}"
    )


# -- columns ---------------------------------------------------------------------------------------

_COLUMNS: dict[str, tuple[str, str, Callable[[dict[str, Any], Any], Any]]] = {
    "n": ("long", "value.n", lambda value, _: value["n"]),
    "user": ("int", "value.user.id", lambda value, _: value["user"]["id"]),
    "country": ("string", "value.user.country", lambda value, _: value["user"]["country"]),
    "item": ("string", "value.items.1.id", lambda value, _: value["items"][1]["id"]),
    "price": ("double", "value.price", lambda value, _: float(value["price"])),
    "pad": ("string", "value.pad", lambda value, _: value["pad"]),
    "absent": ("string", "value.absent", lambda *_: None),
    "kind": ("string", "header.kind", lambda _, record: _last(record.headers)),
    "key": ("string", "key", lambda _, r: None if r.key is None else r.key.decode()),
    "at_offset": ("long", "offset", lambda _, record: record.offset),
}
_OF_VALUES = {name for name, (_, path, _) in _COLUMNS.items() if path.startswith("value.")}
COLUMNS = [{"name": n, "type": kind, "path": path} for n, (kind, path, _) in _COLUMNS.items()]


def _last(headers: Any) -> str | None:
    found = [data.decode() for key, data in headers if key == "kind"]
    return found[-1] if found else None


def _cells(record: Any) -> dict[str, Any]:
    if record.value is None:
        return {n: None if n in _OF_VALUES else of({}, record) for n, (*_, of) in _COLUMNS.items()}
    value = json.loads(record.value)
    return {name: of(value, record) for name, (*_, of) in _COLUMNS.items()}


def _container(kind: str, compressions: list[str]) -> Callable[[random.Random], Content]:
    def make(rng: random.Random) -> Content:
        found = {"type": kind, "compression": rng.choice(compressions), "columns": COLUMNS}

        def read(body: bytes) -> bytes:
            return b"".join(map(canonical, _READERS[kind](io.BytesIO(body))))

        return Content(kind, found, "value", lambda r: canonical(_cells(r)), read, f".{kind}")

    return make


def _avro_rows(file: io.BytesIO) -> Iterator[Any]:
    yield from fastavro.reader(file)


def _parquet_rows(file: io.BytesIO) -> Iterator[Any]:
    yield from pyarrow.parquet.read_table(file).to_pylist()


_READERS: dict[str, Callable[[io.BytesIO], Iterator[Any]]] = {
    "avro": _avro_rows,
    "parquet": _parquet_rows,
}


def _csv(rng: random.Random) -> Content:
    """Null and an empty text are one here: Python's reader tells no difference."""
    compression, has_header = rng.choice(list(_WHOLE)), rng.random() < 0.5
    unpack, ending = _WHOLE[compression]

    def row(record: Any) -> bytes:
        return b"" if record.value is None else canonical(_texts(_cells(record)))

    def read(body: bytes) -> bytes:
        rows = list(csv.reader(io.StringIO(unpack(body).decode(), newline="")))
        if has_header:
            assert rows.pop(0) == list(_COLUMNS)
        return b"".join(
            canonical(_texts(dict(zip(_COLUMNS, cells, strict=True)))) for cells in rows
        )

    found = {
        "type": "csv",
        "compression": compression,
        "columns": COLUMNS,
        "header": has_header,
    }
    return Content("csv", found, "value", row, read, f".csv{ending}")


def _texts(cells: dict[str, Any]) -> dict[str, str]:
    """As a reader sees them; of a price the number."""
    found = {name: "" if cell is None else str(cell) for name, cell in cells.items()}
    return found | {"price": found["price"] and str(float(found["price"]))}


CONTENTS: dict[str, Callable[[random.Random], Content]] = {
    "jsonl": lambda rng: json_lines(rng, may_be_full=True),
    "csv": _csv,
    "avro": _container("avro", ["none", "deflate", "snappy", "zstd"]),
    "parquet": _container("parquet", ["none", "snappy", "gzip", "zstd"]),
}


# -- dead letters ----------------------------------------------------------------------------------


def letter_row(record: Any) -> bytes:
    """Of a bad record, under a prefix."""
    error = {"stage": "convert", "class": "ConversionError"}
    return canonical(full_row(record, is_parsed=False) | {"error": error})


def read_letters(body: bytes) -> bytes:
    """Without the words of the error, which are for people."""
    rows = [json.loads(line) for line in body.splitlines()]
    for row in rows:
        assert row["error"].pop("message"), row
    return b"".join(map(canonical, rows))
