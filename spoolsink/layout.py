"""Where a record goes: its S3 partition, and the key of the object that it ends in (pure).

Works on columns: a `Layout` says which fields it needs (`value_paths`, `key_paths`), gets a column
for each, and answers with a column of S3 partitions. What cannot be placed is a `LayoutError` in
that column, so that one bad record does not cost its batch.

1. Two different renderings of field values never share a directory (Hive's escaping is injective).
2. The answer depends on the record, the configuration and the cut's instant only.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from spoolsink.errors import LayoutError
from spoolsink.layout_template import (
    Field,
    HeaderField,
    KafkaField,
    Literal,
    Part,
    Path,
    TimeField,
    parse_path,
    parse_template,
)
from spoolsink.layout_time import TimeFormat, instant_of, zone_of
from spoolsink.records import NO_TIMESTAMP, Batch

MAX_KEY_BYTES = 1024
"""S3's limit of an object key in UTF-8."""

_RENDER_CACHE_ENTRIES = 16_384
_ESCAPED = re.compile(r"""[\x00-\x1f\x7f"#%'*/:=?\\{\[\]^]""")

Column = Sequence[object]
Placed = list[str | LayoutError]


def hive_escape(text: str) -> str:
    """A field's value as a directory name that Hive, Athena and Spark read back."""
    if text in {".", ".."}:
        return "%2E" * len(text)
    return _ESCAPED.sub(lambda match: f"%{ord(match.group()):02X}", text)


