"""From a hole in the coverage to findings: Kafka's records decide, where it still has them."""

from collections.abc import Iterator

from spoolsink.audit.catalog import Catalog
from spoolsink.audit.coverage import Deficit, Hole
from spoolsink.audit.finding import UNDECIDED, Finding, about
from spoolsink.audit.log_judge import Covered, Judgement, LogJudge, Run
from spoolsink.audit.places import Stored
from spoolsink.records import OffsetRange, TopicPartition

_PLACES_KNOWN = 10_000


class Rulings:
    """For one audit.

    `knows_places`: which directory a record belongs to is told by the record alone (not by
    `wallclock`); `writes_all`: every record of a cut is in an object (null values write nothing in
    text, bytes and csv).
    """

    def __init__(
        self, judge: LogJudge, catalog: Catalog, *, knows_places: bool, writes_all: bool
    ) -> None:
        self._judge = judge
        self._catalog = catalog
        self._knows_places = knows_places
        self._writes_all = writes_all

    async def hole(
        self, tp: TopicPartition, hole: Hole, *, has_foreign: bool = False
    ) -> list[Finding]:
        """`has_foreign`: objects of another program may hold what lies before the first cut."""
        found = await self._judge.judge(tp, hole.start, hole.end)
        return list(_of_hole(tp, hole, found, is_open=hole.is_head and has_foreign))

    async def deficit(self, deficit: Deficit) -> list[Finding]:
        """Which of the cut's records are in no object."""
        sample = deficit.sample
        covered = self._covered(sample)
        found = await self._judge.judge(sample.tp, sample.cut, deficit.end, covered)
        return list(self._of_deficit(deficit, found))

    def _covered(self, sample: Stored) -> Covered:
        """Remembers the object that held the last offset of each directory."""
        ranges: dict[str, OffsetRange] = {}

        def covered(directory: str, offset: int) -> bool:
            place = directory if self._knows_places else ""
            known = ranges.get(place)
            if known is not None and known.start <= offset < known.end:
                return True
            found = self._catalog.covers(sample, place if self._knows_places else None, offset)
            if found is None:
                return False
            if len(ranges) >= _PLACES_KNOWN:
                ranges.clear()
            ranges[place] = OffsetRange(found.first, found.last + 1)
            return True

        return covered

    def _of_deficit(self, deficit: Deficit, found: Judgement) -> Iterator[Finding]:
        sample, last = deficit.sample, deficit.end - 1
        cut = f"the cut [{sample.cut}, {deficit.end})"
        for directory, run in found.missing.items():
            yield _gap(sample.tp, directory, run, f"of {cut} are in no object")
        yield from _doubts(sample.tp, found)
        if deficit.wanted is not None and self._writes_all:
            # What is left when those are told one by one: the cut itself says how many it had.
            missing = sum(run.records for run in found.missing.values())
            rest = deficit.wanted - deficit.found - missing
            if rest > 0:
                detail = f"{rest} of the {deficit.wanted} records of {cut} are in no object"
                key, offsets = f"{sample.directory}/", (sample.cut, last)
                yield about("gap", sample.tp, offsets, key=key, records=rest, detail=detail)
            return
        for part in found.unread:
            detail = f"not all of {cut} is in objects, and Kafka no longer has its records"
            yield _undecided(sample.tp, part.start, part.end - 1, detail)


def _of_hole(
    tp: TopicPartition, hole: Hole, found: Judgement, *, is_open: bool
) -> Iterator[Finding]:
    for directory, run in found.missing.items():
        if is_open:
            detail = "records before the first cut: objects of another program may hold them"
            yield _undecided(tp, run.first, run.last, detail)
        else:
            what = "lie before the first cut" if hole.is_head else "are in no cut"
            yield _gap(tp, directory, run, what)
    yield from _doubts(tp, found)
    for part in found.unread:
        detail = "in no cut, and Kafka no longer has them: whether they held records is not known"
        yield _undecided(tp, part.start, part.end - 1, detail)


def _gap(tp: TopicPartition, directory: str | None, run: Run, what: str) -> Finding:
    key = f"{directory}/" if directory is not None else None
    detail = f"{run.records} records {what}"
    offsets = (run.first, run.last)
    return about("gap", tp, offsets, key=key, records=run.records, detail=detail)


def _doubts(tp: TopicPartition, found: Judgement) -> Iterator[Finding]:
    if found.doubtful is not None:
        run = found.doubtful
        detail = f"{run.records} records that this configuration would stop at: {found.reason}"
        yield _undecided(tp, run.first, run.last, detail)


def _undecided(tp: TopicPartition, first: int, last: int, detail: str) -> Finding:
    return about(UNDECIDED, tp, (first, last), detail=detail)
