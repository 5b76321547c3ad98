"""Schemas from a registry, through the real sink into objects that other libraries read."""

import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import duckdb
import fastavro
import pyarrow.parquet as pq
import pytest

from tests.integration.harness import Bench, all_of
from tests.integration.producing import Sent, produce
from tests.servers.processes import RegistryServer
from tests.unit.schema_registries import framed, small_registry

FIRST: Any = {"type": "record", "name": "Order", "fields": [
    {"name": "id", "type": "long"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "price", "type": {
        "type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
]}  # fmt: skip
SECOND: Any = {**FIRST, "fields": [
    *FIRST["fields"], {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
]}  # fmt: skip
HOUR_MS = 3_600_000


async def register(registry: RegistryServer, subject: str, schema: object) -> int:
    """The id that values carry."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{registry.url}/subjects/{subject}/versions", json={"schema": json.dumps(schema)}
        ) as response,
    ):
        return int((await response.json())["id"])


def order(schema_id: int, schema: Any, number: int) -> Sent:
    """Two orders an hour, from 1970 on."""
    value = {"id": number, "at": number // 2 * HOUR_MS, "price": b"\x04\xd2", "tags": ["x"]}
    plain = json.loads(json.dumps(schema))
    for field in plain["fields"]:
        if isinstance(field["type"], dict):
            field["type"].pop("logicalType", None)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(plain), value)
    return Sent(framed(schema_id, out.getvalue()))


def settings(url: str, kind: str) -> dict[str, Any]:
    """Placed by a field of the value that is a time."""
    return {
        "records": {"key": "bytes", "value": "avro", "schema_registry": {"url": url}},
        "layout": {"partition": "hour={time:%H}", "time": "value.at"},
        "format": {"type": kind},
    }


def objects_of(bench: Bench, suffix: str) -> list[Path]:
    return sorted((bench.s3.root / bench.bucket).rglob(f"*{suffix}"))


@pytest.mark.timeout(300)  # the registry's JVM takes its time where others have the machine
async def test_schemas_that_alternate_make_an_object_each_and_fields_place_records(
    bench: Bench, registry: RegistryServer
) -> None:
    first = await register(registry, f"{bench.name}-value", FIRST)
    second = await register(registry, f"{bench.name}-value", SECOND)
    records = [order((first, second)[n % 2], (FIRST, SECOND)[n % 2], n) for n in range(40)]

    async def written(kind: str) -> list[Path]:
        own = bench.sibling()
        await produce(own.kafka.bootstrap_servers, await own.topic(), records)
        sink = own.sink(settings(registry.url, kind))
        sink.start()
        await sink.until_metric("records_total", 40)
        await sink.flushed()
        await sink.stopped()
        return objects_of(own, f".{kind}")

    async def parquet() -> None:
        files = await written("parquet")
        # Twenty hours, and in each a record of either schema.
        assert len(files) == 40
        names = [str(path) for path in files]
        query = "select count(*), sum(id), min(price), max(hour) from read_parquet(?, "
        query += "union_by_name = true, hive_partitioning = true)"
        [found] = duckdb.connect().execute(query, [names]).fetchall()
        assert [str(cell) for cell in found] == ["40", "780", "12.34", "19"]
        shapes = {tuple(pq.ParquetFile(path).schema_arrow.names) for path in files}
        assert shapes == {("id", "at", "price"), ("id", "at", "price", "tags")}

    async def avro() -> None:
        ids = []
        for path in await written("avro"):
            with path.open("rb") as file:
                found: list[Any] = list(fastavro.reader(file))
            ids += [record["id"] for record in found]
        assert sorted(ids) == list(range(40))

    await all_of(parquet=parquet(), avro=avro())


async def test_a_registry_that_is_away_holds_the_sink_and_fails_no_record(bench: Bench) -> None:
    topic, servers = await bench.topic(), bench.kafka.bootstrap_servers
    await produce(servers, topic, [order(7, FIRST, n) for n in range(3)])
    async with small_registry() as small:
        small.answers["/schemas/ids/7"] = (503, {"message": "not now"})
        overrides = settings(small.url, "jsonl")
        overrides["records"]["on_error"] = "skip"
        sink = bench.sink(overrides)
        sink.start()
        await small.arrived.wait()
        await sink.not_ready(f"{topic}-0")
        assert await sink.metric("records_skipped_total") in {None, 0.0}
        small.answers["/schemas/ids/7"] = (200, {"schema": json.dumps(FIRST)})
        await sink.until_metric("records_total", 3)
        await sink.flushed()
        await sink.stopped()
    lines = [line for path in objects_of(bench, ".json") for line in path.read_bytes().splitlines()]
    assert sorted(json.loads(line)["id"] for line in lines) == [0, 1, 2]
    assert json.loads(lines[0])["price"] == 12.34
