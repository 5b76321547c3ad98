"""Ten thousand seeded histories of the real core, and bugs that they must find."""

import logging
from dataclasses import fields

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.bugs_around import WHERE
from tests.simulation.history import WEIGHTS, History, Settings, draw
from tests.simulation.regressions import REGRESSIONS
from tests.simulation.shrinking import shrink
from tests.simulation.soak import failures, first_failure, reason_of, shrunk
from tests.simulation.stand_ins import Parts
from tests.simulation.world import World, run

HISTORIES = 10_000
UNTIL_CAUGHT = 10_000
"""Seeds; most bugs show within some hundreds of them."""

pytestmark = pytest.mark.timeout(600)  # seconds each, when nothing else runs: it often does


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """Histories are full of trouble: nobody reads what the sink says of it."""
    logging.disable(logging.CRITICAL)


def test_no_history_loses_doubles_or_overwrites_a_record() -> None:
    for _, failure in failures(HISTORIES):
        if failure is not None:
            pytest.fail(f"seed {failure.seed}: {failure.reason}\n{shrunk(failure.seed)}")


@pytest.mark.parametrize("history", REGRESSIONS.values(), ids=REGRESSIONS)
def test_a_history_that_once_failed_passes(history: History) -> None:
    run(history)


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(name: str) -> None:
    fits = WHERE.get(name, lambda _: True)

    assert first_failure(range(UNTIL_CAUGHT), BUGS[name], fits) is not None


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_replaces_what_is_there(name: str) -> None:
    """A renamed method would turn the bug into correct code unseen."""
    for part in fields(Parts):
        ours, bug = part.default, getattr(BUGS[name], part.name)
        if isinstance(bug, type) and isinstance(ours, type) and bug is not ours:
            replaced = [n for n in vars(bug) if not n.startswith("__")]
            assert replaced
            assert all(hasattr(ours, method) for method in replaced)


def test_a_failing_history_shrinks_to_a_few_actions() -> None:
    bug = BUGS["ForgetsTheFloor"]
    found = first_failure(range(UNTIL_CAUGHT), bug)
    assert found is not None

    short = shrink(draw(found.seed), lambda history: reason_of(history, bug) is not None)

    assert len(short.actions) <= 15
    assert reason_of(short, bug) is not None
    assert reason_of(short) is None


def test_a_history_prints_itself_as_it_is_kept() -> None:
    history = draw(7)
    names = {"History": History, "Settings": Settings, "A": type(history.actions[0])}

    assert eval(str(history), names) == history


def test_histories_reach_every_kind_of_trouble() -> None:
    """Rare events that never happened would be promises that nobody held."""
    seen: set[str] = set()
    for seed in range(400):
        world = run(draw(seed))
        seen |= {f"repeats {reason}" for (reason,) in world.counts.of("repeats")}
        seen |= {f"cuts {reason}" for (reason,) in world.counts.of("cuts")}
        seen |= {name for name in _RARE if world.counts.of(name)}
        seen |= {f"commits {outcome}" for (outcome,) in world.counts.of("commits")}
        seen |= {f"uploads {outcome}" for (outcome,) in world.counts.of("uploads")}

    assert seen >= _EXPECTED


_RARE = ("segments_dropped", "key_conflicts", "offsets_lost", "records_skipped", "dead_letters")
_EXPECTED = {
    *_RARE,
    *("repeats other_configuration", "repeats other_records"),
    *("cuts records", "cuts bytes", "cuts interval", "cuts schedule", "cuts max_age"),
    *("cuts max_open", "cuts wallclock", "cuts flush", "cuts spool_full", "cuts repeat"),
    *("cuts drain", "cuts stopped"),
    *("commits done", "commits refused", "commits unknown"),
    *("uploads created", "uploads existed"),
}


def test_every_action_is_understood() -> None:
    assert all(hasattr(World, f"_do_{name}") for name in WEIGHTS)
