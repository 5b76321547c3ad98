"""`spoolsink ddl`: statements that make tables of the objects, one for each topic.

Needs neither Kafka nor S3: places come from `layout`, columns from `format.columns` (or the full
form). What cannot be a table is refused; what cannot be in one is left out with a comment.
"""

from collections.abc import Callable
from typing import TextIO

from spoolsink.config_model import Config
from spoolsink.ddl import athena, sql
from spoolsink.ddl.columns import FIRST_YEAR, LAST_YEAR, MAX_PARTITIONS
from spoolsink.ddl.table import Table, tables

ENGINES: dict[str, Callable[[Table], str]] = {
    "athena": athena.statement,
    "duckdb": sql.duckdb_statement,
    "trino": sql.trino_statement,
}


def statements(config: Config, engine: str, *, root: str | None = None) -> list[str]:
    """One for each topic, each with its comments; `root` stands for `s3://<bucket>`.

    Raises ConfigError for what no table can be made of.
    """
    return [ENGINES[engine](table) for table in tables(config, root=root)]


def run_ddl(config: Config, engine: str, *, out: TextIO) -> int:
    """Prints the statements; raises ConfigError."""
    found = statements(config, engine)
    if engine == "athena" and any("projection.enabled" in text for text in found):
        years, numbers = f"{FIRST_YEAR} to {LAST_YEAR}", f"0 to {MAX_PARTITIONS - 1}"
        out.write(f"-- projected: years {years}, partitions of a topic {numbers}; widen at need\n")
    if engine == "duckdb":
        out.write(f"{sql.duckdb_access(config.s3)}\n")
    out.write("\n\n".join(found) + "\n")
    return 0
