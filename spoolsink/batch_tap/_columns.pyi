from collections.abc import Sequence
from typing import Any

from spoolsink.records import Headers

def decode(
    data: Any,  # whatever shows its bytes
    count: int,
    base_offset: int,
    first_ms: int,
    log_ms: int | None,
    is_dense: bool,
) -> tuple[
    Sequence[int],
    list[int],
    list[bytes | None],
    list[bytes | None],
    list[Headers] | None,
    tuple[int, bool, bool, bool],
    tuple[int, int] | None,
]: ...
