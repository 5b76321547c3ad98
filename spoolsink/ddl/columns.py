"""Columns of a table: those of the records, and one for each field of the S3 partition.

A field of the template becomes a column that is *projected*: the query engine computes its values
instead of asking a catalog for them. `{topic}` is none: a table has one topic.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from spoolsink.layout_template import (
    Field,
    HeaderField,
    KafkaField,
    Literal,
    Part,
    TimeField,
    parse_template,
)

FIRST_YEAR, LAST_YEAR = 2015, 2035
"""Of projected years; a comment in the output says how to widen them."""
MAX_PARTITIONS = 1000
"""Of a topic; likewise."""

_Column = tuple[str, tuple[tuple[str, str], ...]]
"""The name that a column has by itself, and its projection."""

_DIRECTIVE = re.compile(r"%(-?.)")
_DAYS = "Mon,Tue,Wed,Thu,Fri,Sat,Sun"
_LONG_DAYS = "Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday"
_MONTHS = "Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec"
_LONG_MONTHS = (
    "January,February,March,April,May,June,July,August,September,October,November,December"
)

# Name of the column, range, digits.
_NUMBERS = {
    "Y": ("year", f"{FIRST_YEAR},{LAST_YEAR}", 4),
    "G": ("iso_year", f"{FIRST_YEAR},{LAST_YEAR}", 4),
    "m": ("month", "1,12", 2),
    "d": ("day", "1,31", 2),
    "H": ("hour", "0,23", 2),
    "M": ("minute", "0,59", 2),
    "S": ("second", "0,59", 2),
    "j": ("day_of_year", "1,366", 3),
    "V": ("iso_week", "1,53", 2),
    "u": ("weekday", "1,7", 1),
    "y": ("year", "0,99", 2),
    "L": ("millisecond", "0,999", 3),
}
_NAMES = {
    "a": ("weekday", _DAYS),
    "A": ("weekday", _LONG_DAYS),
    "b": ("month", _MONTHS),
    "B": ("month", _LONG_MONTHS),
}
# A date of these, each behind the one before it, is one column.
_DATE_ORDER = "YmdHMS"
_DATE_UNITS = {"m": "MONTHS", "d": "DAYS", "H": "HOURS", "M": "MINUTES", "S": "SECONDS"}
_JAVA = {"Y": "yyyy", "m": "MM", "d": "dd", "H": "HH", "M": "mm", "S": "ss"}
_FIRST_DATE = {"Y": str(FIRST_YEAR), "m": "01", "d": "01", "H": "00", "M": "00", "S": "00"}


@dataclass(frozen=True, slots=True)
class PathColumn:
    """A column of the path; `projection` are Athena's properties without `projection.<name>.`.

    `is_directory` where it is all of a directory `name=value`.
    """

    name: str
    projection: tuple[tuple[str, str], ...]
    is_directory: bool

    @property
    def is_injected(self) -> bool:
        """Whether a query must name the value: nobody can know which there are."""
        return ("type", "injected") in self.projection


@dataclass(frozen=True, slots=True)
class ProjectedPath:
    """`template` has `${name}` where a column's value stands."""

    template: str
    columns: tuple[PathColumn, ...]

    @property
    def has_directories(self) -> bool:
        """Whether each column is a directory `name=value`; there may be others."""
        return all(column.is_directory for column in self.columns)

    @property
    def is_hive_style(self) -> bool:
        """Whether every directory is such a column, as engines without projection need it."""
        directories = self.template.split("/") if self.template else []
        return len(directories) == len(self.columns) and self.has_directories


def projected(template: str, topic: str, taken: Collection[str] = ()) -> ProjectedPath:
    """The columns of a `layout.partition` for one topic; names in `taken` are the records'."""
    pieces = list(_pieces(parse_template(template), topic))
    text, columns = "", list[PathColumn]()
    for before, after in pairwise([None, *pieces, None]):
        piece = before
        if piece is None:
            continue
        if isinstance(piece, str):
            text += piece
            continue
        directory = re.fullmatch(r"([^/=]+)=", text.rpartition("/")[2])
        name = _free_name(directory[1] if directory else piece[0], columns, taken)
        columns.append(PathColumn(name, piece[1], _is_directory(directory, name, piece, after)))
        text += f"${{{name}}}"
    return ProjectedPath(text, tuple(columns))


