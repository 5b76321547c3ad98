"""What may happen in a history: `World.do` lets one action happen, and the checker watches."""

from collections.abc import Callable

from tests.simulation.ending import finish
from tests.simulation.ground import HOSTS, START_MS, Ground, end_of
from tests.simulation.history import Action, History
from tests.simulation.network import (
    Complete,
    CreateUpload,
    DiskWork,
    Put,
    Request,
    SendCommit,
    StoreRequest,
    UploadPart,
    Waiting,
)
from tests.simulation.process import Process
from tests.simulation.stand_ins import Parts
from tests.simulation.store import PASSING

_TICK_MS = 100
"""The pipeline's own tick: a turn after that much time has one."""

_DOUBTFUL = (15, 16, -1)
"""Of OffsetCommit: Kafka's answers also where the offset is in its log, and not yet replicated."""

_MANY = 30
"""Offsets of a poll that may bring several cuts at once."""


class World(Ground):
    """The ground, and the hands that act on it; `who` and `amount` are what a history drew."""

    def do(self, action: Action) -> None:
        """Let it happen; what has no object in the present state does nothing."""
        handler: Callable[[int, int], None] = getattr(self, f"_do_{action.name}")
        handler(action.who, action.amount)
        self.check_spools()

    # -- a healthy sink --------------------------------------------------------------------------

    def _do_produce(self, who: int, amount: int) -> None:
        gap, bad = self.settings.gap_percent, self.settings.bad_percent
        for index in range(1 + who % 8):
            draw = (amount * 37 + index * 101) % 100
            log = self.logs[self.tps[(amount // 10 + index) % len(self.tps)]]
            if draw < gap:
                log.skip()
                continue
            # Times mostly follow the clock, and sometimes go backwards or far ahead.
            time_ms = START_MS + self.elapsed_ms + (draw % 7 - 3) * 700
            log.produce(time_ms, 16 + draw % 9, is_bad=draw < gap + bad)

    def _do_poll(self, who: int, amount: int) -> None:
        self._turn(self._process(who), 1 + amount % 7 if amount < 900 else _MANY)

    def _do_tick(self, who: int, amount: int) -> None:
        self.elapsed_ms += _TICK_MS
        self._turn(self._process(who), 0)

    def _do_time(self, who: int, amount: int) -> None:
        # Sometimes past everything that holds for 15 s.
        self.elapsed_ms += 16_000 if amount >= 900 else amount * 2

    def _do_commit(self, who: int, amount: int) -> None:
        if amount % 4 == 0:
            self.elapsed_ms += 2_000  # an idle position is committed then
        self._process(who).commit()

    def _do_upload(self, who: int, amount: int) -> None:
        self._process(who).upload(1 + amount % 3)

    def _do_deliver(self, who: int, amount: int) -> None:
        """A request takes effect, and its answer arrives; in parts an object needs some more."""
        for _ in range(1 if self.settings.part_bytes is None else 1 + amount % 4):
            waiting = self._under_way(who)
            if waiting is not None:
                self.arrive(waiting)

    # -- the network and the group ---------------------------------------------------------------

    def _do_late(self, who: int, amount: int) -> None:
        """The asker's deadline passes; the request may have its effect at any later time."""
        waiting = self._in_trouble(who, amount)
        if amount % 2:  # commits are fewer than Puts, and what comes late of them matters more
            waiting = self._one_of(who, SendCommit) or waiting
        is_slow_put = waiting is not None and isinstance(waiting.request, Put | Complete)
        if waiting is None or not waiting.is_awaited:
            return
        if is_slow_put and not self.settings.is_conditional:
            return  # without conditional writes no promise covers a Put that arrives late
        self.network.expire(waiting)

    def _do_lose(self, who: int, amount: int) -> None:
        """The request is lost, or its answer is, or the answer is slow and others overtake it."""
        waiting = self._in_trouble(who, amount)
        if waiting is None or waiting.is_done:
            return
        if amount % 3 == 2:
            waiting.answer, waiting.is_done = self.effect(waiting), True
            return
        if amount % 3 == 1:
            self.effect(waiting)
        self.network.waiting.remove(waiting)
        if waiting.is_awaited:
            self.network.expire(waiting)

    def _do_fail(self, who: int, amount: int) -> None:
        """S3 refuses, and has done nothing; a coordinator says no, and may have done it."""
        asked = [
            w
            for w in self.network.waiting
            if isinstance(w.request, StoreRequest | SendCommit) and w.is_awaited and not w.is_done
        ]
        if not asked:
            return
        waiting = asked[who % len(asked)]
        if isinstance(waiting.request, StoreRequest):
            self.network.answer(waiting, PASSING[amount % len(PASSING)])
            return
        refused = self.effect(waiting) if amount % 2 else 0
        self.network.answer(waiting, refused or _DOUBTFUL[amount % len(_DOUBTFUL)])

    def _do_vanish(self, who: int, amount: int) -> None:
        """An unfinished upload is aborted: by a rule of the bucket, by another sink's sweep."""
        uploads = list(self.bucket.uploads)
        if uploads:
            del self.bucket.uploads[uploads[who % len(uploads)]]

    def _do_join(self, who: int, amount: int) -> None:
        """The group is dealt anew; who loses by it is not told yet, and some that keep are not."""
        chosen = self._process(who)
        if len(self.tps) == 1 or amount % 3 == 0:
            self.give_all_to(chosen)
            return
        other = next(host for host in self.hosts if host is not chosen)
        # By the bits of the amount: some move, some stay.
        owners = {
            tp: chosen if amount >> number & 4 else other for number, tp in enumerate(self.tps)
        }
        self.rebalance(owners, [chosen] if amount % 3 == 1 else [chosen, other])

    def _do_told(self, who: int, amount: int) -> None:
        """A member hears of what it owns, if it believes in the past."""
        process = self._process(who)
        if process.group.membership is not None and not self.is_member(process):
            self.tell(process)

    # -- operators, disks, clocks ----------------------------------------------------------------

    def _do_restart(self, who: int, amount: int) -> None:
        """Kill -9, and a new process on the same host, with the same disk or another."""
        host = who % HOSTS
        dead = self.hosts[host]
        self.network.bury(dead)
        quota = self.settings.quota_bytes
        if quota is not None and amount % 7 == 0:
            quota *= 2
        spool = (
            self.parts.spool(quota, self.settings.disk_stride) if amount % 4 == 0 else dead.spool
        )
        process = self.start_again(host, spool, self.shape(amount, quota=quota))
        if amount % 5 != 0:
            self.give_all_to(process)

    def _do_drain(self, who: int, amount: int) -> None:
        """SIGTERM; the process ends in one of its next turns."""
        self._process(who).drain()

    def _do_flush(self, who: int, amount: int) -> None:
        self._process(who).flush()

    def _do_pause(self, who: int, amount: int) -> None:
        """`PUT pause` or `resume` on a host."""
        host = who % HOSTS
        if amount % 3 == 0:
            self.paused.add(host)
        else:
            self.paused.discard(host)
        self.hosts[host].pipeline.is_paused = host in self.paused

    def _do_damage(self, who: int, amount: int) -> None:
        self._process(who).spool.damage(amount)

    def _do_jump(self, who: int, amount: int) -> None:
        self.jumped_ms += (amount - 500) * 100

    def _do_configure(self, who: int, amount: int) -> None:
        """The configuration file is changed: processes that start from now on have the new one."""
        self.variant = amount % 3

    def _do_move(self, who: int, amount: int) -> None:
        """An operator stops every sink and moves the group's offset, or has it moved."""
        self.stop_all(who)
        tp = self.tps[who % len(self.tps)]
        log, before = self.logs[tp], self.broker.committed.get(tp)
        offset = log.start + amount % (log.end - log.start + 1)
        self.reset(tp, offset, before.metadata if before is not None and amount % 2 else "")
        self.give_all_to(self.hosts[0])

    def _do_mend(self, who: int, amount: int) -> None:
        """What stopped at a bad record is made to go on, once all before it is committed."""
        for process in self.hosts:
            for tp, appender in process.appenders.items():
                bad = appender.stopped
                if bad is not None and end_of(self.broker.committed, tp) == bad.offset:
                    self.mend(tp, bad.offset, skips=amount % 2 == 0)
                    return

    def _do_retain(self, who: int, amount: int) -> None:
        tp = self.tps[who % len(self.tps)]
        log = self.logs[tp]
        log.retain_from(log.start + amount % 12)
        self.checker.vanished(self.broker.committed.get(tp), log)

    def _do_compact(self, who: int, amount: int) -> None:
        tp = self.tps[who % len(self.tps)]
        log = self.logs[tp]
        if log.end > log.start:
            log.compact(log.start + amount % (log.end - log.start))
        self.checker.vanished(self.broker.committed.get(tp), log)

    def _do_recreate(self, who: int, amount: int) -> None:
        """The topic is deleted and created anew; the group's offsets go with it, mostly."""
        # Not in the middle of a turn: ids are looked at before it (README, known limits).
        while (working := self._one_of(0, DiskWork)) is not None:
            self.arrive(working)
        self.create_topic()
        self.checker.causes.add("recreated")
        for tp in self.tps:
            self.checker.moved(tp)
        if amount % 3:
            self.broker.committed.clear()
        self._do_produce(who, amount)
        for process in self.hosts:
            process.must_check = True

    # -- inside ----------------------------------------------------------------------------------

    def _process(self, who: int) -> Process:
        # Mostly an owner, so that things get done; else any, zombies among them.
        if who >= 30:
            members = [host for host in self.hosts if self.is_member(host) and host.group.assigned]
            if members:
                return members[who % len(members)]
        return self.hosts[who % HOSTS]

    def _turn(self, process: Process, offsets: int) -> None:
        process.turn(offsets)
        if process.must_end:
            self._end(process)

    def _end(self, process: Process) -> None:
        """After a drain: the process leaves the group, and the other one has it all."""
        if process.is_through and self.is_member(process):
            for tp in process.group.assigned - process.assignment.held.keys():
                self.checker.drained(tp, self.broker.committed.get(tp))
        self.network.bury(process)
        host = self.hosts.index(process)
        self.start_again(host, process.spool, process.shape)
        if process in self.owners.values():
            self.give_all_to(self.hosts[1 - host])

    def _in_trouble(self, who: int, amount: int) -> Waiting | None:
        """What a fault meets; of uploads in parts there are few, and more to go wrong."""
        if amount % 2 == 0:
            found = self._one_of(who, CreateUpload, UploadPart, Complete)
            for _ in range(amount // 2 % 8):  # so far it goes well
                if found is None or isinstance(found.request, Complete) or not found.is_awaited:
                    break
                self.arrive(found)
                found = next((w for w in self.network.waiting if w.work is found.work), None)
            if found is not None:
                return found
        found = self._under_way(who)
        # Threads have no deadlines, and are not lost.
        return None if found is not None and isinstance(found.request, DiskWork) else found

    def _one_of(self, who: int, *kinds: type[Request]) -> Waiting | None:
        found = [w for w in self.network.waiting if isinstance(w.request, kinds)]
        return found[who % len(found)] if found else None

    def _under_way(self, who: int) -> Waiting | None:
        waiting = self.network.waiting
        # Mostly the oldest that somebody waits for; what is late is overtaken by much.
        awaited = [w for w in waiting if w.is_awaited] if who < 60 else waiting
        return awaited[0 if who < 60 else who % len(awaited)] if awaited else None


def run(history: History, parts: Parts | None = None) -> World:
    """Replay a history; raises PromiseBrokenError (or what the sink raises: that is a bug, too)."""
    world = World(history.settings, parts)
    try:
        for action in history.actions:
            world.do(action)
        finish(world)
    finally:
        world.close()
    return world
