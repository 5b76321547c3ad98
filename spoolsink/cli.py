"""The command line.

Exit status: 0 fine, 1 a fault, 2 bad configuration or arguments, 3 `spool verify` or `audit` found
something.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from spoolsink import __version__, logs
from spoolsink.audit import run_audit
from spoolsink.config import fingerprint, load, located, reveal, secrets_of
from spoolsink.config_model import Config
from spoolsink.connect_check import findings
from spoolsink.connect_import import run_import
from spoolsink.ddl import ENGINES, run_ddl
from spoolsink.errors import ConfigError
from spoolsink.progress import Progress, terminal_progress
from spoolsink.restore import run_restore
from spoolsink.restore.arguments import add_arguments, selected
from spoolsink.service import EXIT_FAULT, run_service
from spoolsink.spool_tools import run_spool
from spoolsink.status_line import terminal_status
from spoolsink.wiring import check_buildable

log = logging.getLogger(__name__)

EXIT_BAD_CONFIGURATION = 2
MAX_DEMO_SECONDS = 3600


def main() -> None:
    """Entry point of the console script."""
    try:
        status = run(sys.argv[1:], os.environ)
        print(end="", flush=True)  # here, where it can still be told; nothing where it is closed
    except KeyboardInterrupt:
        status = EXIT_FAULT
    except OSError as error:
        status = EXIT_FAULT
        if not isinstance(error, BrokenPipeError):  # a reader that has seen enough (`| head`)
            print(f"spoolsink: {error}", file=sys.stderr)
        # What is left cannot be written either: the interpreter would try, and say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """The exit status of one command."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "run":
            return _run(options, environ)
        if options.command == "demo":
            return _demo(options, environ)
        if options.command in _LONG_TOOLS:
            return _long_tool(options, environ)
        logs.configure(form=options.log_format, level=options.log_level, stream=sys.stderr)
        if options.command in _TOOLS:
            return _TOOLS[options.command](options, environ)
        return _check(options.config, environ, connects=options.connect)
    except ConfigError as error:
        _tell(error, is_json=options.log_format == "json")
        return EXIT_BAD_CONFIGURATION


