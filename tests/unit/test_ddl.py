"""Tables over the objects: what Athena is told, and what duckdb really reads."""

import gzip
import json
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

import duckdb
import pytest
import zstandard

from spoolsink.config_model import Config
from spoolsink.ddl import run_ddl, statements
from spoolsink.ddl.columns import projected
from spoolsink.errors import ConfigError
from spoolsink.formats import make_format
from spoolsink.formats.avro_rows import schema_of_columns
from spoolsink.formats.columns import make_column
from spoolsink.formats.schema_rows import envelope_schema
from spoolsink.layout import Layout, directory_of, object_key, walk
from spoolsink.records import Batch
from tests.unit.builders import batch_of

NOON = 1_783_166_400_000  # 2026-07-04 12:00 UTC
COLUMNS = (
    {"name": "id", "type": "long", "path": "value.id"},
    {"name": "city", "type": "string", "path": "value.address.city"},
    {"name": "Paid", "type": "boolean", "path": "value.isPaid"},
)
HIVE = "country={value.country}/dt={time:%Y-%m-%d}/hour={time:%H}"


def config_of(topics: str | None = "orders", **sections: Mapping[str, object]) -> Config:
    kafka = {"topics": topics} if topics else {"topics_pattern": "o.*"}
    base = {
        "name": "sink",
        "kafka": {"bootstrap_servers": "localhost:9092", **kafka},
        "s3": {"bucket": "archive"},
        "format": {"columns": COLUMNS},
    }
    return Config.model_validate({**base, **sections})


def properties_of(statement: str) -> dict[str, str]:
    """The last TBLPROPERTIES of a statement."""
    lines = statement.partition("TBLPROPERTIES (\n")[2].splitlines()
    pairs = (line.strip(" ,").partition(" = ") for line in lines if " = " in line)
    return {key.strip("'"): value.strip("'") for key, _, value in pairs}


def write(config: Config, root: Path, values: Sequence[bytes | None], data: object) -> None:
    """Objects as the sink would write them: layout, format and key are the real ones."""
    layout = Layout(config.layout.partition, time=config.layout.time)
    batch = batch_of(values, times=[NOON] * len(values))
    columns = {path: [walk(data, path)] * len(values) for path in layout.value_paths}
    places = layout.place(batch, columns, {(): [None] * len(values)}, NOON)
    rows = rows_of(config, batch)
    form = format_of(config)
    place = str(places[0])
    directory = directory_of(config.layout.prefix, batch.tp.topic, place)
    first, last = batch.offsets[0], batch.offsets[-1]
    key = object_key(directory, batch.tp.topic, 0, first, last, extension=form.extension)
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(compressed(b"".join(rows), config.format.compression))


def format_of(config: Config):  # type: ignore[no-untyped-def]  # noqa: ANN201 (the format's own type)
    form = config.format
    return make_format(
        form.type, value="json", key="json", form=config.records.form, compression=form.compression
    )


def rows_of(config: Config, batch: Batch) -> list[bytes]:
    return [bytes(row) for row in format_of(config).rows(batch, None, None)]


def compressed(body: bytes, compression: str) -> bytes:
    if compression == "gzip":
        return gzip.compress(body)
    return zstandard.compress(body) if compression == "zstd" else body


