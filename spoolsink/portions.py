"""How much is encoded between two looks at the event loop.

A record of plain JSON takes a microsecond to encode, one of fifty columns a quarter of a
millisecond; heartbeats, commits and `/healthz` wait meanwhile. The contract's bound on that is
100 ms, which a Kafka batch of some thousand such records would break. What is written does not
depend on it: where cuts and splits end depends on the records alone.
"""

from collections.abc import Iterable, Iterator

from spoolsink.records import Batch

SECONDS = 0.01
"""Aimed at: threads that make objects of rows share the interpreter, and stretch it severalfold."""

FIRST_RECORDS = 64
MIN_RECORDS = 16
_MAX_GROWTH = 4


class Portions:
    """Of one topic partition; learns from what it is told."""

    def __init__(self) -> None:
        self.records = FIRST_RECORDS

    def of(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same records; each batch is cut where it has more than are encoded at once now."""
        for batch in batches:
            rest = batch
            while len(rest) > self.records:
                offset = rest.offsets[self.records]
                yield rest.before(offset)
                rest = rest.since(offset)
            yield rest

    def took(self, records: int, seconds: float) -> None:
        """So many were encoded in such a time."""
        if not records:
            return
        fitting = int(SECONDS * records / max(seconds, 1e-9))
        # A short batch says little: it may shrink the portion at once, and raise it step by step.
        self.records = max(MIN_RECORDS, min(fitting, self.records * _MAX_GROWTH))
