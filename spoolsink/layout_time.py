"""Times in object keys: reading them from values, rounding and rendering them (pure).

Every host renders alike: zones come from `zoneinfo` with the `tzdata` package, names of days and
months are English. Instants are ms since the epoch.
"""

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, reset_tzpath

from spoolsink.errors import LayoutError, shown

# Python would take a host's own zones first, which may be older: the package's only.
reset_tzpath(())

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET = re.compile(r"([+-])(\d\d):([0-5]\d)")
_DIGITS = re.compile(r"[+-]?\d+", re.ASCII)
_HOUR_24 = re.compile(r"[T ]24", re.IGNORECASE)
_DIRECTIVE = re.compile(r"%(-?.|$)", re.DOTALL)
_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTH_NAMES = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DAY_MS = 86_400_000
_CACHE_ENTRIES = 16_384
_ALIKE_GRAINS = 200
"""Looked at one by one, minutes mostly, before each record is: an hour's batch has 60."""
_WHOLE_MINUTES_FROM_MS = 63_593_100_000
"""1972-01-07: every zone is whole minutes off UTC, Africa/Monrovia as the last one since half a
minute. Itself a whole minute: no minute that is remembered begins before it."""
_MAX_MS = 1 << 63
"""Of Kafka's own timestamps; Python refuses to print numbers of thousands of digits in an error."""

UNIT_MS = {
    "auto": Decimal(1),
    "s": Decimal(1000),
    "ms": Decimal(1),
    "us": Decimal("0.001"),
    "ns": Decimal("0.000001"),
}

DIRECTIVES: dict[str, Callable[[datetime], str]] = {
    "Y": lambda t: f"{t.year:04}",
    "m": lambda t: f"{t.month:02}",
    "d": lambda t: f"{t.day:02}",
    "H": lambda t: f"{t.hour:02}",
    "M": lambda t: f"{t.minute:02}",
    "S": lambda t: f"{t.second:02}",
    "j": lambda t: f"{t.timetuple().tm_yday:03}",
    "y": lambda t: f"{t.year % 100:02}",
    "G": lambda t: f"{t.isocalendar().year:04}",
    "V": lambda t: f"{t.isocalendar().week:02}",
    "u": lambda t: str(t.isoweekday()),
    "-m": lambda t: str(t.month),
    "-d": lambda t: str(t.day),
    "-H": lambda t: str(t.hour),
    "-M": lambda t: str(t.minute),
    "-S": lambda t: str(t.second),
    "-j": lambda t: str(t.timetuple().tm_yday),
    "L": lambda t: f"{t.microsecond // 1000:03}",
    "a": lambda t: _DAY_NAMES[t.weekday()][:3],
    "A": lambda t: _DAY_NAMES[t.weekday()],
    "b": lambda t: _MONTH_NAMES[t.month - 1][:3],
    "B": lambda t: _MONTH_NAMES[t.month - 1],
    "%": lambda _: "%",
}


def zone_of(text: str) -> tzinfo:
    """The zone of an IANA name or of `+09:00`; raises ValueError."""
    match = _OFFSET.fullmatch(text)
    if match:
        sign, hours, minutes = match.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        if offset >= timedelta(days=1):
            raise ValueError(f"no time zone {text!r}")
        return timezone(-offset if sign == "-" else offset)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"no time zone {text!r}") from error


def check_time_format(text: str) -> list[str]:
    """What is wrong with the text behind `{time:`."""
    if not text:
        return ["{time} needs directives, for example {time:%Y-%m-%d}"]
    return [
        f"unknown directive '%{found}' in {{time:{text}}}"
        for found in _DIRECTIVE.findall(text)
        if found not in DIRECTIVES
    ]


def instant_of(value: object, unit: str, zone: tzinfo) -> int | None:
    """A field's or header's time in ms since the epoch; None where it counts as missing.

    Raises:
        LayoutError: it is there but cannot be read as a time.
    """
    if value is None or value == "":
        return None
    try:
        return _instant(value, unit, zone)
    except (ValueError, OverflowError, ArithmeticError) as error:
        text = repr(value[:80]) if isinstance(value, str) else shown(value, 80)
        raise LayoutError(f"cannot be read as a time: {text}") from error


def parse_iso(text: str) -> datetime:
    """ISO 8601, also with the lower-case `z` that RFC 3339 allows; raises ValueError.

    The hour 24 is refused on every host: Python reads it from 3.14 on, RFC 3339 never allowed it.
    """
    if _HOUR_24.search(text):
        raise ValueError("hour must be in 0..23")
    return datetime.fromisoformat(text[:-1] + "Z" if text.endswith("z") else text)


