"""The configuration: a YAML file to a validated `Config`, or every problem at once.

Each problem is one line: `file:line: dotted.key: found ...; allowed: ...`. What a secret's value is
never shows, here or anywhere.
"""

import copy
import difflib
import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError

from spoolsink.config_model import Config
from spoolsink.config_rules import contradictions
from spoolsink.config_source import KeyPath, Source, read, read_text
from spoolsink.errors import ConfigError

ENCODING_NUMBER = 2
"""Raised when equal records would be written or split otherwise than before."""

Broken = tuple[KeyPath, tuple[int, str]]
"""Where a value was refused, and the problem with its line."""

_SECRET_WORDS = ("password", "secret", "token", "proxy_url")
_SHOWN_CHARACTERS = 60


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Raises ConfigError with every problem, in the order of the file."""
    config, problems = _judged(read(path, environ))
    if problems or config is None:
        raise ConfigError([f"{path}:{line}: {text}" for line, text in problems])
    return config


def refusals(text: str) -> list[str]:
    """What `load` refuses of a text that is no file yet, whatever its references stand for.

    Each begins with its dotted key; there are no lines.
    """
    return [problem for _, problem in _judged(read_text(text))[1]]


def _judged(source: Source) -> tuple[Config | None, list[tuple[int, str]]]:
    """A configuration, or problems with their lines, in the order of the file."""
    problems = list(source.problems)
    config: Config | None = None
    broken: list[Broken] = []
    if source.data is None and not problems:
        problems.append((1, "the file is empty"))
    elif isinstance(source.data, dict):
        config, broken = _validated(source)
        # What could not be had is told already, and nothing that stands in for it is judged.
        problems += [problem for where, problem in broken if not source.is_unread(where)]
    elif not problems:
        problems.append((1, "must be a mapping of keys"))
    if config is not None:
        rules = contradictions(config)
        problems += [
            (source.line_of(where), f"{_dotted(where)}: {what}")
            for where, what in rules
            # What was left out for its own problem is not held against its section.
            if not source.is_unread(where)
            and not any(place[: len(where)] == where for place, _ in broken)
        ]
    return config, sorted(set(problems))


def located(path: Path, environ: Mapping[str, str], problems: Iterable[str]) -> list[str]:
    """Problems that showed after `load`, as it gives them: `file:line:`, in the file's order.

    A problem begins with its dotted key; one that names the file already stays as it is.
    """
    source = read(path, environ)

    def line_of(problem: str) -> int:
        steps = problem.partition(":")[0].split(".")
        return source.line_of(tuple(int(step) if step.isdecimal() else step for step in steps))

    found = list(problems)
    named = [problem for problem in found if problem.startswith(f"{path}:")]
    lines = sorted({(line_of(problem), problem) for problem in found if problem not in named})
    return [*named, *(f"{path}:{line}: {problem}" for line, problem in lines)]


def fingerprint(config: Config) -> str:
    """8 hex digits over all that must be equal for a repeat to write the same objects."""
    records = config.records.model_dump(mode="json", exclude={"schema_registry"})
    files = {name: _digest_of_file(name) for name in _named_files(config)}
    parts = {
        "encoding": ENCODING_NUMBER,
        "records": records,
        "files": files,
        "layout": config.layout.model_dump(mode="json"),
        "format": config.format.model_dump(mode="json"),
        "object_bytes": config.rotate.object_bytes,
        "object_records": config.rotate.object_records,
        "isolation": config.kafka.isolation,
        "batch_max_bytes": config.kafka.batch_max_bytes,
        "bucket": config.s3.bucket,
    }
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def _named_files(config: Config) -> Iterable[str]:
    for options in (config.records.key_options, config.records.value_options):
        for name in ("schema_file", "descriptor_file"):
            if isinstance(options.get(name), str):
                yield str(options[name])


def _digest_of_file(name: str) -> str:
    try:
        return sha256(Path(name).read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError([f"cannot read {name}: {error.strerror}"]) from error


_STAND_INS: Mapping[str, Mapping[str, object]] = {
    "kafka": {"bootstrap_servers": ["stand-in:9092"]},
    "s3": {"bucket": "stand-in"},
}
"""For required keys that are broken, so that everything else is judged all the same."""


def _validated(source: Source) -> tuple[Config | None, list[Broken]]:
    """The model, and what pydantic found; in both where the rest can be judged without that."""
    try:
        return Config.model_validate(source.data), []
    except ValidationError as error:
        problems = _described(error, source)
        rest: Any = copy.deepcopy(source.data)
        for where, _ in problems:
            _remove(rest, where)
    rest.setdefault("name", "stand-in")
    for section, required in _STAND_INS.items():
        rest[section] = {**required, **rest.get(section, {})}
    try:
        return Config.model_validate(rest), problems
    except ValidationError:
        return None, problems


def _remove(tree: object, where: KeyPath) -> None:
    for step in where[:-1]:
        tree = tree[step] if isinstance(tree, dict) and step in tree else None
    if isinstance(tree, dict):
        tree.pop(where[-1], None)


def _described(error: ValidationError, source: Source) -> list[Broken]:
    described = []
    for problem in error.errors(include_url=False):
        where = _in_file(problem["loc"], source)
        found = _found(where, source)
        kind, context = problem["type"], problem.get("ctx", {})
        if kind == "extra_forbidden":
            text = f"unknown key{_near(str(where[-1]), _keys_beside(where))}"
        elif kind == "missing":
            text = "required"
        elif kind == "literal_error":
            allowed = str(context["expected"]).replace(" or ", ", ")
            words = [word.strip(" '") for word in allowed.split(",")]
            text = (
                f"found {found}; allowed: {' | '.join(words)}{_near(found.strip(chr(39)), words)}"
            )
        else:
            text = f"found {found}; allowed: {_allowed(kind, context, problem['msg'])}"
        described.append((where, (source.line_of(where), f"{_dotted(where)}: {text}")))
    return described


def _allowed(kind: str, context: Mapping[str, object], message: str) -> str:
    return {
        "allowed": str(context.get("allowed")),
        "bool_type": "true | false",
        "dict_type": "a mapping",
        "model_type": "a mapping",
        "string_type": "text",
        "tuple_type": "a list",
        "string_pattern_mismatch": "letters, digits, '.', '_' and '-'",
    }.get(kind, message)


def _in_file(location: tuple[int | str, ...], source: Source) -> KeyPath:
    """Pydantic's place without its names of union members."""
    where: KeyPath = ()
    for step in location:
        if (*where, step) in source.lines or step == location[-1]:
            where = (*where, step)
    return where


def _found(where: KeyPath, source: Source) -> str:
    if any(word in str(where[-1]) for word in _SECRET_WORDS):
        return "a value that is not shown"
    value = source.data
    for step in where:
        try:
            value = value[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return "nothing"
    text = repr(value) if not isinstance(value, bool | None) else json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _keys_beside(where: KeyPath) -> list[str]:
    model: type[BaseModel] = Config
    for step in where[:-1]:
        field = model.model_fields.get(str(step))
        if field is None:
            continue
        kinds = [
            field.annotation,
            *(k for a in get_args(field.annotation) for k in (a, *get_args(a))),
        ]
        model = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), model)
    return list(model.model_fields)


def _near(word: str, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _dotted(where: KeyPath) -> str:
    return ".".join(map(str, where))


def reveal(secret: SecretStr | None) -> str | None:
    """A secret's value, for the call that needs it and nothing else."""
    return None if secret is None else secret.get_secret_value()


def secrets_of(model: BaseModel) -> Iterable[SecretStr]:
    """Every secret of a configuration, for the log's filter."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, SecretStr):
            yield value
        elif isinstance(value, BaseModel):
            yield from secrets_of(value)