def query(config: Config, root: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        for statement in statements(config, "duckdb", root=str(root)):
            connection.execute(statement)
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_duckdb_reads_the_objects_with_columns_of_the_documents_and_of_the_path(
    compression: str, tmp_path: Path
) -> None:
    config = config_of(
        layout={"partition": HIVE}, format={"columns": COLUMNS, "compression": compression}
    )
    first = b'{"id": 1, "address": {"city": "Seoul"}, "isPaid": true, "country": "KR"}'
    second = b'{"id": 2, "country": "KR"}'
    write(config, tmp_path, [first, second], {"country": "KR"})
    write(config, tmp_path, [b'{"id": 3, "country": "a/b"}'], {"country": "a/b"})
    write(config, tmp_path, [b'{"id": 4}'], {})
    found = query(config, tmp_path, 'SELECT * FROM "orders" ORDER BY id')
    assert found == [
        (1, "Seoul", True, "KR", "2026-07-04", "12"),
        (2, None, None, "KR", "2026-07-04", "12"),
        (3, None, None, "a/b", "2026-07-04", "12"),
        (4, None, None, None, "2026-07-04", "12"),
    ]


def test_duckdb_reads_a_null_value_as_a_row_of_nulls(tmp_path: Path) -> None:
    config = config_of(layout={"partition": ""})
    write(config, tmp_path, [b'{"id": 7}', None], {})
    assert query(config, tmp_path, "SELECT id FROM orders") == [(7,), (None,)]


def test_duckdb_reads_a_layout_without_names(tmp_path: Path) -> None:
    config = config_of(layout={"partition": "{time:%Y/%m/%d}"})
    write(config, tmp_path, [b'{"id": 7}'], {})
    assert query(config, tmp_path, "SELECT * FROM orders") == [(7, None, None)]
    assert "the directories are no columns" in statements(config, "duckdb")[0]


def test_duckdb_reads_the_full_form(tmp_path: Path) -> None:
    config = config_of(records={"form": "full"}, format={}, layout={"partition": ""})
    write(config, tmp_path, [b'{"a":[1]}', None], {})
    found = query(config, tmp_path, 'SELECT topic, "offset", timestamp, value FROM orders')
    assert found == [("orders", 0, NOON, '{"a":[1]}'), ("orders", 1, NOON, None)]


def test_duckdb_reads_csv_with_nulls_and_empty_strings_apart(tmp_path: Path) -> None:
    columns = (
        {"name": "id", "type": "long", "path": "value.id"},
        {"name": "text", "type": "string", "path": "value.text"},
    )
    config = config_of(
        format={"type": "csv", "header": True, "columns": columns}, layout={"partition": HIVE}
    )
    path = tmp_path / "topics/orders/country=KR/dt=2026-07-04/hour=12/orders+0+0+2.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(b'id,text\n1,"a ""b"",\nc"\n2,\n3,""\n')
    found = query(config, tmp_path, "SELECT id, text, country FROM orders ORDER BY id")
    assert found == [(1, 'a "b",\nc', "KR"), (2, None, "KR"), (3, "", "KR")]


def test_duckdb_reads_text_a_line_at_a_time(tmp_path: Path) -> None:
    config = config_of(format={"type": "text"}, layout={"partition": "dt={time:%Y-%m-%d}"})
    write(config, tmp_path, [b'a,"b\tc', b"d"], {})
    found = query(config, tmp_path, "SELECT * FROM orders")
    assert found == [('a,"b\tc', "2026-07-04"), ("d", "2026-07-04")]


def test_duckdb_reads_parquet(tmp_path: Path) -> None:
    columns = ({"name": "id", "type": "long", "path": "value.id"},)
    config = config_of(
        format={"type": "parquet", "columns": columns}, layout={"partition": "dt={time:%Y-%m-%d}"}
    )
    path = tmp_path / "topics/orders/dt=2026-07-04/orders+0+0+0.parquet"
    path.parent.mkdir(parents=True)
    duckdb.sql(f"COPY (SELECT 5::BIGINT AS id) TO '{path}'")
    assert query(config, tmp_path, "SELECT * FROM orders") == [(5, "2026-07-04")]


def test_athena_is_told_where_everything_is() -> None:
    (text,) = statements(config_of(layout={"partition": HIVE}), "athena")
    assert "CREATE EXTERNAL TABLE IF NOT EXISTS `orders` (\n  `id` bigint,\n" in text
    assert "  `address` struct<city:string>,\n  `paid` boolean\n)" in text
    assert "'mapping.paid' = 'isPaid'" in text
    assert "-- address.city is the column city" in text
    assert "LOCATION 's3://archive/topics/orders/'" in text
    assert properties_of(text) == {
        "projection.enabled": "true",
        "projection.country.type": "injected",
        "projection.dt.type": "date",
        "projection.dt.format": "yyyy-MM-dd",
        "projection.dt.range": "2015-01-01,NOW+1DAYS",
        "projection.dt.interval": "1",
        "projection.dt.interval.unit": "DAYS",
        "projection.hour.type": "integer",
        "projection.hour.range": "0,23",
        "projection.hour.digits": "2",
        "storage.location.template": (
            "s3://archive/topics/orders/country=${country}/dt=${dt}/hour=${hour}/"
        ),
    }


@pytest.mark.parametrize(
    ("template", "path", "columns"),
    [
        ("", "", []),
        ("all", "all", []),
        ("t={topic}/partition={partition}", "t=orders/partition=${partition}", ["partition"]),
        ("{time:%Y/%m/%d/%H}", "${dt}", ["dt"]),
        ("dt={time:%Y%m%d}T{time:%H}", "dt=${dt}T${hour}", ["dt", "hour"]),
        ("{time:%G-W%V}", "${iso_year}-W${iso_week}", ["iso_year", "iso_week"]),
        ("{time:%-d %b %%}", "${day} ${month} %", ["day", "month"]),
        ("{value.a.b}/{key}/{header.x-y}", "${a_b}/${key}/${header_x_y}", None),
        ("a={value.x}/a={value.y}", "a=${a}/a=${path_a}", ["a", "path_a"]),
        ("Land={value.x}", "Land=${land}", ["land"]),
        ("id={value.x}", "id=${path_id}", ["path_id"]),
        ("{{{value.x}}}", "{${x}}", ["x"]),
    ],
)
def test_fields_of_the_path_become_columns(
    template: str, path: str, columns: list[str] | None
) -> None:
    found = projected(template, "orders", ["id"])
    assert found.template == path
    assert columns is None or [column.name for column in found.columns] == columns


@pytest.mark.parametrize(
    ("template", "format_", "first"),
    [
        ("{time:%Y-%m-%d}", "yyyy-MM-dd", "2015-01-01"),
        ("{time:%Y/%m/%d/%H}", "yyyy/MM/dd/HH", "2015/01/01/00"),
        ("{time:%Y%m%dT%H%M}", "yyyyMMdd'T'HHmm", "20150101T0000"),
        ("{time:y%Y'%m}", "'y'yyyy''MM", "y2015'01"),
    ],
)
def test_a_date_is_one_column_in_javas_words(template: str, format_: str, first: str) -> None:
    (column,) = projected(template, "orders").columns
    projection = dict(column.projection)
    assert projection["format"] == format_
    assert projection["range"] == f"{first},NOW+1DAYS"


def test_a_value_with_a_slash_is_no_directory() -> None:
    assert projected("dt={time:%Y-%m-%d}", "orders").is_hive_style
    assert not projected("dt={time:%Y/%m/%d}", "orders").is_hive_style
    assert not projected("dt={time:%Y-%m-%d}x", "orders").is_hive_style
    assert not projected("Dt={time:%Y-%m-%d}", "orders").is_hive_style


def test_every_topic_has_its_table() -> None:
    out = StringIO()
    assert run_ddl(config_of("orders.v1,order-lines"), "athena", out=out) == 0
    assert "`orders_v1`" in out.getvalue()
    assert "LOCATION 's3://archive/topics/order-lines/'" in out.getvalue()
    assert out.getvalue().startswith("-- projected: years 2015 to 2035")


@pytest.mark.parametrize(
    ("store", "options"),
    [
        ({"region": "eu-west-1"}, "REGION 'eu-west-1'"),
        (
            {"endpoint_url": "http://localhost:4566/"},
            "ENDPOINT 'localhost:4566', URL_STYLE 'path', USE_SSL false",
        ),
        (
            {"endpoint_url": "https://it's.example", "addressing_style": "virtual"},
            "ENDPOINT 'it''s.example', URL_STYLE 'vhost', USE_SSL true",
        ),
    ],
)
def test_duckdb_is_told_once_where_the_store_is(store: dict[str, str], options: str) -> None:
    out = StringIO()
    config = config_of("a,b", s3={"bucket": "archive", **store})
    assert run_ddl(config, "duckdb", out=out) == 0
    first, *others = out.getvalue().splitlines()
    assert first.startswith("-- INSTALL httpfs; LOAD httpfs; CREATE SECRET (TYPE s3, ")
    assert first.endswith(f", {options});")
    assert "CREATE SECRET" not in "".join(others)
    # The extension is not here; that it is a statement of duckdb's can be seen without it.
    assert len(duckdb.extract_statements(first.removeprefix("-- "))) == 3


def test_trino_gets_partitioned_tables() -> None:
    (text,) = statements(config_of(layout={"partition": HIVE}), "trino")
    assert "partitioned_by = ARRAY['country', 'dt', 'hour']" in text
    assert '"address" row("city" varchar)' in text
    assert "sync_partition_metadata('default', 'orders', 'FULL')" in text
    with pytest.raises(ConfigError, match="Trino needs directories name=value"):
        statements(config_of(layout={"partition": "{time:%Y}"}), "trino")


def test_avro_tables_carry_their_schema() -> None:
    columns = (
        {"name": "id", "type": "long", "path": "value.id"},
        {"name": "price", "type": "decimal(10,2)", "path": "value.price"},
    )
    (text,) = statements(config_of(format={"type": "avro", "columns": columns}), "athena")
    assert '"logicalType": "decimal", "precision": 10, "scale": 2' in text
    assert "`price` decimal(10,2)" in text


def test_the_full_form_as_avro_is_read_by_the_names_of_its_writer() -> None:
    config = config_of(records={"form": "full"}, format={"type": "avro"}, layout={"partition": ""})
    (text,) = statements(config, "athena")
    schema = json.loads(properties_of(text)["avro.schema.literal"])
    written = json.loads(envelope_schema('"string"', "string"))
    types = {field["name"]: field["type"] for field in written["fields"]}
    assert schema["name"] == written["name"]
    for field in schema["fields"]:
        wanted = types[field["name"]]
        assert field["type"][1] == (wanted[1] if isinstance(wanted, list) else wanted), field
    assert types.keys() == {field["name"] for field in schema["fields"]}


@pytest.mark.parametrize("kind", ["avro", "parquet"])
@pytest.mark.parametrize(
    ("value", "column"), [("json", "`value` string"), ("bytes", "`value` binary")]
)
def test_values_that_the_full_form_holds_whole_are_a_column(
    kind: str, value: str, column: str
) -> None:
    config = config_of(records={"form": "full", "value": value}, format={"type": kind})
    (text,) = statements(config, "athena")
    assert f"  {column},\n" in text
    assert "left out" not in text


def test_values_with_a_schema_of_their_own_are_left_out_of_the_full_form() -> None:
    records = {"form": "full", "value": "avro", "value_options": {"schema_file": "x.avsc"}}
    (text,) = statements(config_of(records=records, format={"type": "parquet"}), "athena")
    assert "-- left out: value (its type is its schema's)" in text
    assert "`value`" not in text


def test_a_column_of_avro_has_the_type_that_is_written() -> None:
    kinds = ("string", "int", "long", "float", "double", "boolean", "bytes", "date", "decimal(5,1)")
    columns = tuple({"name": f"c{i}", "type": k, "path": "value.x"} for i, k in enumerate(kinds))
    (text,) = statements(config_of(format={"type": "avro", "columns": columns}), "athena")
    schema = json.loads(properties_of(text)["avro.schema.literal"])
    made = [make_column(str(c["name"]), str(c["type"]), "value.x") for c in columns]
    assert schema == json.loads(schema_of_columns(made))


def test_avro_timestamps_are_told_to_be_microseconds() -> None:
    columns = ({"name": "at", "type": "timestamp", "path": "value.at"},)
    (text,) = statements(config_of(format={"type": "avro", "columns": columns}), "athena")
    assert "-- at is in microseconds since 1970" in text
    assert "`at` bigint" in text


def test_names_from_the_configuration_stay_in_their_place() -> None:
    columns = ({"name": "a'b`\n;", "type": "string", "path": "value.it's"},)
    layout = {"partition": "it's={value.x\n--}", "missing_value": "\nDROP TABLE x;"}
    for engine in ("athena", "duckdb", "trino"):
        config = config_of(format={"columns": columns}, layout=layout)
        try:
            (text,) = statements(config, engine)
        except ConfigError:
            continue
        assert "a_b___" in text
        assert "\nDROP" not in text
        assert "it\\'s" in text or "it''s" in text


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"topics": None}, "kafka.topics_pattern: a table needs the topic's name"),
        ({"layout": {"partitioner": "a:B"}}, "layout.partitioner: nobody can tell"),
        ({"format": {}}, "format.columns: required"),
        ({"format": {"type": "bytes"}}, "format.type: no engine reads objects of bytes"),
        (
            {"topics": "a,b", "layout": {"topic_directory": False}},
            "layout.topic_directory: the topics share",
        ),
        (
            {"format": {"columns": COLUMNS, "compression": "gzip", "extension": ".json"}},
            "format.extension: engines know gzip by .gz only",
        ),
        (
            {"format": {"columns": ({"name": "a", "type": "text", "path": "value.a"},)}},
            "format.columns.0.type: found 'text'; allowed: ",
        ),
        (
            {
                "format": {
                    "columns": (
                        {"name": "a", "type": "int", "path": "value.a"},
                        {"name": "b", "type": "int", "path": "value.a.b"},
                    )
                }
            },
            "format.columns: value.a is also in another column",
        ),
        (
            {"format": {"columns": (COLUMNS[0], COLUMNS[0])}},
            "format.columns: two columns are named id",
        ),
    ],
)
def test_what_no_table_can_be_made_of_is_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        statements(config_of(**changes), "athena")  # type: ignore[arg-type]
    assert any(line.startswith(problem) for line in caught.value.problems)
