"""What a table is, whatever the engine: its place, its columns, what cannot be in it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Union

from spoolsink.config_format import whole_kind
from spoolsink.config_model import Config
from spoolsink.ddl.columns import ProjectedPath, plain_name, projected
from spoolsink.errors import ConfigError
from spoolsink.formats.avro_trees import with_avro_names
from spoolsink.layout import directory_of
from spoolsink.layout_template import KafkaField, parse_path, parse_template
from spoolsink.logs import printable

Tree = Mapping[str, Union[str, "Tree"]]
"""A document's fields: name to type, or to the fields below."""

_TYPES = {"string", "int", "long", "float", "double", "boolean", "bytes", "date", "timestamp"}
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_AS_TEXT = {"bytes", "date", "timestamp"}
"""What JSON has no type for."""

_FULL = (
    ("topic", "string"), ("partition", "int"), ("offset", "long"), ("timestamp", "long"),
    ("timestamp_type", "string"), ("key", "string"), ("headers", "headers"), ("value", "string"),
)  # fmt: skip
"""The full form; a key or value that is JSON is read as its text."""

_FULL_TYPED = (
    ("topic", "string"), ("partition", "int"), ("offset", "long"), ("timestamp", "timestamp"),
    ("timestamp_type", "string"), ("key", "string"), ("headers", "binary headers"),
    ("value", "string"), ("tombstone", "boolean"),
)  # fmt: skip
"""As Avro and Parquet; a value that is not held whole has the type that its schema gives it."""


@dataclass(frozen=True, slots=True)
class DataColumn:
    """A column of the records; `path` leads to it in a JSON document.

    In Avro and Parquet it is the name that the file has, which is not always `name`.
    """

    name: str
    type: str
    path: tuple[str, ...]

    @property
    def is_of_its_name(self) -> bool:
        """Whether it is found by its name, which has no case to any engine."""
        return tuple(step.lower() for step in self.path) == (self.name,)


@dataclass(frozen=True, slots=True)
class Table:
    """One topic's objects; `location` ends with a slash."""

    topic: str
    name: str
    location: str
    kind: str
    compression: str
    extension: str
    has_header: bool
    is_full: bool
    columns: tuple[DataColumn, ...]
    path: ProjectedPath
    comments: tuple[str, ...]

    @property
    def tree(self) -> Tree:
        """The fields of a JSON document that are columns."""
        tree: dict[str, object] = {}
        for column in self.columns:
            node = tree
            for step in column.path[:-1]:
                node = node.setdefault(step, {})  # type: ignore[assignment]
            node[column.path[-1]] = column.type
        return tree  # type: ignore[return-value]


def tables(config: Config, *, root: str | None = None) -> list[Table]:
    """One for each topic; `root` stands for `s3://<bucket>`.

    Raises ConfigError for what no table can be made of.
    """
    problems = list(_refusals(config))
    columns, left_out = _columns(config)
    if not problems and not columns:
        example = "[{name: id, type: long, path: value.id}]"
        problems.append(f"format.columns: required: the columns of the table, such as {example}")
    if problems:
        raise ConfigError(problems)
    root = root or f"s3://{config.s3.bucket}"
    topics = config.kafka.topics or ()
    found = [_table(config, topic, root, columns, left_out) for topic in topics]
    return [
        replace(table, name=name)
        for table, name in zip(found, _different([table.name for table in found]), strict=True)
    ]


def _different(names: Sequence[str]) -> list[str]:
    """Topics `a.b` and `a_b` are two tables: what is taken gets a number."""
    found: list[str] = []
    for name in names:
        free = (name, *(f"{name}_{number}" for number in range(2, len(names) + 2)))
        found.append(next(one for one in free if one not in {*found, *(set(names) - {name})}))
    return found


def _table(
    config: Config, topic: str, root: str, columns: tuple[DataColumn, ...], left_out: list[str]
) -> Table:
    layout, form = config.layout, config.format
    inside = directory_of(layout.prefix, topic if layout.topic_directory else "", "")
    taken = {name for column in columns for name in (column.name, column.path[0].lower())}
    path = projected(layout.partition, topic, taken)
    if not path.columns:
        # The same for every record.
        inside, path = directory_of(inside, path.template, ""), ProjectedPath("", ())
    return Table(
        topic=topic,
        name=plain_name(topic),
        location=f"{root}/{inside}/" if inside else f"{root}/",
        kind=form.type,
        compression=form.compression,
        extension=_extension(config),
        has_header=form.header,
        is_full=config.records.form == "full",
        columns=columns,
        path=path,
        # A name from the configuration may not end the comment's line.
        comments=tuple(map(printable, (*left_out, *_comments(config, path)))),
    )


