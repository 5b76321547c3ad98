"""What is done with bad records of a topic partition: stop, count and pass by, or dead letters."""

import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from spoolsink.encoder import Encoded, Rejected
from spoolsink.errors import RecordError
from spoolsink.metrics import Metrics
from spoolsink.records import Batch

log = logging.getLogger(__name__)

_TELL_SECONDS = 60.0
"""Between two lines of one topic partition: a broken producer must not fill the log."""
_CORRUPT_READS = 3
"""How often a damaged batch is fetched again before it is a bad record."""


class Letters(Protocol):
    """What is used of `DeadLetterTopic`."""

    async def send(self, batch: Batch, rejected: Sequence[Rejected]) -> None: ...


@dataclass(frozen=True, slots=True)
class BadRecordPolicy:
    """`records.on_error` and what belongs to it; shared by all topic partitions.

    `topic` takes dead letters where they go to a topic; under a prefix they are rows already.
    """

    stops: bool
    are_letters: bool = False
    max_in_a_row: int | None = None
    topic: Letters | None = None


class BadRecords:
    """The bad records of one topic partition, in the order of their offsets."""

    def __init__(
        self,
        policy: BadRecordPolicy,
        metrics: Metrics,
        monotonic: Callable[[], float],
    ) -> None:
        self.policy = policy
        self._metrics = metrics
        self._monotonic = monotonic
        self._told_at: float | None = None
        self._in_a_row = 0
        self._corrupt_reads = 0

    def stop_in(self, encoded: Encoded) -> Rejected | None:
        """The bad record that stops the topic partition, None when all of them are passed."""
        self._corrupt_reads = 0
        most, in_a_row = self.policy.max_in_a_row, self._in_a_row
        bad = {rejected.offset for rejected in encoded.rejected}
        good = [offset for offset in encoded.offsets if offset not in bad] if bad else ()
        before = 0
        for rejected in encoded.rejected:
            between = bisect_left(good, rejected.offset)
            in_a_row = in_a_row + 1 if between == before else 1
            before = between
            if self.policy.stops or rejected.must_stop or in_a_row == most:
                return rejected
        return None

    async def send(self, batch: Batch, encoded: Encoded, end: int) -> None:
        """To the dead letter topic, acknowledged on return, those below `end`.

        Raises DeadLetterAwayError; the caller's position does not move then.
        """
        if self.policy.topic is not None and encoded.rejected:
            passed = [r for r in encoded.rejected if r.offset < end]
            await self.policy.topic.send(batch, passed)

    def count(self, batch: Batch, encoded: Encoded, position: int) -> None:
        """What the position has passed of the batch without placing it; the rest comes again."""
        self._pass(encoded, position)
        topic, counters = batch.tp.topic, self._metrics.counters
        for rejected in encoded.rejected:
            if not batch.start <= rejected.offset < position:
                continue
            self._tell(rejected.error)
            if self.policy.are_letters:
                counters["dead_letters"].labels(topic).inc()
            else:
                counters["records_skipped"].labels(topic, rejected.error.stage).inc()
        if encoded.nulls_skipped:
            below = batch.values[: bisect_left(batch.offsets, position)]
            counters["records_skipped"].labels(topic, "null").inc(below.count(None))

    def _tell(self, error: RecordError) -> None:
        """The first of a minute; the others are counted."""
        now = self._monotonic()
        if self._told_at is not None and now < self._told_at + _TELL_SECONDS:
            return
        self._told_at = now
        fate = "to the dead letters" if self.policy.are_letters else "skipped"
        log.warning("a bad record, %s (others within a minute are not told): %s", fate, error)

    def _pass(self, encoded: Encoded, position: int) -> None:
        bad = [rejected.offset for rejected in encoded.rejected if rejected.offset < position]
        letters = set(bad)  # those under a prefix are among the offsets that were written
        written = reversed(encoded.offsets[: encoded.row_of(position)])
        good = next((offset for offset in written if offset not in letters), None)
        if good is None:
            self._in_a_row += len(bad)
        else:
            self._in_a_row = len(bad) - bisect_left(bad, good)

    def is_reread(self, batch: Batch) -> bool:
        """Whether a damaged batch is fetched again first: another fetch may go elsewhere."""
        assert batch.refusal is not None
        if batch.refusal.reason != "corrupt" or self._corrupt_reads >= _CORRUPT_READS:
            self._corrupt_reads = 0
            return False
        self._corrupt_reads += 1
        return True

    def stops_at(self, batch: Batch) -> bool:
        """Whether a batch that cannot be read ends it all; it is counted where it does not.

        Damage to a header says nothing of where the next batch begins: that cannot be skipped.
        """
        refusal = batch.refusal
        assert refusal is not None
        if self.policy.stops or batch.next_offset == batch.start:
            return True
        self._tell(RecordError(refusal.message, batch.tp, batch.start))
        skipped = self._metrics.counters["records_skipped"]
        skipped.labels(batch.tp.topic, refusal.reason).inc(refusal.records)
        return False
