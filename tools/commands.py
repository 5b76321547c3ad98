"""docs/commands.md, from the parser of the command line."""

import argparse
import re
from collections.abc import Iterator

from spoolsink.cli import _parser

HEAD = """\
# Commands

Made from the program's own parser by `make reference`; a test fails when it is stale.

Exit status: 0 a clean stop; 1 a fault while running or at start; 2 bad configuration or arguments;
3 `spool verify` or `audit` found something. A second SIGTERM or SIGINT ends the process at once.

Every command takes `--log-format text|json` and `--log-level DEBUG|INFO|WARNING|ERROR` (default:
`text`, `INFO`; on standard error).
"""
_EVERYWHERE = {"help", "log_format", "log_level"}
_EVERYWHERE_IN_USAGE = re.compile(r"\[(-h|--log-format [^]]*|--log-level [^]]*)\] ?")
_MEANINGS = {
    "config": "the configuration file",
    "connector": "the connector's configuration, bare or as `{name, config}`",
}


def as_markdown() -> str:
    """The whole page: one section for each command."""
    return HEAD + "".join(_commands(_parser()))


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help for choice in action._choices_actions}
            for name, command in action.choices.items():
                yield from _command(command, helps.get(name) or "")


def _command(parser: argparse.ArgumentParser, text: str) -> Iterator[str]:
    yield f"\n## {parser.prog}\n\n{_sentence(parser.description or text)}\n\n"
    yield f"    {_usage(parser)}\n\n"
    arguments = [action for action in parser._actions if action.dest not in _EVERYWHERE]
    rows = [_row(a) for a in arguments if not isinstance(a, argparse._SubParsersAction)]
    if rows:
        yield "| argument | allowed | default | meaning |\n| --- | --- | --- | --- |\n"
        yield "".join(rows)
    yield from _commands(parser)


def _usage(parser: argparse.ArgumentParser) -> str:
    """On one line, whatever the width of a terminal; without what every command takes."""
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    return _EVERYWHERE_IN_USAGE.sub("", usage)


def _row(action: argparse.Action) -> str:
    name = ", ".join(action.option_strings) or action.metavar or action.dest
    allowed = ", ".join(f"`{choice}`" for choice in action.choices or ())
    takes_value = action.nargs != 0
    if not allowed and action.option_strings and takes_value:
        allowed = str(action.metavar or action.dest.upper())
    default = "" if action.default in (None, False, argparse.SUPPRESS) else f"`{action.default}`"
    cells = (f"`{name}`", allowed, default, action.help or _MEANINGS.get(action.dest, ""))
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
