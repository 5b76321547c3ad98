"""Log lines: text for people, JSON for machines, one record a line in both.

1. Nothing that came from outside can end a line, begin one or steer a terminal: control
   characters, separators of lines and directions of writing are escaped, and the lines of a
   traceback are indented.
2. No registered secret stands in a line, also not in a traceback or a nested field.
3. A line is written as a whole, from whatever thread it comes (`WRITING`).
"""

import json
import logging
import math
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, TextIO
from urllib.parse import quote, urlsplit

WRITING = threading.RLock()
"""Held while a line is written; worker threads log too, and a status line shares the terminal."""

MIN_SECRET_CHARACTERS = 4
"""Shorter ones would shred every line, and hide nothing."""

_FOREIGN = ("aiohttp", "aiobotocore", "aiokafka", "asyncio", "botocore")
_REFRESHES = ("aiobotocore.credentials", "botocore.credentials")
"""Keys that could not be renewed, with a traceback at each try; our own line tells what it is."""

_SPARING_SECONDS = 10.0
_SPARING_ENTRIES = 1_000
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_PLAIN_VALUE = re.compile(r"[^\s\"=\\]+")

# What every record has; the rest came by `extra=`.
_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}

# Secrets belong to the process, like the root logger that they are hidden from.
_hidden: dict[str, None] = {}


def hide(value: str) -> None:
    """From now on `***` in every line, in the spellings of Python, JSON and URLs too.

    Of a URL with a password, the password as well. Values under four characters are left out.
    """
    forms = {value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, safe="")}
    with suppress(ValueError):
        password = urlsplit(value).password
        forms |= {password} if password else set()
    _hidden.update((form, None) for form in forms if len(form) >= MIN_SECRET_CHARACTERS)
    # The longest first: a secret may be a part of another one.
    longest_first = sorted(_hidden, key=len, reverse=True)
    _hidden.clear()
    _hidden.update(dict.fromkeys(longest_first))


def redact(text: str) -> str:
    """The text without the values that were given to `hide`."""
    for secret in _hidden:
        text = text.replace(secret, "***")
    return text


def printable(text: str) -> str:
    """One line that no terminal obeys: what is not printable is escaped as Python would."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def configure(
    *,
    form: Literal["text", "json"],
    level: str,
    stream: TextIO,
    before_line: Callable[[], None] | None = None,
) -> None:
    """Everything that is logged goes to `stream`; a second call replaces the first.

    `before_line` is called before each line, with `WRITING` held. Libraries are heard from
    WARNING on; at DEBUG from INFO on, because below that they show secrets.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = _LineHandler(stream, before_line)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _LineHandler)]:
        root.removeHandler(old)
    handler.addFilter(_Sparing(time.monotonic))
    root.addHandler(handler)
    root.setLevel(number)
    for name in _FOREIGN:
        foreign = logging.INFO if number <= logging.DEBUG else max(number, logging.WARNING)
        logging.getLogger(name).setLevel(foreign)


class _Sparing(logging.Filter):
    """What a library says again and again is passed on every ten seconds.

    aiokafka writes some forty lines a second about a broker that is away (measured, 0.14); what
    holds the sink is told by our own lines, once.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if not record.name.startswith(_FOREIGN):
            return True
        if record.name in _REFRESHES and record.exc_info:
            record.msg, record.args = f"{record.msg} %s", (record.exc_info[1],)
            record.exc_info = record.exc_text = None
        said, now = (record.name, str(record.msg)), self._clock()
        if now - self._told.get(said, -_SPARING_SECONDS) < _SPARING_SECONDS:
            return False
        if len(self._told) >= _SPARING_ENTRIES:
            self._told.clear()
        self._told[said] = now
        return True


class _LineHandler(logging.StreamHandler[TextIO]):
    def __init__(self, stream: TextIO, before_line: Callable[[], None] | None) -> None:
        super().__init__(stream)
        self._before_line = before_line

    def emit(self, record: logging.LogRecord) -> None:
        with WRITING:
            if self._before_line is not None:
                # A terminal that went away is no fault of whoever logs.
                with suppress(OSError, ValueError):
                    self._before_line()
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """The library would print the record's arguments, secrets and all."""
        with suppress(OSError, ValueError):
            self.stream.write(f"unwritable log line of {record.module}:{record.lineno}\n")


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = printable(redact(record.getMessage()))
        line = f"{_time(record)} {record.levelname:<5} {printable(record.name)} {message}"
        for name, value in _fields(record).items():
            line += f" {printable(redact(name))}={_text_value(value)}"
        for traceback_line in _exception(record).splitlines():
            line += f"\n    {printable(traceback_line)}"
        return line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if exception := _exception(record):
            line["exception"] = exception
        for name, value in _fields(record).items():
            # A field may not stand in for what the record says of itself.
            line[f"{name}_" if name in line else redact(name)] = _plain(value)
        # ASCII but for DEL, which JSON lets through.
        return json.dumps(line).replace("\x7f", "\\u007f")


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _exception(record: logging.LogRecord) -> str:
    parts = []
    # Never `record.exc_text`: another handler may have left it there, and not redacted.
    if record.exc_info and record.exc_info[0] is not None:
        parts.append(logging.Formatter().formatException(record.exc_info))
    if record.stack_info:
        parts.append(record.stack_info)
    return redact("\n".join(parts))


def _text_value(value: object) -> str:
    text = redact(str(value))
    if _PLAIN_VALUE.fullmatch(text):
        return printable(text)
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(quoted)}"'


def _plain(value: object) -> object:
    """What JSON can say, redacted; a value with a word of its own (`str`) says that."""
    if type(value) is dict:
        return {redact(str(name)): _plain(item) for name, item in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return [_plain(item) for item in value]  # type: ignore[attr-defined]
    text = redact(str(value))
    if value is None or type(value) in (bool, int):
        # A secret of digits is a number to whoever logs it.
        return value if text == str(value) else text
    if type(value) is float and math.isfinite(value) and text == str(value):
        return value
    return text


def _escaped(character: str) -> str:
    return _ESCAPES.get(character) or character.encode("unicode_escape").decode("ascii")
