"""Rows of avro and parquet: by `format.columns`, or by the schema that came with each value.

Rows of one schema go to one segment: `tags` tells them apart within an S3 partition, so alternating
schemas make two objects of a cut and never a broken file.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from spoolsink.errors import FormatError
from spoolsink.formats.avro_rows import NULL_SCHEMA, DatumWriter, schema_of_columns
from spoolsink.formats.columns import SCHEMAS, ColumnReader, Fields
from spoolsink.formats.line_rows import Rows
from spoolsink.layout_template import WHOLE
from spoolsink.records import NO_TIMESTAMP, Batch, TimestampType

_NULL_TAG = "null"
_COLUMNS_TAG = ""
_WRITERS = 1_000
"""Schemas in use at a time; the next one costs the oldest its compiled form."""

_TIMESTAMP_TYPES = {TimestampType.CREATE: "create", TimestampType.LOG_APPEND: "log_append"}
_KEY_TYPES = {"bytes": "bytes", "string": "string"}


class SchemaRows:
    """One configuration's rows; `check` refuses schemas that the container cannot hold."""

    def __init__(
        self,
        *,
        columns: ColumnReader | None,
        check: Callable[[str], object],
        full_key: str | None,
    ) -> None:
        self._columns = columns
        self._check = check
        self._full_key = full_key
        self._writers: OrderedDict[str, tuple[DatumWriter, str] | FormatError] = OrderedDict()
        if columns is not None:
            self._writer(_COLUMNS_TAG, schema_of_columns(columns.columns))

    def rows(self, batch: Batch, keys: Fields, values: Fields) -> Rows:
        """Values as datums of their schemas."""
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
        if self._columns is not None:
            return [_COLUMNS_TAG] * count
        schemas = values.get(SCHEMAS) or [None] * count
        return [getattr(schema, "fingerprint", _NULL_TAG) for schema in schemas]

    def schema_text(self, tag: str) -> str:
        """The schema of rows with this tag, made lately by `rows`."""
        found = self._writers[tag]
        assert not isinstance(found, FormatError)
        return found[1]

    def _trees(self, batch: Batch, keys: Fields, values: Fields) -> Sequence[object]:
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
            self._check(whole)
            return DatumWriter(whole), whole
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
            "timestamp": None if timestamp == NO_TIMESTAMP else timestamp,
            "timestamp_type": _TIMESTAMP_TYPES[batch.timestamp_type],
            "key": keys[WHOLE][index],
            "headers": [{"key": k, "value": v} for k, v in batch.headers_at(index)],
            "value": None if is_tombstone else tree,
            "tombstone": is_tombstone,
        }


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
        {"name": "value", "type": kind if _takes_null(kind) else ["null", kind]},
        {"name": "tombstone", "type": "boolean"},
    ]
    return json.dumps({"type": "record", "name": "SpoolsinkRecord", "fields": fields})


def _takes_null(kind: object) -> bool:
    return kind == "null" or isinstance(kind, list)
