"""What the service leaves in the spool directory is written until it is there."""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from spoolsink import notices
from spoolsink.notices import Notices
from spoolsink.spool.files import claim
from spoolsink.wishes import StandingWish, Wish

ADDRESS = "127.0.0.1:8083"
NET_SECONDS = 10.0


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "AGAIN_SECONDS", 0.0)


def asking(wish: Wish) -> Notices:
    asked = StandingWish(lambda: 1000.0)
    asked.ask(wish)
    return Notices(asked)


def blocked(directory: Path, *names: str) -> Callable[[], None]:
    """No file can be made under these names, until what is returned is called."""
    for name in names:
        (directory / f"{name}.new").mkdir(parents=True)

    def mend() -> None:
        for name in names:
            (directory / f"{name}.new").rmdir()

    return mend


async def turns(until: Callable[[], bool]) -> None:
    async with asyncio.timeout(NET_SECONDS):
        while not until():  # noqa: ASYNC110 (a file tells nobody)
            await asyncio.sleep(0)


async def some_turns() -> None:
    """Of the loop: more than another try needs."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("is_ours", [True, False])
async def test_what_a_disk_refuses_is_written_when_it_is_mended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, is_ours: bool
) -> None:
    caplog.set_level(logging.INFO)
    mend = blocked(tmp_path, "admin.address", "state")
    posted = asking("PAUSED")
    posted.post(tmp_path, ADDRESS, is_ours=is_ours)
    await some_turns()
    mend()
    await turns((tmp_path / "state").exists)
    assert (tmp_path / "state").read_text() == "PAUSED"
    assert (tmp_path / "admin.address").read_text() == f"{ADDRESS}\n"
    levels = [record.levelname for record in caplog.records]
    assert levels == ["ERROR", "INFO"]
    assert "the state PAUSED would not survive a restart" in caplog.text


async def test_a_directory_that_cannot_be_made_is_tried_again(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    directory.write_text("in the way")
    asking("STOPPED").post(directory, ADDRESS, is_ours=False)
    directory.unlink()
    await turns((directory / "state").exists)
    os.close(claim(directory))


async def test_only_the_newest_is_tried_again(tmp_path: Path) -> None:
    mend = blocked(tmp_path, "admin.address")
    posted = asking("RUNNING")
    posted.post(tmp_path, ADDRESS, is_ours=True)
    posted.post(tmp_path, "127.0.0.1:9", is_ours=True)
    mend()
    await turns((tmp_path / "admin.address").exists)
    assert (tmp_path / "admin.address").read_text() == "127.0.0.1:9\n"


async def test_nothing_is_written_behind_the_end(tmp_path: Path) -> None:
    mend = blocked(tmp_path, "admin.address")
    posted = asking("RUNNING")
    posted.post(tmp_path, ADDRESS, is_ours=True)
    posted.withdraw(tmp_path)
    mend()
    await some_turns()
    assert not (tmp_path / "admin.address").exists()


async def test_what_another_process_owns_is_left_alone(tmp_path: Path) -> None:
    lock = claim(tmp_path)
    asking("STOPPED").post(tmp_path, ADDRESS, is_ours=False)
    os.close(lock)
    await some_turns()
    assert not (tmp_path / "admin.address").exists()
    assert not (tmp_path / "state").exists()
