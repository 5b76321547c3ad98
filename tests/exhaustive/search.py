"""Every interleaving of a small world, breadth first, each state once.

Invariants, held in every state that can be reached:

* nothing lost: every record below the committed offset is in some object
* nothing twice: no record is in two objects, no key is ever taken by other records
* nothing stuck: where nothing more can happen, everything is committed

`explore` raises `BrokenError` with the shortest way to the first state that breaks one.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from spoolsink.cut import Commit, CutObject, ObjectState
from spoolsink.cuts import PartitionCuts
from tests.exhaustive.state import LateCommit, LatePut, Numbers, Owner, State, new_owner

REFUSED = "refused"


class BrokenError(AssertionError):
    """An invariant does not hold; the message has the steps that lead there."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large the small world is; `has_splits`: odd offsets fill an object each."""

    records: int = 3
    crashes: int = 1
    zombies: int = 1
    faults: int = 1
    has_splits: bool = True
    metadata_limit: int = 4096
    is_fenced: bool = True


class Found(NamedTuple):
    """What a search saw."""

    states: int
    transitions: int
    deepest: int


Step = tuple[str, State]


def explore(
    bounds: Bounds,
    cuts: type[PartitionCuts] = PartitionCuts,
    progress: Callable[[int], None] = lambda _: None,
) -> Found:
    """Visit every state within the bounds."""
    first = _first(bounds, cuts)
    numbers = Numbers()
    seen = {first.canonical(numbers)}
    ways: list[tuple[int, str]] = [(-1, "start")]
    queue: deque[tuple[int, int, State]] = deque([(0, 0, first)])
    transitions = deepest = 0
    while queue:
        number, depth, state = queue.popleft()
        deepest = max(deepest, depth)
        is_stuck = True
        for name, follower in _guarded(state, bounds, cuts, ways, number):
            is_stuck = False
            transitions += 1
            key = follower.canonical(numbers)
            if key not in seen:
                seen.add(key)
                ways.append((number, name))
                _check(follower, ways, len(ways) - 1)
                queue.append((len(ways) - 1, depth + 1, follower))
                if len(ways) % 50_000 == 0:
                    progress(len(ways))
        if is_stuck and state.committed.offset != bounds.records:
            raise _broken(f"stuck at {state.committed.offset}", ways, number)
    return Found(len(seen), transitions, deepest)


def _guarded(
    state: State,
    bounds: Bounds,
    cuts: type[PartitionCuts],
    ways: list[tuple[int, str]],
    number: int,
) -> Iterator[Step]:
    try:
        yield from _steps(state, bounds, cuts)
    except RuntimeError as error:  # an invariant that the cuts themselves hold
        raise _broken(str(error), ways, number) from error


def _first(bounds: Bounds, cuts: type[PartitionCuts]) -> State:
    owner = new_owner(cuts, 0, 1, bounds.metadata_limit)
    committed = Commit(0, "")
    owner.cuts.assigned(*committed)
    return State(
        (owner,),
        committed,
        1,
        frozenset(),
        frozenset(),
        frozenset(),
        bounds.crashes,
        bounds.zombies,
        bounds.faults,
        bounds.is_fenced,
    )


def _check(state: State, ways: list[tuple[int, str]], number: int) -> None:
    stored = [offset for _, offsets in state.objects for offset in offsets]
    missing = set(range(state.committed.offset)) - set(stored)
    if missing:
        raise _broken(f"committed {state.committed.offset}, lost {sorted(missing)}", ways, number)
    if len(stored) != len(set(stored)):
        raise _broken(f"in S3 twice: {sorted(state.objects)}", ways, number)
    keys = [key for key, _ in state.objects]
    if len(keys) != len(set(keys)):
        raise _broken(f"a key with two contents: {sorted(state.objects)}", ways, number)


def _broken(what: str, ways: list[tuple[int, str]], number: int) -> BrokenError:
    steps: list[str] = []
    while number >= 0:
        number, name = ways[number]
        steps.append(name)
    return BrokenError("\n  ".join((f"{what}, after", *reversed(steps))))


# -- what can happen -----------------------------------------------------------------------------


def _steps(state: State, bounds: Bounds, cuts: type[PartitionCuts]) -> Iterator[Step]:
    for index, owner in enumerate(state.owners):
        who = owner.cuts.identity.owner
        for name, step in _of_owner(state, index, bounds):
            yield f"{who} {name}", step
    yield from _arrivals(state, bounds)
    yield from _takeovers(state, bounds, cuts)


def _of_owner(state: State, index: int, bounds: Bounds) -> Iterator[Step]:
    owner = state.owners[index]
    for number, _ in enumerate(owner.cuts.uploads()):
        yield from _uploads(state, index, number)
    # What a fenced zombie appends, seals and commits is seen by nobody: its commits are refused,
    # so its uploads stay those that its last accepted commit allows. It is spared those steps.
    if state.is_zombie(owner):
        if owner.cuts.is_commit_unknown:
            yield from _read_backs(state, index)
        return
    position, limit = owner.cuts.open.position, owner.cuts.append_limit
    if position < bounds.records and (limit is None or position < limit):
        yield f"appends {position}", _append(state, index, bounds)
    if _may_seal(owner):
        yield f"seals at {position}", _seal(state, index)
    yield from _commits(state, index, bounds)


def _may_seal(owner: Owner) -> bool:
    cuts = owner.cuts
    has_something = bool(cuts.open.records) or cuts.must_seal
    return has_something and cuts.may_end_at(cuts.open.position)


