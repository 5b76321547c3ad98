"""Names that are no names to an engine: of columns in Avro and Parquet, and of topics."""

import json
from collections.abc import Sequence
from pathlib import Path

import duckdb

from spoolsink.config_model import Config
from spoolsink.ddl import statements
from spoolsink.formats.avro_rows import schema_of_columns
from spoolsink.formats.avro_trees import with_avro_names
from spoolsink.formats.columns import make_column

NAMES = ("userId", "user-agent", "Ä b", "1st")


def config_of(kind: str, names: Sequence[str] = NAMES, topics: str = "orders") -> Config:
    columns = tuple({"name": name, "type": "long", "path": "value.id"} for name in names)
    return Config.model_validate(
        {
            "name": "sink",
            "kafka": {"bootstrap_servers": "localhost:9092", "topics": topics},
            "s3": {"bucket": "archive"},
            "layout": {"partition": ""},
            "format": {"type": kind, "columns": columns},
        }
    )


def test_duckdb_finds_columns_of_parquet_by_the_names_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "topics/orders/orders+0+0+0.parquet"
    path.parent.mkdir(parents=True)
    written = ", ".join(f'{number}::BIGINT AS "{name}"' for number, name in enumerate(NAMES))
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {written}) TO '{path}'")
        (statement,) = statements(config_of("parquet"), "duckdb", root=str(tmp_path))
        connection.execute(statement)
        found = connection.execute("SELECT userid, user_agent, __b, _1st FROM orders").fetchall()
    assert found == [(0, 1, 2, 3)]


def test_athena_is_not_told_columns_of_parquet_that_it_cannot_find() -> None:
    (text,) = statements(config_of("parquet"), "athena")
    assert "-- left out: user-agent (a name of letters, digits and _ would be read)\n" in text
    assert "`userid` bigint\n)" in text
    assert "`user_agent`" not in text


def test_trino_finds_columns_of_parquet_by_the_names_in_the_file() -> None:
    (text,) = statements(config_of("parquet"), "trino")
    assert '  "userid" bigint,\n  "user-agent" bigint,' in text


def test_avro_is_read_by_the_names_of_its_writer() -> None:
    (text,) = statements(config_of("avro"), "athena")
    literal = text.partition("'avro.schema.literal' = '")[2].partition("'")[0]
    made = [make_column(name, "long", "value.id") for name in NAMES]
    assert json.loads(literal) == with_avro_names(json.loads(schema_of_columns(made)))
    assert "`userid` bigint,\n  `user_agent` bigint,\n  `__b` bigint,\n  `_1st` bigint" in text
    (view,) = statements(config_of("avro"), "duckdb")
    assert '"user_agent",' in view


def test_topics_whose_names_differ_in_punctuation_are_different_tables() -> None:
    config = config_of("parquet", ["id"], topics="a.b, a_b, A_b, a_b_2")
    found = [text.split("`")[1] for text in statements(config, "athena")]
    assert found == ["a_b", "a_b_3", "a_b_4", "a_b_2"]
