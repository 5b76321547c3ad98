"""What goes to systemd, on a real datagram socket."""

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from spoolsink.systemd_notify import SystemdNotify


@pytest.fixture(params=["a path", "an abstract name"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What NOTIFY_SOCKET says, and the socket behind it."""
    name = f"@spoolsink-{uuid.uuid4().hex}"
    address = str(tmp_path / "notify") if request.param == "a path" else name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(address.replace("@", "\0", 1))
        one.settimeout(5)
        yield address, one


def heard(one: socket.socket) -> list[str]:
    return one.recv(4096).decode().split("\n")


def test_each_word_is_one_datagram(systemd: tuple[str, socket.socket]) -> None:
    address, one = systemd
    notify = SystemdNotify({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000"})
    assert (notify.is_on, notify.watchdog_seconds) == (True, 60.0)
    notify.ready("RUNNING")
    assert heard(one) == ["READY=1", "STATUS=RUNNING"]
    notify.alive()
    assert heard(one) == ["WATCHDOG=1"]
    notify.reloading()
    first, second = heard(one)
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    notify.stopping("finishes sealed work")
    assert heard(one) == ["STOPPING=1", "STATUS=finishes sealed work"]


def test_a_status_is_sent_when_it_changes_and_stays_one_line(
    systemd: tuple[str, socket.socket],
) -> None:
    address, one = systemd
    notify = SystemdNotify({"NOTIFY_SOCKET": address})
    for status in ("lag 1", "lag 1", "s3: away\nREADY=1"):
        notify.status(status)
    assert heard(one) == ["STATUS=lag 1"]
    assert heard(one) == ["STATUS=s3: away READY=1"]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "7"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_only_fed_by_the_process_that_it_watches(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert SystemdNotify(environ, pid=7).watchdog_seconds == seconds


@pytest.mark.parametrize("address", ["", "vsock:2:1", "relative", "/nonexistent/notify"])
def test_nobody_who_listens_is_no_error(address: str) -> None:
    notify = SystemdNotify({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    notify.ready("RUNNING")
    notify.alive()
    assert notify.is_on == (address == "/nonexistent/notify")


def test_a_full_queue_does_not_hold_the_sink(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(tmp_path / "notify"))
        notify = SystemdNotify({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for number in range(10_000):
            notify.status(f"lag {number}")
        assert heard(one) == ["STATUS=lag 0"]
