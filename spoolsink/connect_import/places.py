"""`layout`: the S3 partition of a record, by fields and by time."""

from spoolsink.connect_import.draft import Draft, duration
from spoolsink.connect_import.joda import Template, template_of
from spoolsink.connect_import.records import simple_name
from spoolsink.connect_import.settings import Settings
from spoolsink.layout_time import zone_of

_PARTITIONERS = "io.confluent.connect.storage.partitioner."
_EXTRACTORS = {"Wallclock": "wallclock", "Record": "record"}
_FIXED = {
    "HourlyPartitioner": ("'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH", 3_600_000),
    "DailyPartitioner": ("'year'=YYYY/'month'=MM/'day'=dd", 86_400_000),
}
_FIELD_AND_TIME = "FieldAndTimeBasedPartitioner"
_TIMED = {"TimeBasedPartitioner", _FIELD_AND_TIME, *_FIXED}
_KNOWN = {"DefaultPartitioner", "FieldPartitioner", *_TIMED}
_DAY_MS = 86_400_000


def carry_layout(settings: Settings, draft: Draft) -> None:
    """Wrong values end up in `settings.problems`."""
    prefix = settings.raw("topics.dir")
    prefix = "topics" if prefix is None else prefix.strip()
    draft.set("layout.prefix", prefix.strip("/"))
    if prefix != prefix.strip("/"):
        draft.note("layout", "topics.dir", "without the slashes at its ends")
    name = _partitioner(settings, draft)
    draft.set("layout.partition", _template(name, settings, draft))
    _zone(settings, draft)
    time = _time(settings, draft)
    draft.set("layout.time", time if name in _TIMED else "record")
    _bucket(name, settings, draft)
    if name in {"FieldPartitioner", _FIELD_AND_TIME}:
        # What Connect writes for a field that is null.
        draft.set("layout.missing_value", "null")
        text = "values are escaped as Hive does (%2F for a slash); Connect writes them as they are"
        draft.note("layout", "partition.field.name", text)
    elif time.startswith("value.") and name in _TIMED:
        # A missing time is an error in Connect too.
        draft.set("layout.missing", "error")
    draft.set("layout.file_name", "connect")


def _partitioner(settings: Settings, draft: Draft) -> str:
    option = "partitioner.class"
    java_class = settings.text(option) or f"{_PARTITIONERS}DefaultPartitioner"
    name = simple_name(java_class)
    if name not in _KNOWN:
        text = f"{java_class} is not carried over: a template, or a class as layout.partitioner"
        draft.note("layout", option, text)
        return "DefaultPartitioner"
    if name != _FIELD_AND_TIME and java_class != _PARTITIONERS + name:
        draft.note("layout", option, f"{java_class} is taken for {_PARTITIONERS}{name}")
    elif name == _FIELD_AND_TIME:
        draft.note("layout", option, f"{java_class} is taken for fields first, then the time")
    return name


def _template(name: str, settings: Settings, draft: Draft) -> str:
    fields, pattern = settings.words("partition.field.name"), settings.text("path.format")
    is_named = settings.flag("partition.field.format.path") is not False
    directories = []
    if name in {"FieldPartitioner", _FIELD_AND_TIME}:
        if not fields:
            settings.problems.append(f"partition.field.name: required by {name}")
        directories = [_field(field, is_named=is_named, settings=settings) for field in fields]
    elif fields:
        draft.note("layout", "partition.field.name", f"without effect: {name} uses no fields")
    if name in _TIMED:
        directories.append(_time_template(name, pattern, settings, draft))
    elif pattern:
        draft.note("layout", "path.format", f"without effect: {name} uses no time")
    return "/".join(directories) or "partition={partition}"


def _field(field: str, *, is_named: bool, settings: Settings) -> str:
    if set(field) & set("{}/"):
        settings.problems.append(f"partition.field.name: {field!r} cannot stand in a template")
    path = field.replace("\\", "\\\\")
    return f"{field}={{value.{path}}}" if is_named else f"{{value.{path}}}"


def _time_template(name: str, pattern: str | None, settings: Settings, draft: Draft) -> str:
    if name in _FIXED:
        if pattern and pattern != _FIXED[name][0]:
            draft.note("layout", "path.format", f"without effect: {name} has its own")
        pattern = _FIXED[name][0]
    if pattern is None:
        settings.problems.append(f"path.format: required by {name}")
        return ""
    try:
        found = template_of(pattern)
    except ValueError as error:
        settings.problems.append(f"path.format: found {pattern!r}: {error}")
        return ""
    for loss in found.losses:
        draft.note("layout", "path.format", loss)
    if "%M" in found.text and "%H" not in found.text.replace("%-H", "%H"):
        draft.note("layout", "path.format", "mm is the minute (MM the month), as in Connect")
    _locale(found, settings, draft)
    return found.text


def _locale(template: Template, settings: Settings, draft: Draft) -> None:
    locale = settings.text("locale") or ""
    if template.has_names and locale.lower() != "en":
        text = f"names of days and months are English, not those of Java's locale {locale!r}"
        draft.note("layout", "locale", text)
    elif locale and not locale.lower().startswith("en"):
        text = f"{locale} is not carried over: path.format prints numbers only, nothing changes"
        draft.note("layout", "locale", text)


def _zone(settings: Settings, draft: Draft) -> None:
    zone = settings.text("timezone") or "UTC"
    try:
        zone_of(zone)
    except ValueError as error:
        settings.problems.append(f"timezone: {error}")
    draft.set("layout.timezone", zone)


def _time(settings: Settings, draft: Draft) -> str:
    extractor = settings.text("timestamp.extractor") or "Wallclock"
    field = settings.text("timestamp.field")
    name = simple_name(extractor).removesuffix("TimestampExtractor").removesuffix("Extractor")
    if name == "RecordField":
        return f"value.{field or 'timestamp'}"
    if field:
        draft.note("layout", "timestamp.field", f"without effect: the extractor is {extractor}")
    if name not in _EXTRACTORS:
        text = f"{extractor} is not carried over: the record's own time is used"
        draft.note("layout", "timestamp.extractor", text)
    return _EXTRACTORS.get(name, "record")


def _bucket(name: str, settings: Settings, draft: Draft) -> None:
    option = "partition.duration.ms"
    asked_ms = settings.number(option)
    if name not in _TIMED:
        return
    bucket_ms = _FIXED[name][1] if name in _FIXED else asked_ms
    if bucket_ms is None or bucket_ms <= 0:
        if name in _TIMED and name not in _FIXED:
            draft.note("layout", option, "required by Connect; times are not rounded here")
    elif bucket_ms % _DAY_MS and _DAY_MS % bucket_ms:
        text = f"{bucket_ms} does not divide a day and is not whole days: times are not rounded"
        draft.note("layout", option, text)
    else:
        draft.set("layout.time_bucket", duration(bucket_ms))
