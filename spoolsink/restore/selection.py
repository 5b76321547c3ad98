"""What is to be sent back, and whether this configuration's objects can be (pure)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from spoolsink.config_model import Config
from spoolsink.layout_time import zone_of
from spoolsink.restore.record import Restored

_KINDS = ("bytes", "string", "json")
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Selection:
    """`from_` and `until` are offsets, `from_ms` and `until_ms` times; from included, until not."""

    topic: str
    target: str
    partition: int | None = None
    from_offset: int = 0
    until_offset: int | None = None
    from_ms: int | None = None
    until_ms: int | None = None

    def takes(self, record: Restored) -> bool:
        """Whether a record is to be sent; one without a time lies before every time."""
        return (
            self.from_offset <= record.offset
            and (self.until_offset is None or record.offset < self.until_offset)
            and (self.from_ms is None or record.timestamp >= self.from_ms)
            and (self.until_ms is None or record.timestamp < self.until_ms)
        )

    def identity(self, config: Config, topic_id: str) -> str:
        """Equal for runs that are one restore: the same objects, records and topic."""
        what = [
            *(self.topic, self.target, topic_id, self.partition),
            *(self.from_offset, self.until_offset, self.from_ms, self.until_ms),
            *(config.s3.endpoint_url, config.s3.bucket, config.layout.prefix),
        ]
        digest = sha256(json.dumps(what).encode()).hexdigest()[:_DIGITS]
        return f"spoolsink-restore-{config.name}-{digest}"


def parse_time(text: str, config: Config) -> int:
    """ISO 8601 to ms since the epoch; without a zone in `layout.timezone`. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone_of(config.layout.timezone))
    return round(moment.timestamp() * 1000)


def obstacles(config: Config) -> Iterator[str]:
    """Why the objects of a configuration cannot be sent back as they were."""
    records, form = config.records, config.format
    if records.form != "full":
        yield "records.form: found 'value'; a restore needs full"
    for side, options in (("key", records.key_options), ("value", records.value_options)):
        kind = getattr(records, side)
        if kind not in _KINDS:
            yield f"records.{side}: found '{kind}'; a restore is exact for: {' | '.join(_KINDS)}"
        elif kind == "json" and _is_wrapped(config, options):
            yield f"records.{side}: JSON in a frame or an envelope cannot be sent back as it was"
    if form.type in {"avro", "parquet"} and form.columns is not None:
        yield f"format.columns: {form.type} with columns does not hold whole values"


def _is_wrapped(config: Config, options: dict[str, object]) -> bool:
    has_registry = config.records.schema_registry.url is not None
    return bool(options.get("schemas_enable") or options.get("framed", has_registry))
