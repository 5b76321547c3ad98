"""`spoolsink audit` on real servers, after the real sink: clean, then with everything wrong."""

import asyncio
import json
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from spoolsink.audit import run_audit
from spoolsink.config import load
from spoolsink.progress import Progress
from tests.integration.harness import ROOT, Bench, all_of
from tests.integration.oracle import Oracle
from tests.integration.producing import Sent, document, documents, produce, produce_transactions

SMALL_CUTS: dict[str, Any] = {"rotate": {"records": 10}}


async def audited(config: Path) -> tuple[int, dict[str, Any]]:
    """Exit status and the JSON document; in this process, for a new one costs more than it does."""
    out, quiet = StringIO(), Progress(StringIO(), monotonic=time.monotonic, width=None)
    settings = load(config, {})
    status = await asyncio.to_thread(run_audit, settings, as_document=True, out=out, progress=quiet)
    return status, json.loads(out.getvalue())


async def spoolsink(bench: Bench, *arguments: str) -> tuple[int, str]:
    """Exit status and standard output; standard error is empty but for a failure."""
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "spoolsink", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(done.communicate(), 60)
    assert bench.s3.secret_access_key not in out.decode() + err.decode()
    assert done.returncode is not None
    assert done.returncode != 1, err.decode()
    return done.returncode, out.decode()