def _instant(value: object, unit: str, zone: tzinfo) -> int:
    if isinstance(value, str):
        if not _DIGITS.fullmatch(value):
            return _ms_of(parse_iso(value), zone)
        value = int(value)
    if isinstance(value, datetime):
        return _ms_of(value, zone)
    if isinstance(value, date):
        return _ms_of(datetime(value.year, value.month, value.day), zone)  # noqa: DTZ001 (zone follows)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("no number, text or time")  # noqa: TRY004 (one error for every misfit)
    # As it was written: 1625392801.1 has no exact binary float, and a floor would show it.
    number = Decimal(repr(value)) if isinstance(value, float) else value
    instant_ms = number * UNIT_MS[unit]
    if abs(instant_ms) >= _MAX_MS:
        raise ValueError("no time of any clock")
    return math.floor(instant_ms)


def _ms_of(moment: datetime, zone: tzinfo) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def _local(instant_ms: int, zone: tzinfo) -> datetime:
    """The wall-clock reading, without a zone; raises OverflowError outside years 1 to 9999."""
    return (_EPOCH + timedelta(milliseconds=instant_ms)).astimezone(zone).replace(tzinfo=None)


def _rounded(local: datetime, bucket_ms: int) -> datetime:
    if bucket_ms < _DAY_MS:
        midnight = datetime(local.year, local.month, local.day)  # noqa: DTZ001
        since_ms = (local - midnight) // timedelta(milliseconds=1)
        return midnight + timedelta(milliseconds=since_ms - since_ms % bucket_ms)
    days = (local.date() - _EPOCH.date()).days
    return datetime(1970, 1, 1) + timedelta(days=days - days % (bucket_ms // _DAY_MS))  # noqa: DTZ001


class TimeFormat:
    """Renders instants for one `{time:...}`; the cache makes a record cost one look-up."""

    def __init__(self, text: str, zone: tzinfo, bucket_seconds: float | None) -> None:
        self._parts = [part for part in re.split(r"(%-?.)", text) if part]
        self._zone = zone
        self._bucket_ms = round((bucket_seconds or 0) * 1000)
        self._cache: dict[int, str] = {}
        is_millis = "%L" in self._parts or bool(self._bucket_ms % 1000)
        is_seconds = "%S" in self._parts or "%-S" in self._parts
        # Minutes that a bucket divides (45 s, 90 s) are not rendered alike from end to end.
        is_seconds = is_seconds or bool(self._bucket_ms % 60_000)
        # A zone's offset is a whole number of minutes in our day, not in every zone's history.
        self._grain_ms = 1 if is_millis else 1000 if is_seconds else 60_000

    def render(self, instant_ms: int) -> str:
        """The rendered time; raises LayoutError outside years 1 to 9999."""
        grain = self._grain_ms
        if instant_ms < _WHOLE_MINUTES_FROM_MS:
            return self._rendered(instant_ms)
        found = self._cache.get(instant_ms // grain)
        if found is None:
            found = self._rendered(instant_ms)
            if len(self._cache) >= _CACHE_ENTRIES:
                self._cache.clear()
            self._cache[instant_ms // grain] = found
        return found

    def column(self, instants_ms: Sequence[int], low: int, high: int) -> str | list[str]:
        """Each of them rendered; one text where all are alike, as they are in most batches.

        `low` and `high`: the least and the greatest of them. Raises LayoutError as `render` does.
        """
        grain = self._grain_ms
        if low < _WHOLE_MINUTES_FROM_MS:
            return [self.render(instant) for instant in instants_ms]
        if low // grain == high // grain:
            return self.render(low)
        if high // grain - low // grain <= _ALIKE_GRAINS:
            between = range(low // grain, high // grain + 1)
            alike = {self.render(number * grain) for number in between}
            if len(alike) == 1:
                return alike.pop()
        grains = [instant // grain for instant in instants_ms]
        texts = {number: self.render(number * grain) for number in set(grains)}
        return [texts[number] for number in grains]

    def _rendered(self, instant_ms: int) -> str:
        try:
            local = _local(instant_ms, self._zone)
            if self._bucket_ms:
                local = _rounded(local, self._bucket_ms)
        except OverflowError as error:
            raise LayoutError(f"time outside years 1 to 9999: {instant_ms} ms") from error
        return "".join(
            DIRECTIVES[part[1:]](local) if part[0] == "%" else part for part in self._parts
        )
