"""The rules of `format`: codecs, columns, and what a container needs to know of its values."""

import re
from collections.abc import Iterator

from spoolsink.config_model import ColumnSection, Config, FormatSection
from spoolsink.config_source import KeyPath
from spoolsink.formats.columns import make_column

Problem = tuple[KeyPath, str]

_COMPRESSIONS = {
    **dict.fromkeys(("jsonl", "text", "bytes", "csv"), ("none", "gzip", "zstd")),
    "avro": ("none", "deflate", "snappy", "zstd"),
    "parquet": ("none", "snappy", "gzip", "zstd"),
}
_DEFLATE_LEVELS = 9
_EXTENSION = re.compile(r"(?:\.[^/\x00-\x1f\x7f]*)?")
_WITHOUT_SCHEMA = ("bytes", "string", "cbor", "msgpack")


def format_rules(config: Config) -> Iterator[Problem]:
    """Every problem of the section."""
    form = config.format
    allowed = _COMPRESSIONS[form.type]
    if form.compression not in allowed:
        text = f"found '{form.compression}'; allowed with {form.type}: {' | '.join(allowed)}"
        yield ("format", "compression"), text
    level = form.compression_level
    if form.compression in {"gzip", "deflate"} and (level or 0) > _DEFLATE_LEVELS:
        yield ("format", "compression_level"), f"allowed with {form.compression}: 0 to 9"
    if form.compression in {"none", "snappy"} and level is not None:
        yield ("format", "compression_level"), "without a compression that has levels"
    if form.header and form.type != "csv":
        yield ("format", "header"), "only used with csv"
    if form.separator != FormatSection.model_fields["separator"].default and form.type != "bytes":
        yield ("format", "separator"), "only used with bytes"
    if form.extension is not None and not _EXTENSION.fullmatch(form.extension):
        text = f"found {form.extension!r}; allowed: nothing, or a text that begins with a dot"
        yield ("format", "extension"), text
    yield from _columns(form.columns or ())
    if not form.columns and _needs_columns(config):
        yield ("format", "columns"), f"required with {form.type} of values without a schema"


def _needs_columns(config: Config) -> bool:
    kind, value = config.format.type, config.records.value
    if kind == "csv":
        return True
    if kind not in {"avro", "parquet"}:
        return False
    if whole_kind(config) is not None:
        return False
    is_plain_json = value == "json" and config.records.schema_registry.url is None
    return value in _WITHOUT_SCHEMA or ":" in value or is_plain_json


def whole_kind(config: Config) -> str | None:
    """`bytes`, `string` or `json` where the full form holds values whole: as they came."""
    records = config.records
    if records.form != "full" or config.format.columns:
        return None
    options, has_registry = records.value_options, records.schema_registry.url is not None
    is_wrapped = options.get("schemas_enable") or options.get("framed", has_registry)
    is_whole = records.value in {"bytes", "string"} or (records.value == "json" and not is_wrapped)
    return records.value if is_whole else None


def _columns(columns: tuple[ColumnSection, ...]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, column in enumerate(columns):
        where: KeyPath = ("format", "columns", index)
        if column.name in seen:
            yield (*where, "name"), f"the column '{column.name}' is there already"
        seen.add(column.name)
        # Each part beside one that is known to be good, so that both are told.
        for part, kind, path in (("type", column.type, "topic"), ("path", "string", column.path)):
            try:
                make_column(column.name, kind, path)
            except ValueError as error:
                yield (*where, part), str(error)
