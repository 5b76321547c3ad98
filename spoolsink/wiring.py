"""From a configuration to the objects that carry it out; nothing is started here."""

import time
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom

from spoolsink.appender import Policies
from spoolsink.backoff import Backoff
from spoolsink.bad_records import BadRecordPolicy
from spoolsink.boundaries import Boundaries
from spoolsink.config import fingerprint, reveal
from spoolsink.config_format import whole_kind
from spoolsink.config_model import Config
from spoolsink.converters import Converter, make_converter
from spoolsink.converters.json import JsonConverter
from spoolsink.converters.registry import SchemaRegistry
from spoolsink.dead_letters import DeadLetterTopic
from spoolsink.encoder import Encoder, Placing, Side
from spoolsink.errors import ConfigError
from spoolsink.formats import Format, make_format
from spoolsink.formats.columns import make_column
from spoolsink.formats.line_rows import dead_letter_row
from spoolsink.layout import Layout
from spoolsink.layout_class import ClassLayout
from spoolsink.naming import Naming
from spoolsink.rotation import Rotation, SplitRule
from spoolsink.spool import AnySpool, Spool
from spoolsink.spool_memory import MemorySpool

_random = SystemRandom().random
_UPLOAD_BACKOFF = (0.2, 15.0)
"""First and longest wait in seconds: what an operator mends is noticed within 15 s."""


def make_backoff() -> Backoff:
    """For one upload or one question."""
    return Backoff(*_UPLOAD_BACKOFF, _random)


def make_form(config: Config) -> Format:
    """The format of the rows; raises ConfigError where its library is not installed."""
    columns = [make_column(c.name, c.type, c.path) for c in config.format.columns or ()]
    try:
        return make_format(
            config.format.type,
            value=config.records.value,
            key=_key_kind(config),
            form=config.records.form,
            compression=config.format.compression,
            level=config.format.compression_level,
            separator=config.format.separator.encode(),
            extension=config.format.extension,
            header=config.format.header,
            columns=columns,
            whole=whole_kind(config),
        )
    except ValueError as error:
        raise ConfigError([f"format.type: {config.format.type} {error}"]) from error


def _key_kind(config: Config) -> str:
    """`json` only for keys that are documents as they came; values are taken out of their frame."""
    records = config.records
    is_framed = records.key_options.get("framed", records.schema_registry.url is not None)
    is_wrapped = records.key == "json" and (records.key_options.get("schemas_enable") or is_framed)
    return "json in a frame" if is_wrapped else records.key


def make_registry(config: Config) -> SchemaRegistry | None:
    """The schema registry's client, when there is one; raises ConfigError."""
    registry = config.records.schema_registry
    if registry.url is None:
        return None
    try:
        return SchemaRegistry(
            registry.url,
            username=registry.username,
            password=reveal(registry.password),
            token=reveal(registry.token),
            ca_file=registry.ca_file,
        )
    except (ValueError, OSError) as error:
        raise ConfigError([f"records.schema_registry: {error}"]) from error


def make_naming(config: Config, form: Format) -> Naming:
    """How objects are called."""
    return Naming(
        prefix=config.layout.prefix,
        topic_directory=config.layout.topic_directory,
        extension=form.extension,
        file_name=config.layout.file_name,
        sink=config.name,
        dead_letter_prefix=config.records.dead_letter.prefix or "",
    )


def make_layout(config: Config) -> Placing:
    """The template, or the user's class."""
    layout = config.layout
    if layout.partitioner is not None:
        return ClassLayout(
            layout.partitioner,
            layout.options,
            time=layout.time,
            timezone=layout.timezone,
            time_unit=layout.time_unit,
        )
    return Layout(
        layout.partition,
        time=layout.time,
        timezone=layout.timezone,
        time_unit=layout.time_unit,
        bucket_seconds=layout.time_bucket,
        missing_value=layout.missing_value,
        missing_is_error=layout.missing == "error",
    )


def make_letters(config: Config) -> DeadLetterTopic | None:
    """The topic of bad records, when there is one."""
    topic = config.records.dead_letter.topic
    if config.records.on_error != "dead_letter" or topic is None:
        return None
    return DeadLetterTopic(config.kafka, topic, sink=config.name)


