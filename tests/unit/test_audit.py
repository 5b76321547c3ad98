"""What an audit makes of a bucket, a group and a log; and that it does so in bounded memory."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from spoolsink.audit.finding import Finding, Tally, as_json, as_text
from spoolsink.audit.group import Standing
from spoolsink.object_reader import HEADS
from spoolsink.progress import Progress, bar
from spoolsink.records import OffsetRange, Refusal, TopicPartition
from tests.unit.audit_model import ManyObjects, ModelBucket, ModelLog, audit_of, told
from tests.unit.builders import TP, batch_of, docs
from tests.unit.test_cli import spoolsink

ROOT = Path(__file__).parents[2]
WHOLE = OffsetRange(0, 30)
AT_30 = Standing(30, 30)
BY_SKIPPING: dict[str, Any] = {"records": {"on_error": "skip"}}


def key_of(first: int, last: int, place: str = "p=a") -> str:
    return f"topics/orders/{place}/orders+0+{first:010}+{last:010}.json"


def bucket_of(*ranges: tuple[int, int]) -> ModelBucket:
    """A cut of one object for each range of offsets, both ends included."""
    return ModelBucket({key_of(a, b): told(TP, a, b, (a, b + 1)) for a, b in ranges})


def kinds(found: list[Finding]) -> list[tuple[object, ...]]:
    return [(finding.kind, finding.first, finding.last) for finding in found]


async def test_a_gap_is_one_where_kafka_has_records_that_are_owed() -> None:
    log = ModelLog([batch_of(docs("aaaaaaaaaa"), 10)])
    found = await audit_of(bucket_of((0, 9), (20, 29)), log, before=AT_30, range_=WHOLE)
    assert found == [
        Finding("gap", "topics/orders/p=a/", *TP, 10, 19, 10, "10 records are in no cut")
    ]


async def test_a_gap_without_deliverable_records_is_none() -> None:
    bad = batch_of([b"no JSON", b"{"], 12)
    log = ModelLog([batch_of([], 10, next_offset=12), bad, batch_of([], 14, next_offset=20)])
    bucket = bucket_of((0, 9), (20, 29))
    assert await audit_of(bucket, log, before=AT_30, range_=WHOLE, **BY_SKIPPING) == []
    null = ModelLog([batch_of([None] * 10, 10)])
    assert await audit_of(bucket, null, before=AT_30, range_=WHOLE, **_no_nulls()) == []


def _no_nulls() -> dict[str, Any]:
    return {"records": {"on_null_value": "skip"}}


async def test_records_that_would_have_stopped_it_are_left_undecided() -> None:
    log = ModelLog([batch_of([b"no JSON"] * 10, 10)])
    bucket = bucket_of((0, 9), (20, 29))
    found = await audit_of(bucket, log, before=AT_30, range_=WHOLE)
    assert kinds(found) == [("undecided", 10, 19)]
    refused = batch_of([], 10, next_offset=20, refusal=Refusal("corrupt", "checksum", 10))
    found = await audit_of(bucket, ModelLog([refused]), before=AT_30, range_=WHOLE)
    assert kinds(found) == [("undecided", 10, 10)]
    log = ModelLog([refused])
    assert await audit_of(bucket, log, before=AT_30, range_=WHOLE, **BY_SKIPPING) == []


async def test_what_kafka_no_longer_has_is_undecided() -> None:
    log = ModelLog([batch_of(docs("aaaaa"), 15)])
    bucket = bucket_of((0, 9), (20, 29))
    found = await audit_of(bucket, log, before=AT_30, range_=OffsetRange(15, 30))
    assert kinds(found) == [("gap", 15, 19), ("undecided", 10, 14)]
    assert kinds(await audit_of(bucket, before=AT_30)) == [("undecided", 10, 19)]


async def test_a_missing_object_of_a_cut_is_found_by_its_records_also_without_kafka() -> None:
    objects = {key_of(0, 28): told(TP, 0, 28, (0, 30), records=20, of=30)}
    places = "".join("b" if n % 3 == 2 else "a" for n in range(30))
    log = ModelLog([batch_of(docs(places), 0)])
    bucket = ModelBucket(objects)
    found = await audit_of(bucket, log, before=AT_30, range_=WHOLE)
    detail = "10 records of the cut [0, 30) are in no object"
    assert found == [Finding("gap", "topics/orders/p=b/", *TP, 2, 29, 10, detail)]
    [unknown] = await audit_of(bucket, before=AT_30)
    assert (unknown.kind, unknown.records) == ("gap", 10)
    assert "10 of the 30 records" in unknown.detail


async def test_null_values_that_write_nothing_are_owed_to_nobody() -> None:
    text: dict[str, Any] = {"records": {"value": "string"}, "format": {"type": "text"}}
    places: dict[str, Any] = {"layout": {"partition": "k={key}"}}
    key = "topics/orders/k=a/orders+0+0000000000+0000000028.txt"
    bucket = ModelBucket({key: told(TP, 0, 28, (0, 30), records=15, of=30)})
    keys = [b"a", b"b"] * 15
    log = ModelLog([batch_of([b"x", None] * 15, 0, keys=keys)])
    assert await audit_of(bucket, log, before=AT_30, range_=WHOLE, **text, **places) == []
    found = await audit_of(bucket, before=AT_30, **text, **places)
    assert kinds(found) == [("undecided", 0, 29)]
    log = ModelLog([batch_of([b"x"] * 30, 0, keys=keys)])
    found = await audit_of(bucket, log, before=AT_30, range_=WHOLE, **text, **places)
    assert [(f.kind, f.key, f.records) for f in found] == [("gap", "topics/orders/k=b/", 15)]


async def test_what_lies_before_the_first_cut_depends_on_where_deliveries_began() -> None:
    log = ModelLog([batch_of(docs("a" * 10), 0)])
    bucket = bucket_of((10, 29))
    found = await audit_of(bucket, log, before=AT_30, range_=WHOLE)
    assert kinds(found) == [("gap", 0, 9)]
    kafka = {"bootstrap_servers": ["b:1"], "topics": ["orders"], "start_from": "latest"}
    assert await audit_of(bucket, log, before=AT_30, range_=WHOLE, kafka=kafka) == []
    of_connect = {key_of(10, 29): told(TP, 10, 29, (10, 30)), key_of(0, 9): {}}
    found = await audit_of(ModelBucket(of_connect), log, before=AT_30, range_=WHOLE)
    assert kinds(found) == [("unknown", 0, 9), ("undecided", 0, 9)]
    # Retention, and a life-cycle rule of the bucket, take the oldest away: nothing to tell.
    assert await audit_of(bucket, log, before=AT_30, range_=OffsetRange(10, 30)) == []


async def test_an_empty_bucket_is_told_when_something_was_committed() -> None:
    log = ModelLog([batch_of(docs("a" * 30), 0)])
    assert kinds(await audit_of(ModelBucket({}), log, before=AT_30, range_=WHOLE)) == [
        ("gap", 0, 29)
    ]
    assert kinds(await audit_of(ModelBucket({}), before=AT_30)) == [("undecided", 0, 29)]
    assert await audit_of(ModelBucket({}), before=Standing(0, 0), range_=OffsetRange(0, 0)) == []
    assert await audit_of(ModelBucket({}), before=None, range_=OffsetRange(0, 0)) == []


async def test_objects_above_the_offset_are_fine_when_they_are_announced() -> None:
    bucket = bucket_of((0, 9), (10, 19), (20, 29))
    at_10 = Standing(10, 10)
    assert await audit_of(bucket, before=at_10, after=Standing(10, 30)) == []
    assert await audit_of(bucket, before=at_10, after=Standing(30, 30)) == []
    assert kinds(await audit_of(bucket, before=at_10)) == [("ahead", 10, 29)]
    moved_into = Standing(15, 15)
    assert kinds(await audit_of(bucket, before=moved_into)) == [("ahead", 15, 29)]
    [lost] = await audit_of(bucket, before=None)
    assert (lost.kind, lost.first, lost.last) == ("ahead", 0, 29)
    assert "no committed offset" in lost.detail


async def test_other_topic_partitions_are_not_mixed_in() -> None:
    other = TopicPartition("orders", 1)
    objects = {key_of(0, 29): told(TP, 0, 29, (0, 30))}
    objects["topics/orders/p=a/orders+1+0000000005+0000000006.json"] = told(other, 5, 6, (5, 7))
    assert await audit_of(ModelBucket(objects), before=AT_30) == []


async def test_heads_in_flight_are_bounded() -> None:
    bucket = ManyObjects(1000)
    await audit_of(bucket, before=Standing(10_000, 10_000))
    assert bucket.asked == 1000
    assert bucket.most <= HEADS


def test_memory_does_not_grow_with_the_number_of_objects() -> None:
    def peak(count: int) -> int:
        command = [sys.executable, "-m", "tests.unit.audit_model", str(count)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=100)
        findings, peak_bytes = map(int, done.stdout.split())
        assert findings == 1  # the offset behind the last object
        return peak_bytes

    # A kilobyte for each would be 90 MiB; SQLite keeps a few of its own.
    assert peak(100_000) - peak(10_000) < 24 * 2**20


def test_a_finding_is_one_line_or_one_object() -> None:
    finding = Finding("gap", "topics/a\nb/", *TP, 3, 4, 2, "2 records are in no cut")
    assert as_text(finding, "b") == (
        "FOUND gap orders-0 offsets 3..4 s3://b/topics/a\\nb/: 2 records are in no cut"
    )
    undecided = Finding("undecided", detail="who knows")
    assert as_text(undecided, "b") == "undecided s3://b: who knows"
    document = json.loads("".join(as_json([finding, undecided], {"objects": 7}, "b")))
    assert document["objects"] == 7
    assert [f["is_fault"] for f in document["findings"]] == [True, False]
    assert document["findings"][0]["first_offset"] == 3
    assert json.loads("".join(as_json([], {"objects": 0}, "b")))["findings"] == []
    tally = Tally()
    tally.count(undecided)
    assert not tally.has_faults
    tally.count(finding)
    assert tally.has_faults


def test_progress_is_a_line_in_place_on_a_terminal_and_plain_lines_elsewhere() -> None:
    now = [0.0]
    for width, expected in ((None, "one\ntwo\n"), (lambda: 4, "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K")):
        out, now[0] = StringIO(), 0.0
        progress = Progress(out, monotonic=lambda: now[0], width=width)
        progress.show(lambda: "too early")
        for text in ("one-and-more", "two-and-more"):
            now[0] += 10
            shown = text if width else text[:3]
            progress.show(lambda shown=shown: shown)  # type: ignore[misc]
        progress.clear()
        progress.clear()
        assert out.getvalue() == expected


@pytest.mark.parametrize(
    ("done", "of", "told"),
    [
        (-1, 4, "[....................]   0%"),
        (0, 4, "[....................]   0%"),
        (1, 4, "[#####...............]  25%"),
        (399, 400, "[###################.]  99%"),
        (4, 4, "[####################] 100%"),
        (0, 0, "[####################] 100%"),
    ],
)
def test_a_bar_tells_how_far_it_is(done: int, of: int, told: str) -> None:
    assert bar(done, of) == told


def test_bad_arguments_are_status_2_and_a_kafka_that_is_away_is_1(tmp_path: Path) -> None:
    path = tmp_path / "sink.yaml"
    path.write_text(
        "name: a\nkafka: {bootstrap_servers: ['127.0.0.1:1'], topics: [t]}\n"
        "s3: {bucket: b-1, endpoint_url: 'http://127.0.0.1:1', access_key_id: a, "
        "secret_access_key: very-secret}\n"
    )
    assert spoolsink("audit", str(tmp_path / "no.yaml")).returncode == 2
    done = spoolsink("audit", str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "the audit has no result: 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
