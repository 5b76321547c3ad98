"""The C allocator, told not to keep what is freed; the collector, told what not to look at.

glibc makes an arena for each thread and raises its mmap threshold with every large block that is
freed: after a day of parts and batches a process holds several times of what it uses. Elsewhere
than with glibc nothing happens.

Python's collector walks over everything that it knows at each full collection, 300,000 objects of
libraries that never go away among them: 2% of a busy sink's CPU time, and stalls of the loop.
"""

import ctypes
import gc
from contextlib import suppress

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
"""Names and numbers of `mallopt(3)`."""

_ARENAS = 1
"""What one thread frees serves the others: a second arena costs 10 MiB (measured)."""

_THRESHOLD_BYTES = 32 * 1024 * 1024
"""Larger blocks are mapped anew each time (glibc allows no more); parts of objects are not among
them: 5 MB cost 4 ms where their pages are new and 0.15 ms where they are not (measured, on a
virtual machine, where page faults are dear)."""

_TRIM_BYTES = 8 * 1024 * 1024
"""Free memory at the heap's end that is kept between batches and parts. With 4 MiB, two arenas and
a threshold of 1 MiB a record costs a tenth more CPU time (benchmarks/README.md)."""

_COLLECTIONS = (10_000, 10, 10)
"""More than Python's 700 containers: a batch on its way is no reason to look for cycles."""


def settle() -> None:
    """Once, before threads are started."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)


def keep() -> None:
    """What is there now is no garbage: call it when all is loaded, before the work begins.

    Once for each run: what a former run left is garbage then.
    """
    if gc.get_freeze_count():
        gc.unfreeze()  # of a former run, which is garbage now
        gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTIONS)
