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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo
from decimal import Decimal
from itertools import groupby

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
from spoolsink.records import NO_TIMESTAMP, Batch, bounds_of, last_header
from spoolsink.rows import Repeated

MAX_KEY_BYTES = 1024
"""S3's limit of an object key in UTF-8."""

_RENDER_CACHE_ENTRIES = 16_384
_ESCAPED = re.compile(r"""[\x00-\x1f\x7f"#%'*/:=?\\{\[\]^]""")

Column = Sequence[object]
Placed = Sequence[str | LayoutError]


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
        try:
            return str(value)
        except ValueError as error:  # thousands of digits
            raise LayoutError("an integer that is too long for a path") from error
    if isinstance(value, float) and math.isfinite(value):
        return json.dumps(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | datetime | time):
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


class RecordTimes:
    """The time that `layout.time` names of each record; `path` where it is a field of the value."""

    def __init__(self, time: str, unit: str, zone: tzinfo) -> None:
        self.path = parse_path(time[6:]) if time.startswith("value.") else None
        self._time = time
        self._unit = unit
        self._zone = zone

    def column(
        self, batch: Batch, fields: Column, instant_ms: int
    ) -> list[int | LayoutError | None]:
        """In ms since the epoch, None where it is missing; `fields` are what lies at `path`."""
        if self._time == "record":
            times = batch.timestamps
            if times and batch.time_bounds.earliest_ms > NO_TIMESTAMP:
                return list(times)
            return [None if time == NO_TIMESTAMP else time for time in times]
        if self._time == "wallclock":
            return [instant_ms] * len(batch)
        column = fields if self.path else _headers(batch, self._time[7:])
        return [self._time_of(value) for value in column]

    def _time_of(self, value: object) -> int | LayoutError | None:
        if isinstance(value, LayoutError):
            return value
        try:
            return instant_of(value, self._unit, self._zone)
        except LayoutError as error:
            return LayoutError(f"{self._time}: {error.message}")


@dataclass(frozen=True, slots=True)
class _TimeRun:
    """Times and the literals between them, rendered as one; `missing` is them without a time."""

    form: TimeFormat
    missing: str


_Compiled = Literal | Field | HeaderField | KafkaField | _TimeRun


def _with_runs(
    parts: Iterable[Part], zone: tzinfo, bucket_seconds: float | None, missing_value: str
) -> Iterator[_Compiled]:
    for _, group in groupby(parts, lambda part: isinstance(part, Literal | TimeField)):
        found = list(group)
        if not any(isinstance(part, TimeField) for part in found):
            yield from (part for part in found if not isinstance(part, TimeField))
            continue
        run = [part for part in found if isinstance(part, Literal | TimeField)]
        text = "".join(p.text.replace("%", "%%" if isinstance(p, Literal) else "%") for p in run)
        missing = (missing_value if isinstance(part, TimeField) else part.text for part in run)
        yield _TimeRun(TimeFormat(text, zone, bucket_seconds), "".join(missing))


