"""Ten thousand seeded histories of the real cuts, and bugs that the model must catch."""

from collections.abc import Callable

import pytest

from spoolsink.cut import Cut, CutObject, ObjectState, OpenCut, TakeoverKind
from spoolsink.cuts import PartitionCuts
from spoolsink.intent import CommitMetadata, Mark
from tests.simulation.world import PromiseBrokenError, World, run_history

HISTORIES = 10_000
UNTIL_CAUGHT = 2_000


def test_no_history_loses_doubles_or_overwrites_a_record() -> None:
    """Crashes, zombies, rebalances, lost and late replies, damaged segments."""
    for seed in range(HISTORIES):
        try:
            run_history(seed)
        except (PromiseBrokenError, RuntimeError) as broken:
            pytest.fail(f"seed {seed}: {broken!r}")


class CommitsBeforeConfirm(PartitionCuts):
    """Advances over sealed cuts that are not in S3."""

    def _advanced_offset(self, *, is_idle: bool) -> int:
        return self.sealed[-1].mark.offset if self.sealed else self._commits.offset


class ForgetsTheFloor(PartitionCuts):
    """Takes over the intents and not the floor."""

    def _take_marks(self, offset: int, found: CommitMetadata, kind: TakeoverKind) -> None:
        super()._take_marks(offset, found, kind)
        self._repeat_floor = None


class RepeatsShorter(PartitionCuts):
    """Ends a repeated cut one offset early."""

    @property
    def must_seal(self) -> bool:
        return bool(self._repeats) and self.open.position >= self._repeats[0].offset - 1

    def may_end_at(self, end: int) -> bool:
        return True


class ForgetsTheIntents(PartitionCuts):
    """A new owner's first commit wipes what it found."""

    def _take_marks(self, offset: int, found: CommitMetadata, kind: TakeoverKind) -> None:
        """Nothing is taken over."""


class UploadsBeforeTheIntent(PartitionCuts):
    """Offers objects as soon as they are sealed."""

    def uploads(self) -> list[CutObject]:
        objects = [o for cut in self.sealed for o in cut.objects]
        return [o for o in objects if o.state is ObjectState.WAITING]


class CommitsAfterUnknown(PartitionCuts):
    """Takes a lost reply for a commit that did nothing."""

    def commit_unknown(self) -> None:
        self.commit_failed()


class TakesTheRepeatsInstantFromTheClock(PartitionCuts):
    """A repeat is placed by the present moment instead of the promised one."""

    def begin(self, now_ms: int) -> int:
        if self.open.instant_ms is None:
            self.open.instant_ms = now_ms
        return self.open.instant_ms


@pytest.mark.parametrize(
    "bug",
    [
        CommitsBeforeConfirm,
        ForgetsTheFloor,
        RepeatsShorter,
        ForgetsTheIntents,
        UploadsBeforeTheIntent,
        CommitsAfterUnknown,
        TakesTheRepeatsInstantFromTheClock,
    ],
)
def test_a_planted_bug_in_the_cuts_is_caught(bug: type[PartitionCuts]) -> None:
    assert_caught(lambda seed: run_history(seed, bug))


def test_an_unfenced_commit_is_caught() -> None:
    assert_caught(lambda seed: run_history(seed, is_fenced=False))


def test_a_trusted_damaged_segment_is_caught() -> None:
    assert_caught(lambda seed: run_history(seed, verifies_segments=False))


def assert_caught(run: Callable[[int], World]) -> None:
    for seed in range(UNTIL_CAUGHT):
        try:
            run(seed)
        except (PromiseBrokenError, RuntimeError):
            return
    pytest.fail(f"not caught in {UNTIL_CAUGHT} histories")


def test_names_used_by_the_bugs_exist() -> None:
    """A renamed method would turn a planted bug into correct code unseen."""
    for name in ("_advanced_offset", "_take_marks", "must_seal", "may_end_at", "uploads", "begin"):
        assert hasattr(PartitionCuts, name)
    assert OpenCut(0, 0).records == 0
    assert Cut(0, Mark(1, 0, "0" * 16, 0), []).is_confirmed
