"""Athena and Hive: `CREATE EXTERNAL TABLE`, with partition projection for Athena."""

import json
from collections.abc import Iterable, Iterator

from spoolsink.ddl.table import Table, Tree
from spoolsink.logs import printable

_TYPES = {
    "long": "bigint",
    "bytes": "binary",
    "headers": "array<struct<key:string,value:string>>",
    "binary headers": "array<struct<key:string,value:binary>>",
}
_TEXT_FORMATS = (
    "STORED AS INPUTFORMAT 'org.apache.hadoop.mapred.TextInputFormat'",
    "OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'",
)
_AVRO_TYPES = {
    "date": {"type": "int", "logicalType": "date"},
    "timestamp": {"type": "long", "logicalType": "timestamp-millis"},
}


def statement(table: Table) -> str:
    """One statement; Hive, which knows no projection, finds partitions by `MSCK REPAIR TABLE`."""
    path = table.path
    comments = [*_left_out(table), *table.comments]
    if table.kind == "jsonl":
        nested = [column for column in table.columns if len(column.path) > 1]
        comments += [f"{'.'.join(c.path).lower()} is the column {c.name}" for c in nested]
    if path.is_hive_style and path.columns:
        comments.append(f"Hive: MSCK REPAIR TABLE {table.name}; finds the partitions")
    lines = [f"-- {printable(comment)}" for comment in comments]
    lines.append(f"CREATE EXTERNAL TABLE IF NOT EXISTS `{table.name}` (")
    lines += _separated(f"  `{name}` {kind}" for name, kind in _columns(table))
    lines.append(")")
    if path.columns:
        kinds = ((c.name, _path_type(c.projection)) for c in path.columns)
        lines.append("PARTITIONED BY (")
        lines += _separated(f"  `{name}` {kind}" for name, kind in kinds)
        lines.append(")")
    lines += _storage(table)
    lines.append(f"LOCATION {_quoted(table.location)}")
    properties = list(_properties(table))
    if properties:
        lines.append("TBLPROPERTIES (")
        lines += _separated(f"  {_quoted(key)} = {_quoted(value)}" for key, value in properties)
        lines.append(")")
    return "\n".join(lines) + ";"


def _left_out(table: Table) -> Iterator[str]:
    """Parquet's columns are found by their names, and not every name is one to Athena."""
    for column in table.columns:
        if table.kind == "parquet" and not column.is_of_its_name:
            yield f"left out: {column.path[0]} (a name of letters, digits and _ would be read)"


def _columns(table: Table) -> Iterator[tuple[str, str]]:
    if table.kind == "jsonl":
        # What is nested is a column of its uppermost field.
        names = {column.path: column.name for column in table.columns}
        for field, kind in table.tree.items():
            yield names.get((field,), field.lower()), _json_type(kind)
        return
    for column in table.columns:
        if table.kind == "parquet" and not column.is_of_its_name:
            continue
        # The CSV SerDe reads nothing but text where a cell may be empty.
        yield column.name, "string" if table.kind == "csv" else _TYPES.get(column.type, column.type)


def _json_type(kind: str | Tree) -> str:
    if isinstance(kind, str):
        return _TYPES.get(kind, kind)
    return f"struct<{','.join(f'{name.lower()}:{_json_type(k)}' for name, k in kind.items())}>"


def _path_type(projection: tuple[tuple[str, str], ...]) -> str:
    return "int" if ("type", "integer") in projection else "string"


def _storage(table: Table) -> Iterable[str]:
    if table.kind == "parquet":
        return ["STORED AS PARQUET"]
    if table.kind == "avro":
        return ["STORED AS AVRO"]
    if table.kind == "text":
        # \001 is in no line that anybody means, so a line is one column.
        return ["ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\001'", *_TEXT_FORMATS]
    if table.kind == "csv":
        serde = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
        quoting = """WITH SERDEPROPERTIES ('separatorChar' = ',', 'quoteChar' = '"')"""
        return [f"ROW FORMAT SERDE '{serde}'", quoting, *_TEXT_FORMATS]
    serde = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
    renamed = {c.name: c.path[0] for c in table.columns if len(c.path) == 1 and c.name != c.path[0]}
    if not renamed:
        return [serde, *_TEXT_FORMATS]
    pairs = [("case.insensitive", "FALSE"), *((f"mapping.{k}", v) for k, v in renamed.items())]
    inside = ", ".join(f"{_quoted(key)} = {_quoted(value)}" for key, value in pairs)
    return [serde, f"WITH SERDEPROPERTIES ({inside})", *_TEXT_FORMATS]


def _properties(table: Table) -> Iterator[tuple[str, str]]:
    if table.kind == "csv" and table.has_header:
        yield "skip.header.line.count", "1"
    if table.kind == "avro":
        yield "avro.schema.literal", _avro_schema(table)
    if table.path.columns:
        yield "projection.enabled", "true"
        for column in table.path.columns:
            for key, value in column.projection:
                yield f"projection.{column.name}.{key}", value
        yield "storage.location.template", f"{table.location}{table.path.template}/"


def _avro_schema(table: Table) -> str:
    # As they are written: Hive's own names are these in lower case.
    fields = [
        {"name": column.path[0], "type": ["null", _avro_type(column.type)], "default": None}
        for column in table.columns
    ]
    # Readers match records by name: it is the writer's.
    name = "SpoolsinkRecord" if table.is_full else "Record"
    return json.dumps({"type": "record", "name": name, "fields": fields})


def _avro_type(kind: str) -> object:
    if kind.startswith("decimal("):
        precision, scale = map(int, kind[8:-1].split(","))
        logical = {"logicalType": "decimal", "precision": precision, "scale": scale}
        return {"type": "bytes", **logical}
    if kind == "binary headers":
        key, value = {"name": "key", "type": "string"}, {"name": "value", "type": ["null", "bytes"]}
        header = {"type": "record", "name": "SpoolsinkHeader", "fields": [key, value]}
        return {"type": "array", "items": header}
    return _AVRO_TYPES.get(kind, kind)


def _separated(lines: Iterable[str]) -> list[str]:
    found = list(lines)
    return [f"{line}," for line in found[:-1]] + found[-1:]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
