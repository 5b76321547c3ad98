"""The sinks of one campaign, and what none of them may do at any time.

1. No process ends by itself, and one that is asked to ends with status 0 in bounded time.
2. No spool is larger than `max_bytes`, no process larger than the contract allows.
3. No log has what only a bug writes, nor a promise that was not kept.
"""

import asyncio
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.harness import SinkProcess

LOOK_SECONDS = 0.3
STOP_SECONDS = 60.0
"""For a clean stop: twice the configured grace, and a loaded machine."""
_MAX_RESIDENT_BYTES = 200 << 20
_DISK = "size=96m"
_BLOCK_BYTES = 4096
_QUESTIONS = ("/healthz", "/readyz", "/metrics")
_ANSWER_LETTERS = 6000
_NEVER = re.compile(
    r"cannot be repeated as promised|was taken by other content|every key is taken"
    r"|does not honour conditional writes"
)


class BusyError(Exception):
    """Another fault has it at the moment."""


@dataclass
class Member:
    """One sink, the process that it is now, and whether it should be running."""

    number: int
    process: SinkProcess
    max_bytes: int
    is_wanted: bool = False
    is_busy: bool = False
    starts: int = 0
    _said: int = 0
    """Letters of the log that earlier processes wrote."""

    def start(self, fault_point: str = "") -> None:
        """`fault_point`: where it is to die."""
        environ = {"SPOOLSINK_FAULT_POINT": fault_point} if fault_point else {}
        self._said = len(self.process.text())
        self.process.start({"PYTHONFAULTHANDLER": "1", **environ})
        self.is_wanted = not fault_point
        self.starts += 1

    def kill(self) -> None:
        """SIGKILL, where it still runs."""
        self.is_wanted = False
        self.process.kill()

    async def post_mortem(self) -> str:
        """What it says of itself, and where its threads are; it ends with that."""
        lines = [f"--- sink {self.number}, pid {self.process.pid}"]
        for path in ("admin.address", "state"):
            file = self.process.spool / path
            lines.append(f"{path}: {file.read_text().strip() if file.is_file() else 'no file'}")
        for path in _QUESTIONS:
            status, body = await self.process.ask(path)
            lines.append(f"{path}: {status} {body[:_ANSWER_LETTERS]}")
        self.is_wanted = False
        self.process.send(signal.SIGABRT)  # faulthandler writes all stacks into the log
        with suppress(AssertionError):
            await self.process.ended(seconds=5)
        return "\n".join([*lines, self.process.tail()])

    def begin_stop(self) -> None:
        """SIGTERM; it may end from here on."""
        self.is_wanted = False
        self.process.terminate()

    async def stopped(self) -> None:
        """AssertionError where the end is not clean."""
        # Before that line it has no handler, and dies as any program does.
        is_early = "admin port" not in self.process.text()[self._said :]
        self.begin_stop()
        try:
            status = await self.process.ended(seconds=STOP_SECONDS)
        except AssertionError as error:
            self.process.send(signal.SIGABRT)  # faulthandler writes all stacks into the log
            with suppress(AssertionError):
                await self.process.ended(seconds=5)
            error.add_note(self.process.tail())
            raise
        allowed = {0, -15} if is_early else {0}
        assert status in allowed, f"sink {self.number}: status {status}\n{self.process.tail()}"

    @property
    def used_bytes(self) -> int:
        """Of the spool, as the file system counts."""
        total = 0
        for path in self.process.spool.rglob("*"):
            with suppress(OSError):
                total += path.stat().st_blocks * 512
        return total

    @property
    def ballast(self) -> Path:
        """What a full disk is full of."""
        return self.process.spool.parent / "ballast"


@dataclass
class Fleet:
    """All members; `watch` sees what they must not do."""

    members: list[Member]
    broken: list[str] = field(default_factory=list)
    peak_spool_bytes: int = 0
    peak_resident_bytes: int = 0

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """At all members, once."""
        for member in self.members:
            self._look_at(member)

    def _look_at(self, member: Member) -> None:
        process = member.process
        if not process.is_running:
            if member.is_wanted:
                member.is_wanted = False
                self.broken.append(f"sink {member.number} ended by itself\n{process.tail()}")
            return
        used_bytes = member.used_bytes
        self.peak_spool_bytes = max(self.peak_spool_bytes, used_bytes)
        if used_bytes > member.max_bytes:
            self.broken.append(
                f"sink {member.number}: the spool takes {used_bytes} of {member.max_bytes} bytes"
            )
        with suppress(OSError, subprocess.CalledProcessError):
            resident_bytes = process.resident_bytes()
            self.peak_resident_bytes = max(self.peak_resident_bytes, resident_bytes)
            if resident_bytes > _MAX_RESIDENT_BYTES:
                self.broken.append(f"sink {member.number}: {resident_bytes} bytes resident")

    @contextmanager
    def one(self, choice: float) -> Iterator[Member]:
        """A member that no other fault has; `choice` is in [0, 1)."""
        free = [member for member in self.members if not member.is_busy]
        if not free:
            raise BusyError
        member = free[int(choice * len(free))]
        member.is_busy = True
        try:
            yield member
        finally:
            member.is_busy = False

    def calm(self) -> None:
        """Everybody runs, awake, on a disk with room."""
        for member in self.members:
            mend_disk(member)
            member.process.resume()
            if not member.process.is_running:
                member.start()

    def verify(self) -> None:
        """AssertionError with all that was seen."""
        for member in self.members:
            process = member.process
            self.broken += process.faults()
            self.broken += [line for line in process.text().splitlines() if _NEVER.search(line)]
        assert not self.broken, "\n".join(dict.fromkeys(self.broken))

    def close(self) -> None:
        """Kill what runs, and give the disks back."""
        for member in self.members:
            mend_disk(member)
            member.kill()
            unmount(member.process.spool.parent)


# -- disks -----------------------------------------------------------------------------------------


def mount(directory: Path) -> bool:
    """A small file system of its own; False where that is not allowed."""
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", _DISK, "tmpfs", str(directory)]
    return shutil.which("mount") is not None and (
        subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def unmount(directory: Path) -> None:
    """Where there is something mounted."""
    if directory.is_mount():
        subprocess.run(["umount", "-l", str(directory)], check=False)


def fill_disk(member: Member) -> None:
    """No more bytes; where there is no disk of its own, no larger files."""
    if not member.ballast.parent.is_mount():
        with suppress(ProcessLookupError):
            resource.prlimit(
                member.process.pid, resource.RLIMIT_FSIZE, (_BLOCK_BYTES, resource.RLIM_INFINITY)
            )
        return
    with member.ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(256 * _BLOCK_BYTES))


def mend_disk(member: Member) -> None:
    """There is room again."""
    member.ballast.unlink(missing_ok=True)
    if not member.ballast.parent.is_mount() and member.process.is_running:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        with suppress(ProcessLookupError):
            resource.prlimit(member.process.pid, resource.RLIMIT_FSIZE, unlimited)
