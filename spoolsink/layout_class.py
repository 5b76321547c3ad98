"""A class of the user in the place of the template: `layout.partitioner`.

It is asked record by record, with the whole converted key and value, and answers with the S3
partition. What it raises, and an answer that cannot be a directory, is an error of that record.
"""

import re
from collections.abc import Callable, Mapping

from spoolsink.errors import ConfigError, LayoutError
from spoolsink.layout import MAX_KEY_BYTES, Column, Placed, RecordTimes, walk
from spoolsink.layout_template import WHOLE, Path, check_path
from spoolsink.layout_time import zone_of
from spoolsink.plugins import load_class
from spoolsink.records import Batch

_CHECKED_ENTRIES = 16_384
_SHOWN_CHARACTERS = 80
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ClassLayout:
    """`Layout` by a user's class; used by one pipeline, keeps a bounded cache of answers.

    The class is constructed once, as `Class(options)`, and called as `partitioner(topic, partition,
    offset, timestamp, key, value, headers)`: the timestamp in ms since the epoch, -1 where the
    record has none; key and value as the converters returned them, None where they are null. It
    must answer alike for the same record, since a repeat would put it elsewhere otherwise; hence
    it is not told the present moment.

    Raises ConfigError where the class cannot be loaded or made.
    """

    uses_wallclock = False
    value_paths: tuple[Path, ...] = (WHOLE,)
    key_paths: tuple[Path, ...] = (WHOLE,)

    def __init__(
        self,
        name: str,
        options: Mapping[str, object],
        *,
        time: str = "record",
        timezone: str = "UTC",
        time_unit: str = "auto",
    ) -> None:
        self.zone = zone_of(timezone)
        self._times = RecordTimes(time, time_unit, self.zone)
        self._name = name
        self._checked: set[str] = set()
        self._partitioner = _made(name, options)

    def times_ms(
        self, batch: Batch, values: Mapping[Path, Column], instant_ms: int
    ) -> list[int | LayoutError | None]:
        """The time that `layout.time` names, for each record; only rotation asks for it."""
        path = self._times.path
        fields: Column = [walk(value, path) for value in values[WHOLE]] if path else ()
        return self._times.column(batch, fields, instant_ms)

    def place(
        self,
        batch: Batch,
        values: Mapping[Path, Column],
        keys: Mapping[Path, Column],
        instant_ms: int,  # noqa: ARG002  # as `Layout`
    ) -> Placed:
        """The S3 partition of each record."""
        headers = batch.headers or [()] * len(batch)
        columns = (batch.offsets, batch.timestamps, keys[WHOLE], values[WHOLE], headers)
        return [self._placed(*batch.tp, *row) for row in zip(*columns, strict=True)]

    def now(self, instant_ms: int) -> str:  # noqa: ARG002  # as `Layout`
        """Nothing that the clock could change."""
        return ""

    def _placed(self, *record: object) -> str | LayoutError:
        try:
            answer = self._partitioner(*record)
        except Exception as error:  # noqa: BLE001  # the user's code: an error of this record
            return LayoutError(f"{self._name}: {_told(error)}")
        if not isinstance(answer, str):
            return LayoutError(f"{self._name} returned {type(answer).__name__}, not str")
        # Members of a text enumeration become the text that they are.
        return self._path(str.__str__(answer))

    def _path(self, answer: str) -> str | LayoutError:
        if answer in self._checked:
            return answer
        for problem in _problems(answer):
            shown = ascii(answer[:_SHOWN_CHARACTERS])
            return LayoutError(f"{self._name} returned {shown}: {problem}")
        if len(self._checked) >= _CHECKED_ENTRIES:
            self._checked.clear()
        if len(answer) <= MAX_KEY_BYTES:
            self._checked.add(answer)
        return answer


def _problems(path: str) -> list[str]:
    """Beside what a template may not be: what only data can bring into a path."""
    problems = check_path(path)
    if _CONTROL.search(path):
        problems.append("may not contain control characters")
    if not {".", ".."}.isdisjoint(path.split("/")):
        problems.append("may not contain '.' or '..' as a directory")
    try:
        path.encode()
    except UnicodeEncodeError:
        problems.append("may not contain lone surrogates")
    return problems


def _made(name: str, options: Mapping[str, object]) -> Callable[..., object]:
    try:
        make = load_class(name)
    except ValueError as error:
        raise ConfigError([f"layout.partitioner: {error}"]) from error
    try:
        partitioner = make(options)
    except Exception as error:  # the user's code: it may raise anything when it is made
        raise ConfigError([f"layout.partitioner: {_told(error)}"]) from error
    if not callable(partitioner):
        raise ConfigError([f"layout.partitioner: what {name!r} makes cannot be called"])
    return partitioner


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