def _refusals(config: Config) -> Iterable[str]:
    layout, kafka = config.layout, config.kafka
    if kafka.topics is None:
        yield "kafka.topics_pattern: a table needs the topic's name (list them in kafka.topics)"
    if layout.partitioner is not None:
        yield "layout.partitioner: nobody can tell which directories a class makes"
    if config.format.type == "bytes":
        yield "format.type: no engine reads objects of bytes"
    if config.format.type == "text" and config.format.columns:
        yield "format.columns: a text has no columns; without them it is one, named line"
    extension = config.format.extension
    compression = {"gzip": ".gz", "zstd": ".zst"}.get(config.format.compression)
    is_whole = config.format.type in {"jsonl", "csv", "text"}
    if extension and compression and is_whole and not extension.endswith(compression):
        yield f"format.extension: engines know {config.format.compression} by {compression} only"
    names_topic = layout.topic_directory or KafkaField("topic") in parse_template(layout.partition)
    if len(kafka.topics or ()) > 1 and not names_topic:
        yield "layout.topic_directory: the topics share their directories, so no table has one"


def _comments(config: Config, path: ProjectedPath) -> Iterable[str]:
    zone = config.layout.timezone
    if any(("type", "date") in c.projection or c.name in {"year", "hour"} for c in path.columns):
        yield f"times in the path are of {config.layout.time}, in the zone {zone}"
    injected = [column.name for column in path.columns if column.is_injected]
    if injected:
        names = ", ".join(injected)
        yield f"a query must name a value of {names} (nobody can list them); escaped as Hive does"
    if path.columns and config.layout.missing == "default":
        missing = config.layout.missing_value
        yield f"records without a field or time are under '{missing}', which no range contains"


def _columns(config: Config) -> tuple[tuple[DataColumn, ...], list[str]]:
    if config.records.form == "full":
        return _full_columns(config)
    if config.format.type == "text":
        return (DataColumn("line", "string", ("line",)),), []
    found, left_out, problems = list[DataColumn](), list[str](), list[str]()
    is_json = config.format.type == "jsonl"
    in_file = _names_in_file(config)
    for index, column in enumerate(config.format.columns or ()):
        where = f"format.columns.{index}"
        if column.type not in _TYPES and not _DECIMAL.fullmatch(column.type):
            problems.append(f"{where}.type: found '{column.type}'; allowed: {_allowed()}")
            continue
        name, kind = plain_name(column.name), column.type
        path = _document_path(column.path) if is_json else (in_file[index],)
        if path is None:
            left_out.append(f"left out: {column.name} ({column.path} is not in the documents)")
        else:
            kind = "string" if is_json and kind in _AS_TEXT else kind
            if kind == "timestamp" and config.format.type == "avro":
                # Hive's Avro reads milliseconds only, and these are microseconds.
                kind = "long"
                left_out.append(
                    f"{name} is in microseconds since 1970: from_unixtime({name} / 1e6)"
                )
            found.append(DataColumn(name, kind, path))
    problems += _doubles([column.name for column in found])
    problems += _overlaps([column.path for column in found])
    if problems:
        raise ConfigError(problems)
    return tuple(found), left_out


def _names_in_file(config: Config) -> list[str]:
    names = [column.name for column in config.format.columns or ()]
    if config.format.type != "avro":
        return names
    fields = [{"name": name, "type": "string"} for name in names]
    tree = with_avro_names({"type": "record", "name": "Record", "fields": fields})
    return [field["name"] for field in tree["fields"]]  # type: ignore[index]


def _full_columns(config: Config) -> tuple[tuple[DataColumn, ...], list[str]]:
    is_typed = config.format.type in {"avro", "parquet"}
    types = dict(_FULL_TYPED if is_typed else _FULL)
    if is_typed and config.records.key == "bytes":
        types["key"] = "bytes"
    left_out = []
    if is_typed and (whole := whole_kind(config)) is None:
        del types["value"]
        left_out.append("left out: value (its type is its schema's)")
    elif is_typed and whole == "bytes":
        types["value"] = "bytes"
    return tuple(DataColumn(name, kind, (name,)) for name, kind in types.items()), left_out


def _document_path(path: str) -> tuple[str, ...] | None:
    """The steps inside of a JSON line; None for what stands elsewhere, or inside of a list."""
    if not path.startswith("value."):
        return None
    steps = parse_path(path.removeprefix("value."))
    return None if any(step.isdigit() for step in steps) else steps


def _doubles(names: list[str]) -> list[str]:
    twice = {name for name in names if names.count(name) > 1}
    return [f"format.columns: two columns are named {name}" for name in sorted(twice)]


def _overlaps(paths: list[tuple[str, ...]]) -> Iterable[str]:
    """A document's field is one column, or an object of columns."""
    for index, path in enumerate(paths):
        for other in (*paths[:index], *paths[index + 1 :]):
            if path == other[: len(path)]:
                yield f"format.columns: value.{'.'.join(path)} is also in another column"
                break


def _allowed() -> str:
    return " | ".join([*sorted(_TYPES), "decimal(p,s)"])


def _extension(config: Config) -> str:
    form = config.format
    if form.extension is not None:
        return form.extension
    suffix = {"jsonl": ".json", "text": ".txt"}.get(form.type, f".{form.type}")
    whole = {"gzip": ".gz", "zstd": ".zst"} if form.type in {"jsonl", "csv", "text"} else {}
    return suffix + whole.get(form.compression, "")
