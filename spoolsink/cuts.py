"""The state machine of one topic partition: every rule about offsets, and no I/O.

A cut goes open → sealed → intended → confirmed → committed. Events come in as method calls,
with any time they need as an argument; what is to be done next is asked for (`append_limit`,
`uploads`, `next_commit`), so that a test can ask in any order and lose any answer.

Invariants (tests/simulation holds them over seeded histories):

1. The committed offset moves only over cuts whose objects are all confirmed.
2. No object is offered for upload before its cut's end, or a floor above the object, stands in
   the metadata of the committed offset under our own owner token.
3. Intents and the floor found at assignment stay in every commit until they are passed or
   cannot be kept, which is reported in `lost_repeats`.
4. At most one commit is in flight; after one with an unknown outcome there is none until it is
   seen (`read_back`) or the group was joined anew (`assigned`).
5. A closed gate (`revoked`, a refused commit) offers neither uploads nor commits.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from spoolsink.cut import (
    Commit,
    Commits,
    Cut,
    CutObject,
    ObjectState,
    OpenCut,
    RepeatLoss,
    Takeover,
    TakeoverKind,
)
from spoolsink.intent import CommitMetadata, Identity, Mark, decode, digest_of, encode
from spoolsink.records import TopicPartition

METADATA_LIMIT = 4096
"""Kafka's default of offset.metadata.max.bytes (UTF-16 units; ours is ASCII)."""

_HEADROOM = 64
"""Left free by new promises, so that one already made always fits when it is written again:
a cut's mark may be a few digits longer than the floor or the broken mark that it replaces."""


