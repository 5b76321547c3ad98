"""Types of configuration values: durations, sizes, lists, words; each says what it allows."""

import re
import warnings
from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr
from pydantic_core import PydanticCustomError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_FLAGS = re.compile(r"(?:\(\?[aiLmsux]+\))*")
_MAX_SECONDS = 36_500 * 86_400.0
_MAX_BYTES = 2.0**60
"""Beyond both, libraries below overflow; digits without end are infinity to a float."""


class Section(BaseModel):
    """A mapping of the file: frozen, without unknown keys, without guessing of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def refused(allowed: str) -> PydanticCustomError:
    """The error of a value; `config` adds where it stands and what was found."""
    return PydanticCustomError("allowed", "{allowed}", {"allowed": allowed})


def parse_duration(value: object) -> float:
    """`250ms`, `30s`, `10m`, `1h`, `1d` to seconds."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refused("a duration such as 250ms, 30s, 10m, 1h or 1d")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > _MAX_SECONDS:
        raise refused("a duration of at most 36500d")
    return seconds


def parse_size(value: object) -> int:
    """`64KiB`, `8MiB`, `2GiB`, `1MB` to bytes; 0 needs no unit."""
    if value == 0 and isinstance(value, int) and not isinstance(value, bool):
        return 0
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refused("a size such as 64KiB, 8MiB, 2GiB or 1MB")
    size_bytes = float(match[1]) * _BYTES[match[2]]
    if size_bytes > _MAX_BYTES:
        raise refused("a size of at most 1048576TiB")
    return int(size_bytes)


def _positive(parse: Callable[[object], float]) -> Callable[[object], float]:
    def check(value: object) -> float:
        number = parse(value)
        if number <= 0:
            raise refused("more than zero")
        return number

    return check


def parse_words(value: object) -> tuple[str, ...]:
    """A list, or one text separated by commas."""
    if isinstance(value, str):
        value = [word.strip() for word in value.split(",")]
    if not isinstance(value, list) or not value or not all(isinstance(w, str) and w for w in value):
        raise refused("a list of words, or words separated by commas")
    return tuple(dict.fromkeys(value))


def whole_name(pattern: str) -> re.Pattern[str]:
    """What `match`es where `re.fullmatch(pattern)` does, for who asks nothing else of a pattern.

    Raises re.error, also for what Python only warns of: sets within sets and their intersections
    (`[a-z&&[^q]]`), which are Java's and mean something else here. Flags (`(?i)orders`) stay in
    front, where alone Python takes them.
    """
    flags = _FLAGS.match(pattern)
    assert flags is not None  # an empty one, at least
    # The line's end, where it has no meaning, closes a comment.
    end = "\n" if _compiled(pattern).flags & re.VERBOSE else ""
    return _compiled(f"{flags[0]}(?:{pattern[flags.end() :]}{end})\\Z")


def _compiled(pattern: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        # Not to be remembered by `re` either, which warns of a pattern once.
        warnings.simplefilter("error", FutureWarning)
        try:
            return re.compile(pattern)
        except FutureWarning as warning:
            told = str(warning).lower()
            raise re.error(f"{told}: Python has none (a character itself: \\[ \\&)") from warning
        except (OverflowError, RecursionError) as error:
            raise re.error(str(error)) from error


def as_tuple(value: object) -> object:
    """A list of the file; strict models take no lists for what must not change."""
    return tuple(value) if isinstance(value, list) else value


def count_between(low: int, high: int) -> BeforeValidator:
    """A whole number within bounds."""

    def check(value: object) -> object:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise refused(f"a whole number from {low} to {high}")
        return value

    return BeforeValidator(check)


def _parse_fraction(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise refused("a number above 0 and up to 1")
    return float(value)


def _parse_text(value: object) -> str:
    # A word that happens to look like a number (`username: 12`) is still meant as a word.
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise refused("text")
    return value


def _parse_word(value: object) -> str:
    text = _parse_text(value)
    if not text:
        raise refused("text that is not empty")
    return text


def _parse_secret(value: object) -> SecretStr:
    return SecretStr(_parse_text(value))


Duration = Annotated[float, BeforeValidator(_positive(parse_duration))]
Size = Annotated[int, BeforeValidator(_positive(parse_size))]
SizeOrZero = Annotated[int, BeforeValidator(parse_size)]
Words = Annotated[tuple[str, ...], BeforeValidator(parse_words)]
Count = Annotated[int, count_between(1, 2**31 - 1)]
Fraction = Annotated[float, BeforeValidator(_parse_fraction)]
Text = Annotated[str, BeforeValidator(_parse_text)]
Word = Annotated[str, BeforeValidator(_parse_word)]
Secret = Annotated[SecretStr, BeforeValidator(_parse_secret)]
