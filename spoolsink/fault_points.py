"""Named points of the delivery protocol at which a test kills the process (SIGKILL).

`SPOOLSINK_FAULT_POINT=intent.after:2` kills at the second time that the point is reached. Without
the variable a point is one comparison; it is read once, at the start.
"""

import os
import signal
from typing import Literal

Point = Literal[
    "start.after",  # the first offset of a group is committed
    "poll.after",  # records are fetched, none is appended
    "write.after",  # an open segment has a block on disk
    "append.after",
    "seal.before",
    "footer.after",  # a segment is whole, under its open name
    "rename.after",  # it is sealed, and the ledger knows nothing of it
    "seal.after",
    "intent.after",
    "floor.after",
    "upload.before",
    "create.after",  # a multipart upload has begun, and nobody has noted it
    "part.after",
    "complete.before",  # every part is there
    "complete.after",
    "advance.before",
    "advance.after",
    "forget.after",  # the ledger has forgotten the cut, its files are there
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
