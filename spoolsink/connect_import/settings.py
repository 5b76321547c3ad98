"""A connector's JSON as flat settings, which remember what was asked for.

References of Connect's config providers (`${env:X}`, `${file:/a.properties:key}`) become ours.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from spoolsink.errors import ConfigError

T = TypeVar("T")

MAX_FILE_BYTES = 1024 * 1024

_PROVIDER = re.compile(r"\$\{(\w+):([^}]+)\}")
_NOT_IN_NAMES = re.compile(r"[^A-Z0-9]+")


@dataclass
class Settings:
    """One connector; owned by one import. Wrong values are collected in `problems`."""

    name: str
    values: dict[str, str]
    problems: list[str] = field(default_factory=list)
    _asked: set[str] = field(default_factory=set)

    def text(self, option: str) -> str | None:
        """The value without surrounding blanks; None when it is absent or blank."""
        return (self.raw(option) or "").strip() or None

    def raw(self, option: str) -> str | None:
        """The value as it came: blanks mean something in a separator."""
        self._asked.add(option)
        return self.values.get(option)

    def number(self, option: str) -> int | None:
        """A whole number."""
        return self._read(option, int, "a whole number")

    def flag(self, option: str) -> bool | None:
        """`true` or `false`, in any case."""
        words = {"true": True, "false": False}
        return self._read(option, lambda text: words[text.lower()], "true | false")

    def words(self, option: str) -> list[str]:
        """A list separated by commas."""
        return [word.strip() for word in (self.text(option) or "").split(",") if word.strip()]

    def split_url(self, option: str, url: str) -> SplitResult | None:
        """None where it is none (half of an IPv6 address, say)."""
        try:
            return urlsplit(url)
        except ValueError:
            self.problems.append(f"{option}: not a URL")
            return None

    def rest(self) -> Iterable[str]:
        """Options of the file that nobody has asked for, in its order."""
        return [option for option in self.values if option not in self._asked]

    def _read(self, option: str, read: Callable[[str], T], allowed: str) -> T | None:
        text = self.text(option)
        try:
            return None if text is None else read(text)
        except (ValueError, KeyError):
            self.problems.append(f"{option}: found {text!r}; allowed: {allowed}")
            return None


def read_settings(path: Path) -> Settings:
    """Raises ConfigError for what is no connector's configuration."""
    tree = _parsed(path)
    config, name = tree, tree.get("name")
    inside = tree.get("config")
    if isinstance(inside, dict):
        # `{"name", "config"}`, as it is posted; a GET answers with `tasks` and `type` beside.
        config = inside
        name = name or config.get("name")
    wrong = [f"{path}: {key}: must be text, a number or a boolean"
             for key, value in config.items() if isinstance(value, dict | list)]  # fmt: skip
    if not isinstance(name, str) or not name:
        wrong.append(f"{path}: name: required")
    if wrong:
        raise ConfigError(wrong)
    values = {key: _plain(value) for key, value in config.items() if value is not None}
    values.pop("name", None)
    return Settings(str(name), {key: _referring(key, value) for key, value in values.items()})


def env_name(option: str) -> str:
    """`aws.secret.access.key` to `AWS_SECRET_ACCESS_KEY`."""
    return _NOT_IN_NAMES.sub("_", option.upper()).strip("_")


def is_reference(value: str) -> bool:
    """Whether a value is nothing but a reference, and so may be printed."""
    return re.fullmatch(r"\$\{[^}]*\}", value) is not None


def _parsed(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError([f"{path}: larger than 1 MiB"])
        text = path.read_text(encoding="utf-8-sig")
        tree = json.loads(text, object_pairs_hook=_without_doubles)
        # A lone surrogate can neither be printed nor be meant.
        json.dumps(tree, ensure_ascii=False).encode()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{path}: not JSON: {error}"]) from error
    if not isinstance(tree, dict):
        raise ConfigError([f"{path}: must be an object"])
    return tree


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"duplicate key {next(n for n in names if names.count(n) > 1)!r}")
    return found


def _plain(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _referring(option: str, value: str) -> str:
    """The value with the references of Connect's providers as ours; `${NAME}` is ours already."""

    def replace(match: re.Match[str]) -> str:
        provider, (path, _, key) = match[1], match[2].rpartition(":")
        if provider.startswith("env"):
            # `${env:NAME}`, or `${env:path:NAME}` with a path that is ignored.
            return f"${{{_env_name_of(key)}}}"
        if provider.startswith("dir") and path:
            return f"${{file:{path}/{key}}}"
        return f"${{{env_name(option)}}}"

    return _PROVIDER.sub(replace, value)


def _env_name_of(text: str) -> str:
    """A name of the environment as it stands, or as it must be spelled to be one."""
    return text if re.fullmatch(r"[A-Za-z_]\w*", text) else env_name(text)
