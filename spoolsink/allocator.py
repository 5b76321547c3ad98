"""The C allocator, told not to keep what is freed.

glibc makes an arena for each thread and raises its mmap threshold with every large block that is
freed: after a day of parts and batches a process holds several times of what it uses. Elsewhere
than with glibc nothing happens.
"""

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
"""Names and numbers of `mallopt(3)`."""

_ARENAS = 2
_THRESHOLD_BYTES = 1024 * 1024


def settle() -> None:
    """Once, before threads are started."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
