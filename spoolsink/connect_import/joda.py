"""Joda's patterns (`path.format`) to our templates (pure).

Letters of Joda, not of java.time: `YYYY` is the calendar year, `x` the year of the week, `D` the
day of the year. Letters stand in quotes to mean themselves; an unterminated quote runs to the end.
"""

import re
from typing import NamedTuple

_TOKEN = re.compile(r"''|'((?:[^']|'')*)(?:'|$)|(([A-Za-z])\3*)|([^A-Za-z']+)")

_EXACT = {
    **{"Y" * n: "%Y" for n in (1, 3, 4)},
    **{"y" * n: "%Y" for n in (1, 3, 4)},
    **{"x" * n: "%G" for n in (1, 3, 4)},
    "YY": "%y",
    "yy": "%y",
    "M": "%-m",
    "MM": "%m",
    "d": "%-d",
    "dd": "%d",
    "D": "%-j",
    "DDD": "%j",
    "H": "%-H",
    "HH": "%H",
    "m": "%-M",
    "mm": "%M",
    "s": "%-S",
    "ss": "%S",
    "SSS": "%L",
    "ww": "%V",
    "e": "%u",
}
_NAMES = {"MMM": "%b", "MMMM": "%B", "E": "%a", "EE": "%a", "EEE": "%a", "EEEE": "%A"}
_NEAREST = {
    "DD": "%j",
    "w": "%V",
    "xx": "%G",
    "ee": "%u",
    "S": "%L",
    "SS": "%L",
    **{letter * n: "%H" for letter in "hkK" for n in (1, 2)},
}
_LETTERS = set("GCxweEYDMdaKhHkmsSzZy")


class Template(NamedTuple):
    """`text` for `layout.partition`; `losses` is what it says otherwise than the pattern did."""

    text: str
    has_names: bool
    losses: list[str]


def template_of(pattern: str) -> Template:
    """Raises ValueError for a pattern that Joda refuses."""
    losses: list[str] = []
    parts: list[tuple[bool, str]] = []
    has_names = False
    for match in _TOKEN.finditer(pattern):
        letters, literal = match[2], match[4]
        if letters is None:
            quoted = match[1].replace("''", "'") if match[1] is not None else "'"
            parts.append((False, literal if literal is not None else quoted))
            continue
        if letters[0] not in _LETTERS:
            raise ValueError(f"illegal pattern letter {letters[0]!r} (text stands in quotes)")
        has_names = has_names or letters in _NAMES
        directive = _directive(letters, losses)
        parts += [(True, directive)] if directive else []
    return Template(_tidy(_joined(parts), losses), has_names, losses)


def _directive(letters: str, losses: list[str]) -> str:
    if found := _EXACT.get(letters) or _NAMES.get(letters):
        return found
    if letters[0] == "E":
        return "%A"
    if letters[0] == "M":
        return "%B"
    nearest = _NEAREST.get(letters, "")
    instead = f"printed as {nearest}" if nearest else "left out"
    losses.append(f"'{letters}' has no counterpart: {instead}")
    return nearest


def _joined(parts: list[tuple[bool, str]]) -> str:
    """Directives that only plain marks divide share one `{time:...}`."""
    text, open_time, marks = "", False, ""
    for is_time, part in parts:
        if is_time:
            text += f"{marks}{part}" if open_time else f"{{time:{part}"
            open_time, marks = True, ""
        elif open_time and re.fullmatch(r"[-_., ]+", part):
            marks += part
        else:
            text += ("}" if open_time else "") + _literal(marks + part)
            open_time, marks = False, ""
    return text + ("}" if open_time else "") + _literal(marks)


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _tidy(text: str, losses: list[str]) -> str:
    # Connect strips one slash at the end by itself.
    text = text.removesuffix("/")
    tidy = re.sub(r"/{2,}", "/", text).strip("/")
    if tidy != text:
        losses.append("empty directories (a leading or double '/') are left out")
    return tidy
