"""What systemd is told of a service of `Type=notify`: ready, reloading, stopping, status, alive.

The protocol is datagrams of `NAME=value` lines to the socket in NOTIFY_SOCKET (sd_notify(3)).

1. Nothing here waits and nothing here fails the sink: a datagram that cannot be sent is dropped.
2. Without NOTIFY_SOCKET nothing is sent, so a caller need not ask.
"""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

_MICROSECONDS = 1_000_000


class SystemdNotify:
    """Owned by the service; `environ` is the process's."""

    def __init__(self, environ: Mapping[str, str], *, pid: int | None = None) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._status = ""
        self.watchdog_seconds = _watchdog_seconds(environ, os.getpid() if pid is None else pid)
        """Silence that systemd takes for a hang; None where it does not watch."""

    @property
    def is_on(self) -> bool:
        """Somebody listens."""
        return self._address is not None

    def ready(self, status: str) -> None:
        """The start, or a reload, is over."""
        self._status = status
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """`ready` must follow, also when the reload is refused."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """The last word about the state."""
        self._status = status
        self._send("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """The line that `systemctl status` shows; sent when it is another one."""
        if status != self._status:
            self._status = status
            self._send(f"STATUS={status}")

    def alive(self) -> None:
        """Feeds the watchdog, where there is one."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if self._address is None:
            return
        # A new line would begin another assignment.
        text = "\n".join(line.replace("\n", " ") for line in assignments)
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.setblocking(False)
            one.sendto(text.encode(errors="replace"), self._address)


def _address(path: str) -> str | None:
    """`@` stands for the zero byte of Linux's abstract names; other kinds are not ours."""
    if path.startswith("@"):
        return f"\0{path[1:]}"
    return path if path.startswith("/") else None


def _watchdog_seconds(environ: Mapping[str, str], pid: int) -> float | None:
    """None also where the watchdog is meant for another process (sd_watchdog_enabled(3))."""
    text = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(text) / _MICROSECONDS if text.isascii() and text.isdigit() and int(text) else None
