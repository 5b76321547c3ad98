"""The rules of `records`: converters and their options, the registry, dead letters."""

import re
from collections.abc import Iterator, Mapping

from spoolsink.config_model import Config, SchemaRegistry
from spoolsink.config_source import KeyPath
from spoolsink.config_types import whole_name
from spoolsink.converters.options import OPTIONS, check_options, near_miss
from spoolsink.layout_template import check_path

Problem = tuple[KeyPath, str]

CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
TOPIC = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}")
TOPIC_ALLOWED = "letters, digits, '.', '_' and '-', but not '.' or '..'"
_URL = re.compile(r"https?://[^/\s]+(?:/\S*)?")
_CONVERTERS = tuple(OPTIONS)
_FILE_OF_SCHEMAS = {"avro": "schema_file", "protobuf": "descriptor_file"}


def records_rules(config: Config) -> Iterator[Problem]:
    """Every problem of the section."""
    records = config.records
    for key in ("key", "value"):
        name = getattr(records, key)
        if name not in _CONVERTERS and not CLASS.fullmatch(name):
            allowed = " | ".join(_CONVERTERS)
            hint = near_miss(name, _CONVERTERS)
            text = f"found '{name}'; allowed: {allowed} | package.module:Class{hint}"
            yield ("records", key), text
        yield from _options(config, key)
    yield from _registry(records.schema_registry)
    letters = (records.dead_letter.topic, records.dead_letter.prefix)
    if records.on_error == "dead_letter" and letters.count(None) != 1:
        yield ("records", "dead_letter"), "on_error: dead_letter needs one of topic and prefix"
    if records.on_error != "dead_letter" and letters.count(None) != len(letters):
        yield ("records", "dead_letter"), "only used with on_error: dead_letter"
    if records.on_error == "stop" and records.max_errors_in_a_row is not None:
        yield ("records", "max_errors_in_a_row"), "cannot be used with on_error: stop"
    yield from _dead_letter(config)
    if records.form == "full" and config.format.type in {"text", "bytes", "csv"}:
        yield ("records", "form"), f"full cannot be written as {config.format.type}"


def _dead_letter(config: Config) -> Iterator[Problem]:
    where, letters = ("records", "dead_letter"), config.records.dead_letter
    if letters.topic is not None and letters.topic in (config.kafka.topics or ()):
        yield (*where, "topic"), f"'{letters.topic}' is read by this sink itself"
    if letters.topic is not None and not TOPIC.fullmatch(letters.topic):
        yield (*where, "topic"), f"found '{letters.topic}'; allowed: {TOPIC_ALLOWED}"
    elif letters.topic is not None and is_matched(config.kafka.topics_pattern, letters.topic):
        yield (*where, "topic"), f"'{letters.topic}' matches kafka.topics_pattern"
    if letters.prefix is None:
        return
    for problem in directory_problems(letters.prefix):
        yield (*where, "prefix"), problem
    if letters.prefix in {"", config.layout.prefix}:
        yield (*where, "prefix"), "must be a prefix of its own"


def _options(config: Config, key: str) -> Iterator[Problem]:
    """Of `key` or `value`; a class has its own."""
    name, where = getattr(config.records, key), ("records", f"{key}_options")
    options: Mapping[str, object] = getattr(config.records, f"{key}_options")
    if name not in OPTIONS:
        return
    try:
        check_options(name, options)
    except ValueError as error:
        yield where, str(error)
    if options.get("schemas_enable") and options.get("framed"):
        yield where, "json: schemas_enable and framed exclude each other"
    file = _FILE_OF_SCHEMAS.get(name)
    if file and file not in options and config.records.schema_registry.url is None:
        yield where, f"{name}: needs {file}, or records.schema_registry.url"


def _registry(registry: SchemaRegistry) -> Iterator[Problem]:
    where = ("records", "schema_registry")
    given = [key for key in SchemaRegistry.model_fields if getattr(registry, key) is not None]
    if registry.url is None:
        for key in given:
            yield (*where, key), "only used with url"
    elif "@" in registry.url:
        # Not shown: it may be a password.
        yield (*where, "url"), "with a user in it; use username and password"
    elif not all(_URL.fullmatch(url.strip()) for url in registry.url.split(",")):
        yield (*where, "url"), f"found '{registry.url}'; allowed: http(s)://host, or several"
    if registry.token is not None and registry.username is not None:
        yield where, "either token or username, not both"
    if registry.password is not None and registry.username is None:
        yield (*where, "password"), "only used with username"


def is_matched(pattern: str | None, topic: str) -> bool:
    """Whether `kafka.topics_pattern` takes a topic."""
    try:
        return pattern is not None and whole_name(pattern).match(topic) is not None
    except re.error:  # told where it stands
        return False


def directory_problems(path: str) -> list[str]:
    """What is wrong with a text as a part of keys; clients of S3 take `.` and `..` for a way."""
    problems = check_path(path)
    if not {".", ".."}.isdisjoint(path.split("/")):
        problems.append("may not have '.' or '..' as a directory")
    return problems
