"""One audit from end to end: what Kafka says, what the bucket holds, and what does not agree.

1. The committed offsets are read before the bucket is listed: everything below them must be there.
   They are read again behind it: what lies above the first is judged by the second.
2. Nothing is written, nothing is joined: it may run beside the sink.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from spoolsink.audit.catalog import Catalog
from spoolsink.audit.coverage import Deficit, Hole, verdicts
from spoolsink.audit.finding import UNDECIDED, Finding, about
from spoolsink.audit.group import Group, Standing, announced
from spoolsink.audit.places import Named, Stored, Unknown
from spoolsink.audit.rulings import Rulings
from spoolsink.audit.scan import Scan
from spoolsink.records import OffsetRange, TopicPartition

Standings = Mapping[TopicPartition, Standing]


@dataclass(slots=True)
class _Ahead:
    """Objects at or above the committed offset that nothing announces."""

    sample: Stored
    first: int
    last: int
    count: int = 1

    def add(self, found: Stored, first: int) -> None:
        self.first, self.last = min(self.first, first), max(self.last, found.last)
        self.count += 1


class Auditor:
    """Notes findings as they come; owned by the command."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        starts_at_log: bool,
        has_schemas: bool,
        note: Callable[[Finding], None],
    ) -> None:
        """`starts_at_log`: by the configuration deliveries began at the start of the log.

        `has_schemas`: a directory may hold one object for each schema of a cut.
        """
        self._catalog = catalog
        self._starts_at_log = starts_at_log
        self._has_schemas = has_schemas
        self._note = note
        self._foreign: set[TopicPartition] = set()

    # -- the bucket ----------------------------------------------------------------------------

    def unknown(self, found: Unknown) -> None:
        """An object that is none of ours."""
        named = found.named
        if named is not None:
            self._foreign.add(named.tp)
        tp, offsets = _of(named)
        self._note(about("unknown", tp, offsets, key=found.key, detail=found.why))

    async def uploads(self, scan: Scan, group: Group, before: Standings) -> None:
        """Unfinished multipart uploads, but for those that the sink may be at work on."""
        async for upload, judged in scan.uploads():
            named = None if isinstance(judged, Unknown) else judged
            if named is not None and await _is_under_way(named, group, before):
                continue
            tp, offsets = _of(named)
            detail = f"a multipart upload that nobody finishes (id {upload.upload_id})"
            self._note(about("unfinished", tp, offsets, key=upload.key, detail=detail))

    # -- one topic partition -------------------------------------------------------------------

    async def judge(
        self,
        tp: TopicPartition,
        rulings: Rulings,
        *,
        before: Standing | None,
        after: Standings,
        log: OffsetRange | None,
    ) -> None:
        """`log` is None where Kafka has not (or no longer) what the group's offset is about."""
        committed = None if before is None else before.offset
        ahead: list[_Ahead] = []
        settled = self._settled(tp, committed, after, ahead)
        start = self._start(tp, committed, log)
        end = start
        for verdict in verdicts(settled, start=start, has_schemas=self._has_schemas):
            await self._ruled(tp, rulings, verdict)
        end = self._end_of(tp, committed, start)
        if committed is not None and committed > 0:
            await self._tail(tp, rulings, end, committed)
        for found in ahead:
            self._note(_ahead_finding(found, after.get(tp)))

    async def _ruled(
        self, tp: TopicPartition, rulings: Rulings, verdict: Finding | Hole | Deficit
    ) -> None:
        if isinstance(verdict, Finding):
            self._note(verdict)
            return
        if isinstance(verdict, Hole):
            found = await rulings.hole(tp, verdict, has_foreign=tp in self._foreign)
        else:
            found = await rulings.deficit(verdict)
        for finding in found:
            self._note(finding)

    async def _tail(
        self, tp: TopicPartition, rulings: Rulings, end: int | None, committed: int
    ) -> None:
        """What is committed behind the last cut, or without any."""
        if end is not None and end < committed:
            is_head = not self._has_cuts(tp, committed)
            await self._ruled(tp, rulings, Hole(end, committed, is_head=is_head))
        elif end is None:
            detail = "committed without an object; where deliveries began is not known"
            self._note(about(UNDECIDED, tp, (0, committed - 1), detail=detail))

    def _settled(
        self, tp: TopicPartition, committed: int | None, after: Standings, ahead: list[_Ahead]
    ) -> Iterator[Stored]:
        """Objects of cuts that are committed; the others are looked at in passing."""
        limit = -1 if committed is None else committed
        for found in self._catalog.by_cut(tp):
            end = found.last + 1 if found.cut_end is None else found.cut_end
            if end > limit and not announced(found.last, after, tp):
                first = max(found.first, limit)
                if ahead:
                    ahead[0].add(found, first)
                else:
                    ahead.append(_Ahead(found, first, found.last))
            if found.cut < limit:
                yield found

    def _start(
        self, tp: TopicPartition, committed: int | None, log: OffsetRange | None
    ) -> int | None:
        """Where coverage must begin; None where that is not known."""
        if not self._starts_at_log or committed is None:
            return None
        first = next(self._catalog.by_cut(tp), None)
        if log is None:
            return None
        if first is not None and first.cut < committed:
            return log.start if log.start < first.cut else None
        return min(log.start, committed)

    def _end_of(self, tp: TopicPartition, committed: int | None, start: int | None) -> int | None:
        end = start
        for found in self._catalog.by_cut(tp):
            if committed is not None and found.cut < committed:
                end = max(end or 0, found.last + 1, found.cut_end or 0)
        return end

    def _has_cuts(self, tp: TopicPartition, committed: int) -> bool:
        first = next(self._catalog.by_cut(tp), None)
        return first is not None and first.cut < committed


async def _is_under_way(named: Named, group: Group, before: Standings) -> bool:
    """Whether the sink may be writing it now: at or above the offset, and announced by now."""
    standing = before.get(named.tp)
    if standing is not None and standing.offset is not None and named.first < standing.offset:
        return False
    return announced(named.first, await group.standings([named.tp]), named.tp)


def _ahead_finding(found: _Ahead, standing: Standing | None) -> Finding:
    if standing is None or standing.offset is None:
        why = "the group has no committed offset"
    else:
        why = f"the committed offset is {standing.offset}, and no intent of the group tells of them"
    detail = f"{found.count} objects above what is committed: {why}"
    offsets, sample = (found.first, found.last), found.sample
    return about("ahead", sample.tp, offsets, key=sample.key, detail=detail)


def _of(named: Named | None) -> tuple[TopicPartition | None, tuple[int | None, int | None]]:
    """What the name of an object tells of it."""
    return (None, (None, None)) if named is None else (named.tp, (named.first, named.last))
