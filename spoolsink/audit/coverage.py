"""The cuts of one topic partition, judged by what their objects say (pure).

Objects come cut by cut, directory by directory, in offset order; nothing is kept of them but the
present cut's sums, so that a topic partition with millions of objects costs no memory.

1. Cuts follow each other: where one begins behind the end of the one before there is a gap, where
   it begins before that end they overlap.
2. The objects of a cut hold the records that the cut had: fewer is a gap, more an overlap.
3. Within a directory the ranges of a cut's objects do not meet, unless each schema has its own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from spoolsink.audit.finding import Finding, Kind, about
from spoolsink.audit.places import Stored


class Hole(NamedTuple):
    """Offsets `[start, end)` in no cut; Kafka's records decide whether it is a gap.

    `is_head` where no cut is before it: the sink may have begun behind it.
    """

    start: int
    end: int
    is_head: bool = False


class Deficit(NamedTuple):
    """A cut `[sample.cut, end)` whose objects hold `found` of `wanted` records.

    `wanted` is None where no object tells: the cut had full splits only, or the others are gone.
    """

    sample: Stored
    end: int
    found: int
    wanted: int | None


Verdict = Finding | Hole | Deficit


@dataclass(slots=True)
class _Sum:
    """One cut while its objects pass."""

    sample: Stored
    last: int
    records: int = 0
    objects: int = 0
    ends: set[int] = field(default_factory=set)
    wanted: set[int] = field(default_factory=set)
    is_crossed: bool = False
    before: Stored | None = None

    @property
    def end(self) -> int:
        """The largest that an object tells of, and never below its records."""
        return max(self.last + 1, *self.ends) if self.ends else self.last + 1


def verdicts(
    objects: Iterable[Stored], *, start: int | None, has_schemas: bool
) -> Iterator[Verdict]:
    """Everything but what only Kafka can tell, in offset order.

    `start` is where deliveries must begin, None where that is not known; `has_schemas`: a directory
    may hold one object for each schema of a cut.
    """
    position, before = start, None
    for found in _cuts(objects, has_schemas=has_schemas):
        if isinstance(found, Finding):
            yield found
            continue
        begin = found.sample.cut
        if position is not None and begin > position:
            yield Hole(position, begin, is_head=before is None)
        elif before is not None and position is not None and begin < position:
            yield _crossing(before, found, position)
        yield from _inside(found)
        position, before = max(position or 0, found.end), found


def _cuts(objects: Iterable[Stored], *, has_schemas: bool) -> Iterator[_Sum | Finding]:
    present: _Sum | None = None
    for found in objects:
        if present is None or found.cut != present.sample.cut:
            if present is not None:
                yield present
            present = _Sum(found, found.last)
        yield from _added(present, found, has_schemas=has_schemas)
    if present is not None:
        yield present


def _added(cut: _Sum, found: Stored, *, has_schemas: bool) -> Iterator[Finding]:
    before = cut.before
    is_beside = before is not None and before.directory == found.directory
    cut.last = max(cut.last, found.last)
    cut.objects += 1
    if found.cut_end is not None:
        cut.ends.add(found.cut_end)
    if found.cut_records is not None:
        cut.wanted.add(found.cut_records)
    if (
        before is not None
        and is_beside
        and (before.first, before.last) == (found.first, found.last)
    ):
        is_same = (before.records, before.digest) == (found.records, found.digest)
        what = "the same records as" if is_same else "other contents for the offsets of"
        cut.is_crossed = cut.is_crossed or not is_same
        yield _about("double", found, (found.first, found.last), f"{what} {before.key}")
        return
    cut.records += found.records
    if before is not None and is_beside and before.last >= found.first:
        if has_schemas and before.first != found.first:
            cut.before = max(before, found, key=lambda o: o.last)
            return
        cut.is_crossed = True
        last = min(before.last, found.last)
        yield _about("overlap", found, (found.first, last), f"holds offsets of {before.key}")
        found = max(before, found, key=lambda o: o.last)
    cut.before = found


def _inside(cut: _Sum) -> Iterator[Verdict]:
    sample = cut.sample
    if len(cut.ends) > 1:
        ends = " and ".join(map(str, sorted(cut.ends)))
        detail = f"the cut from {sample.cut} was ended at {ends}"
        yield _about("overlap", sample, (sample.cut, cut.end - 1), detail)
        return
    wanted = max(cut.wanted, default=None)
    if wanted is None:
        # Only full splits: complete where each offset has a record.
        if cut.records < cut.last + 1 - sample.cut:
            yield Deficit(sample, cut.end, cut.records, None)
    elif cut.records < wanted:
        yield Deficit(sample, cut.end, cut.records, wanted)
    elif cut.records > wanted and not cut.is_crossed:
        detail = f"{cut.records} records in the objects of a cut that had {wanted}"
        yield _about("overlap", sample, (sample.cut, cut.end - 1), detail)


def _crossing(before: _Sum, cut: _Sum, position: int) -> Finding:
    sample = cut.sample
    detail = (
        f"the cut [{sample.cut}, {cut.end}) begins before the end of the cut "
        f"[{before.sample.cut}, {before.end}) ({before.sample.key})"
    )
    return _about("overlap", sample, (sample.cut, min(position, cut.end) - 1), detail)


def _about(kind: Kind, found: Stored, offsets: tuple[int, int], detail: str) -> Finding:
    return about(kind, found.tp, offsets, key=found.key, detail=detail)