def render_value(value: object) -> str:
    """A field's value as JSON would print it, without quotes; raises LayoutError."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return json.dumps(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise LayoutError(f"{type(value).__name__} cannot be used in a path")


def walk(tree: object, path: Path) -> object:
    """The field at `path`; None where the path leads through nothing or no object or list."""
    for name in path:
        if isinstance(tree, Mapping):
            tree = tree.get(name)
        elif isinstance(tree, list | tuple) and name.isascii() and name.isdigit():
            tree = tree[int(name)] if int(name) < len(tree) else None
        else:
            return None
    return tree


def object_key(
    directory: str,
    topic: str,
    kafka_partition: int,
    first: int,
    last: int | None,
    *,
    extension: str,
    digest: str = "",
) -> str:
    """`<directory>/<topic>+<kafka partition>+<first>[+<last>][+<digest>]<extension>`."""
    offsets = f"{first:010}" if last is None else f"{first:010}+{last:010}"
    suffix = f"+{digest}" if digest else ""
    name = f"{topic}+{kafka_partition}+{offsets}{suffix}{extension}"
    return f"{directory}/{name}" if directory else name


def directory_of(prefix: str, topic: str, s3_partition: str) -> str:
    """`<prefix>/<topic>/<S3 partition>`; empty parts are left out with their slash."""
    return "/".join(part for part in (prefix, topic, s3_partition) if part)


class FieldRenderer:
    """Values of one field to escaped directory names, remembered while they repeat."""

    def __init__(self, missing_value: str, *, missing_is_error: bool) -> None:
        self._missing_value = missing_value
        self._missing_is_error = missing_is_error
        self._cache: dict[tuple[str, str], str | LayoutError] = {}

    def column(self, values: Column, name: str) -> Placed:
        """Rendered values; texts take one look-up each."""
        return [
            self._text(value, name) if isinstance(value, str) else self._other(value, name)
            for value in values
        ]

    def _text(self, value: str, name: str) -> str | LayoutError:
        found = self._cache.get((name, value))
        if found is None:
            found = self._other(value, name)
            if len(self._cache) >= _RENDER_CACHE_ENTRIES:
                self._cache.clear()
            self._cache[name, value] = found
        return found

    def _other(self, value: object, name: str) -> str | LayoutError:
        if isinstance(value, LayoutError):
            return value
        if value is None or value == "":
            if self._missing_is_error:
                return LayoutError(f"{name} is missing")
            return self._missing_value
        try:
            text = render_value(value)
            text.encode()
        except LayoutError as error:
            return LayoutError(f"{name}: {error.message}")
        except UnicodeEncodeError:
            return LayoutError(f"{name}: lone surrogate")
        return hive_escape(text)


class Layout:
    """A compiled `layout` section; used by one pipeline, keeps bounded caches."""

    def __init__(
        self,
        template: str,
        *,
        time: str = "record",
        timezone: str = "UTC",
        time_unit: str = "auto",
        bucket_seconds: int | None = None,
        missing_value: str = "__HIVE_DEFAULT_PARTITION__",
        missing_is_error: bool = False,
    ) -> None:
        self.parts = parse_template(template)
        self.zone = zone_of(timezone)
        self.time = time
        self._unit = time_unit
        self._time_path = parse_path(time[6:]) if time.startswith("value.") else None
        self._missing_value = missing_value
        self._missing_is_error = missing_is_error
        self._renderer = FieldRenderer(missing_value, missing_is_error=missing_is_error)
        self._formats = {
            part.text: TimeFormat(part.text, self.zone, bucket_seconds)
            for part in self.parts
            if isinstance(part, TimeField)
        }

    @property
    def uses_wallclock(self) -> bool:
        """Whether a cut's instant shows in its keys."""
        return self.time == "wallclock" and bool(self._formats)

    @property
    def value_paths(self) -> tuple[Path, ...]:
        """Fields of the value that `place` and `times_ms` want as columns."""
        paths = [p.path for p in self.parts if isinstance(p, Field) and p.root == "value"]
        return tuple(dict.fromkeys([*paths, *([self._time_path] if self._time_path else [])]))

    @property
    def key_paths(self) -> tuple[Path, ...]:
        """Fields of the key that `place` wants; the empty path is the key itself."""
        fields = (p for p in self.parts if isinstance(p, Field) and p.root == "key")
        return tuple(dict.fromkeys(part.path for part in fields))

    def times_ms(
        self, batch: Batch, values: Mapping[Path, Column], instant_ms: int
    ) -> list[int | LayoutError | None]:
        """The time that `layout.time` names, for each record."""
        if self.time == "record":
            return [None if t == NO_TIMESTAMP else t for t in batch.timestamps]
        if self.time == "wallclock":
            return [instant_ms] * len(batch)
        column = values[self._time_path] if self._time_path else _headers(batch, self.time[7:])
        return [self._time_of(value) for value in column]

    def place(
        self,
        batch: Batch,
        values: Mapping[Path, Column],
        keys: Mapping[Path, Column],
        instant_ms: int,
    ) -> Placed:
        """The S3 partition of each record."""
        if not self.parts:
            return [""] * len(batch)
        columns = [self._column(part, batch, values, keys, instant_ms) for part in self.parts]
        try:
            placed: Placed = list(map("".join, zip(*columns, strict=True)))
        except TypeError:
            # Some record has an error in one of its parts: it is that record's answer.
            rows = zip(*columns, strict=True)
            placed = [_first_error(row) or "".join(map(str, row)) for row in rows]
        return placed

    def now(self, instant_ms: int) -> str:
        """What a wall-clock cut opened at this instant would write: a change ends the cut."""
        return "\n".join(form.render(instant_ms) for form in self._formats.values())

    def _column(
        self,
        part: Part,
        batch: Batch,
        values: Mapping[Path, Column],
        keys: Mapping[Path, Column],
        instant_ms: int,
    ) -> Sequence[str | LayoutError]:
        if isinstance(part, Literal):
            return [part.text] * len(batch)
        if isinstance(part, KafkaField):
            return [str(getattr(batch.tp, part.name))] * len(batch)
        if isinstance(part, TimeField):
            return self._time_column(part, batch, values, instant_ms)
        if isinstance(part, HeaderField):
            return self._renderer.column(_headers(batch, part.name), f"header.{part.name}")
        columns = values if part.root == "value" else keys
        return self._renderer.column(columns[part.path], ".".join((part.root, *part.path)))

    def _time_column(
        self, part: TimeField, batch: Batch, values: Mapping[Path, Column], instant_ms: int
    ) -> Sequence[str | LayoutError]:
        render = self._formats[part.text].render
        if self.time == "wallclock":
            return [render(instant_ms)] * len(batch)
        return [self._rendered_time(time, render) for time in self.times_ms(batch, values, 0)]

    def _rendered_time(
        self, time: int | LayoutError | None, render: Callable[[int], str]
    ) -> str | LayoutError:
        if isinstance(time, LayoutError):
            return time
        if time is None:
            missing = LayoutError(f"the time of {self.time} is missing")
            return missing if self._missing_is_error else self._missing_value
        try:
            return render(time)
        except LayoutError as error:
            return error

    def _time_of(self, value: object) -> int | LayoutError | None:
        if isinstance(value, LayoutError):
            return value
        try:
            return instant_of(value, self._unit, self.zone)
        except LayoutError as error:
            return LayoutError(f"{self.time}: {error.message}")


def _headers(batch: Batch, name: str) -> list[str | LayoutError | None]:
    """The last header of the name for each record."""
    if batch.headers is None:
        return [None] * len(batch)
    return [_header(headers, name) for headers in batch.headers]


def _header(headers: Sequence[tuple[str, bytes | None]], name: str) -> str | LayoutError | None:
    for found, value in reversed(headers):
        if found == name:
            try:
                return None if value is None else value.decode()
            except UnicodeDecodeError:
                return LayoutError(f"header.{name} is not UTF-8")
    return None


def _first_error(row: Sequence[object]) -> LayoutError | None:
    return next((part for part in row if isinstance(part, LayoutError)), None)
