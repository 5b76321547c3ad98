"""What an operator asked for is read back as it was written, or is RUNNING."""

from pathlib import Path

import pytest

from spoolsink.wishes import StandingWish, Wish, read_wish, wished_at, write_wish


@pytest.mark.parametrize("wish", ["PAUSED", "STOPPED", "RUNNING"])
def test_a_wish_is_read_back(tmp_path: Path, wish: Wish) -> None:
    write_wish(tmp_path, "PAUSED")
    write_wish(tmp_path, wish)
    assert read_wish(tmp_path) == wish
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_nothing_asked_for_makes_no_file(tmp_path: Path) -> None:
    write_wish(tmp_path, "RUNNING")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"paused", b"PAUS", b"\xff", b"PAUSED\nSTOPPED"])
def test_what_is_no_wish_is_running(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)
    assert read_wish(tmp_path) == "RUNNING"


def test_a_directory_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    assert read_wish(tmp_path / "none") == "RUNNING"
    with pytest.raises(OSError, match="none"):
        write_wish(tmp_path / "none", "PAUSED")


def test_since_when_is_kept_by_who_asks_again_finds_it_later_or_moves_it(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    now = [1000.0]
    first = StandingWish(lambda: now[0])
    first.ask("PAUSED")
    now[0] += 60
    first.ask("PAUSED")
    first.write(old)
    later = StandingWish(lambda: now[0])
    later.find(old)
    later.write(new)
    assert (later.wish, later.since) == ("PAUSED", 1000.0)
    assert wished_at(new) == 1000.0
    later.ask("STOPPED")
    assert later.since == 1060.0


def test_of_what_was_never_asked_for_no_time_is_known(tmp_path: Path) -> None:
    asked = StandingWish(lambda: 1000.0)
    asked.find(tmp_path)
    assert (asked.wish, asked.since, asked.is_to_read) == ("RUNNING", None, True)
