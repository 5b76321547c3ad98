"""What a sink takes and says, second after second, and whether that stays within its bounds.

1. Resident memory and open descriptors are flat: a line fitted by least squares over the last two
   thirds does not rise by more than noise, and memory stays below the contract's peak.
2. The spool's files never take more than `spool.max_bytes`.
3. The event loop is never away for longer than 100 ms, the time apart in which its thread stood in
   the kernel's queue for a core, or the machine's cores were given to others.
4. The spool was full, so that the sink paused, and it went on: else nothing was proved.
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_MIB = 1 << 20
_MAX_RESIDENT_BYTES = 200 * _MIB
_MAX_RISE_BYTES = 8 * _MIB
_MAX_RISE_DESCRIPTORS = 16
"""Connections and open segments come and go."""
_STALL = "0.1"
_STALL_SECONDS = float(_STALL)
_SAMPLE = re.compile(r"(spoolsink_\w+)(?:\{(.*)\})? (\S+)")


class Sample(NamedTuple):
    """At one moment, counters since the sink's start.

    `stall_seconds`: how late the event loop came, all in all. `core_wait_seconds`: its thread was
    ready to run and did not, for want of a core.
    """

    seconds: float
    resident_bytes: int
    descriptors: int
    spool_bytes: int
    is_paused: bool
    read_bytes: int
    records: int
    upload_bytes: int
    stalls: int
    stall_seconds: float
    core_wait_seconds: float


def take(pid: int, spool: Path, metrics: str) -> Sample:
    """Of a process that runs; `metrics` is the text of its admin port."""
    said: dict[tuple[str, str], float] = {
        (match[1].removeprefix("spoolsink_"), match[2] or ""): float(match[3])
        for match in map(_SAMPLE.fullmatch, metrics.splitlines())
        if match
    }

    def total(name: str) -> int:
        return int(sum(value for (found, _), value in said.items() if found == name))

    proc = Path(f"/proc/{pid}")
    pages = int((proc / "statm").read_text().split()[1])
    bucket = said["loop_stall_seconds_bucket", f'le="{_STALL}"']
    return Sample(
        seconds=time.monotonic(),
        resident_bytes=pages * 4096,
        descriptors=len(list((proc / "fd").iterdir())),
        spool_bytes=_disk_bytes(spool),
        is_paused=bool(said.get(("paused", 'reason="spool"'))),
        read_bytes=total("record_bytes_total"),
        records=total("records_total"),
        upload_bytes=total("upload_bytes_total"),
        stalls=total("loop_stall_seconds_count") - int(bucket),
        stall_seconds=said["loop_stall_seconds_sum", ""],
        core_wait_seconds=_core_wait_seconds(proc / "task" / str(pid)) + _stolen_seconds(),
    )


def _disk_bytes(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        with suppress(OSError):  # deleted meanwhile
            total += path.stat().st_blocks * 512
    return total


def _core_wait_seconds(task: Path) -> float:
    """0 on a kernel that does not tell."""
    try:
        return int((task / "schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def _stolen_seconds() -> float:
    """In which a hypervisor gave the cores of this machine to others, over all cores."""
    ticks = int(Path("/proc/stat").read_text().split(maxsplit=9)[8])
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Bounds:
    """Judged over the samples of one run, at least three of them."""

    samples: Sequence[Sample]
    max_spool_bytes: int

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.samples[-1].seconds - self.samples[0].seconds

    @property
    def pauses(self) -> int:
        """How often polling stopped; a pause between two samples is not seen."""
        return self._turns(to_paused=True)

    @property
    def resumes(self) -> int:
        """How often it went on."""
        return self._turns(to_paused=False)

    def _turns(self, *, to_paused: bool) -> int:
        pairs = zip(self.samples, self.samples[1:], strict=False)
        return sum(b.is_paused is to_paused and a.is_paused is not to_paused for a, b in pairs)

    def slope(self, of: Callable[[Sample], float]) -> float:
        """Per second, of a line by least squares over the last two thirds."""
        late = self._late
        mean_x = sum(one.seconds for one in late) / len(late)
        mean_y = sum(map(of, late)) / len(late)
        up = sum((one.seconds - mean_x) * (of(one) - mean_y) for one in late)
        return up / sum((one.seconds - mean_x) ** 2 for one in late)

    def rise(self, of: Callable[[Sample], float]) -> float:
        """Of that line, from its begin to its end."""
        return self.slope(of) * (self._late[-1].seconds - self._late[0].seconds)

    @property
    def _late(self) -> Sequence[Sample]:
        return self.samples[len(self.samples) // 3 :]

    @property
    def stalls(self) -> int:
        """Above 100 ms, all of them."""
        return self.samples[-1].stalls

    @property
    def own_stalls(self) -> int:
        """Those that are above 100 ms also without the time that the thread waited for a core.

        A stall is counted when it is over, so that it may have begun a sample earlier.
        """
        found = self.samples[0].stalls
        for before, one, now in zip(self.samples, self.samples[1:], self.samples[2:], strict=False):
            waited = now.core_wait_seconds - before.core_wait_seconds
            own_seconds = max(0.0, now.stall_seconds - one.stall_seconds - waited)
            found += min(now.stalls - one.stalls, int(own_seconds / _STALL_SECONDS))
        return found

    def broken(self) -> list[str]:
        """Each bound that does not hold; empty when all do."""
        samples = self.samples
        peak_bytes = max(resident(one) for one in samples)
        spool_bytes = max(one.spool_bytes for one in samples)
        claims = {
            f"{peak_bytes / _MIB:.0f} MiB resident": peak_bytes <= _MAX_RESIDENT_BYTES,
            f"memory rises by {self.rise(resident) / _MIB:.1f} MiB": self.rise(resident)
            <= _MAX_RISE_BYTES,
            f"descriptors rise by {self.rise(descriptors):.0f}": self.rise(descriptors)
            <= _MAX_RISE_DESCRIPTORS,
            f"the spool takes {spool_bytes} of {self.max_spool_bytes} bytes": spool_bytes
            <= self.max_spool_bytes,
            f"{self.own_stalls} stalls of the event loop above 100 ms": not self.own_stalls,
            "the spool was never full": self.pauses > 0,
            "the sink did not go on": self.resumes > 0,
        }
        return [claim for claim, holds in claims.items() if not holds]

    def table(self) -> str:
        """Some lines, for people."""
        late, samples = self._late, self.samples
        hourly_mib = self.slope(resident) * 3600 / _MIB
        waited = samples[-1].core_wait_seconds - samples[0].core_wait_seconds
        rows = {
            "seconds, samples": f"{self.seconds:.0f}, {len(samples)}",
            "records read": f"{samples[-1].records}",
            "bytes of values, of bodies": f"{samples[-1].read_bytes}, {samples[-1].upload_bytes}",
            "resident MiB, from, peak, last": _three(samples, resident, _MIB),
            "its slope, MiB per hour": f"{hourly_mib:+.2f} over the last {len(late)} samples",
            "descriptors, from, peak, last": _three(samples, descriptors, 1),
            "their slope, per hour": f"{self.slope(descriptors) * 3600:+.1f}",
            "spool MiB, from, peak, last": _three(samples, lambda one: one.spool_bytes, _MIB),
            "spool MiB at most": f"{self.max_spool_bytes / _MIB:.1f}",
            "paused, resumed": f"{self.pauses}, {self.resumes}",
            "stalls above 100 ms": f"{self.stalls}, {self.own_stalls} without a wait for a core",
            "loop's waits for a core, s": f"{waited:.1f}",
        }
        return "\n".join(f"  {name:32} {value}" for name, value in rows.items())


def resident(sample: Sample) -> float:
    """Bytes."""
    return sample.resident_bytes


def descriptors(sample: Sample) -> float:
    """How many are open."""
    return sample.descriptors


def _three(samples: Sequence[Sample], of: Callable[[Sample], float], unit: int) -> str:
    numbers = (of(samples[0]), max(map(of, samples)), of(samples[-1]))
    return ", ".join(f"{number / unit:.1f}" for number in numbers)
