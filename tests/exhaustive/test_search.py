"""Every interleaving of small worlds, with the real cuts; and bugs that the search must find."""

import pytest

from spoolsink.cuts import PartitionCuts
from tests.exhaustive.search import Bounds, BrokenError, explore
from tests.simulation import bugs

SMALL = (
    Bounds(records=2, crashes=1, zombies=1, faults=1),
    Bounds(records=3, crashes=1, zombies=0, faults=1),
    Bounds(records=3, crashes=1, zombies=1, faults=0),
    Bounds(records=3, crashes=0, zombies=1, faults=1),
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bounds", SMALL, ids=str)
def test_no_interleaving_loses_doubles_or_blocks_anything(
    bounds: Bounds, capsys: pytest.CaptureFixture[str]
) -> None:
    found = explore(bounds)

    with capsys.disabled():
        print(f"\n{bounds}: {found.states} states, {found.transitions} transitions")  # noqa: T201
    assert found.states > 5_000


CRASHES = Bounds(records=3, crashes=2, zombies=0, faults=0)
LOSSES = Bounds(records=3, crashes=1, zombies=0, faults=1)


@pytest.mark.parametrize(
    ("bug", "bounds"),
    [
        (bugs.CommitsBeforeConfirm, CRASHES),
        (bugs.ForgetsTheFloor, CRASHES),
        (bugs.ForgetsTheIntents, CRASHES),
        (bugs.WipesTheIntents, CRASHES),
        (bugs.UploadsBeforeTheIntent, CRASHES),
        (bugs.UploadsAllBelowTheFloor, CRASHES),
        (bugs.TakesTheInstantFromTheClock, CRASHES),
        (bugs.CommitsAfterUnknown, LOSSES),
    ],
)
def test_a_planted_bug_is_found(bug: type[PartitionCuts], bounds: Bounds) -> None:
    with pytest.raises(BrokenError, match="after\n  start\n"):
        explore(bounds, bug)


def test_a_missing_fence_is_found() -> None:
    with pytest.raises(BrokenError, match="takes over"):
        explore(Bounds(records=2, crashes=0, zombies=1, faults=1, is_fenced=False))
