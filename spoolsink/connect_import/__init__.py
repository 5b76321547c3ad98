"""`spoolsink import-connect`: a Kafka Connect S3 sink's JSON to our YAML.

What is carried over is written out, also where it is Connect's default and not ours. What is not is
a comment in the YAML and a line on standard error, never silence (`options` is the table of all);
so is what `check` refuses of the YAML, as far as it can be told without the environment. Secrets
are never copied: they become `${NAME}` references.
"""

import re
from pathlib import Path
from typing import NamedTuple, TextIO

from spoolsink.config import refusals
from spoolsink.connect_import.draft import SECTIONS, Draft
from spoolsink.connect_import.ending import carry_format, carry_rotate
from spoolsink.connect_import.kafka import carry_kafka
from spoolsink.connect_import.options import Fate, option_of
from spoolsink.connect_import.places import carry_layout
from spoolsink.connect_import.records import carry_records, simple_name
from spoolsink.connect_import.settings import Settings, is_reference, read_settings
from spoolsink.connect_import.store import carry_store
from spoolsink.errors import ConfigError
from spoolsink.logs import printable

_CLASS = "io.confluent.connect.s3.S3SinkConnector"
_SECRET = re.compile(
    r"password|secret|token|credential|jaas|user\.info|\.key$|://[^/]*@", re.IGNORECASE
)
_SHOWN_CHARACTERS = 80
_SECTION_OF = (
    ("consumer.", "kafka"), ("key.", "records"), ("value.", "records"), ("header", "records"),
    ("errors.", "records"), ("keys.", "records"), ("s3.schema.", "layout"), ("s3.", "s3"),
    ("directory.", "layout"), ("file", "layout"), ("json.", "format"), ("schema", "format"),
    ("rotate.", "rotate"), ("report.", "records"), ("tombstone.", "records"),
)  # fmt: skip


class Imported(NamedTuple):
    """The YAML, and a line for each thing in it that an operator must know."""

    yaml: str
    notes: list[str]


def import_connector(path: Path) -> Imported:
    """Raises ConfigError with every problem of a file that Connect would refuse too."""
    settings = read_settings(path)
    draft = Draft()
    _head(settings, draft)
    for carry in (
        carry_kafka,
        carry_records,
        carry_layout,
        carry_format,
        carry_rotate,
        carry_store,
    ):
        carry(settings, draft)
    for option in settings.rest():
        _say(option, settings.values[option], draft)
    if settings.problems:
        raise ConfigError([f"{path}: {problem}" for problem in settings.problems])
    _say_refusals(draft)
    return Imported(draft.text(), draft.notes)


def run_import(path: Path, *, out: TextIO, err: TextIO) -> int:
    """Prints the YAML to `out` and the notes to `err`; raises ConfigError."""
    found = import_connector(path)
    err.writelines(f"{printable(str(path))}: {printable(note)}\n" for note in found.notes)
    out.write(found.yaml)
    return 0


def _head(settings: Settings, draft: Draft) -> None:
    java_class = settings.text("connector.class") or ""
    if simple_name(java_class) != simple_name(_CLASS) or ".streamreactor." in java_class:
        found = repr(java_class) if java_class else "nothing"
        settings.problems.append(f"connector.class: found {found}; allowed: {_CLASS}")
    name = re.sub(r"[^A-Za-z0-9._-]", "-", settings.name)
    draft.set("name", name)
    draft.comments[""] = [
        (
            f"From the Kafka Connect S3 sink {settings.name}. Stop the connector before the first "
            "run: the group is the same, so the sink goes on where it was."
        ),
    ]
    if java_class and java_class != _CLASS:
        draft.note("", "connector.class", f"{java_class} is taken for {_CLASS}")
    if name != settings.name:
        draft.note("", "name", f"{settings.name} is not allowed; the group keeps it")
    tasks = settings.number("tasks.max") or 1
    if tasks > 1:
        text = f"one process is one task: start up to {tasks} processes with this file, each with"
        draft.note("", "tasks.max", f"{text} a spool.directory of its own")


def _say(option: str, value: str, draft: Draft) -> None:
    """One line for an option that nothing has read; none where nothing is lost."""
    row = option_of(option)
    section = next((s for start, s in _SECTION_OF if option.startswith(start)), "")
    if row is None:
        draft.note(section, option, f"not carried over ({_shown(option, value)}): not known")
    elif row.fate is Fate.CARRIED:
        draft.note(section, option, f"not carried over ({_shown(option, value)}): without effect")
    elif row.fate is Fate.LOST and value.strip() not in row.harmless:
        draft.note(section, option, f"not carried over ({_shown(option, value)}): {row.how}")


def _say_refusals(draft: Draft) -> None:
    """Values that Connect takes and `check` does not: the file is to be mended by hand."""
    for problem in refusals(draft.text()):
        section = re.split(r"[.:]", problem, maxsplit=1)[0]
        draft.note(section if section in SECTIONS[1:] else "", "check refuses", problem)


def _shown(option: str, value: str) -> str:
    if not is_reference(value) and (_SECRET.search(option) or _SECRET.search(value)):
        return "its value is not shown"
    return value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}..."