def _is_directory(
    directory: re.Match[str] | None, name: str, column: _Column, after: str | _Column | None
) -> bool:
    """Whether `name=value` is a whole directory: nothing behind it, no slash in the value."""
    is_last = after is None or (isinstance(after, str) and after.startswith("/"))
    is_whole = not any("/" in value for key, value in column[1] if key == "format")
    return directory is not None and directory[1] == name and is_last and is_whole


def _pieces(parts: Sequence[Part], topic: str) -> Iterator[str | _Column]:
    """Texts, and columns with the name that they have by themselves; texts that touch are one."""
    text = ""
    for piece in (piece for part in parts for piece in _of_part(part, topic)):
        if isinstance(piece, str):
            text += piece
            continue
        if text:
            yield text
        text = ""
        yield piece
    if text:
        yield text


def _of_part(part: Part, topic: str) -> Iterable[str | _Column]:
    if isinstance(part, Literal):
        return [part.text]
    if isinstance(part, TimeField):
        return _time(part.text)
    if isinstance(part, KafkaField):
        numbers = _integer(f"0,{MAX_PARTITIONS - 1}", 1)
        return [topic] if part.name == "topic" else [("kafka_partition", numbers)]
    if isinstance(part, HeaderField):
        return [(f"header_{part.name}", _INJECTED)]
    assert isinstance(part, Field)
    return [("_".join(part.path) or "key", _INJECTED)]


_INJECTED = (("type", "injected"),)


def _time(text: str) -> Iterator[str | _Column]:
    found = _DIRECTIVE.findall(text)
    order = "".join(found)
    if len(order) > 1 and _DATE_ORDER.startswith(order):
        yield "dt", _date(text, order)
        return
    for index, piece in enumerate(re.split(_DIRECTIVE, text)):
        if index % 2 == 0 or piece == "%":
            # Split gives texts and directives in turn.
            yield piece
        else:
            yield _directive(piece)


def _directive(directive: str) -> _Column:
    letter = directive.lstrip("-")
    if letter in _NAMES:
        name, values = _NAMES[letter]
        return name, (("type", "enum"), ("values", values))
    name, numbers, digits = _NUMBERS[letter]
    return name, _integer(numbers, 1 if directive.startswith("-") else digits)


def _integer(numbers: str, digits: int) -> tuple[tuple[str, str], ...]:
    base = (("type", "integer"), ("range", numbers))
    return base if digits == 1 else (*base, ("digits", str(digits)))


def _date(text: str, order: str) -> tuple[tuple[str, str], ...]:
    java = _rendered(text, lambda letter: _JAVA[letter], quotes=True)
    start = _rendered(text, lambda letter: _FIRST_DATE[letter], quotes=False)
    return (
        ("type", "date"),
        ("format", java),
        # NOW is UTC, and the local day may be one ahead.
        ("range", f"{start},NOW+1DAYS"),
        ("interval", "1"),
        ("interval.unit", _DATE_UNITS[order[-1]]),
    )


def _rendered(text: str, of: Callable[[str], str], *, quotes: bool) -> str:
    pieces = re.split(_DIRECTIVE, text)
    return "".join(
        of(piece) if index % 2 else _java_text(piece) if quotes else piece
        for index, piece in enumerate(pieces)
    )


def _java_text(text: str) -> str:
    """A text between directives in Java's date pattern: letters are quoted."""
    return re.sub(r"[A-Za-z]+", lambda m: f"'{m[0]}'", text.replace("'", "''"))


def _free_name(wanted: str, columns: Sequence[PathColumn], taken: Collection[str]) -> str:
    """What every engine takes as a column's name, and no other column has."""
    plain = plain_name(wanted)
    used = {*taken, *(column.name for column in columns)}
    names = (plain, f"path_{plain}", *(f"path_{plain}_{n}" for n in range(2, len(used) + 2)))
    return next(name for name in names if name not in used)


def plain_name(text: str) -> str:
    """Lower case letters, digits and underscores; what else there is becomes an underscore."""
    name = re.sub(r"[^a-z0-9_]", "_", text.lower())
    return name if re.match(r"[a-z_]", name) else f"_{name}"
