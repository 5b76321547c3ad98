"""How every history ends: faults are over, and a last owner must bring every record through."""

from spoolsink.records import TopicPartition
from tests.simulation.checker import PromiseBrokenError
from tests.simulation.ground import START_MS, Ground, end_of
from tests.simulation.process import Process

_TURNS = 200
"""Until a healthy world must be through; a few dozen are usual."""

_OFFSETS = _UPLOADS = 100
"""Of a turn: as many as there are."""


def finish(world: Ground) -> None:
    """A fresh owner of all, one record more for each topic partition, and nobody interferes."""
    _settle(world)
    for host in world.hosts:
        world.network.bury(host)
    world.paused.clear()
    quota = world.settings.quota_bytes
    left = set(world.bucket.uploads)
    world.hosts = [world.start(world.hosts[0].spool, world.shape(quota=quota))]
    world.give_all_to(world.hosts[0])
    for log in world.logs.values():
        log.produce(START_MS + world.elapsed_ms, 16, is_bad=False)
    for _ in range(_TURNS):
        if _is_through(world):
            break
        _turn(world)
    _check(world, left)


def _turn(world: Ground) -> None:
    world.elapsed_ms += 2_000
    _mend(world)
    owner = world.hosts[0]
    owner.turn(_OFFSETS)
    _settle(world)
    if not owner.pipeline.is_full:  # a full spool makes room without being asked
        owner.flush()
        owner.turn(0)
        _settle(world)
    owner.commit()  # the intent
    _settle(world)
    owner.upload(_UPLOADS)
    _settle(world)
    owner.commit()
    _settle(world)
    world.check_spools()


def _settle(world: Ground) -> None:
    while world.network.waiting:
        world.arrive(world.network.waiting[0])


def _mend(world: Ground) -> None:
    """What an operator does about a hold; a hold without a cause is a bug."""
    owner = world.hosts[0]
    reasons = owner.health.reasons()
    if any("raise spool.max_bytes" in why for why in reasons):
        world.give_room(owner)
        return
    for tp in owner.assignment.held:
        if not world.checker.causes & {"recreated", "moved"} and not world.logs[tp].gone:
            raise PromiseBrokenError(f"I10: holds without a cause: {reasons}")
        world.reset(tp, world.logs[tp].start, "")
        world.give_all_to(owner)
        return
    for tp, appender in owner.appenders.items():
        bad = appender.stopped
        if bad is not None and end_of(world.broker.committed, tp) == bad.offset:
            world.mend(tp, bad.offset, skips=False)
            return


def _is_through(world: Ground) -> bool:
    return all(_has_all(world, world.hosts[0], tp) for tp in world.tps)


def _has_all(world: Ground, owner: Process, tp: TopicPartition) -> bool:
    has_begun = tp in owner.appenders and tp not in owner.assignment.held
    return has_begun and end_of(world.broker.committed, tp) == world.logs[tp].end


def _check(world: Ground, left: set[str]) -> None:
    owner, checker = world.hosts[0], world.checker
    if not _is_through(world):
        ends = {tp.partition: log.end for tp, log in world.logs.items()}
        raise PromiseBrokenError(
            f"I10: stuck at {world.broker.committed} of {ends}: {owner.health.reasons()}"
        )
    for log in world.logs.values():
        checker.check_tiles(log)
    checker.check_repeats(world.counts.of("repeats"))
    counted = (
        *world.counts.of("records_skipped").values(),
        *world.counts.of("dead_letters").values(),
    )
    if world.settings.disk_stride is None:  # else one is killed inside a batch, and its counts too
        checker.check_bad(sum(counted), world.logs)
    if owner.spool.open_count or owner.spool.sealed_count:
        raise PromiseBrokenError("I9: segments are left in the spool of an idle sink")
    if world.bucket.uploads.keys() - left:
        raise PromiseBrokenError("I9: an unfinished upload is left of an idle sink")
