"""Bugs in the rules about offsets, each in one place; the simulation must find every one.

`BUGS` has them by name, with those of `bugs_around`. Each replaces methods of real classes:
`test_delivery` checks that what is replaced exists, so that a renamed method cannot turn a bug into
correct code unseen.
"""

from collections.abc import Mapping

from spoolsink.appender import Appender
from spoolsink.assignment import Assignment
from spoolsink.boundaries import Boundaries, OpenObject, Piece
from spoolsink.consumer import GroupConsumer
from spoolsink.cut import Cut, CutObject, ObjectState, TakeoverKind
from spoolsink.cuts import PartitionCuts
from spoolsink.encoder import Encoded
from spoolsink.intent import CommitMetadata, Mark
from spoolsink.records import OffsetRange
from tests.simulation.bugs_around import BUGS_AROUND
from tests.simulation.stand_ins import Parts


class CommitsBeforeConfirm(PartitionCuts):
    """Advances over sealed cuts that are not in S3."""

    def _advanced_offset(self) -> int:
        return self.sealed[-1].mark.offset if self.sealed else super()._advanced_offset()


class CommitsOverAnUnfinishedCut(PartitionCuts):
    """Advances to the last confirmed cut, whatever lies before it."""

    def _advanced_offset(self) -> int:
        done = [cut.mark.offset for cut in self.sealed if cut.is_confirmed]
        return max((self._commits.offset, *done))


class ForgetsTheFloor(PartitionCuts):
    """Takes over the intents and not the floor."""

    def _take_marks(self, offset: int, found: CommitMetadata, kind: TakeoverKind) -> None:
        super()._take_marks(offset, found, kind)
        self._repeat_floor = None


class ForgetsTheIntents(PartitionCuts):
    """A new owner takes nothing over."""

    def _take_marks(self, offset: int, found: CommitMetadata, kind: TakeoverKind) -> None:
        """Nothing."""


class WipesTheIntents(PartitionCuts):
    """A new owner repeats what it found, and its own commits do not carry it on."""

    def _metadata_at(self, offset: int) -> CommitMetadata:
        repeats, self._repeats = self._repeats, type(self._repeats)()
        try:
            return super()._metadata_at(offset)
        finally:
            self._repeats = repeats


class RepeatsShorter(PartitionCuts):
    """Lets a rotation of its own end a cut that was promised to end later."""

    @property
    def append_limit(self) -> int | None:
        return None

    def must_seal_at(self, offset: int) -> bool:
        return False

    def may_end_at(self, end: int) -> bool:
        return True


class UploadsBeforeTheIntent(PartitionCuts):
    """Offers objects as soon as they are sealed."""

    def uploads(self) -> list[CutObject]:
        objects = [o for cut in self.sealed for o in cut.objects]
        return [o for o in objects if o.state is ObjectState.WAITING]


class UploadsAllBelowTheFloor(PartitionCuts):
    """Takes a floor for an intent: objects below it go up that a later end would make longer."""

    def uploads(self) -> list[CutObject]:
        recorded = self._commits.metadata
        is_own = recorded is not None and recorded.identity == self.identity
        horizon = recorded.horizon if recorded is not None and is_own else -1
        objects = [o for cut in self.sealed for o in cut.objects] + self.open.splits
        return [o for o in objects if o.state is ObjectState.WAITING and o.last < horizon]


class CommitsAfterUnknown(PartitionCuts):
    """Takes a lost reply for a commit that did nothing."""

    def commit_unknown(self) -> None:
        self.commit_failed()


class TakesTheInstantFromTheClock(PartitionCuts):
    """A repeat is placed by the present moment instead of the promised one."""

    def instant(self, now_ms: int) -> int:
        return now_ms if self.open.instant_ms is None else self.open.instant_ms


class ContinuesAfterOthers(PartitionCuts):
    """Goes on with all that it holds though somebody else has committed meanwhile."""

    def _is_continuation(self, offset: int, metadata: str) -> bool:
        known = self._commits
        if known.metadata is None or offset < known.offset:
            return False
        known.sent, known.is_unknown = None, False
        return True


class AdoptsAnyLocalCut(PartitionCuts):
    """Uses a sealed cut of the spool where the promise has another end or other records."""

    def _adopt(self, cut: Cut) -> None:
        if self._repeats and cut.start == self.open.start:
            self._repeats.popleft()
            self.sealed.append(cut)
            self._open_at(cut.mark.offset)


class HasNoLimit(PartitionCuts):
    """Writes metadata of any length."""

    def _fits(self, cuts: tuple[Mark, ...], floor: Mark | None, newest: Mark) -> bool:
        return True


class SplitsByTheBatch(Boundaries):
    """Ends a full split with the batch instead of with the record that filled it."""

    def _split(self, encoded: Encoded, piece: Piece, held: Mapping[str, OpenObject]) -> Piece:
        found = super()._split(encoded, piece, held)
        return found if found.rows == piece.rows else piece


class NeverLooksAtTheTopic(Assignment):
    """Goes on in a topic that was created anew."""

    async def check_topics(self, consumer: GroupConsumer) -> None:
        """Nothing is asked."""


class PassesOverLostOffsets(Assignment):
    """Goes on at the log's start and tells nobody."""

    async def _may_pass(self, appender: Appender, log_range: OffsetRange) -> bool:
        await appender.pass_by(log_range.start)
        return True


BUGS: dict[str, Parts] = (
    {
        bug.__name__: Parts(cuts=bug)
        for bug in (
            CommitsBeforeConfirm,
            CommitsOverAnUnfinishedCut,
            ForgetsTheFloor,
            ForgetsTheIntents,
            WipesTheIntents,
            RepeatsShorter,
            UploadsBeforeTheIntent,
            UploadsAllBelowTheFloor,
            CommitsAfterUnknown,
            TakesTheInstantFromTheClock,
            ContinuesAfterOthers,
            AdoptsAnyLocalCut,
            HasNoLimit,
        )
    }
    | {
        "UnfencedCommits": Parts(is_fenced=False),
        "SplitsByTheBatch": Parts(boundaries=SplitsByTheBatch),
        "NeverLooksAtTheTopic": Parts(assignment=NeverLooksAtTheTopic),
        "PassesOverLostOffsets": Parts(assignment=PassesOverLostOffsets),
    }
    | BUGS_AROUND
)
