"""One state of a small world around the real `PartitionCuts`: all that can differ.

A log of a few records, two S3 partitions by turns. Records at odd offsets fill a split each, those
at even offsets stay open until their cut is sealed: so every cut may have both, and every early
split needs a floor. Owners may seal at any offset, that is: for any reason and at any time.
"""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from spoolsink.cut import Commit, Commits, Cut, CutObject, ObjectState, OpenCut
from spoolsink.cuts import PartitionCuts
from spoolsink.intent import Identity
from spoolsink.records import TopicPartition

TP = TopicPartition("orders", 0)
PUT_DIGEST = "d"


class LatePut(NamedTuple):
    """A conditional Put on its way, of which nobody waits for the answer any more."""

    key: str
    offsets: tuple[int, ...]


class LateCommit(NamedTuple):
    """An OffsetCommit on its way, of which nobody waits for the answer any more."""

    generation: int
    commit: Commit


class Numbers:
    """Small numbers for what is large and the same in many states: it is held and hashed once."""

    def __init__(self) -> None:
        self._known: dict[object, int] = {}

    def of(self, value: object) -> int:
        """Equal numbers for equal values."""
        return self._known.setdefault(value, len(self._known))


@dataclass(slots=True)
class Owner:
    """A process: the real cuts, the generation that it believes in, and rows not yet in an object.

    `clock` stands in for its wall clock: owners differ in it, so that an instant that is not
    carried over shows in the keys.
    """

    cuts: PartitionCuts
    generation: int
    clock: int
    rows: tuple[int, ...] = ()
    is_waiting: bool = False
    """A commit is under way, and its answer may still come."""
    number: int | None = None
    """Of all that can differ in it (`Numbers`), once asked for: it changes in copies only."""

    def copy(self) -> "Owner":
        return Owner(_copy(self.cuts), self.generation, self.clock, self.rows, self.is_waiting)


@dataclass(slots=True)
class State:
    """What a step starts from; `crashes`, `zombies`, `faults` are what is left of each."""

    owners: tuple[Owner, ...]
    committed: Commit
    generation: int
    objects: frozenset[tuple[str, tuple[int, ...]]]
    late_puts: frozenset[LatePut]
    late_commits: frozenset[LateCommit]
    crashes: int
    zombies: int
    faults: int
    is_fenced: bool

    def copy(self, index: int) -> "State":
        """To be changed in the owner at `index`; the others are shared."""
        owners = list(self.owners)
        owners[index] = owners[index].copy()
        return State(
            tuple(owners),
            self.committed,
            self.generation,
            self.objects,
            self.late_puts,
            self.late_commits,
            self.crashes,
            self.zombies,
            self.faults,
            self.is_fenced,
        )

    def canonical(self, numbers: Numbers) -> tuple[object, ...]:
        """Equal for states in which the same can happen."""
        return (
            tuple([self._seen_of(owner, numbers) for owner in self.owners]),
            self.committed,
            self.generation,
            self.objects,
            self.late_puts,
            self.late_commits,
            (self.crashes, self.zombies, self.faults),
        )

    def is_zombie(self, owner: Owner) -> bool:
        """Another one has the topic partition, and Kafka refuses what this one commits."""
        return self.is_fenced and owner.generation != self.generation

    def _seen_of(self, owner: Owner, numbers: Numbers) -> int:
        if not self.is_zombie(owner) or owner.cuts.is_commit_unknown:
            if owner.number is None:
                owner.number = numbers.of(_canonical(owner))
            return owner.number
        # All that a zombie can do to anybody is to write what it still may.
        left = frozenset((o.key, o.segment) for o in owner.cuts.uploads()) - self.objects
        return numbers.of((None, left))


def new_owner(cuts: type[PartitionCuts], number: int, generation: int, limit: int) -> Owner:
    """A process without a spool, before its first takeover."""
    identity = Identity("c", "t", "f", f"o{number}")
    return Owner(cuts(TP, identity, limit), generation, number * 100)


def _copy(cuts: PartitionCuts) -> PartitionCuts:
    """A deep copy where things change, by hand: it is what the search spends its time on."""
    new = type(cuts).__new__(type(cuts))
    new.__dict__.update(cuts.__dict__)
    new.lost_repeats = list(cuts.lost_repeats)
    new._repeats = deque(cuts._repeats)
    known = cuts._commits
    new._commits = Commits(known.offset, known.metadata, known.text, known.sent, known.is_unknown)
    new.sealed = deque([Cut(c.start, c.mark, _copies(c.objects), c.floor) for c in cuts.sealed])
    opened = cuts.open
    new.open = OpenCut(
        opened.start,
        opened.position,
        opened.instant_ms,
        opened.records,
        _copies(opened.splits),
        opened.floor,
    )
    return new


def _copies(objects: list[CutObject]) -> list[CutObject]:
    return [
        CutObject(o.segment, o.key, o.digest, o.first, o.last, o.records, o.is_split, o.state)
        for o in objects
    ]


def _canonical(owner: Owner) -> tuple[object, ...]:
    cuts = owner.cuts
    opened = cuts.open
    return (
        owner.generation,
        owner.clock,
        owner.rows,
        owner.is_waiting,
        cuts.is_gate_open,
        cuts._commits.offset,
        cuts._commits.text,
        cuts._commits.metadata is None,
        cuts._commits.sent and cuts._commits.sent[0],
        cuts._commits.is_unknown,
        tuple(cuts._repeats),
        cuts._repeat_floor,
        tuple((c.start, c.mark, c.floor, _objects(c.objects)) for c in cuts.sealed),
        (opened.start, opened.position, opened.instant_ms, opened.records, opened.floor),
        _objects(opened.splits),
    )


def _objects(objects: list[CutObject]) -> tuple[tuple[str, bool], ...]:
    return tuple((o.key, o.state is ObjectState.CONFIRMED) for o in objects)
