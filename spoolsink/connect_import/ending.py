"""`format` and `rotate`: what objects are, and when they end."""

from spoolsink.connect_import.draft import Draft, duration
from spoolsink.connect_import.records import simple_name
from spoolsink.connect_import.settings import Settings

_FORMATS = {
    "JsonFormat": "jsonl",
    "ByteArrayFormat": "bytes",
    "AvroFormat": "avro",
    "ParquetFormat": "parquet",
}
_CODECS = {
    "avro": ("avro.codec", "null", {"null": "none", "deflate": "deflate", "snappy": "snappy"}),
    "parquet": (
        "parquet.codec",
        "snappy",
        {codec: codec for codec in ("none", "snappy", "gzip", "zstd")},
    ),
}
_PARQUET_EXTENSIONS = {"none": "", "snappy": ".snappy", "gzip": ".gz", "zstd": ".zstd"}


def carry_format(settings: Settings, draft: Draft) -> None:
    """Wrong values end up in `settings.problems`."""
    java_class = settings.text("format.class")
    kind = _FORMATS.get(simple_name(java_class or ""))
    if java_class is None:
        settings.problems.append("format.class: required")
    if kind is None:
        kind = "jsonl"
        draft.note("format", "format.class", f"{java_class} has no counterpart: jsonl is used")
    draft.set("format.type", kind)
    codec = _codec(kind, settings, draft)
    draft.set("format.compression", codec)
    _level(kind, codec, settings, draft)
    extension, separator = _of_bytes(kind, settings, draft)
    if separator is not None:
        draft.set("format.separator", separator)
    if kind == "parquet":
        extension = f"{_PARQUET_EXTENSIONS[codec]}.parquet"
    elif codec == "gzip":
        extension += ".gz"
    draft.set("format.extension", extension)


def _codec(kind: str, settings: Settings, draft: Draft) -> str:
    whole = (settings.text("s3.compression.type") or "none").lower()
    if kind not in _CODECS:
        if whole not in {"none", "gzip"}:
            text = f"{whole} is not one of Connect's; taken for none"
            draft.note("format", "s3.compression.type", text)
        return "gzip" if whole == "gzip" else "none"
    if whole != "none":
        draft.note("format", "s3.compression.type", f"not carried over: {kind} has its own codec")
    option, default, codecs = _CODECS[kind]
    codec = (settings.text(option) or default).lower()
    if codec in codecs:
        return codecs[codec]
    draft.note("format", option, f"{codec} is not carried over: {codecs[default]} is used")
    return codecs[default]


def _level(kind: str, codec: str, settings: Settings, draft: Draft) -> None:
    level = settings.number("s3.compression.level")
    if level is None or level < 0:
        return
    if codec == "gzip" and kind not in _CODECS:
        draft.set("format.compression_level", level)
    else:
        draft.note("format", "s3.compression.level", "without effect: the objects are no gzip")


def _of_bytes(kind: str, settings: Settings, draft: Draft) -> tuple[str, str | None]:
    """Extension and separator, of which only ByteArrayFormat lets one choose."""
    extension, separator = "format.bytearray.extension", "format.bytearray.separator"
    found = settings.text(extension), settings.raw(separator)
    if kind == "bytes":
        return found[0] or ".bin", "\n" if found[1] is None else found[1]
    for option, value in zip((extension, separator), found, strict=True):
        if value is not None:
            draft.note("format", option, "without effect: only ByteArrayFormat has it")
    return {"jsonl": ".json"}.get(kind, f".{kind}"), None


def carry_rotate(settings: Settings, draft: Draft) -> None:
    """After the layout: `rotate.interval.ms` depends on the partitioner and the time."""
    # Limits that Connect does not have.
    for key in ("records", "bytes", "max_age", "object_bytes"):
        draft.set(f"rotate.{key}", None)
    records = settings.number("flush.size")
    if records is None:
        draft.note("rotate", "flush.size", "required by Connect; no limit here")
    elif records < 1:
        draft.note("rotate", "flush.size", f"{records} ends an object at every record: 1")
    if records is not None:
        draft.set("rotate.records", max(records, 1))
    _interval(settings, draft)
    schedule_ms = settings.number("rotate.schedule.interval.ms") or -1
    if schedule_ms > 0:
        draft.set("rotate.schedule", duration(schedule_ms))
    limits = [draft.values.get(f"rotate.{k}") for k in ("records", "interval", "schedule")]
    if not any(limits):
        text = "nothing in the file ends an object: max_age keeps its default"
        draft.values.pop("rotate.max_age")
        draft.note("rotate", "max_age", text)
    draft.set_known("rotate.max_open", _positive(settings.number("partitioner.max.open.files")))


def _interval(settings: Settings, draft: Draft) -> None:
    option = "rotate.interval.ms"
    interval_ms = settings.number(option)
    if interval_ms is None or interval_ms <= 0:
        return
    if "{time:" not in str(draft.values.get("layout.partition")):
        draft.note("rotate", option, "without effect: only partitioners by time have it")
    elif draft.values.get("layout.time") == "wallclock":
        draft.set("rotate.max_age", duration(interval_ms))
        draft.note("rotate", option, "by the wall clock, so it is max_age: without new records too")
    else:
        draft.set("rotate.interval", duration(interval_ms))
        if settings.flag("rotate.file.on.partition.change") is not False:
            text = "a record of another S3 partition ends nothing; in Connect it ended the objects"
            draft.note("rotate", "rotate.file.on.partition.change", text)


def _positive(number: int | None) -> int | None:
    return number if number is not None and number > 0 else None
