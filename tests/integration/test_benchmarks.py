"""The benchmarks run, and find out when what was written is not what was produced."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.data import DataSet
from benchmarks.verify import Written, written_in

SMALL = DataSet(records=12, size_bytes=250, codec="lz4", partitions=2, places=3, order="mixed")


@pytest.mark.timeout(300)  # 20 s, where others leave the machine to it
def test_the_quick_form_measures_and_verifies_both_layouts(tmp_path: Path) -> None:
    command = ["-m", "benchmarks", "quick", "--records", "6000", "--results", str(tmp_path)]
    done = subprocess.run([sys.executable, *command], check=True, capture_output=True, timeout=280)
    assert done.stdout.count(b"\n| ") == 3
    [written] = tmp_path.glob("*-quick.json")
    found = json.loads(written.read_text())
    assert found["machine"]["cores"] >= 1
    assert [case["data"]["order"] for case in found["cases"]] == ["time", "mixed"]
    for case in found["cases"]:
        [run] = case["runs"]
        assert run["problems"] == []
        assert run["cpu_seconds"] > run["startup_cpu_seconds"] > 0
        assert min(run["rss_high_water_bytes"], run["rss_peak_bytes"]) > 0
        assert run["object_bytes"] == 6000 * 251
        assert run["s3_requests"] >= run["objects"] > 0
    assert found["cases"][1]["runs"][0]["open_peak"] == 100


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


@pytest.mark.parametrize(("size_bytes", "places"), [(100, 3), (250, 1), (250, 13)])
def test_a_data_set_that_would_not_be_what_it_says_is_refused(size_bytes: int, places: int) -> None:
    with pytest.raises(ValueError, match=r"at least|mixed order|needs a record"):
        DataSet(12, size_bytes, "lz4", 2, places, "mixed")