def _append(state: State, index: int, bounds: Bounds) -> State:
    new = state.copy(index)
    owner = new.owners[index]
    cuts, offset = owner.cuts, owner.cuts.open.position
    instant = cuts.begin(owner.clock)
    if bounds.has_splits and offset % 2:
        cuts.split_sealed(_object((offset,), instant), cuts.open.records + 1)
    else:
        owner.rows = (*owner.rows, offset)
    cuts.appended(offset + 1, 1)
    if cuts.must_seal:  # as the appender does: nothing is asked in between
        _seal_in(owner)
    return new


def _seal(state: State, index: int) -> State:
    new = state.copy(index)
    _seal_in(new.owners[index])
    return new


def _seal_in(owner: Owner) -> None:
    instant = owner.cuts.open.instant_ms or 0
    owner.cuts.seal([_object(owner.rows, instant)] if owner.rows else [])
    owner.rows = ()


def _object(offsets: tuple[int, ...], instant: int) -> CutObject:
    key = f"h={instant}/{offsets[0]}-{offsets[-1]}"
    return CutObject(offsets, key, f"{offsets}", offsets[0], offsets[-1], len(offsets))


def _uploads(state: State, index: int, number: int) -> Iterator[Step]:
    """The Put takes effect and is confirmed; or its answer is lost; or it is late."""
    target = state.owners[index].cuts.uploads()[number]
    offsets = target.segment
    assert isinstance(offsets, tuple)
    put = (target.key, offsets)
    if put in state.objects and state.is_zombie(state.owners[index]):
        return  # nothing changes by it
    new = state.copy(index)
    new.owners[index].cuts.uploads()[number].state = ObjectState.CONFIRMED
    new.objects = state.objects | {put}
    yield f"uploads {target.key}", new
    if state.faults and put not in state.objects:
        lost = replace(state, objects=state.objects | {put}, faults=state.faults - 1)
        yield f"uploads {target.key}, the answer is lost", lost
        late = replace(state, late_puts=state.late_puts | {LatePut(*put)}, faults=state.faults - 1)
        yield f"uploads {target.key}, late", late


def _commits(state: State, index: int, bounds: Bounds) -> Iterator[Step]:
    cuts = state.owners[index].cuts
    if cuts.is_commit_unknown:
        yield from _read_backs(state, index)
        return
    if cuts.is_commit_in_flight:
        return
    new = state.copy(index)
    owner = new.owners[index]
    commit = owner.cuts.next_commit(is_idle=True)
    if commit is None:
        return
    yield f"commits {_shown(commit)}", _answered(new, index, commit, bounds)
    if state.faults:
        owner = new.owners[index]
        for name, is_late in (("the answer is lost", False), ("late", True)):
            doubtful = new.copy(index)
            doubtful.faults -= 1
            doubtful.owners[index].cuts.commit_unknown()
            message = LateCommit(owner.generation, commit)
            if is_late:
                doubtful.late_commits = state.late_commits | {message}
            else:
                _take_effect(doubtful, message, bounds)
            yield f"commits {_shown(commit)}, {name}", doubtful


def _answered(state: State, index: int, commit: Commit, bounds: Bounds) -> State:
    new = state.copy(index)
    owner = new.owners[index]
    if _take_effect(new, LateCommit(owner.generation, commit), bounds):
        owner.cuts.commit_done()
    else:
        owner.cuts.commit_refused()
    return new


def _take_effect(state: State, message: LateCommit, bounds: Bounds) -> bool:
    if bounds.is_fenced and message.generation != state.generation:
        return False
    state.committed = message.commit
    return True


def _read_backs(state: State, index: int) -> Iterator[Step]:
    new = state.copy(index)
    if new.owners[index].cuts.read_back(*state.committed) is not None:
        yield "reads its commit back", new
        return
    if state.owners[index].generation == state.generation:
        # It does not show: join anew, so that a late one is fenced.
        new = state.copy(index)
        _take_over(new, index)
        yield "joins anew", new


def _arrivals(state: State, bounds: Bounds) -> Iterator[Step]:
    for put in sorted(state.late_puts):
        new = replace(state, late_puts=state.late_puts - {put})
        if put.key not in {key for key, _ in state.objects}:
            new.objects = state.objects | {(put.key, put.offsets)}
        yield f"the late Put of {put.key} arrives", new
    for message in sorted(state.late_commits):
        new = replace(state, late_commits=state.late_commits - {message})
        _take_effect(new, message, bounds)
        yield f"the late commit of {_shown(message.commit)} arrives", new


def _takeovers(state: State, bounds: Bounds, cuts: type[PartitionCuts]) -> Iterator[Step]:
    """The last owner crashes, or lives on as a zombie, and another process takes over."""
    number = int(state.owners[-1].cuts.identity.owner[1:]) + 1
    heir = new_owner(cuts, number, 0, bounds.metadata_limit)
    if state.crashes:
        new = replace(state, owners=(*state.owners[:-1], heir), crashes=state.crashes - 1)
        _take_over(new, len(new.owners) - 1)
        yield f"o{number - 1} crashes, o{number} takes over", new
    if state.zombies:
        heir = new_owner(cuts, number, 0, bounds.metadata_limit)
        new = replace(state, owners=(*state.owners, heir), zombies=state.zombies - 1)
        _take_over(new, len(new.owners) - 1)
        yield f"o{number} takes over, o{number - 1} does not know", new


def _take_over(state: State, index: int) -> None:
    owner = state.owners[index]
    state.generation += 1
    owner.generation = state.generation
    if state.is_fenced:  # all of them will be refused
        state.late_commits = frozenset()
    owner.cuts.revoked()
    takeover = owner.cuts.assigned(*state.committed)
    if takeover.kind.value != "continued":
        owner.rows = ()


def _shown(commit: Commit) -> str:
    fields = commit.metadata.split(";")
    return f"{commit.offset} [{fields[5]}] floor [{fields[6]}]"
