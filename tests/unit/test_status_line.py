"""The status line: what it says, its width, and that log lines are whole beside it."""

import io
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from spoolsink import logs
from spoolsink.health import Hold
from spoolsink.status_line import StatusLine, described, size, told
from tests.unit.fake_sink import SECRET, SNAPSHOT

ERASE = "\r\x1b[K"


def shown_on(stream: io.StringIO) -> str:
    """What a terminal shows in its last row."""
    return stream.getvalue().split("\n")[-1].split(ERASE)[-1]


def test_it_says_state_rate_lag_spool_uploads_and_open_s3_partitions() -> None:
    stream = io.StringIO()
    line = StatusLine(stream, width=lambda: 200)
    line.show(SNAPSHOT, 10.0)
    line.show(replace(SNAPSHOT, records_total=SNAPSHOT.records_total + 4000), 12.0)
    assert shown_on(stream) == (
        "RUNNING | 2,000 records/s | lag 40 or more | spool 3.0 MiB of 10.0 GiB | 4 uploads | "
        "6 open S3 partitions"
    )


def test_the_rate_is_that_of_the_last_seconds_and_falls_to_zero() -> None:
    stream = io.StringIO()
    line = StatusLine(stream, width=lambda: 200)
    line.show(replace(SNAPSHOT, records_total=0), 0.0)
    for tick in range(1, 41):
        line.show(replace(SNAPSHOT, records_total=1000), tick / 4)
    assert "| 0 records/s" in shown_on(stream)


@pytest.mark.parametrize("width", [0, 1, 2, 20, 80])
def test_it_is_one_column_narrower_than_the_terminal(width: int) -> None:
    stream = io.StringIO()
    StatusLine(stream, width=lambda: width).show(SNAPSHOT, 0.0)
    assert len(shown_on(stream)) == max(0, min(width - 1, len(described(SNAPSHOT, 0.0))))


def test_a_hold_is_said_and_cannot_steer_the_terminal() -> None:
    hold = Hold("s3", "bad\n\x1b[2J\u202e\u4e16", 0.0, is_operator=True)
    text = described(replace(SNAPSHOT, state="FAILED", holds=[hold]), 0.0)
    assert text.startswith("FAILED | ")
    assert text.endswith("| s3: bad\\n\\x1b[2J\\u202e\\u4e16")


def test_clear_erases_once_and_only_what_was_shown() -> None:
    stream = io.StringIO()
    line = StatusLine(stream, width=lambda: 80)
    line.clear()
    assert not stream.getvalue()
    line.show(SNAPSHOT, 0.0)
    line.clear()
    erased = stream.getvalue()
    line.clear()
    assert stream.getvalue() == erased
    assert not shown_on(stream)


def test_a_terminal_that_went_away_is_no_error() -> None:
    stream = io.StringIO()
    line = StatusLine(stream, width=lambda: 80)
    line.show(SNAPSHOT, 0.0)
    stream.close()
    line.show(SNAPSHOT, 1.0)
    line.clear()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 * 1024**2, "1.5 GiB"),
        (5 * 1024**5, "5120.0 TiB"),
    ],
)
def test_sizes_are_said_in_the_largest_unit(count: int, text: str) -> None:
    assert size(count) == text


@pytest.fixture
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = before


@pytest.mark.usefixtures("_root_logger")
def test_log_lines_stand_whole_above_the_line() -> None:
    stream = io.StringIO()
    line = StatusLine(stream, width=lambda: 80)
    logs.configure(form="text", level="INFO", stream=stream, before_line=line.clear)
    line.show(SNAPSHOT, 0.0)
    logging.getLogger("spoolsink.x").info("first")
    logging.getLogger("spoolsink.x").info("second")
    line.show(SNAPSHOT, 1.0)
    rows = [row.split(ERASE)[-1] for row in stream.getvalue().split("\n")]
    assert [row.partition(" ")[2] for row in rows[:2]] == [
        "INFO  spoolsink.x first",
        "INFO  spoolsink.x second",
    ]
    assert rows[2].startswith("RUNNING | ")


def test_systemd_is_told_of_everything_that_holds_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "_hidden", {})
    logs.hide(SECRET)
    holds = (Hold("kafka", "away", 0.0, False), Hold("s3", f"refused\n{SECRET}", 0.0, True))
    shown = replace(SNAPSHOT, state="FAILED", holds=holds)
    assert told(shown) == (
        "FAILED, lag 40 or more, spool 3.0 MiB of 10.0 GiB; kafka: away; s3: refused\\n***"
    )
    paused = replace(shown, wish="PAUSED", wished_since=1_000_000.0, holds=())
    assert told(paused).endswith("10.0 GiB; paused by an operator since 1970-01-12 13:46:40Z")
    assert SECRET not in described(replace(shown, holds=holds[1:]), 0.0)
