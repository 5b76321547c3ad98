"""docs/configuration.md, from the model: type and allowed values as the program itself words them.

A key's meaning is the text below it in `config_model`, read from the source, since Python does not
keep it.
"""

import ast
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, PydanticUndefined

from spoolsink import config_model
from spoolsink.config_model import Config
from spoolsink.config_types import Section

HEAD = """\
# Configuration

Made from the program's own model by `make reference`; a test fails when it is stale.

One YAML file. `${NAME}` and `${NAME:-default}` inside a scalar are replaced from the environment,
`${file:/run/secrets/x}` from a file. Tags, anchors, aliases, duplicate and unknown keys are
refused. `spoolsink check` lists every problem of a file at once, each with its line, its key, what
was found and what is allowed; exit status 2.

Durations are written `250ms`, `30s`, `10m`, `1h`, `1d`; sizes `64KiB`, `8MiB`, `2GiB`, also `kB`,
`MB`, `GB`. Keys marked *secret* are never shown: not in logs, errors, metrics or any answer.

The smallest file:

```yaml
name: orders-archive
kafka:
  bootstrap_servers: [localhost:9092]
  topics: [orders]
s3:
  bucket: archive
```
"""

MAX_COUNT = 2**31 - 1
"""The bound of every count: as good as none."""

_DURATIONS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
_SIZES = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024), ("B", 1))


Meanings = dict[str, dict[str, str]]
"""Class to attribute to the text below it."""


@dataclass(frozen=True)
class Key:
    """One row: what a file may say at this place."""

    name: str
    allowed: str
    default: str
    meaning: str


def as_markdown() -> str:
    """The whole page."""
    meanings = meanings_of(inspect.getsource(config_model))
    return HEAD + "".join(_sections("", Config, meanings))


def _sections(path: str, section: type[Section], meanings: Meanings) -> Iterator[str]:
    title = path or "At the top"
    yield f"\n## {title}\n\n" + _table(section, meanings)
    for name, hint in _hints(section).items():
        below = _section_in(hint)
        if below is not None:
            yield from _sections(f"{path}.{name}".lstrip("."), below, meanings)


def _table(section: type[Section], meanings: Meanings) -> str:
    rows = ["| key | allowed | default | meaning |", "| --- | --- | --- | --- |"]
    for key in keys(section, meanings):
        cells = (f"`{key.name}`", key.allowed, key.default, key.meaning)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def keys(section: type[Section], meanings: Meanings) -> list[Key]:
    """In the order of the model; a key without a meaning is a ValueError."""
    found = []
    for name, hint in _hints(section).items():
        meaning = meanings[section.__name__].get(name)
        if meaning is None:
            raise ValueError(f"{section.__name__}.{name} has no text below it in config_model")
        default = _default(section.model_fields[name], hint)
        found.append(Key(name, _allowed(hint), default, meaning))
    return found


def meanings_of(source: str) -> Meanings:
    """Of a module's source."""
    found: Meanings = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {}
            for key, text in zip(node.body, node.body[1:], strict=False):
                if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr):
                    name, words = ast.unparse(key.target), ast.literal_eval(text.value)
                    found[node.name][name] = " ".join(words.split())
    return found


def _hints(section: type[Section]) -> dict[str, Any]:
    hints = get_type_hints(section, include_extras=True)
    return {name: hints[name] for name in section.model_fields}


def _section_in(hint: Any) -> type[Section] | None:
    """The section that a key holds, be it in a list."""
    if isinstance(hint, type) and issubclass(hint, Section):
        return hint
    return next((found for arg in get_args(hint) if (found := _section_in(arg))), None)


def _allowed(hint: Any) -> str:
    if get_origin(hint) in {Union, UnionType}:
        parts = [_allowed(arg) for arg in get_args(hint) if arg is not NoneType]
        return ", ".join([*parts, "`null`"])
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    if get_origin(hint) is Annotated:
        return _of_annotated(hint)
    return _of_plain(hint)


def _of_annotated(hint: Any) -> str:
    kind, *extras = get_args(hint)
    if _section_in(kind) is not None:
        return "list"
    for extra in extras:
        if isinstance(extra, FieldInfo):
            (pattern,) = [m.pattern for m in extra.metadata if hasattr(m, "pattern")]
            return f"text, `{pattern}`"
    words = [_words(e.func) for e in extras if isinstance(e, BeforeValidator)]
    return words[0] + (" (*secret*)" if kind.__name__ == "SecretStr" else "")


def _words(check: Callable[..., Any]) -> str:
    """What the validator itself says to a value that nothing takes, without the examples."""
    try:
        check(object())
    except PydanticCustomError as error:
        words = error.message().removeprefix("a ")
        return words.partition(" such as ")[0].removesuffix(f" to {MAX_COUNT}")
    raise ValueError(f"{check} takes anything")


def _of_plain(hint: Any) -> str:
    if hint is bool:
        return "`true`, `false`"
    if hint is str:
        return "text"
    if get_origin(hint) is dict:
        return "mapping of words to text" if get_args(hint)[1] is not object else "mapping"
    if isinstance(hint, type) and issubclass(hint, Section):
        return "section"
    raise ValueError(f"{hint} has no words yet")


def _default(field: FieldInfo, hint: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    assert value is not PydanticUndefined
    if isinstance(value, Section):
        return "see below"
    words = _allowed(hint)
    if value is not None and words.startswith("duration"):
        return f"`{_with_unit(value, _DURATIONS)}`"
    if value is not None and words.startswith("size"):
        return f"`{_with_unit(value, _SIZES)}`"
    is_plain = isinstance(value, str) and value.isprintable()
    return f"`{value if is_plain else json.dumps(value)}`"


def _with_unit(value: float, units: tuple[tuple[str, int], ...]) -> str:
    unit, one = next((unit, one) for unit, one in units if value % one == 0)
    return f"{int(value // one)}{unit}"
