"""Named points of the delivery protocol at which a test kills the process (SIGKILL).

`SPOOLSINK_FAULT_POINT=intent.after:2` kills at the second time that the point is reached. Without
the variable a point is one comparison; it is read once, at the start.
"""

import os
import signal
from typing import Literal

Point = Literal[
    "append.after",
    "seal.before",
    "seal.after",
    "intent.after",
    "floor.after",
    "upload.before",
    "part.after",
    "complete.after",
    "advance.before",
    "advance.after",
    "delete.after",
]

_POINT, _, _TIMES = os.environ.get("SPOOLSINK_FAULT_POINT", "").partition(":")
_left = int(_TIMES or 1)


def is_armed() -> bool:
    """Whether a point was named at the start."""
    return bool(_POINT)


def reach(point: Point) -> None:
    """Dies here when this is the point that was asked for."""
    global _left  # noqa: PLW0603 (one countdown of one process, at test time only)
    if point != _POINT:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