class Layout:
    """A compiled `layout` section; used by one pipeline, keeps bounded caches."""

    def __init__(
        self,
        template: str,
        *,
        time: str = "record",
        timezone: str = "UTC",
        time_unit: str = "auto",
        bucket_seconds: float | None = None,
        missing_value: str = "__HIVE_DEFAULT_PARTITION__",
        missing_is_error: bool = False,
    ) -> None:
        parts = parse_template(template)
        self.zone = zone_of(timezone)
        self.time = time
        self._times = RecordTimes(time, time_unit, self.zone)
        self._missing_is_error = missing_is_error
        self._renderer = FieldRenderer(missing_value, missing_is_error=missing_is_error)
        self._fields = [part for part in parts if isinstance(part, Field)]
        self._parts = list(_with_runs(parts, self.zone, bucket_seconds, missing_value))
        self._formats = [part.form for part in self._parts if isinstance(part, _TimeRun)]

    @property
    def uses_wallclock(self) -> bool:
        """Whether a cut's instant shows in its keys."""
        return self.time == "wallclock" and bool(self._formats)

    @property
    def value_paths(self) -> tuple[Path, ...]:
        """Fields of the value that `place` and `times_ms` want as columns."""
        paths = [field.path for field in self._fields if field.root == "value"]
        return tuple(dict.fromkeys([*paths, *([self._times.path] if self._times.path else [])]))

    @property
    def key_paths(self) -> tuple[Path, ...]:
        """Fields of the key that `place` wants; the empty path is the key itself."""
        return tuple(dict.fromkeys(field.path for field in self._fields if field.root == "key"))

    def times_ms(
        self, batch: Batch, values: Mapping[Path, Column], instant_ms: int
    ) -> list[int | LayoutError | None]:
        """The time that `layout.time` names, for each record."""
        path = self._times.path
        return self._times.column(batch, values[path] if path else (), instant_ms)

    def place(
        self,
        batch: Batch,
        values: Mapping[Path, Column],
        keys: Mapping[Path, Column],
        instant_ms: int,
    ) -> Placed:
        """The S3 partition of each record."""
        found = [self._column(part, batch, values, keys, instant_ms) for part in self._parts]
        if all(isinstance(column, str) for column in found):
            return Repeated("".join(found), len(batch))  # type: ignore[arg-type]
        columns = [[c] * len(batch) if isinstance(c, str) else c for c in found]
        try:
            placed: Placed = list(map("".join, zip(*columns, strict=True)))
        except TypeError:
            # Some record has an error in one of its parts: it is that record's answer.
            rows = zip(*columns, strict=True)
            placed = [_first_error(row) or "".join(map(str, row)) for row in rows]
        return placed

    def now(self, instant_ms: int) -> str:
        """What a wall-clock cut opened at this instant would write: a change ends the cut."""
        return "\n".join(form.render(instant_ms) for form in self._formats)

    def _column(
        self,
        part: _Compiled,
        batch: Batch,
        values: Mapping[Path, Column],
        keys: Mapping[Path, Column],
        instant_ms: int,
    ) -> str | Sequence[str | LayoutError]:
        """A text where it is the same for the whole batch."""
        if isinstance(part, Literal):
            return part.text
        if isinstance(part, KafkaField):
            return str(getattr(batch.tp, part.name))
        if isinstance(part, _TimeRun):
            return self._time_column(part, batch, values, instant_ms)
        if isinstance(part, HeaderField):
            return self._renderer.column(_headers(batch, part.name), f"header.{part.name}")
        columns = values if part.root == "value" else keys
        return self._renderer.column(columns[part.path], ".".join((part.root, *part.path)))

    def _time_column(
        self, run: _TimeRun, batch: Batch, values: Mapping[Path, Column], instant_ms: int
    ) -> str | Sequence[str | LayoutError]:
        if self.time == "wallclock":
            return run.form.render(instant_ms)
        times: Sequence[int | LayoutError | None] = batch.timestamps
        bounds = batch.time_bounds if self.time == "record" and times else None
        if bounds is None or bounds.earliest_ms <= NO_TIMESTAMP:
            times = self.times_ms(batch, values, 0)
            bounds = bounds_of(times) if set(map(type, times)) == {int} else None  # type: ignore[arg-type]
        if bounds is not None:
            # A time that cannot be rendered is told record by record.
            with suppress(LayoutError):
                return run.form.column(times, *bounds)  # type: ignore[arg-type]
        return [self._rendered_time(time, run) for time in times]

    def _rendered_time(self, time: int | LayoutError | None, run: _TimeRun) -> str | LayoutError:
        if isinstance(time, LayoutError):
            return time
        if time is None:
            missing = LayoutError(f"the time of {self.time} is missing")
            return missing if self._missing_is_error else run.missing
        try:
            return run.form.render(time)
        except LayoutError as error:
            return error


def _headers(batch: Batch, name: str) -> list[str | LayoutError | None]:
    """The last header of the name for each record."""
    if batch.headers is None:
        return [None] * len(batch)
    return [_header(headers, name) for headers in batch.headers]


def _header(headers: Sequence[tuple[str, bytes | None]], name: str) -> str | LayoutError | None:
    value = last_header(headers, name)
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return LayoutError(f"header.{name} is not UTF-8")


def _first_error(row: Sequence[object]) -> LayoutError | None:
    return next((part for part in row if isinstance(part, LayoutError)), None)
