"""YAML text to plain data that remembers its lines; the only door to pyyaml.

Scalars follow YAML 1.2's core schema, so `off` and `no` are words and `010` is text. Tags, anchors
and aliases are refused (nothing in our file needs them, and bombs are made of them), as are
duplicate keys. `${NAME}`, `${NAME:-default}` and `${file:/path}` inside a scalar are replaced; an
unquoted scalar is read as a number, boolean or null only after that.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import yaml

MAX_FILE_BYTES = 1024 * 1024
MAX_DEPTH = 32

KeyPath = tuple[str | int, ...]

_REFERENCE = re.compile(
    r"\$\{(?:file:(?P<file>[^}]+)|(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?)\}"
)
_BROKEN_REFERENCE = re.compile(r"\$\{[^}]*\}?")
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
"""Of the core schema's those that are printed as they are written: `+5` may be a password."""
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class SpelledFloat(float):
    """A number that is still the text which was written, where text is wanted (`1e5`, `1.50`)."""

    def __new__(cls, text: str) -> Self:
        """Of what stands in the file, or came by a reference."""
        made = super().__new__(cls, text)
        made._text = text
        return made

    _text: str

    def __str__(self) -> str:
        """As it was written."""
        return self._text


@dataclass
class Source:
    """The plain data, the line of every key in it, and what was wrong on the way."""

    name: str
    data: object = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)
    unread: set[KeyPath] = field(default_factory=set)
    """Where an empty text stands in for what could not be had, which is told in `problems`.

    Where nothing is known of the environment it is not told: that is no fault of the text.
    """

    def is_unread(self, path: KeyPath) -> bool:
        """Whether a value, or an item of a list, is not what the file means."""
        return path in self.unread or any(
            place[:-1] == path and isinstance(place[-1], int) for place in self.unread
        )

    def line_of(self, path: KeyPath) -> int:
        """Of the key, or of the nearest key above it that is in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(path: Path, environ: Mapping[str, str]) -> Source:
    """Read a file; what is wrong is in `problems`, never raised."""
    source = Source(str(path))
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            source.problems.append((1, f"the file has {size} bytes; allowed: 1 MiB"))
            return source
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        source.problems.append((1, f"cannot be read: {reason}"))
        return source
    _Reader(source, environ).read(text)
    return source


def read_text(text: str) -> Source:
    """`read`, of a text that is no file yet and is meant for an environment that is not known."""
    source = Source("")
    _Reader(source, None).read(text)
    return source


def _hint(text: str, line: int) -> str:
    """For a mistake that is easily made: `[${A}]`, where YAML takes the brace for its own."""
    shown = text.splitlines()[line - 1 : line]
    is_likely = any(re.search(r"[\[{,:]\s*\$\{", one) for one in shown)
    return "; inside of [ ] and { } a reference needs quotes: '${NAME}'" if is_likely else ""


class _Reader:
    def __init__(self, source: Source, environ: Mapping[str, str] | None) -> None:
        self._source = source
        self._environ = environ

    def read(self, text: str) -> None:
        try:
            if self._refuses_events(text):
                return
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            self._problem(line, f"not YAML: {error.problem}{_hint(text, line)}")
        except yaml.YAMLError as error:
            self._problem(1, f"not YAML: {str(error).splitlines()[0]}")
        else:
            self._source.data = None if node is None else self._value(node, ())

    def _refuses_events(self, text: str) -> bool:
        """Looked at before anything is built: a bomb costs no more than its own length."""
        depth = 0
        before = len(self._source.problems)
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                self._problem(line, "anchors and aliases are not allowed")
            elif tag := getattr(event, "tag", None):
                self._problem(line, f"the tag {tag!r} is not allowed")
            if depth > MAX_DEPTH:
                self._problem(line, f"nested more than {MAX_DEPTH} deep")
                break
        return len(self._source.problems) > before

    def _value(self, node: yaml.Node, path: KeyPath) -> object:
        self._source.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
        before = len(self._source.problems)
        value = self._scalar(node, path)
        if len(self._source.problems) > before:
            self._source.unread.add(path)
        # Not the null that nothing without quotes is: a key that is there, and its section knows.
        return "" if path in self._source.unread else value

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(line, "a key must be a word")
                continue
            key = str(key_node.value)
            if _SURROGATE.search(key):
                self._problem(line, f"a key is no text: {key!a}")
                continue
            if key in found:
                first = self._source.lines[*path, key]
                dotted = ".".join(map(str, (*path, key)))
                self._problem(line, f"{dotted}: duplicate key; first on line {first}")
                continue
            self._source.lines[*path, key] = line
            found[key] = self._value(value_node, (*path, key))
        return found

    def _scalar(self, node: yaml.Node, path: KeyPath) -> object:
        line = node.start_mark.line + 1
        dotted = ".".join(map(str, path))
        text = self._replaced(str(node.value), line, path)
        if _SURROGATE.search(text):
            # Of an escape (`\ud800`), or of a variable whose bytes are not UTF-8.
            self._problem(line, f"{dotted}: half a character (a lone surrogate) is no text")
            return ""
        if getattr(node, "style", None) is not None:
            return text  # quoted: always text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text) if len(text) < 40 else text  # noqa: PLR2004 (no such number is meant)
        return SpelledFloat(text) if _FLOAT.fullmatch(text) else text

    def _replaced(self, text: str, line: int, path: KeyPath) -> str:
        dotted, environ = ".".join(map(str, path)), self._environ

        def replace(match: re.Match[str]) -> str:
            reference = _REFERENCE.fullmatch(match.group())
            if reference is None:
                self._problem(line, f"{dotted}: cannot read the reference {match.group()!r}")
                return ""
            if environ is None:
                if reference["default"] is None:
                    self._source.unread.add(path)
                return reference["default"] or ""
            if reference["file"]:
                return self._file(reference["file"], line, dotted)
            # As in a shell: `:-` also stands in for a variable that is there and empty.
            found = environ.get(reference["name"]) or reference["default"]
            if found is None and reference["name"] not in environ:
                name = reference["name"]
                self._problem(line, f"{dotted}: the environment has no {name}")
            return found or ""

        return _BROKEN_REFERENCE.sub(replace, text)

    def _file(self, name: str, line: int, dotted: str) -> str:
        try:
            with Path(name).open(encoding="utf-8") as file:
                text = file.read(MAX_FILE_BYTES + 1)
        except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            self._problem(line, f"{dotted}: cannot read {name}: {reason}")
            return ""
        if len(text) > MAX_FILE_BYTES:
            self._problem(line, f"{dotted}: {name} has more than 1 MiB")
        return text[:MAX_FILE_BYTES].rstrip("\r\n")

    def _problem(self, line: int, text: str) -> None:
        self._source.problems.append((line, text))
