"""The world of one history: two hosts with a disk each, a group, a log, a bucket, a network.

`World.do` lets one action happen and the checker watches; `finish` mends everything and demands
that a last owner brings every record through.
"""

from collections.abc import Callable

from spoolsink.cut import Commit
from spoolsink.metrics import COUNTERS
from tests.simulation.checker import Checker, PromiseBrokenError
from tests.simulation.history import Action, History, Settings
from tests.simulation.models import TP, Broker, Bucket, Counts, Log, ModelSpool
from tests.simulation.network import Head, Network, Put, ReadCommitted, SendCommit, Waiting
from tests.simulation.process import ROTATIONS, Process
from tests.simulation.stand_ins import Parts, Shape

HOSTS = 2
START_MS = 1_600_000_000_000
_TURNS = 200
"""Until a healthy world must be through; a few dozen are usual."""


class World:
    """Made anew for every history."""

    def __init__(self, settings: Settings, parts: Parts | None = None) -> None:
        self.settings = settings
        self.parts = parts or Parts()
        self.log = Log("topic0")
        self.broker = Broker(is_fenced=self.parts.is_fenced)
        self.bucket = Bucket()
        self.network = Network()
        self.counts = Counts(list(COUNTERS))
        self.checker = Checker(settings, offsets_lost=self.counts.of("offsets_lost"))
        self.checker.logs[self.log.topic_id] = self.log
        self.elapsed_ms = 0
        self.jumped_ms = 0
        self.variant = 0
        self.owners = 0
        self.sent: set[int] = set()
        self.hosts = [self._start(ModelSpool(), Shape()) for _ in range(HOSTS)]
        self._rebalance(self.hosts[0])

    # -- what processes ask of it ----------------------------------------------------------------

    def monotonic(self) -> float:
        return self.elapsed_ms / 1000

    def wall_ms(self) -> int:
        return max(0, START_MS + self.elapsed_ms + self.jumped_ms)

    def committed_was_read(self, process: Process) -> None:
        commit = self.broker.committed
        self.checker.taken_over(commit, self.log, process.shape.fingerprint)
        if commit is None:
            if self.settings.start_from == "latest":
                self.checker.excuse(self.log.topic_id, self.log.end, "start_from")
            self.checker.excuse(self.log.topic_id, self.log.start, "start_from")
        elif self.settings.on_offset_lost == "continue" and commit.offset < self.log.start:
            self.checker.causes.add("offset_lost")

    def rejoin(self, process: Process) -> None:
        """A member that joins anew gets what it has, if it has it still."""
        membership = process.group.membership
        if membership is not None and membership.generation == self.broker.generation:
            self._rebalance(process)
        else:
            self._tell(process)

    # -- actions ---------------------------------------------------------------------------------

    def do(self, action: Action) -> None:
        """Let it happen; what has no object in the present state does nothing."""
        handler: Callable[[int, int], None] = getattr(self, f"_do_{action.name}")
        handler(action.who, action.amount)
        self._watch()

    def _do_produce(self, who: int, amount: int) -> None:
        for index in range(1 + who % 8):
            draw = (amount * 37 + index * 101) % 100
            if draw < self.settings.gap_percent:
                self.log.skip()
                continue
            is_skipped = draw < self.settings.gap_percent + self.settings.skipped_percent
            # Times mostly follow the clock, and sometimes go backwards or far ahead.
            time_ms = START_MS + self.elapsed_ms + (draw % 7 - 3) * 700
            self.log.produce(time_ms, 16 + draw % 9, is_skipped=is_skipped)

    def _do_poll(self, who: int, amount: int) -> None:
        self._process(who).poll(1 + amount % 7)

    def _do_tick(self, who: int, amount: int) -> None:
        process = self._process(who)
        process.take_over()
        process.tick()

    def _do_time(self, who: int, amount: int) -> None:
        # Sometimes past everything that holds for 15 s.
        self.elapsed_ms += 16_000 if amount >= 900 else amount * 2

    def _do_jump(self, who: int, amount: int) -> None:
        self.jumped_ms += (amount - 500) * 100

    def _do_commit(self, who: int, amount: int) -> None:
        if amount % 4 == 0:
            self.elapsed_ms += 2_000  # an idle position is committed then
        self._process(who).commit()

    def _do_upload(self, who: int, amount: int) -> None:
        for _ in range(1 + amount % 3):
            self._process(who).upload()

    def _do_deliver(self, who: int, amount: int) -> None:
        """A request takes effect, and its answer arrives."""
        waiting = self._under_way(who)
        if waiting is not None:
            self.arrive(waiting)

    def _do_late(self, who: int, amount: int) -> None:
        """The asker's deadline passes; the request may have its effect at any later time."""
        waiting = self._under_way(who)
        if amount % 2:  # commits are fewer than Puts, and what comes late of them matters more
            commits = [w for w in self.network.waiting if isinstance(w.request, SendCommit)]
            waiting = commits[who % len(commits)] if commits else waiting
        is_slow_put = waiting is not None and isinstance(waiting.request, Put)
        if waiting is None or not waiting.is_awaited:
            return
        if is_slow_put and not self.settings.is_conditional:
            return  # without conditional writes no promise covers a Put that arrives late
        self.network.expire(waiting)

    def _do_lose(self, who: int, amount: int) -> None:
        """The request is lost, or its answer is, or the answer is slow and others overtake it."""
        waiting = self._under_way(who)
        if waiting is None or waiting.is_done:
            return
        if amount % 3 == 2:
            waiting.answer, waiting.is_done = self._effect(waiting), True
            return
        if amount % 3 == 1:
            self._effect(waiting)
        self.network.waiting.remove(waiting)
        if waiting.is_awaited:
            self.network.expire(waiting)

    def _do_join(self, who: int, amount: int) -> None:
        """The group gives the topic partition to a member; the former owner is not told."""
        self._rebalance(self._process(who))

    def _do_told(self, who: int, amount: int) -> None:
        """A member hears that it owns nothing, if that is so."""
        process = self._process(who)
        membership = process.group.membership
        if membership is not None and membership.generation != self.broker.generation:
            self._tell(process)

    def _do_restart(self, who: int, amount: int) -> None:
        """Kill -9, and a new process on the same host, with the same disk or another."""
        host = who % HOSTS
        dead = self.hosts[host]
        self.network.bury(dead)
        spool = ModelSpool() if amount % 4 == 0 else dead.spool
        shape = Shape(self.variant, amount % len(ROTATIONS), has_max_open=amount % 3 == 0)
        self.hosts[host] = self._start(spool, shape)
        if amount % 5 != 0:
            self._rebalance(self.hosts[host])

    def _do_flush(self, who: int, amount: int) -> None:
        self._process(who).flush(is_forced=amount % 2 == 0)

    def _do_damage(self, who: int, amount: int) -> None:
        self._process(who).spool.damage(amount)

    def _do_configure(self, who: int, amount: int) -> None:
        """The configuration file is changed: processes that start from now on have the new one."""
        self.variant = amount % 3

    def _do_move(self, who: int, amount: int) -> None:
        """An operator stops every sink and moves the group's offset, or has it moved."""
        for host in range(HOSTS):
            self.network.bury(self.hosts[host])
            spool = self.hosts[host].spool
            self.hosts[host] = self._start(spool, Shape(self.variant, who % len(ROTATIONS)))
        offset = self.log.start + amount % (self.log.end - self.log.start + 1)
        before = self.broker.committed
        metadata = before.metadata if before is not None and amount % 2 else ""
        self._reset(offset, metadata)
        self._rebalance(self.hosts[0])

    def _do_retain(self, who: int, amount: int) -> None:
        self.log.retain_from(self.log.start + amount % 12)
        self.checker.vanished(self.broker.committed, self.log)

    def _do_compact(self, who: int, amount: int) -> None:
        if self.log.end > self.log.start:
            self.log.compact(self.log.start + amount % (self.log.end - self.log.start))
        self.checker.vanished(self.broker.committed, self.log)

    def _do_recreate(self, who: int, amount: int) -> None:
        """The topic is deleted and created anew; the group's offset goes with it, mostly."""
        self.log = Log(f"topic{len(self.checker.logs)}")
        self.checker.logs[self.log.topic_id] = self.log
        self.checker.causes.add("recreated")
        self.checker.moved()
        if amount % 3:
            self.broker.committed = None
        self._do_produce(who, amount)
        for process in self.hosts:
            process.must_check = True

    # -- inside ----------------------------------------------------------------------------------

    def _process(self, who: int) -> Process:
        # Mostly the owner, so that things get done; else any, zombies among them.
        for process in self.hosts:
            membership = process.group.membership
            if who >= 30 and membership and membership.generation == self.broker.generation:
                return process
        return self.hosts[who % HOSTS]

    def _start(self, spool: ModelSpool, shape: Shape) -> Process:
        self.owners += 1
        return Process(self, f"owner{self.owners}", spool, shape)

    def _rebalance(self, owner: Process) -> None:
        self.broker.generation += 1
        owner.joined(self.broker.generation, [TP])

    def _tell(self, process: Process) -> None:
        process.joined(self.broker.generation, [])
        # It is a member of the group with nothing assigned: nothing of it is fenced by that.
        process.group.membership = process.group.membership

    def _reset(self, offset: int, metadata: str) -> None:
        self.broker.generation += 1
        self.broker.committed = Commit(offset, metadata)
        log, checker = self.log, self.checker
        checker.moved()
        checker.excuse(log.topic_id, offset, "moved")
        checker.exempt_from(log, offset, log.end, "moved")

    def _under_way(self, who: int) -> Waiting | None:
        waiting = self.network.waiting
        # Mostly the oldest that somebody waits for; what is late is overtaken by much.
        awaited = [w for w in waiting if w.is_awaited] if who < 60 else waiting
        return awaited[0 if who < 60 else who % len(awaited)] if awaited else None

    def arrive(self, waiting: Waiting) -> None:
        answer = waiting.answer if waiting.is_done else self._effect(waiting)
        self.network.answer(waiting, answer)

    def _effect(self, waiting: Waiting) -> object:
        request = waiting.request
        if isinstance(request, SendCommit):
            return self._commit(request)
        if isinstance(request, ReadCommitted):
            return self.broker.committed
        if isinstance(request, Head):
            return self.bucket.objects.get(request.key)
        is_created = self.bucket.put(request.key, request.stored, create_only=request.create_only)
        if is_created:
            self.checker.put_done(request.key, request.stored)
        return is_created

    def _commit(self, request: SendCommit) -> int:
        is_current = request.generation == self.broker.generation
        code = self.broker.commit(request.generation, request.commit)
        if code == 0:
            self.checker.commit_accepted(request.commit, is_current=is_current)
        return code

    def _watch(self) -> None:
        """Look at every Put that was sent since; keep the account of offsets that were given up."""
        for waiting in self.network.waiting:
            request = waiting.request
            if isinstance(request, Put) and id(request) not in self.sent:
                self.sent.add(id(request))
                assert isinstance(waiting.process, Process)
                self.checker.put_sent(waiting.process.owner, request.key, request.stored)

    # -- the end ---------------------------------------------------------------------------------

    def finish(self) -> None:
        """Faults are over: a fresh owner must bring everything through, and one record more."""
        while self.network.waiting:
            self.arrive(self.network.waiting[0])
            self._watch()
        for host in range(HOSTS):
            self.network.bury(self.hosts[host])
        self.hosts = [self._start(self.hosts[0].spool, Shape(self.variant))]
        self._rebalance(self.hosts[0])
        self.log.produce(START_MS + self.elapsed_ms, 16, is_skipped=False)
        for _ in range(_TURNS):
            if self._is_through():
                break
            self._turn(self.hosts[0])
        self._check_end()

    def _turn(self, owner: Process) -> None:
        self.elapsed_ms += 2_000
        if owner.assignment.held:
            self._mend(owner)
        owner.poll(100)
        owner.flush(is_forced=False)
        owner.tick()
        owner.commit()
        for _ in range(4):
            owner.upload()
        while self.network.waiting:
            self._watch()
            self.arrive(self.network.waiting[0])

    def _mend(self, owner: Process) -> None:
        """What an operator does about a hold; a hold without a cause is a bug."""
        reasons = owner.health.reasons()
        if not self.checker.causes & {"recreated", "moved"} and not self.log.gone:
            raise PromiseBrokenError(f"I10: holds without a cause: {reasons}")
        self._reset(self.log.start, "")
        self._rebalance(owner)

    def _is_through(self) -> bool:
        committed, owner = self.broker.committed, self.hosts[0]
        has_begun = TP in owner.appenders and not owner.assignment.held
        return has_begun and committed is not None and committed.offset == self.log.end

    def _check_end(self) -> None:
        owner = self.hosts[0]
        if not self._is_through():
            raise PromiseBrokenError(
                f"I10: stuck at {self.broker.committed} of {self.log.end}: {owner.health.reasons()}"
            )
        self.checker.check_tiles(self.log.topic_id)
        self.checker.check_counts(self.counts.of("repeats"))
        if owner.spool.open_count or owner.spool.sealed_count:
            raise PromiseBrokenError("I9: segments are left in the spool of an idle sink")


def run(history: History, parts: Parts | None = None) -> World:
    """Replay a history; raises PromiseBrokenError (or what the sink raises: that is a bug, too)."""
    world = World(history.settings, parts)
    for action in history.actions:
        world.do(action)
    world.finish()
    return world
