"""`records`: converters, null values, bad records; and transforms, which there are none of."""

from spoolsink.config_records import is_matched
from spoolsink.connect_import.draft import Draft
from spoolsink.connect_import.settings import Settings

_CONVERTERS = {
    "StringConverter": "string",
    "JsonConverter": "json",
    "JsonSchemaConverter": "json",
    "ByteArrayConverter": "bytes",
    "AvroConverter": "avro",
    "ProtobufConverter": "protobuf",
}
_OF_FORMAT = {"JsonFormat": "json", "AvroFormat": "avro", "ParquetFormat": "avro"}
_NULLS = {"ignore": "skip", "fail": "stop", "write": "write"}


def simple_name(java_class: str) -> str:
    """`a.b.Outer$Inner` to `Inner`."""
    return java_class.replace("$", ".").rpartition(".")[2]


def carry_records(settings: Settings, draft: Draft) -> None:
    """Wrong values end up in `settings.problems`."""
    form = simple_name(settings.text("format.class") or "")
    defaults = {"key": "string", "value": _OF_FORMAT.get(form, "bytes")}
    for part, default in defaults.items():
        _converter(part, default, settings, draft)
    _registry(settings, draft)
    for part in defaults:
        _json_options(part, settings, draft)
    _form(form, settings, draft)
    _nulls(settings, draft)
    _errors(settings, draft)
    _transforms(settings, draft)


def _converter(part: str, default: str, settings: Settings, draft: Draft) -> None:
    option = f"{part}.converter"
    java_class = settings.text(option)
    name = _CONVERTERS.get(simple_name(java_class or ""))
    draft.set(f"records.{part}", name or default)
    if java_class is None:
        draft.note("records", option, f"the worker's is not known here; taken for {default}")
    elif name is None:
        text = f"{java_class} has no counterpart; {default} until it is replaced by one of ours"
        draft.note("records", option, text)


def _json_options(part: str, settings: Settings, draft: Draft) -> None:
    """After the registry: with one, our `json` expects its five bytes before the document."""
    name = simple_name(settings.text(f"{part}.converter") or "")
    has_schemas = settings.flag(f"{part}.converter.schemas.enable") is not False
    options: dict[str, str | bool] = {}
    if name == "JsonSchemaConverter":
        options["framed"] = True
    elif name == "JsonConverter":
        options |= {"schemas_enable": True} if has_schemas else {}
        options |= {"framed": False} if "records.schema_registry.url" in draft.values else {}
    if options:
        draft.set(f"records.{part}_options", options)


def _registry(settings: Settings, draft: Draft) -> None:
    # The value's settings are read last, so that they win.
    for part in ("key", "value"):
        start = f"{part}.converter."
        urls = settings.words(f"{start}schema.registry.url")
        if urls:
            known = draft.values.get("records.schema_registry.url")
            if known not in {None, urls[0]}:
                text = f"two registries; the keys' {known} is not carried over"
                draft.note("records", f"{start}schema.registry.url", text)
            draft.set("records.schema_registry.url", _without_password(urls[0], settings, draft))
            if len(urls) > 1:
                draft.note("records", f"{start}schema.registry.url", "only the first is used")
        _registry_access(start, settings, draft)


def _without_password(url: str, settings: Settings, draft: Draft) -> str:
    found = settings.split_url("schema.registry.url", url)
    if found is None or not found.password:
        return url
    draft.set("records.schema_registry.username", found.username or "")
    where = "records.schema_registry.password"
    draft.secret_value(where, found.password, "schema.registry.url", "SCHEMA_REGISTRY_PASSWORD")
    return url.replace(found.netloc, found.netloc.rpartition("@")[2])


def _registry_access(start: str, settings: Settings, draft: Draft) -> None:
    source = settings.text(f"{start}basic.auth.credentials.source")
    if source is not None and source != "USER_INFO":
        text = f"{source} is not carried over; username and password are to be written here"
        draft.note("records", f"{start}basic.auth.credentials.source", text)
    option = f"{start}basic.auth.user.info"
    user, colon, password = (settings.text(option) or "").partition(":")
    if user.startswith("${"):
        text = "one reference for both; username and password are to be written here"
        draft.note("records", option, text)
    elif colon:
        where = "records.schema_registry"
        draft.set(f"{where}.username", user)
        draft.secret_value(f"{where}.password", password, option, "SCHEMA_REGISTRY_PASSWORD")
    token = f"{start}bearer.auth.token"
    draft.secret("records.schema_registry.token", settings, token, "SCHEMA_REGISTRY_TOKEN")


def _form(form: str, settings: Settings, draft: Draft) -> None:
    wanted = [f"store.kafka.{what}" for what in ("keys", "headers")]
    for option in [option for option in wanted if settings.flag(option)]:
        if form == "ByteArrayFormat":
            draft.note("records", option, "not carried over: bytes have no place for it")
            continue
        draft.set("records.form", "full")
        what = option.rpartition(".")[2]
        text = f"no files of their own: the {what} stand in each record (form: full)"
        draft.note("records", option, text)


def _nulls(settings: Settings, draft: Draft) -> None:
    option = "behavior.on.null.values"
    behavior = (settings.text(option) or "fail").lower()
    if behavior not in _NULLS:
        settings.problems.append(f"{option}: found {behavior!r}; allowed: {' | '.join(_NULLS)}")
        return
    draft.set("records.on_null_value", _NULLS[behavior])
    if behavior == "write":
        text = "null values are written where their record belongs, not under 'tombstone'"
        draft.note("records", option, text)


def _errors(settings: Settings, draft: Draft) -> None:
    option = "errors.tolerance"
    tolerance = (settings.text(option) or "none").lower()
    topic = settings.text("errors.deadletterqueue.topic.name")
    if tolerance not in {"none", "all"}:
        settings.problems.append(f"{option}: found {tolerance!r}; allowed: none | all")
    elif tolerance == "none":
        draft.set("records.on_error", "stop")
        if topic:
            text = "not carried over: without errors.tolerance=all nothing is sent there"
            draft.note("records", "errors.deadletterqueue.topic.name", text)
    elif topic and _is_read(topic, settings):
        # Connect would send what is bad there back to it, again and again.
        draft.set("records.on_error", "stop")
        text = f"not carried over: {topic} is read by the sink itself; bad records stop it instead"
        draft.note("records", "errors.deadletterqueue.topic.name", text)
    elif topic:
        draft.set("records.on_error", "dead_letter")
        draft.set("records.dead_letter.topic", topic)
    else:
        draft.set("records.on_error", "skip")
        text = "bad records are counted and lost, also those that Connect's sink would stop at"
        draft.note("records", option, text)


def _is_read(topic: str, settings: Settings) -> bool:
    topics, pattern = settings.words("topics"), settings.text("topics.regex")
    return topic in topics or (not topics and is_matched(pattern, topic))


def _transforms(settings: Settings, draft: Draft) -> None:
    names = settings.words("transforms")
    for name in names:
        kind = settings.text(f"transforms.{name}.type") or "without a type"
        text = f"{kind} is not carried over: records are written as they are in Kafka"
        draft.note("records", f"transforms.{name}", text)
    for option in [o for o in settings.rest() if o.startswith("transforms.")]:
        settings.raw(option)
        if option.split(".")[1] not in names:
            draft.note("records", option, "not carried over: there are no transforms")