def found(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Kind, topic partition and offsets of each finding."""
    names = ("kind", "partition", "first_offset", "last_offset")
    return [tuple(finding[name] for name in names) for finding in document["findings"]]


async def delivered(bench: Bench, overrides: dict[str, Any], records: list[Sent]) -> Path:
    """A topic in two partitions, all of it in S3, the sink ended; the configuration's path."""
    servers = bench.kafka.bootstrap_servers
    topic = await bench.topic(2)
    await produce(servers, topic, records)
    await produce_transactions(
        servers, topic, documents(5, start=900), aborted=documents(3, start=990)
    )
    sink = bench.sink(overrides)
    await Oracle(bench).run(sink, len(records) + 5)
    return sink.config


def keys_of(bench: Bench) -> list[str]:
    """All objects, by name."""
    return Oracle(bench).object_keys()


async def _nothing_wrong(bench: Bench) -> None:
    config = await delivered(bench, SMALL_CUTS, documents(45, partitions=2))
    assert await audited(config) == (
        0,
        {
            "bucket": bench.bucket,
            "group": bench.group,
            "topic_partitions": 2,
            "objects": len(keys_of(bench)),
            # Markers, and records that were aborted, are read and owed to nobody.
            "records_read": 0,
            "counts": dict.fromkeys(
                ("gap", "overlap", "double", "unknown", "ahead", "unfinished", "undecided"), 0
            ),
            "findings": [],
        },
    )


async def _everything_wrong(bench: Bench) -> None:
    config = await delivered(bench, SMALL_CUTS, documents(80, partitions=2))
    store, bucket, topic = bench.store, bench.bucket, bench.name
    directory = f"topics/{topic}/partition=1"
    store.delete_object(Bucket=bucket, Key=f"{directory}/{topic}+1+0000000010+0000000019.json")
    taken = f"{directory}/{topic}+1+0000000020+0000000029.json"
    twice = f"{directory}/{topic}+1+0000000020+0000000029+00000000.json"
    store.copy_object(Bucket=bucket, Key=twice, CopySource={"Bucket": bucket, "Key": taken})
    store.put_object(Bucket=bucket, Key=f"topics/{topic}/notes.txt", Body=b"x")
    half = f"{directory}/{topic}+1+0000000000+0000000009.json"
    store.create_multipart_upload(Bucket=bucket, Key=half)
    store.put_object(Bucket=bucket, Key="topics/another/notes.txt", Body=b"not this sink's")
    beyond = f"{directory}/{topic}+1+0000000100+0000000109.json"
    told = {"topic": topic, "partition": 1, "first-offset": 100, "last-offset": 109, "cut": 100}
    told |= {"records": 10, "cut-end": 110, "cut-records": 10}
    metadata = {f"spoolsink-{name}": str(value) for name, value in told.items()}
    store.put_object(Bucket=bucket, Key=beyond, Body=b"", Metadata=metadata)
    status, document = await audited(config)
    assert status == 3
    assert sorted(found(document), key=str) == [
        ("ahead", 1, 100, 109),
        ("double", 1, 20, 29),
        ("gap", 1, 10, 19),
        ("unfinished", 1, 0, 9),
        ("unknown", None, None, None),
    ]
    by_kind = {finding["kind"]: finding for finding in document["findings"]}
    assert by_kind["gap"]["records"] == 10
    assert by_kind["gap"]["key"] == f"{directory}/"
    assert by_kind["double"]["key"] in {taken, twice}
    assert by_kind["unknown"]["key"] == f"topics/{topic}/notes.txt"
    status, text = await spoolsink(bench, "audit", str(config))
    assert status == 3
    assert f"FOUND gap {topic}-1 offsets 10..19 s3://{bucket}/{directory}/: 10 records" in text


async def _places(bench: Bench) -> None:
    """An S3 partition of a cut is gone: its records are known, whatever the others' ranges are."""
    layout = {"partition": "user={value.user.id}"}
    overrides = {"layout": layout, "rotate": {"records": 30, "object_records": 4}}
    servers, topic = bench.kafka.bootstrap_servers, await bench.topic()
    await produce(servers, topic, documents(60))
    sink = bench.sink(overrides)
    sink.start()
    await sink.ready()
    await sink.until_metric("records_total", 60)
    await sink.flushed()
    await sink.stopped()
    assert (await audited(sink.config))[0] == 0
    gone = next(key for key in keys_of(bench) if "user=2" in key)
    bench.store.delete_object(Bucket=bench.bucket, Key=gone)
    status, document = await audited(sink.config)
    first, last = (int(part) for part in gone.removesuffix(".json").split("+")[-2:])
    assert (status, found(document)) == (3, [("gap", 0, first, last)])
    assert document["findings"][0]["key"] == gone.rpartition("/")[0] + "/"


async def _kafka_forgot(bench: Bench) -> None:
    """Skipped records leave a hole: nothing while Kafka has them, undecided once it has not."""
    overrides = {"records": {"on_error": "skip"}, **SMALL_CUTS}
    servers, topic = bench.kafka.bootstrap_servers, await bench.topic()
    bad = [Sent(b"no JSON")] * 7
    await produce(servers, topic, documents(10))
    sink = bench.sink(overrides)
    sink.start()
    await sink.ready()
    await sink.flushed()
    await Oracle(bench).until_committed(sink)
    await produce(servers, topic, bad)
    await Oracle(bench).until_committed(sink)
    await produce(servers, topic, [Sent(document(n)) for n in range(10)])
    await Oracle(bench).until_committed(sink)
    await sink.stopped()
    status, report = await audited(sink.config)
    assert (status, found(report), report["records_read"]) == (0, [], 7)
    await _forget(servers, topic, before_offset=20)
    status, report = await audited(sink.config)
    assert (status, found(report)) == (0, [("undecided", 0, 10, 16)])
    gone = f"topics/{topic}/partition=0/{topic}+0+0000000017+0000000026.json"
    bench.store.delete_object(Bucket=bench.bucket, Key=gone)
    status, report = await audited(sink.config)
    assert status == 3
    assert found(report) == [("gap", 0, 20, 26), ("undecided", 0, 10, 19)]


async def _forget(servers: str, topic: str, *, before_offset: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        below = RecordsToDelete(before_offset=before_offset)
        await admin.delete_records({TopicPartition(topic, 0): below})
    finally:
        await admin.close()


async def test_an_audit_tells_what_is_wrong_and_nothing_else(bench: Bench) -> None:
    await all_of(
        nothing=_nothing_wrong(bench.sibling()),
        everything=_everything_wrong(bench.sibling()),
        places=_places(bench.sibling()),
        forgot=_kafka_forgot(bench.sibling()),
    )
