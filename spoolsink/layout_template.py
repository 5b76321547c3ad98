"""Templates of S3 partitions: `{topic}/{value.user.country}/dt={time:%Y-%m-%d}` to parts (pure)."""

import re
from dataclasses import dataclass

from spoolsink.layout_time import check_time_format

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_STEP = re.compile(r"((?:[^.\\]|\\.)+)(?:\.|$)", re.DOTALL)

Path = tuple[str, ...]
"""Names from the top of a value downward; a number also means a list's item."""

WHOLE: Path = ()
"""The path of a whole key or value."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that is written as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """`{key}`, `{key.a.b}` (root `key`) or `{value.a.b}` (root `value`)."""

    root: str
    path: Path


@dataclass(frozen=True, slots=True)
class HeaderField:
    """`{header.name}`: the last header of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class TimeField:
    """`{time:...}` with its directives."""

    text: str


@dataclass(frozen=True, slots=True)
class KafkaField:
    """`{topic}` or `{partition}`."""

    name: str


Part = Literal | Field | HeaderField | TimeField | KafkaField


def parse_path(text: str) -> Path:
    r"""`a.b\.c.0` to ("a", "b.c", "0"); raises ValueError."""
    steps: list[str] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise ValueError(f"empty name in the path {text!r}")
        steps.append(re.sub(r"\\(.)", r"\1", match.group(1), flags=re.DOTALL))
        position = match.end()
    if not steps or (text.endswith(".") and not text.endswith("\\.")):
        raise ValueError(f"empty name in the path {text!r}")
    return tuple(steps)


def parse_template(text: str) -> tuple[Part, ...]:
    """Raises ValueError with the first problem."""
    parts: list[Part] = []
    for match in _TOKEN.finditer(text):
        token, inside = match.group(), match.group(1)
        if inside is not None:
            parts.append(_parse_field(inside))
        elif token in {"{", "}"}:
            raise ValueError(f"a lone '{token}' (write '{token}{token}' for the character)")
        else:
            parts.append(Literal(token[0] if token in {"{{", "}}"} else token))
    return tuple(parts)


def _parse_field(inside: str) -> Part:
    name, colon, directives = inside.partition(":")
    if name == "time":
        for problem in check_time_format(directives):
            raise ValueError(problem)
        return TimeField(directives)
    if colon and not name.startswith(("key.", "value.", "header.")):
        raise ValueError(f"only {{time:...}} takes directives, not {{{inside}}}")
    if inside in {"topic", "partition"}:
        return KafkaField(inside)
    if inside == "key":
        return Field("key", ())
    root, dot, rest = inside.partition(".")
    if dot and root in {"key", "value"}:
        return Field(root, parse_path(rest))
    if dot and root == "header" and rest:
        return HeaderField(rest.replace("\\.", "."))
    raise ValueError(
        f"unknown field {{{inside}}}; allowed: topic, partition, key, key.PATH, value.PATH, "
        "header.NAME, time:DIRECTIVES"
    )


def check_path(text: str) -> list[str]:
    """What is wrong with a prefix, a template's text or a partitioner's answer as a directory."""
    problems = []
    if text.startswith("/") or text.endswith("/"):
        problems.append("may not begin or end with '/'")
    if "//" in text:
        problems.append("may not contain '//'")
    return problems


def check_template(text: str) -> list[str]:
    """Everything that is wrong with `layout.partition`; empty when it can be used."""
    try:
        parse_template(text)
    except ValueError as error:
        return [str(error), *check_path(text)]
    return check_path(text)
