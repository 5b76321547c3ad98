"""The benchmarks run, and find out when what was written is not what was produced."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.compare import checkout
from benchmarks.connect import flush_records
from benchmarks.data import START_MS, DataSet
from benchmarks.formats import Pair, problems_of
from benchmarks.heap import halved
from benchmarks.plots import MIB, plots_of
from benchmarks.rivals import Run, rivals
from benchmarks.runs import Point, rates
from benchmarks.scaling import AXES, steps
from benchmarks.verify import Written, written_in

SMALL = DataSet(records=12, size_bytes=250, codec="lz4", partitions=2, places=3, order="mixed")


@pytest.mark.timeout(600)  # 40 s, where others leave the machine to it
def test_the_quick_form_measures_and_verifies_with_every_command(tmp_path: Path) -> None:
    command = ["-m", "benchmarks", "quick", "--records", "6000", "--results", str(tmp_path)]
    done = subprocess.run([sys.executable, *command], check=True, capture_output=True, timeout=580)
    assert done.stdout.count(b"\n| ---") == 5
    [written] = tmp_path.glob("*-quick.json")
    found = json.loads(written.read_text())
    assert found["machine"]["cores"] >= 1
    runs = [run for case in found["cases"] for run in case.get("runs", ())]
    assert [run["problems"] for run in runs] == [[]] * len(runs)
    check_throughput(found["cases"][0]["runs"][0])
    rivals = {case["rival"] for case in found["cases"] if "rival" in case}
    assert rivals >= {"librdkafka (Python)", "aiokafka", "Connect, file sink, strings"}
    [axis] = [case for case in found["cases"] if "axis" in case]
    assert (axis["x"], axis["processes"]) == (2, 2)
    sealed, opened = [case["recovery"] for case in found["cases"] if "recovery" in case]
    assert sealed["segments"] == 200
    for recovery in (sealed, opened):
        assert recovery["problems"] == []
        assert 0 < recovery["up_seconds"] <= recovery["polled_seconds"]
        assert recovery["polled_seconds"] <= recovery["repeated_seconds"]
    compared = [case for case in found["cases"] if "revision" in case]
    assert [case["revision"] for case in compared] == ["base", "now"]
    assert [case["runs"][0]["open_peak"] for case in compared] == [100, 100]


def check_throughput(run: dict[str, float]) -> None:
    assert run["cpu_seconds"] > run["startup_cpu_seconds"] > 0
    assert min(run["rss_high_water_bytes"], run["rss_peak_bytes"], run["pss_peak_bytes"]) > 0
    assert run["object_bytes"] == run["upload_bytes"] == 6000 * 251
    assert run["s3_requests"] >= run["objects"] > 0
    assert run["lag_seconds"] > run["wall_seconds"]
    assert run["between_records_per_cpu_second"] > 0


@pytest.mark.timeout(300)  # 20 s, where others leave the machine to it
def test_a_converter_with_a_format_is_measured_and_its_objects_are_read_back() -> None:
    pairs = ["wide-parquet", "avro-avro", "protobuf-jsonl", "json-csv"]
    command = ["-m", "benchmarks.formats", "pairs", "--records", "600", *pairs]
    done = subprocess.run(
        [sys.executable, *command], check=True, capture_output=True, text=True, timeout=280
    )
    rows = [line.split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[1] for row in rows] == ["csv", "parquet", "avro", "jsonl"]
    assert "NOT VERIFIED" not in done.stderr


def test_a_missing_and_a_doubled_record_of_a_pair_are_found(tmp_path: Path) -> None:
    path = tmp_path / "t+0+0000000000+0000000002.json"
    pair = Pair("avro", "jsonl")
    path.write_text('{"id": 0}\n{"id": 1}\n{"id": 2}\n')
    assert problems_of(pair, [path], 3) == []
    assert problems_of(pair, [path], 4) == ["avro -> jsonl: 3 records, 3 distinct"]
    path.write_text('{"id": 0}\n{"id": 1}\n{"id": 1}\n')
    assert problems_of(pair, [path], 3) == ["avro -> jsonl: 3 records, 2 distinct"]


def write_objects(bucket: Path, lines: list[tuple[str, bytes]]) -> Written:
    for number, (place, value) in enumerate(lines):
        directory = bucket / "topics" / "t" / f"place={place}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"t+0+{number:010}+{number:010}.json").write_bytes(value + b"\n")
    return written_in(bucket, SMALL)


def rows_of(data: DataSet) -> list[tuple[str, bytes]]:
    values = [row.value for row in data.rows()]
    return [(json.loads(value)["place"], value) for value in values]


def test_objects_with_every_record_once_are_verified(tmp_path: Path) -> None:
    assert write_objects(tmp_path, rows_of(SMALL)).problems(SMALL) == []


def test_nothing_written_is_not_verified(tmp_path: Path) -> None:
    assert written_in(tmp_path, SMALL).problems(SMALL)


def test_timestamps_that_avro_made_text_of_are_verified_by_their_hour(tmp_path: Path) -> None:
    data = DataSet(records=1, size_bytes=250, codec="lz4", partitions=1, places=1, order="time")
    line = '{"id": 0, "place": "00000", "at_ms": "2026-01-01T00:00:00.000Z"}\n'
    for hour in ("00", "01"):
        path = tmp_path / hour / f"year=2026/month=01/day=01/hour={hour}/t+0+0+0.json"
        path.parent.mkdir(parents=True)
        path.write_text(line)
    assert written_in(tmp_path / "00", data).problems(data) == []
    assert written_in(tmp_path / "01", data).problems(data)


def test_a_lost_a_doubled_and_a_misplaced_record_are_found(tmp_path: Path) -> None:
    rows = rows_of(SMALL)
    [first, second, *rest] = rows
    lost = write_objects(tmp_path / "lost", rows[:-1]).problems(SMALL)
    doubled = write_objects(tmp_path / "doubled", [first, *rows]).problems(SMALL)
    replaced = write_objects(tmp_path / "replaced", [first, first, *rest]).problems(SMALL)
    misplaced = write_objects(tmp_path / "misplaced", [("x", first[1]), second, *rest])
    assert lost == ["11 records written, 12 produced", "ids from 0 to 10"]
    assert doubled == ["13 records written, 12 produced", "1 records more than once"]
    assert replaced == ["1 records more than once"]
    assert misplaced.problems(SMALL) == ["1 records in a foreign S3 partition"]


def test_equal_data_sets_are_equal_byte_for_byte_and_of_one_size() -> None:
    rows = list(SMALL.rows())
    assert rows == list(SMALL.rows())
    assert {len(row.value) for row in rows} == {250}
    assert {json.loads(row.value)["place"] for row in rows} == {"00000", "00001", "00002"}


def test_records_in_time_order_keep_to_the_hour_of_their_s3_partition() -> None:
    data = DataSet(records=100, size_bytes=250, codec="lz4", partitions=2, places=7, order="time")
    times = [row.timestamp_ms for row in data.rows()]
    assert times == sorted(times)
    hours = [time // 3_600_000 for time in times]
    assert len(set(hours)) == 7
    assert [hour - hours[0] for hour in hours] == [n * 7 // 100 for n in range(100)]


def test_spread_records_lie_in_the_hour_of_their_s3_partition_too() -> None:
    data = DataSet(records=40, size_bytes=100, codec="none", partitions=2, places=8, order="spread")
    rows = list(data.rows())
    assert {len(row.value) for row in rows} == {100}
    hours = [row.timestamp_ms // 3_600_000 - START_MS // 3_600_000 for row in rows]
    assert hours == [int(json.loads(row.value)["place"]) for row in rows]
    assert all(row.partition == hour % 2 for row, hour in zip(rows, hours, strict=True))


@pytest.mark.parametrize(("size_bytes", "places"), [(99, 3), (250, 1), (250, 13)])
def test_a_data_set_that_would_not_be_what_it_says_is_refused(size_bytes: int, places: int) -> None:
    with pytest.raises(ValueError, match=r"at least|mixed order|needs a record"):
        DataSet(12, size_bytes, "lz4", 2, places, "mixed")


def test_rates_are_of_what_lies_between_two_commits() -> None:
    first, last = Point(10.0, 3.0, 1_000), Point(14.0, 5.0, 9_000)
    assert rates(first, last) == (4_000.0, 2_000.0)
    assert rates(last, last) == (0.0, 0.0)


def a_run(rss_mib: int) -> Run:
    return Run(100, 1.0, 1.0, 0.0, 0.0, rss_mib * MIB, 0)


@pytest.mark.parametrize(
    ("needed", "died", "lives"), [(1, 0, 256), (700, 512, 768), (5000, 1024, 0)]
)
def test_the_smallest_heap_is_found_by_halving(needed: int, died: int, lives: int) -> None:
    heaps = [256, 384, 512, 768, 1024]
    tried: list[int] = []

    def run_with(heap_mib: int) -> Run | None:
        tried.append(heap_mib)
        return a_run(heap_mib) if heap_mib >= needed else None

    found = halved(heaps, 10, run_with)
    assert (found.died_mib, found.heap_mib) == (died, lives)
    assert found.run == (a_run(lives) if lives else None)
    assert len(tried) <= 3


def test_records_that_connect_would_never_commit_are_refused() -> None:
    data = DataSet(records=24, size_bytes=100, codec="lz4", partitions=2, places=3, order="time")
    assert flush_records(data) == 3
    assert flush_records(data, commits=1) == 12
    with pytest.raises(ValueError, match="multiple of 8"):
        flush_records(replace(data, records=25))


def test_a_rival_that_needs_a_connector_is_left_out_with_a_word() -> None:
    missing = [rival.missing for rival in rivals(None) if "S3 sink" in rival.name]
    assert missing == ["no --connect-plugin DIR"] * 2
    assert not any(rival.missing for rival in rivals(Path("jars")) if "S3 sink" in rival.name)


def test_every_axis_has_its_steps_and_a_limit_leaves_out_what_is_beyond() -> None:
    data = DataSet(
        records=20_000, size_bytes=250, codec="lz4", partitions=4, places=10, order="time"
    )
    found = steps(data, ["s3-partitions", "processes"], 100)
    assert [(step.axis, step.x) for step in found] == [
        *(("s3-partitions", x) for x in (1, 10, 100)),
        *(("processes", x) for x in (1, 2)),
    ]
    assert [step.case.data.partitions for step in found] == [1, 4, 4, 4, 4]
    assert {step.axis for step in steps(data, [])} == set(AXES)


def test_a_revision_that_git_does_not_know_is_refused() -> None:
    with pytest.raises(RuntimeError, match="fatal"), checkout("no-such-revision"):
        pass


def test_results_are_drawn_as_medians_by_sink_and_by_axis() -> None:
    run = {"rss_high_water_bytes": 90 * MIB}
    memory = [
        {"mode": "disk", "data": {"places": 10}, "runs": [run, run]},
        {"heap": {"places": 10, "run": {"rss_peak_bytes": 700 * MIB}}},
        {"heap": {"places": 1000, "run": None}},
    ]
    [plot] = plots_of({"command": "memory", "cases": memory})
    assert plot.lines == {"spoolsink, disk": [(10, 90)], "Kafka Connect": [(10, 700)]}
    runs = [{"records_per_cpu_second": rate} for rate in (1e6, 2.5e5, 2e5)]
    scaling = [{"axis": "processes", "x": x, "runs": runs} for x in (1, 2)]
    [plot] = plots_of({"command": "scaling", "cases": scaling})
    assert (plot.name, plot.lines) == ("scaling-processes", {"spoolsink": [(1, 4.0), (2, 4.0)]})
    rivals = [
        {"rival": name, "runs": [run | {"between_records_per_cpu_second": rate} for run in runs]}
        for name, rate in (("kcat", 0.0), ("Connect", 3e4))
    ]
    [plot] = plots_of({"command": "rivals", "cases": rivals})
    assert plot.bars == {"kcat": 2.5e5, "Connect": 3e4}
    assert plots_of({"command": "recovery", "cases": []}) == []