class PartitionCuts:
    """All cuts of one topic partition in this process; owned by the pipeline, not shared."""

    def __init__(
        self, tp: TopicPartition, identity: Identity, metadata_limit: int = METADATA_LIMIT
    ) -> None:
        self.tp = tp
        self.identity = identity
        self.lost_repeats: list[RepeatLoss] = []
        self.open = OpenCut(0, 0)
        self.sealed: deque[Cut] = deque()
        self.is_gate_open = False
        self._limit = metadata_limit
        self._commits = Commits()
        self._repeats: deque[Mark] = deque()
        self._repeat_floor: Mark | None = None

    # -- ownership -------------------------------------------------------------------------

    def assigned(self, offset: int, metadata: str, local: Iterable[Cut] = ()) -> Takeover:
        """Take over at the committed `(offset, metadata)`.

        With CONTINUED everything held stays valid (nobody committed in between, or it was our
        own commit whose reply was lost). Otherwise all that was held is forgotten, and the
        caller drops its segments, except those of `local`: sealed cuts from the spool, in
        offset order, of which those that equal an intent are adopted.

        Raises:
            MetadataVersionError: the metadata is of another version; nothing has changed.
        """
        found = decode(metadata)
        self.is_gate_open = True
        if self._is_continuation(offset, metadata):
            finished = self.commit_done() if self._commits.sent else []
            return Takeover(TakeoverKind.CONTINUED, self.open.position, finished)
        kind = self._classify(metadata, found)
        self._commits = Commits(offset, found, metadata)
        self._repeats.clear()
        self._repeat_floor = None
        self.sealed.clear()
        if found is not None:
            self._take_marks(offset, found, kind)
        self._open_at(offset)
        for cut in local:
            self._adopt(cut)
        return Takeover(kind, self.open.position, [])

    def forget(self) -> None:
        """A segment is lost: the next `assigned` starts from what the broker has."""
        if self._commits.sent is not None:
            raise RuntimeError(f"{self.tp}: forgotten with a commit in flight")
        self.is_gate_open = False
        self._commits.metadata = None

    def revoked(self) -> None:
        """Close the gate; what is held stays, in case nobody else commits meanwhile."""
        self.is_gate_open = False

    @property
    def is_repeating(self) -> bool:
        """Whether ends or a floor of an earlier owner still bind the open cut."""
        return bool(self._repeats) or self._repeat_floor is not None

    # -- appending -------------------------------------------------------------------------

    @property
    def append_limit(self) -> int | None:
        """Offsets at and above it must not be appended before this much was (None: no limit).

        At the limit the caller either seals (`must_seal`), or goes on (a floor was reached).
        """
        if self._repeats:
            return self._repeats[0].offset
        return self._repeat_floor.offset if self._repeat_floor else None

    @property
    def must_seal(self) -> bool:
        """The position stands at a forced end."""
        return self.must_seal_at(self.open.position)

    def must_seal_at(self, offset: int) -> bool:
        """Whether the open cut has to end there, or below."""
        return bool(self._repeats) and offset >= self._repeats[0].offset

    def may_end_at(self, end: int) -> bool:
        """Whether the open cut may be sealed at `end` by a rotation of ours."""
        if self._repeats:
            return end == self._repeats[0].offset
        return self._repeat_floor is None or end >= self._repeat_floor.offset

    def instant(self, now_ms: int) -> int:
        """The wall-clock instant of the open cut, or what it will be when it begins now (ms)."""
        if self.open.instant_ms is not None:
            return self.open.instant_ms
        mark = self._repeats[0] if self._repeats else self._repeat_floor
        return mark.instant_ms if mark else now_ms

    def begin(self, now_ms: int) -> int:
        """The wall-clock instant of the open cut, fixed by its first record (ms)."""
        self.open.instant_ms = self.instant(now_ms)
        return self.open.instant_ms

    def appended(self, next_offset: int, records: int) -> None:
        """The open cut now reads up to `next_offset`, with `records` more records in it."""
        limit = self.append_limit
        if next_offset < self.open.position or (limit is not None and next_offset > limit):
            raise RuntimeError(f"{self.tp}: append to {next_offset} beyond {limit}")
        self.open.position = next_offset
        self.open.records += records
        if not self._repeats and self._repeat_floor and next_offset == self._repeat_floor.offset:
            self._check_floor(self._repeat_floor)

    def split_sealed(self, split: CutObject, records_below: int) -> None:
        """A full split of the open cut; `records_below`: of the cut, up to the split's last.

        Splits come in the order of their last offsets.
        """
        cut = self.open
        split.is_split = True
        cut.splits.append(split)
        if not self.is_repeating:
            cut.floor = Mark(
                split.last + 1, records_below, _digest(cut.splits), self.begin(cut.instant_ms or 0)
            )

    def seal(self, objects: Sequence[CutObject], *, stopped: bool = False) -> Cut:
        """End the open cut at its position; `objects` are those beside the splits.

        `stopped`: a bad record ends the cut here whatever was promised; broken promises are
        reported, and the cut gets an intent of its own.
        """
        cut = self.open
        if not self.may_end_at(cut.position):
            if not stopped:
                raise RuntimeError(f"{self.tp}: sealed at {cut.position} inside a repeat")
            self._repeats.clear()
            self._repeat_floor = None
            self.lost_repeats.append(RepeatLoss.STOPPED_INSIDE)
        everything = [*cut.splits, *objects]
        mark = Mark(cut.position, cut.records, _digest(everything), cut.instant_ms or 0)
        if self._repeats:
            promised = self._repeats.popleft()
            if (promised.records, promised.digest) != (mark.records, mark.digest):
                self.lost_repeats.append(RepeatLoss.OTHER_RECORDS)
            elif not cut.records:
                mark = promised  # nothing was placed, so no instant was fixed
        sealed = Cut(cut.start, mark, everything, cut.floor)
        self.sealed.append(sealed)
        self._open_at(cut.position)
        return sealed

    # -- uploading -------------------------------------------------------------------------

    def uploads(self) -> list[CutObject]:
        """Objects that may be written to S3 now and are not yet under way, oldest first."""
        recorded = self._commits.metadata
        if not self.is_gate_open or recorded is None or recorded.identity != self.identity:
            return []
        floor = recorded.floor.offset if recorded.floor else -1
        allowed: list[CutObject] = []
        for cut in self.sealed:
            is_intended = cut.mark in recorded.cuts
            # A floor keeps only full splits as they are: what else lies below it grows with a
            # later end, so it waits for the intent.
            allowed += (o for o in cut.objects if is_intended or (o.is_split and o.last < floor))
        allowed += (o for o in self.open.splits if o.last < recorded.horizon)
        return [o for o in allowed if o.state is ObjectState.WAITING]

    def is_upload_allowed(self) -> bool:
        """Asked again right before a Put or a Complete."""
        return self.is_gate_open

    # -- committing ------------------------------------------------------------------------

    @property
    def committed(self) -> int:
        """The committed offset as far as known."""
        return self._commits.offset

    @property
    def is_commit_unknown(self) -> bool:
        """A commit's reply was lost: read back, or join the group anew."""
        return self._commits.sent is not None and self._commits.is_unknown

    @property
    def is_commit_in_flight(self) -> bool:
        """A commit was handed out and its outcome not yet told."""
        return self._commits.sent is not None

    @property
    def is_promised(self) -> bool:
        """What is known of the committed metadata binds a successor to an end or a floor."""
        recorded = self._commits.metadata
        return recorded is not None and recorded.horizon > self._commits.offset

    @property
    def is_finished(self) -> bool:
        """Nothing of ours is left between the committed offset and the position."""
        return not self.sealed and not self.open.records and self._commits.sent is None

    def next_commit(self, *, is_idle: bool = False) -> Commit | None:
        """The commit to be sent now, or None; it counts as in flight from here on.

        `is_idle` lets the offset follow the position where nothing is pending.
        """
        if not self.is_gate_open or self._commits.sent is not None:
            return None
        if is_idle and not self.sealed and not self.open.has_begun and not self.is_repeating:
            # Before the commit: a cut that begins meanwhile has the start that a successor reads.
            self.open.start = self.open.position
        offset = self._advanced_offset()
        metadata = self._metadata_at(offset)
        if (offset, metadata) == (self._commits.offset, self._commits.metadata):
            return None
        commit = Commit(offset, encode(metadata))
        self._commits.sent = (commit, metadata)
        return commit

    def commit_done(self) -> list[Cut]:
        """The commit in flight is on the broker; returns the cuts that are finished by it."""
        if self._commits.sent is None:
            raise RuntimeError(f"{self.tp}: no commit in flight")
        commit, metadata = self._commits.sent
        self._commits.accept(commit, metadata)
        done: list[Cut] = []
        while self.sealed and self.sealed[0].mark.offset <= commit.offset:
            done.append(self.sealed.popleft())
        return done

    def commit_refused(self) -> None:
        """Somebody else owns the topic partition, or will: it certainly had no effect."""
        self._commits.sent = None
        self.is_gate_open = False

    def commit_failed(self) -> None:
        """The broker said no, and nothing is under way any more.

        It may have taken effect: Kafka also answers 15 or 16 to what is in its log already.
        """
        self._commits.sent = None
        self._commits.is_doubtful = True

    def commit_unknown(self) -> None:
        """The reply was lost: the commit may have taken effect, or still may."""
        self._commits.is_unknown = True

    def read_back(self, offset: int, metadata: str) -> list[Cut] | None:
        """What the broker has now; the finished cuts when it is the lost commit, else None."""
        known, sent = self._commits, self._commits.sent
        if sent is None or not known.is_unknown or sent[0] != (offset, metadata):
            return None
        if known.is_doubtful:
            return None  # put there by one before it, perhaps: this one may still come
        return self.commit_done()

    # -- inside ----------------------------------------------------------------------------

    def _is_continuation(self, offset: int, metadata: str) -> bool:
        known = self._commits
        if known.metadata is None or known.metadata.identity != self.identity:
            return False
        if known.sent is not None and known.sent[0] == (offset, metadata):
            return True
        if (known.offset, known.text) != (offset, metadata):
            return False
        known.sent, known.is_unknown = None, False  # joined anew: a late copy of it is fenced
        return True

    def _classify(self, text: str, found: CommitMetadata | None) -> TakeoverKind:
        if found is None:
            return TakeoverKind.FOREIGN if text else TakeoverKind.FRESH
        theirs, ours = found.identity, self.identity
        if theirs.cluster_id != ours.cluster_id:
            return TakeoverKind.OTHER_CLUSTER
        if theirs.topic_id != ours.topic_id:
            return TakeoverKind.OTHER_TOPIC
        if theirs.fingerprint != ours.fingerprint:
            return TakeoverKind.OTHER_CONFIGURATION
        return TakeoverKind.REPEAT

    def _take_marks(self, offset: int, found: CommitMetadata, kind: TakeoverKind) -> None:
        # An operator may have moved the offset: what lies below it is passed.
        cuts = [mark for mark in found.cuts if mark.offset > offset]
        floor = found.floor if found.floor and found.floor.offset > offset else None
        if kind is TakeoverKind.REPEAT:
            self._repeats.extend(cuts)
            self._repeat_floor = floor
        elif cuts or floor:
            self.lost_repeats.append(RepeatLoss(kind.value))

    def _open_at(self, offset: int) -> None:
        self.open = OpenCut(offset, offset)

    def _adopt(self, cut: Cut) -> None:
        """Use a sealed cut from the spool where it is exactly the next promised one."""
        if not self._repeats or cut.start != self.open.start or cut.mark != self._repeats[0]:
            return
        self._repeats.popleft()
        self.sealed.append(cut)
        self._open_at(cut.mark.offset)

    def _check_floor(self, promised: Mark) -> None:
        own = Mark(
            promised.offset, self.open.records, _digest(self.open.splits), promised.instant_ms
        )
        self._repeat_floor = None
        if own != promised:
            self.lost_repeats.append(RepeatLoss.OTHER_RECORDS)
        if self.open.splits:
            # Also where the promise broke: these splits exist, and the cut must not end below.
            self.open.floor = own

    def _advanced_offset(self) -> int:
        # Below the start of the first cut that is left, nothing is: idle positions were committed.
        offset = max(self._commits.offset, (self.sealed or [self.open])[0].start)
        for cut in self.sealed:
            if not cut.is_confirmed:
                return offset
            offset = cut.mark.offset
        return max(offset, self.open.start)

    def _metadata_at(self, offset: int) -> CommitMetadata:
        """Intents above `offset` as far as they fit, then the floor when all of them did."""
        cuts: tuple[Mark, ...] = ()
        for cut in self.sealed:
            if cut.mark.offset <= offset:
                continue
            longer = (*cuts, cut.mark)
            if not self._fits(longer, None, cut.mark):
                # Its floor was promised and stays until the intent has room.
                return self._with_floor(cuts, cut.floor)
            cuts = longer
        return self._with_floor((*cuts, *self._repeats), self._repeat_floor or self.open.floor)

    def _with_floor(self, cuts: tuple[Mark, ...], floor: Mark | None) -> CommitMetadata:
        if floor is not None and not self._fits(cuts, floor, floor):
            floor = self._recorded_floor()
            if floor is not None and cuts and floor.offset <= cuts[-1].offset:
                floor = None
        return CommitMetadata(self.identity, cuts, floor)

    def _recorded_floor(self) -> Mark | None:
        """The floor on the broker, unless it is one that was told as lost at assignment."""
        recorded = self._commits.metadata
        if recorded is None or self._classify("", recorded) is not TakeoverKind.REPEAT:
            return None  # under our name it would be a promise that nobody can keep
        return recorded.floor

    def _fits(self, cuts: tuple[Mark, ...], floor: Mark | None, newest: Mark) -> bool:
        recorded = self._commits.metadata
        is_promised = recorded is not None and (newest in recorded.cuts or newest == recorded.floor)
        limit = self._limit if is_promised else self._limit - _HEADROOM
        return len(encode(CommitMetadata(self.identity, cuts, floor))) <= limit


def _digest(objects: Iterable[CutObject]) -> str:
    return digest_of((o.key, o.digest) for o in objects)
