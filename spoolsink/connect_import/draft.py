"""The YAML that an import writes: values by dotted key, comments beside them.

Everything in it came from somebody's file: a text is quoted so that it stays a text, and nothing
can leave its line.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from spoolsink.connect_import.settings import Settings, env_name, is_reference

Value = str | int | bool | None | list[str] | dict[str, str | bool]

SECTIONS = ("name", "kafka", "records", "layout", "format", "rotate", "s3")
_PLAIN = re.compile(
    r"[A-Za-z_/][\w./@+=-]*(?::[\w./@+=-]+)*|[0-9.]+(?:ms|s|m|h|d|[KMG]iB|B)", re.ASCII
)
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
_WIDTH = 96
_DURATIONS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000))
_SIZES = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


@dataclass
class Draft:
    """Owned by one import. `notes` are what standard error shows, in order."""

    values: dict[str, Value] = field(default_factory=dict)
    comments: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def set(self, key: str, value: Value) -> None:
        """`key` is dotted, as in `s3.bucket`."""
        self.values[key] = value

    def set_known(self, key: str, value: Value) -> None:
        """`set`, where there is a value."""
        if value is not None:
            self.values[key] = value

    def note(self, section: str, option: str, text: str) -> None:
        """What an operator must know: a comment at the section and a line on standard error."""
        line = f"{option}: {text}"
        self.comments.setdefault(section, []).append(line)
        self.notes.append(line)

    def secret(self, key: str, settings: Settings, option: str, name: str | None = None) -> None:
        """The option as a reference to the environment; its value is never copied."""
        value = settings.text(option)
        if value is not None:
            self.secret_value(key, value, option, name or env_name(option))

    def secret_value(self, key: str, value: str, option: str, name: str) -> None:
        """`secret`, of a value that was a part of an option."""
        if is_reference(value):
            self.set(key, value)
            return
        self.set(key, f"${{{name}}}")
        self.note(key.partition(".")[0], option, f"not copied; set {name} in the environment")

    def text(self) -> str:
        """The whole file."""
        return "\n".join(line.rstrip() for line in self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield from _comment(self.comments.get("", []))
        yield f"name: {_rendered(self.values['name'])}"
        for section in SECTIONS[1:]:
            yield ""
            yield f"{section}:"
            yield from (f"  {line}" for line in _comment(self.comments.get(section, [])))
            inside = {
                tuple(key.split(".")[1:]): value
                for key, value in self.values.items()
                if key.startswith(f"{section}.")
            }
            yield from _mapping(inside, "  ")


def duration(milliseconds: int) -> str:
    """`60000` to `1m`."""
    for unit, size in _DURATIONS:
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def size(count: int) -> str:
    """`5242880` to `5MiB`."""
    for unit, unit_bytes in _SIZES:
        if count % unit_bytes == 0:
            return f"{count // unit_bytes}{unit}"
    return f"{count}B"


def _mapping(values: dict[tuple[str, ...], Value], indent: str) -> Iterator[str]:
    opened: set[str] = set()
    for path, value in values.items():
        head = path[0]
        if len(path) == 1:
            yield f"{indent}{head}: {_rendered(value)}"
        elif head not in opened:
            opened.add(head)
            yield f"{indent}{head}:"
            below = {p[1:]: v for p, v in values.items() if p[0] == head}
            yield from _mapping(below, f"{indent}  ")


def _rendered(value: Value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_scalar(k)}: {_scalar(v)}' for k, v in value.items())}}}"
    return _scalar(value)


def _scalar(value: str | int | None) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return str(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character, f"\\U{ord(character):08x}")


def _comment(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        clean = "".join(c if c.isprintable() else _escaped(c) for c in text)
        yield from textwrap.wrap(
            clean,
            _WIDTH,
            initial_indent="# ",
            subsequent_indent="#   ",
            break_long_words=False,
            break_on_hyphens=False,
        )
