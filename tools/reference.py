"""The pages of docs/ that are made from the code: `make reference` writes them."""

from collections.abc import Callable
from pathlib import Path

from spoolsink.connect_import.options import as_markdown as connect_options
from tools import commands, configuration, licences

PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration.as_markdown,
    "commands.md": commands.as_markdown,
    "connect-options.md": connect_options,
    "licences.md": licences.as_markdown,
}


def write(directory: Path) -> None:
    """Every page, over what is there."""
    for name, make in PAGES.items():
        (directory / name).write_text(make())
