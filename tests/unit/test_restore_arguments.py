"""What a restore chooses, refuses and how fast it goes: its arguments."""

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spoolsink.errors import ConfigError
from spoolsink.records import NO_TIMESTAMP
from spoolsink.restore.arguments import add_arguments, selected
from spoolsink.restore.pace import Pace
from spoolsink.restore.selection import Selection, obstacles, parse_time
from tests.unit.bad_configurations import BASE
from tests.unit.builders import config_of
from tests.unit.test_cli import spoolsink
from tests.unit.test_restore import FULL, record


def test_from_is_included_and_until_is_not() -> None:
    chosen = Selection("s", "t", from_offset=3, until_offset=9, from_ms=1005, until_ms=1008)
    assert [n for n in range(12) if chosen.takes(record(n))] == [5, 6, 7]
    everything = Selection("s", "t")
    assert everything.takes(record(0)._replace(timestamp=NO_TIMESTAMP))


def test_times_without_a_zone_are_of_the_layout_s() -> None:
    config = config_of(layout={"timezone": "Asia/Seoul"})
    assert parse_time("2021-07-04T10:00:00Z", config) == 1_625_392_800_000
    assert parse_time("2021-07-04T19:00:00", config) == 1_625_392_800_000
    assert parse_time("2021-07-04", config) == 1_625_324_400_000


def test_a_restore_is_the_same_as_long_as_it_sends_the_same() -> None:
    config, selection = config_of(**FULL), Selection("s", "t")
    told = selection.identity(config, "id")
    assert told == Selection("s", "t").identity(config, "id")
    others = [replace(selection, partition=1), replace(selection, from_ms=1)]
    assert told not in {other.identity(config, "id") for other in others}
    assert told != selection.identity(config, "another topic of the name")


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"records": {"form": "value"}}, "records.form"),
        ({"records": {"form": "full", "value": "avro"}}, "records.value"),
        ({"records": {"form": "full", "key": "msgpack"}}, "records.key"),
        (
            {"records": {"form": "full", "value_options": {"schemas_enable": True}}},
            "records.value: JSON in a frame",
        ),
        (
            {
                "records": {"form": "full"},
                "format": {
                    "type": "avro",
                    "columns": [{"name": "a", "type": "int", "path": "value.a"}],
                },
            },
            "format.columns",
        ),
    ],
)
def test_what_could_not_be_exact_is_refused(sections: dict[str, Any], words: str) -> None:
    [problem] = obstacles(config_of(**sections))
    assert problem.startswith(words)


async def test_the_pace_is_kept_and_lost_time_is_not_made_up() -> None:
    now, slept = [100.0], list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(10, monotonic=lambda: now[0], sleep=sleep)
    assert [len(piece) for piece in pace.pieces(range(5))] == [2, 2, 1]
    for _ in range(3):
        await pace.wait(2)
    now[0] += 60
    await pace.wait(2)
    assert slept == pytest.approx([0.2, 0.2, 0.2, 0.2])
    unlimited = Pace(None, monotonic=lambda: now[0], sleep=sleep)
    assert [len(piece) for piece in unlimited.pieces(range(600))] == [500, 100]
    await unlimited.wait(600)
    assert len(slept) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--to-topic t --from yesterday", "--from: found 'yesterday'"),
        ("--to-topic t --from 2021-01-02 --until 2021-01-01", "--until: must be behind --from"),
        ("--to-topic t --from-offset 9 --until-offset 9", "--until-offset: must be above"),
        ("--to-topic a/b", "--to-topic: found 'a/b'; allowed: letters"),
        ("--to-topic=", "--to-topic: found ''; allowed: letters"),
        ("--to-topic t --topic another", "--topic: found 'another'; allowed: orders"),
    ],
)
def test_contradicting_arguments_are_refused(arguments: str, words: str) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(ConfigError, match=re.escape(words)):
        selected(config_of(**FULL), parser.parse_args(arguments.split()))


@pytest.mark.parametrize("arguments", ["", "--to-topic t --rate 0", "--to-topic t --partition -1"])
def test_arguments_that_are_none_are_refused(arguments: str) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    with pytest.raises((argparse.ArgumentError, SystemExit)):
        parser.parse_args(arguments.split())


def test_a_topic_of_a_pattern_is_named_as_topics_are() -> None:
    config = config_of(kafka={"bootstrap_servers": "b:1", "topics_pattern": "orders.*"})
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for name in ("", "a/b", ".."):
        with pytest.raises(ConfigError, match=re.escape(f"--topic: found '{name}'; allowed: ")):
            selected(config, parser.parse_args(["--to-topic", "t", "--topic", name]))


def test_several_topics_need_the_name_of_one() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    kafka = {"bootstrap_servers": ["b:1"], "topics": ["a", "b"]}
    config = config_of(kafka=kafka, **FULL)
    with pytest.raises(ConfigError, match="--topic: required"):
        selected(config, parser.parse_args(["--to-topic", "t"]))
    asked = ["--to-topic", "t", "--topic", "b", "--partition", "2", "--until-offset", "7"]
    found = selected(config, parser.parse_args(asked))
    assert found == Selection("b", "t", partition=2, until_offset=7)


def test_what_is_no_backup_is_status_2(tmp_path: Path) -> None:
    path = tmp_path / "sink.yaml"
    path.write_text(BASE)
    done = spoolsink("restore", str(path), "--to-topic", "t")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{path}:1: {next(obstacles(config_of()))}\n"
