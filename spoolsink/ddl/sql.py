"""duckdb and Trino, which find the directories by themselves: `name=value` become columns."""

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from spoolsink.config_model import S3
from spoolsink.ddl.table import DataColumn, Table, Tree
from spoolsink.errors import ConfigError
from spoolsink.logs import printable

_TRINO_TYPES = {
    "string": "varchar",
    "int": "integer",
    "long": "bigint",
    "float": "real",
    "bytes": "varbinary",
    "timestamp": "timestamp(3)",
    "headers": 'array(row("key" varchar, "value" varchar))',
    "binary headers": 'array(row("key" varchar, "value" varbinary))',
}
_TRINO_FORMATS = {"jsonl": "OPENX_JSON", "text": "TEXTFILE"}
_DUCKDB_TYPES = {
    "string": "VARCHAR",
    "int": "INTEGER",
    "long": "BIGINT",
    "bytes": "BLOB",
    "headers": "STRUCT(key VARCHAR, value VARCHAR)[]",
}


def duckdb_statement(table: Table) -> str:
    """A view over the objects; directories `name=value` are columns of text."""
    is_hive = bool(table.path.columns) and table.path.has_directories and table.kind != "avro"
    lines = [f"-- {comment}" for comment in _duckdb_comments(table, is_hive=is_hive)]
    lines += [f"CREATE OR REPLACE VIEW {_name(table.name)} AS", "SELECT"]
    selected = [_duckdb_column(table, column) for column in table.columns]
    selected += [_name(column.name) for column in table.path.columns if is_hive]
    lines.append(",\n".join(f"  {text}" for text in selected))
    arguments = [_text(f"{table.location}**/*{table.extension}"), *_duckdb_options(table)]
    if is_hive:
        # All as text: '03' stays what the directory is called.
        kinds = ", ".join(f"{_text(c.name)}: VARCHAR" for c in table.path.columns)
        arguments += ["hive_partitioning = true", f"hive_types = {{{kinds}}}"]
    elif table.kind != "avro":
        arguments.append("hive_partitioning = false")
    reader = {"jsonl": "read_json", "text": "read_csv"}.get(table.kind, f"read_{table.kind}")
    lines.append(f"FROM {reader}(\n" + ",\n".join(f"  {a}" for a in arguments) + "\n);")
    return "\n".join(lines)


def duckdb_access(s3: S3) -> str:
    """A comment: how duckdb gets at the store, once for all tables.

    `credential_chain` is of its extension `aws`, which it loads by itself.
    """
    options = ["TYPE s3", "PROVIDER credential_chain"]
    if s3.region:
        options.append(f"REGION {_text(s3.region)}")
    if s3.endpoint_url:
        url = urlsplit(s3.endpoint_url)
        options.append(f"ENDPOINT {_text(url.netloc.rpartition('@')[2])}")
        style = "vhost" if s3.addressing_style == "virtual" else "path"
        options.append(f"URL_STYLE '{style}'")
        options.append(f"USE_SSL {'true' if url.scheme == 'https' else 'false'}")
    secret = printable(f"CREATE SECRET ({', '.join(options)});")
    return f"-- INSTALL httpfs; LOAD httpfs; {secret}"


def _duckdb_comments(table: Table, *, is_hive: bool) -> Iterator[str]:
    yield from (text for text in table.comments if text.startswith("left out"))
    if table.kind == "avro":
        yield "INSTALL avro; LOAD avro;"
    if table.path.columns and not is_hive:
        yield "the directories are no columns: not each is name=value with a name of its own"


def _duckdb_column(table: Table, column: DataColumn) -> str:
    is_json, is_text = table.kind == "jsonl", table.kind in {"csv", "text"}
    if is_text or column.path == (column.name,) or (not is_json and column.is_of_its_name):
        return _name(column.name)
    return f"{'.'.join(map(_name, column.path))} AS {_name(column.name)}"


def _duckdb_options(table: Table) -> Iterator[str]:
    if table.kind == "parquet":
        yield "union_by_name = true"
    if table.kind not in {"jsonl", "csv", "text"}:
        return
    yield f"compression = {_text(table.compression)}"
    kinds = table.tree.items() if table.kind == "jsonl" else _flat(table)
    inside = ", ".join(f"{_text(name)}: {_text(_duckdb_type(kind))}" for name, kind in kinds)
    yield f"columns = {{{inside}}}"
    if table.kind == "jsonl":
        yield "format = 'newline_delimited'"
        return
    yield f"header = {'true' if table.has_header else 'false'}"
    yield "auto_detect = false"
    if table.kind == "csv":
        # An empty cell is null, "" is an empty string.
        yield "delim = ',', quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false"
        yield "new_line = '\\n'"
    else:
        yield "delim = '\\x01', quote = '', escape = ''"


def _flat(table: Table) -> Iterable[tuple[str, str]]:
    return [(column.name, column.type) for column in table.columns]


def _duckdb_type(kind: str | Tree) -> str:
    if isinstance(kind, str):
        return _DUCKDB_TYPES.get(kind, kind.upper())
    return f"STRUCT({', '.join(f'{_name(name)} {_duckdb_type(k)}' for name, k in kind.items())})"


def trino_statement(table: Table) -> str:
    """A table of the Hive connector, in the catalog `hive` and the schema `default`.

    Raises ConfigError where a directory is not `name=value`.
    """
    if not table.path.is_hive_style:
        problem = "Trino needs directories name=value, with names that are no column's"
        raise ConfigError([f"layout.partition: {problem}"])
    columns = [f"  {_name(name)} {kind}" for name, kind in _trino_columns(table)]
    columns += [f"  {_name(column.name)} varchar" for column in table.path.columns]
    options = [
        f"external_location = {_text(table.location)}",
        f"format = {_text(_TRINO_FORMATS.get(table.kind, table.kind.upper()))}",
    ]
    if table.kind == "csv" and table.has_header:
        options.append("skip_header_line_count = 1")
    if table.kind == "text":
        options.append("textfile_field_separator = U&'\\0001'")
    if table.path.columns:
        names = ", ".join(_text(column.name) for column in table.path.columns)
        options.append(f"partitioned_by = ARRAY[{names}]")
    table_name = f"hive.default.{_name(table.name)}"
    lines = [f"-- {text}" for text in table.comments if text.startswith("left out")]
    lines += [f"CREATE TABLE IF NOT EXISTS {table_name} (", ",\n".join(columns), ")"]
    lines.append("WITH (\n" + ",\n".join(f"  {option}" for option in options) + "\n);")
    if table.path.columns:
        arguments = f"'default', {_text(table.name)}, 'FULL'"
        lines.append(f"CALL hive.system.sync_partition_metadata({arguments});")
    return "\n".join(lines)


def _trino_columns(table: Table) -> Iterator[tuple[str, str]]:
    if table.kind == "jsonl":
        for field, kind in table.tree.items():
            yield field.lower(), _trino_type(kind)
        return
    for column in table.columns:
        # Parquet's columns are found by their names, whatever these are, but for the case.
        name = column.path[0].lower() if table.kind == "parquet" else column.name
        yield name, "varchar" if table.kind == "csv" else _trino_type(column.type)


def _trino_type(kind: str | Tree) -> str:
    if isinstance(kind, str):
        return _TRINO_TYPES.get(kind, kind)
    return f"row({', '.join(f'{_name(n.lower())} {_trino_type(k)}' for n, k in kind.items())})"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