def _tell(error: ConfigError, *, is_json: bool) -> None:
    """For people as `check` prints them; who collects JSON lines gets nothing else."""
    for problem in error.problems:
        if is_json:
            log.error("%s", problem)
        else:
            print(problem, file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """What is wrong with an argument is one line; its own has half a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        text = logs.printable(f"{self.prog}: {message}; see {self.prog} --help")
        self.exit(EXIT_BAD_CONFIGURATION, f"{text}\n")


def _parser() -> _Parser:
    parser = _Parser(prog="spoolsink", description="Kafka to S3 by way of disk.")
    parser.add_argument("--version", action="version", version=f"spoolsink {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    everywhere = _Parser(add_help=False)
    everywhere.add_argument("--log-format", choices=("text", "json"), default="text")
    everywhere.add_argument(
        "--log-level", choices=("DEBUG", "INFO", "WARNING", "ERROR"), default="INFO", type=str.upper
    )
    sink = commands.add_parser("run", parents=[everywhere], help="run the sink until SIGTERM")
    sink.add_argument("config", type=Path, metavar="CONFIG.yaml")
    sink.add_argument("--quiet", action="store_true", help="no status line on a terminal")
    check = commands.add_parser("check", parents=[everywhere], help="validate a configuration file")
    check.add_argument("config", type=Path, metavar="CONFIG.yaml")
    check.add_argument("--connect", action="store_true", help="also reach Kafka and S3")
    demo = commands.add_parser(
        "demo", parents=[everywhere], help="try it, on an embedded Kafka and S3"
    )
    demo.add_argument(
        "--seconds", type=_demo_seconds, default=20, metavar="N", help="how long (default: 20)"
    )
    _add_tools(commands, everywhere)
    return parser


def _add_tools(
    commands: "argparse._SubParsersAction[_Parser]",
    everywhere: _Parser,
) -> None:
    connect = commands.add_parser(
        "import-connect", parents=[everywhere], help="the YAML for a Kafka Connect S3 sink"
    )
    connect.add_argument("connector", type=Path, metavar="CONNECTOR.json")
    spool = commands.add_parser("spool", parents=[everywhere], help="what is on disk")
    spool.add_argument("action", choices=("ls", "verify"), help="list, or check every checksum")
    spool.add_argument("config", type=Path, metavar="CONFIG.yaml")
    spool.add_argument("--json", action="store_true", help="one JSON document")
    ddl = commands.add_parser("ddl", parents=[everywhere], help="tables over the objects, as SQL")
    ddl.add_argument("config", type=Path, metavar="CONFIG.yaml")
    ddl.add_argument("--engine", choices=tuple(ENGINES), default="athena")
    audit = commands.add_parser(
        "audit", parents=[everywhere], help="compare S3 with Kafka's committed offsets"
    )
    audit.add_argument("config", type=Path, metavar="CONFIG.yaml")
    audit.add_argument("--json", action="store_true", help="one JSON document")
    restore = commands.add_parser(
        "restore", parents=[everywhere], help="send backed-up records back to Kafka"
    )
    restore.add_argument("config", type=Path, metavar="CONFIG.yaml")
    add_arguments(restore)


def _import_connect(options: argparse.Namespace, environ: Mapping[str, str]) -> int:  # noqa: ARG001 (one shape for all tools)
    return run_import(options.connector, out=sys.stdout, err=sys.stderr)


def _spool(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    config = load(options.config, environ)
    return run_spool(options.action, config, as_json=options.json, out=sys.stdout, err=sys.stderr)


def _ddl(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    config = load(options.config, environ)
    try:
        return run_ddl(config, options.engine, out=sys.stdout)
    except ConfigError as error:
        raise ConfigError(located(options.config, environ, error.problems)) from error


def _audit(config: Config, options: argparse.Namespace, progress: Progress) -> int:
    return run_audit(config, as_document=options.json, out=sys.stdout, progress=progress)


def _restore(config: Config, options: argparse.Namespace, progress: Progress) -> int:
    selection = selected(config, options)
    return run_restore(config, selection, rate=options.rate, out=sys.stdout, progress=progress)


_TOOLS: dict[str, Callable[[argparse.Namespace, Mapping[str, str]], int]] = {
    "import-connect": _import_connect,
    "spool": _spool,
    "ddl": _ddl,
}
_LONG_TOOLS: dict[str, Callable[[Config, argparse.Namespace, Progress], int]] = {
    "audit": _audit,
    "restore": _restore,
}
"""Those that show how far they are."""


def _long_tool(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    progress = terminal_progress(sys.stderr)
    logs.configure(
        form=options.log_format,
        level=options.log_level,
        stream=sys.stderr,
        before_line=progress.clear,
    )
    config = load(options.config, environ)
    for secret in secrets_of(config):
        logs.hide(reveal(secret) or "")
    try:
        return _LONG_TOOLS[options.command](config, options, progress)
    except ConfigError as error:
        # What is wrong with an argument is no problem of the file.
        arguments = [text for text in error.problems if text.startswith("--")]
        problems = [text for text in error.problems if not text.startswith("--")]
        told = located(options.config, environ, problems)
        raise ConfigError([*arguments, *told]) from error
    except KeyboardInterrupt:
        progress.clear()
        return EXIT_FAULT


def _demo_seconds(text: str) -> int:
    # The embedded S3 keeps every object in memory, and makes 60,000 of them in an hour.
    if text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_DEMO_SECONDS:
        return int(text)
    raise argparse.ArgumentTypeError(f"found {text}; allowed: 1 to {MAX_DEMO_SECONDS}")


def _demo(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from spoolsink.demo import run_demo  # noqa: PLC0415 (no other command pays for it)

    log_arguments = ("--log-format", options.log_format, "--log-level", options.log_level)
    return run_demo(options.seconds, environ, out=sys.stdout, log_arguments=log_arguments)


def _run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    status = terminal_status(is_quiet=options.quiet)
    logs.configure(
        form=options.log_format,
        level=options.log_level,
        stream=sys.stderr,
        before_line=status.clear if status else None,
    )
    try:
        return run_service(options.config, environ, status=status)
    except ConfigError as error:
        raise ConfigError(located(options.config, environ, error.problems)) from error
    finally:
        logging.shutdown()


def _check(path: Path, environ: Mapping[str, str], *, connects: bool) -> int:
    config = load(path, environ)
    try:
        check_buildable(config)
    except ConfigError as error:
        raise ConfigError(located(path, environ, error.problems)) from error
    topics = ", ".join(config.kafka.topics or (f"/{config.kafka.topics_pattern}/",))
    print(f"{path}: fine")
    print(f"  {topics} as group {config.group_id}")
    print(f"  to s3://{config.s3.bucket}/{config.layout.prefix} ({config.format.type})")
    print(f"  fingerprint {fingerprint(config)}")
    return asyncio.run(_connect(config)) if connects else 0


async def _connect(config: Config) -> int:
    is_fine = True
    async for finding in findings(config):
        print(f"  {finding.mark:<4} {finding.text}")
        is_fine = is_fine and finding.is_fine
    return 0 if is_fine else EXIT_FAULT
