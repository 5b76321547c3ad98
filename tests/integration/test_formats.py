"""What stands in the objects: forms, formats, compressions, nulls."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import zstandard

from tests.integration.harness import Bench, all_of
from tests.integration.oracle import Expected, Oracle, StoredObject, full_row
from tests.integration.producing import START_MS, Sent, documents, produce

AWS = Path(sys.executable).with_name("aws")


async def delivered(
    bench: Bench, overrides: dict[str, Any], expected: Expected, records: list[Sent], appended: int
) -> list[StoredObject]:
    await produce(bench.kafka.bootstrap_servers, await bench.topic(), records)
    return await Oracle(bench, expected).run(bench.sink(overrides), appended)


async def test_gzip_is_read_by_its_hive_partitions_and_listed_by_aws(bench: Bench) -> None:
    layout = {"partition": "user={value.user.id}/dt={time:%Y-%m-%d}"}
    expected = Expected(
        lambda r: f"user={json.loads(r.value)['user']['id']}/dt=2021-07-04",
        read=gzip.decompress,
        extension=".json.gz",
    )
    overrides = {"layout": layout, "format": {"compression": "gzip"}}
    objects = await delivered(bench, overrides, expected, documents(99), 99)
    files = bench.s3.root / bench.bucket / "topics" / bench.name
    found = (
        duckdb.connect()
        .execute(
            "select h.user, h.dt::varchar, count(*), sum(h.n) from "
            f"read_json('{files}/**/*.json.gz', hive_partitioning = true, "
            "columns = {n: 'INTEGER'}) h group by all order by all"
        )
        .fetchall()
    )
    sums = [sum(range(user, 99, 3)) for user in range(3)]
    assert found == [(user, "2021-07-04", 33, sums[user]) for user in range(3)]
    assert _listed_by_aws(bench) == sorted(o.key for o in objects)
    heads = [bench.store.head_object(Bucket=bench.bucket, Key=o.key) for o in objects]
    assert {head["ContentType"] for head in heads} == {"application/gzip"}
    assert not any("ContentEncoding" in head for head in heads)


def _listed_by_aws(bench: Bench) -> list[str]:
    command = ["s3api", "list-objects-v2", "--bucket", bench.bucket, "--output", "json"]
    done = subprocess.run(
        [str(AWS), "--endpoint-url", bench.s3.endpoint_url, *command],
        env={
            **os.environ,
            "AWS_ACCESS_KEY_ID": bench.s3.access_key_id,
            "AWS_SECRET_ACCESS_KEY": bench.s3.secret_access_key,
            "AWS_DEFAULT_REGION": bench.s3.region,
        },
        capture_output=True,
        check=True,
        timeout=60,
    )
    return sorted(found["Key"] for found in json.loads(done.stdout)["Contents"])


def _unzstd(body: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True) as reader:
        return reader.read()


def _lines(body: bytes) -> bytes:
    """Parsed and printed again, in the order of the fields."""
    return b"".join(json.dumps(json.loads(line)).encode() + b"\n" for line in body.splitlines())


def _envelope(record: Any) -> bytes:
    return json.dumps(full_row(record)).encode() + b"\n"


ODD = [
    Sent(b'{"a":\r\n1.50,\n"b":[]}', b"k", [("h", b"\xff\x00"), ("h", "ö".encode())], START_MS + 1),
    Sent(None, b"gone", timestamp_ms=START_MS + 2),
    Sent(b"null", None, timestamp_ms=START_MS + 3),
    Sent(b'"text"', b"", timestamp_ms=START_MS + 4),
]
NULL = Sent(None, b"a null value needs a key")
TEXTS = [Sent(b"one"), NULL, Sent(b""), Sent(b"two\r\nlines"), Sent(b"\xff\xfe"), NULL]


def _raw(end: bytes) -> Any:
    return lambda record: b"" if record.value is None else bytes(record.value) + end


async def test_every_form_and_format_writes_what_the_producer_sent(bench: Bench) -> None:
    def scenario(overrides: dict[str, Any], expected: Expected, records: list[Sent]) -> Any:
        return delivered(bench.sibling(), overrides, expected, records, len(records))

    zstd = Expected(read=_unzstd, extension=".json.zst")
    await all_of(
        zstd=scenario({"format": {"compression": "zstd"}}, zstd, documents(50)),
        full=scenario({"records": {"form": "full"}}, Expected(row=_envelope, read=_lines), ODD),
        json=scenario({}, Expected(), ODD),
        text=scenario(
            {"records": {"value": "string"}, "format": {"type": "text"}},
            Expected(row=_raw(b"\n"), extension=".txt"),
            [*TEXTS[:4], TEXTS[5]],
        ),
        bytes=scenario(
            {"records": {"value": "bytes"}, "format": {"type": "bytes", "separator": "|"}},
            Expected(row=_raw(b"|"), extension=".bin"),
            TEXTS,
        ),
    )


async def test_a_cut_of_nulls_alone_is_committed_without_an_object(bench: Bench) -> None:
    overrides = {"records": {"value": "string"}, "format": {"type": "text"}}
    expected = Expected(row=_raw(b"\n"), extension=".txt")
    assert await delivered(bench, overrides, expected, [NULL] * 3, 3) == []
