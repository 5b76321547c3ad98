"""CPU, memory and disk of another process, looked at from outside."""

import os
import statistics
import threading
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

SAMPLE_SECONDS = 0.05
_DISK_EVERY = 10
"""Samples: a directory of 10,000 files costs 20 ms to add up."""

_SLOW_EVERY = 20
_YARDSTICK_TURNS = 100_000


class Sampler:
    """Samples in a thread from `start` to `stop`; peaks count the process and its children."""

    def __init__(self, pid: int, spool: Path | None = None) -> None:
        self.rss_peak_bytes = 0
        self.pss_peak_bytes = 0
        self.spool_peak_bytes = 0
        self._yardsticks: list[float] = [_yardstick()]
        self._process = psutil.Process(pid)
        self._children: list[psutil.Process] = []
        self._spool = spool
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; the peaks are final."""
        self._stopping.set()
        self._thread.join()

    def cpu_seconds(self) -> float:
        """User and system time so far, of children too, those that have ended included."""
        family = [self._process, *self._process.children(recursive=True)]
        return sum(sum(process.cpu_times()[:4]) for process in family)

    def yardstick_seconds(self) -> float:
        """CPU time of a fixed loop while the run was going on, the median of one each second.

        Cores that are shared, or slower, make it longer just as they do the process's own.
        """
        return statistics.median(self._yardsticks)

    def high_water_bytes(self) -> int:
        """The kernel's own peak of the process's resident memory (VmHWM); no sample misses it."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("this kernel tells no VmHWM")

    def _run(self) -> None:
        count = 0
        while not self._stopping.wait(SAMPLE_SECONDS):
            try:
                self._sample(count)
            except psutil.NoSuchProcess:
                self._children = []
            count += 1

    def _sample(self, count: int) -> None:
        if count % _SLOW_EVERY == 0:
            self._children = self._process.children(recursive=True)
            self._yardsticks.append(_yardstick())
            pss = sum(_pss_bytes(process.pid) for process in (self._process, *self._children))
            self.pss_peak_bytes = max(self.pss_peak_bytes, pss)
        rss = sum(process.memory_info().rss for process in (self._process, *self._children))
        self.rss_peak_bytes = max(self.rss_peak_bytes, rss)
        if self._spool is not None and count % _DISK_EVERY == 0:
            self.spool_peak_bytes = max(self.spool_peak_bytes, bytes_in(self._spool))


def _pss_bytes(pid: int) -> int:
    """0 where the process has ended, or the kernel tells it to root only."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    found = next((line for line in text.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
    return int(found.split()[1]) * 1024


def _yardstick() -> float:
    before, total = time.thread_time(), 0
    for turn in range(_YARDSTICK_TURNS):
        total += turn * turn
    return time.thread_time() - before


def bytes_in(directory: Path) -> int:
    """Sizes of all files below; one that vanishes meanwhile counts nothing."""
    found = 0
    for base, _, names in os.walk(directory):
        for name in names:
            try:
                found += Path(base, name).lstat().st_size
            except FileNotFoundError:
                continue
    return found