def check_buildable(config: Config) -> None:
    """What shows only when things are made: classes, files, libraries.

    Raises ConfigError with all of it, where `Engine` stops at the first.
    """
    problems: list[str] = []
    makers: tuple[Callable[[], object], ...] = (
        lambda: make_form(config),
        lambda: make_layout(config),
        lambda: _make_converters(config, make_registry(config)),
    )
    for make in makers:
        try:
            make()
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    make_policies(config, make_form(config), make_registry(config))
    fingerprint(config)


def make_policies(
    config: Config,
    form: Format,
    registry: SchemaRegistry | None = None,
    letters: DeadLetterTopic | None = None,
) -> Policies:
    """What every topic partition shares; raises ConfigError for classes that cannot be loaded."""
    layout, rotate = make_layout(config), config.rotate
    rotation = Rotation(
        zone=layout.zone,
        records=rotate.records,
        max_bytes=rotate.bytes,
        interval_seconds=rotate.interval,
        schedule_seconds=rotate.schedule,
        max_age_seconds=rotate.max_age,
    )
    splits = SplitRule(records=rotate.object_records, max_bytes=rotate.object_bytes)
    naming = make_naming(config, form)
    return Policies(
        encoder=_make_encoder(config, form, layout, naming, registry),
        schema_text=form.schema_text,
        naming=naming,
        boundaries=Boundaries(rotation, splits, rotate.max_open),
        bad_records=BadRecordPolicy(
            stops=config.records.on_error == "stop",
            are_letters=config.records.on_error == "dead_letter",
            max_in_a_row=config.records.max_errors_in_a_row,
            topic=letters,
        ),
        monotonic=time.monotonic,
        wall_ms=lambda: time.time_ns() // 1_000_000,
    )


def _make_encoder(
    config: Config,
    form: Format,
    layout: Placing,
    naming: Naming,
    registry: SchemaRegistry | None,
) -> Encoder:
    records = config.records
    value, key = _make_converters(config, registry)
    # JSON in a frame is plain JSON once it is out of it, but for formats that want its schema.
    unwrap = None if form.needs_schemas else getattr(value, "document", None)
    if unwrap is not None:
        value = JsonConverter()
    # What no double has of a number a decimal may have.
    keeps_digits = any(c.type.startswith("decimal") for c in config.format.columns or ())
    return Encoder(
        unwrap=unwrap,
        dead_letter=dead_letter_row if records.dead_letter.prefix is not None else None,
        values=Side(
            records.value,
            value,
            paths=(*layout.value_paths, *form.value_paths),
            is_checked=True,
            needs_schemas=form.needs_schemas,
            keeps_digits=keeps_digits,
        ),
        keys=Side(
            records.key,
            key,
            paths=(*layout.key_paths, *form.key_paths),
            is_checked=records.form == "full",
            keeps_digits=keeps_digits,
        ),
        layout=layout,
        form=form,
        null_values=records.on_null_value,
        needs_times=config.rotate.interval is not None,
        key_bytes=naming.key_bytes,
    )


def _make_converters(
    config: Config, registry: SchemaRegistry | None
) -> tuple[Converter, Converter]:
    """Of values and of keys; raises ConfigError with what is wrong with either."""
    made: list[Converter] = []
    problems: list[str] = []
    for side in ("value", "key"):
        try:
            made.append(_make_converter(config, side, registry))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return made[0], made[1]


def _make_converter(config: Config, side: str, registry: SchemaRegistry | None) -> Converter:
    records = config.records
    name, options = getattr(records, side), getattr(records, f"{side}_options")
    try:
        return make_converter(name, options, registry)
    except Exception as error:  # a user's class may raise anything when it is made
        raise ConfigError([f"records.{side}: {error}"]) from error


def make_spool(config: Config) -> AnySpool:
    """On disk, or in memory for the comparison."""
    spool = config.spool
    if spool.mode == "memory":
        return MemorySpool(
            max_bytes=spool.max_bytes, pause_at=spool.pause_at, resume_at=spool.resume_at
        )
    return Spool(
        Path(spool.directory),
        max_bytes=spool.max_bytes,
        min_free_bytes=spool.min_free_bytes,
        write_buffer_bytes=spool.write_buffer,
        pause_at=spool.pause_at,
        resume_at=spool.resume_at,
        compression=spool.compression,
    )
