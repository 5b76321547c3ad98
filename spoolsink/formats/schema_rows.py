"""Rows of avro and parquet: by `format.columns`, or by the schema that came with each value.

Rows of one schema go to one segment: `tags` tells them apart within an S3 partition, so alternating
schemas make two objects of a cut and never a broken file.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from spoolsink.errors import FormatError
from spoolsink.formats.avro_rows import NULL_SCHEMA, DatumWriter, schema_of_columns
from spoolsink.formats.column_rows import ColumnRows
from spoolsink.formats.columns import SCHEMAS, ColumnReader, Fields
from spoolsink.formats.line_rows import Rows
from spoolsink.layout_template import WHOLE
from spoolsink.records import NO_TIMESTAMP, Batch, TimestampType

_NULL_TAG = "null"
_COLUMNS_TAG = ""
_WRITERS = 1_000
"""Schemas in use at a time; the next one costs the oldest its compiled form."""

_TIMESTAMP_TYPES = {TimestampType.CREATE: "create", TimestampType.LOG_APPEND: "log_append"}
_YEAR_1_MS, _YEAR_10000_MS = -62_135_596_800_000, 253_402_300_800_000
_KEY_TYPES = {"bytes": "bytes", "string": "string", "json": "string"}
"""Of keys as they came, documents as their text; others are written as JSON."""

_WHOLE_SCHEMAS = {"bytes": '"bytes"', "string": '"string"', "json": '"string"'}


class SchemaRows:
    """One configuration's rows.

    `make_writer` gives the writer of a schema's rows and the schema as the container has it; it
    raises FormatError for schemas that the container cannot hold.
    """

    def __init__(
        self,
        *,
        columns: ColumnReader | None,
        make_writer: Callable[[str], tuple[DatumWriter, str]],
        full_key: str | None,
        whole: str | None = None,
    ) -> None:
        """`whole`: the full form holds values as they came, of this converter."""
        self._whole = whole
        self._columns = columns
        self._column_rows = None if columns is None or full_key else ColumnRows(columns)
        self._make_writer = make_writer
        self._full_key = full_key
        self._writers: OrderedDict[str, tuple[DatumWriter, str] | FormatError] = OrderedDict()
        if columns is not None:
            self._writer(_COLUMNS_TAG, schema_of_columns(columns.columns))
        elif whole is not None:
            self._writer(_COLUMNS_TAG, _WHOLE_SCHEMAS[whole])

    def rows(self, batch: Batch, keys: Fields, values: Fields) -> Rows:
        """Values as datums of their schemas."""
        if self._column_rows is not None:
            return self._column_rows.rows(batch, keys, values)
        trees = self._trees(batch, keys, values)
        tags = self.tags(values, len(batch))
        schemas = values.get(SCHEMAS)
        found: Rows = []
        for index, tree in enumerate(trees):
            text = getattr(schemas[index], "text", None) if schemas is not None else None
            found.append(self._row(batch, keys, index, tree, (tags[index], text)))
        return found

    def tags(self, values: Fields, count: int) -> Sequence[str]:
        """What tells the schemas of an S3 partition apart, for each record."""
        if self._columns is not None or self._whole is not None:
            return [_COLUMNS_TAG] * count
        schemas = values.get(SCHEMAS) or [None] * count
        return [getattr(schema, "fingerprint", _NULL_TAG) for schema in schemas]

    def schema_text(self, tag: str) -> str:
        """The schema of rows with this tag, made lately by `rows`."""
        found = self._writers[tag]
        assert not isinstance(found, FormatError)
        return found[1]

    def _trees(self, batch: Batch, keys: Fields, values: Fields) -> Sequence[object]:
        if self._whole is not None:
            return [_as_it_came(value, self._whole) for value in batch.values]
        if self._columns is None:
            return values[WHOLE]
        names = [column.name for column in self._columns.columns]
        return [
            row if isinstance(row, FormatError) else dict(zip(names, row, strict=True))
            for row in self._columns.rows(batch, keys, values)
        ]

    def _row(
        self, batch: Batch, keys: Fields, index: int, tree: object, tagged: tuple[str, str | None]
    ) -> bytes | FormatError:
        tag, text = tagged
        if isinstance(tree, FormatError):
            return tree
        if tag == _NULL_TAG and batch.values[index] is not None:
            return FormatError("the value came without a schema: set format.columns")
        try:
            writer = self._writer(tag, NULL_SCHEMA if text is None else text)
            if self._full_key is not None:
                return writer.row(self._envelope(batch, keys, index, tree))
            return writer.row(tree)
        except FormatError as error:
            return error

    def _writer(self, tag: str, text: str) -> DatumWriter:
        found = self._writers.get(tag)
        if found is None:
            found = self._writers[tag] = self._made(text)
            if len(self._writers) > _WRITERS:
                self._writers.popitem(last=False)
        else:
            self._writers.move_to_end(tag)
        if isinstance(found, FormatError):
            raise FormatError(found.message)
        return found[0]

    def _made(self, text: str) -> tuple[DatumWriter, str] | FormatError:
        try:
            whole = text if self._full_key is None else envelope_schema(text, self._full_key)
            return self._make_writer(whole)
        except FormatError as error:
            return error

    def _envelope(
        self, batch: Batch, keys: Fields, index: int, tree: object
    ) -> Mapping[str, object]:
        timestamp = batch.timestamps[index]
        is_tombstone = batch.values[index] is None
        return {
            "topic": batch.tp.topic,
            "partition": batch.tp.partition,
            "offset": batch.offsets[index],
            "timestamp": None if timestamp == NO_TIMESTAMP else _readable(timestamp),
            "timestamp_type": _TIMESTAMP_TYPES[batch.timestamp_type],
            "key": self._key(batch, keys, index),
            "headers": [{"key": k, "value": v} for k, v in batch.headers_at(index)],
            "value": None if is_tombstone else tree,
            "tombstone": is_tombstone,
        }

    def _key(self, batch: Batch, keys: Fields, index: int) -> object:
        if self._full_key == "json":
            return _as_it_came(batch.keys[index], "json")
        return keys[WHOLE][index]


def _as_it_came(data: bytes | None, kind: str) -> bytes | str | None:
    """Checked before: text is UTF-8."""
    return data if data is None or kind == "bytes" else data.decode()


def envelope_schema(value: str, key: str) -> str:
    """Of the full form around a value's schema; `key` is the key converter's name."""
    json_key = {"type": "string", "logicalType": "json"}
    kind = json.loads(value)
    header = {
        "type": "record",
        "name": "SpoolsinkHeader",
        "fields": [
            {"name": "key", "type": "string"},
            {"name": "value", "type": ["null", "bytes"]},
        ],
    }
    instant = {"type": "long", "logicalType": "timestamp-millis"}
    fields: list[dict[str, object]] = [
        {"name": "topic", "type": "string"},
        {"name": "partition", "type": "int"},
        {"name": "offset", "type": "long"},
        {
            "name": "timestamp",
            "type": ["null", instant],
        },
        {"name": "timestamp_type", "type": "string"},
        {"name": "key", "type": ["null", _KEY_TYPES.get(key, json_key)]},
        {"name": "headers", "type": {"type": "array", "items": header}},
        {"name": "value", "type": _nullable(kind)},
        {"name": "tombstone", "type": "boolean"},
    ]
    return json.dumps({"type": "record", "name": "SpoolsinkRecord", "fields": fields})


def _nullable(kind: object) -> object:
    branches = kind if isinstance(kind, list) else [kind]
    return kind if "null" in branches else ["null", *branches]


def _readable(timestamp_ms: int) -> int:
    """Readers of the file give up as a whole at a time that they cannot say."""
    if not _YEAR_1_MS <= timestamp_ms < _YEAR_10000_MS:
        raise FormatError(f"the timestamp {timestamp_ms} ms is outside years 1 to 9999")
    return timestamp_ms
