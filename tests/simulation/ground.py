"""The ground of one history: two hosts with a disk each, a group, logs, a bucket, a network.

Nothing happens here by itself: `world` has the actions. The checker sees each request as it leaves
its process, and each effect.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from spoolsink.cut import Commit
from spoolsink.metrics import COUNTERS, GAUGES
from spoolsink.records import TopicPartition
from tests.simulation.checker import Checker, PromiseBrokenError, identities
from tests.simulation.history import OnError, Settings
from tests.simulation.models import TOPIC, Broker, Counts, Log, ModelSpool
from tests.simulation.network import (
    Complete,
    CreateUpload,
    DiskWork,
    Network,
    Put,
    ReadCommitted,
    SendCommit,
    SendLetters,
    Waiting,
)
from tests.simulation.process import ROTATIONS, Process
from tests.simulation.stand_ins import Parts
from tests.simulation.store import Bucket, Stored
from tests.simulation.surroundings import Shape

HOSTS = 2
START_MS = 1_600_000_000_000


class Ground:
    """Made anew for every history."""

    def __init__(self, settings: Settings, parts: Parts | None = None) -> None:
        self.settings = settings
        self.parts = parts or Parts()
        self.tps = [TopicPartition(TOPIC, number) for number in range(settings.partitions)]
        self.broker = Broker(is_fenced=self.parts.is_fenced)
        self.bucket = Bucket()
        self.network = Network(self._was_sent)
        self.counts = Counts(list(COUNTERS), list(GAUGES))
        self.checker = Checker(
            settings,
            self.counts.of("offsets_lost"),
            skips_bad=settings.on_error == "skip",
        )
        self.elapsed_ms = 0
        self.jumped_ms = 0
        self.variant = 0
        self.on_error: OnError = settings.on_error
        self.started = 0
        self.topics = 0
        self.logs: dict[TopicPartition, Log] = {}
        self.create_topic()
        self.owners: dict[TopicPartition, Process] = {}
        self.paused: set[int] = set()
        """Hosts on which an operator wants nothing to be read."""
        quota = settings.quota_bytes
        self.hosts = [
            self.start(
                self.parts.spool(quota, settings.disk_stride),
                self.shape(settings.rotation, quota=quota),
            )
            for _ in range(HOSTS)
        ]
        self.give_all_to(self.hosts[0])

    # -- what processes ask of it ----------------------------------------------------------------

    @property
    def topic_id(self) -> str:
        return self.logs[self.tps[0]].topic_id

    def monotonic(self) -> float:
        return self.elapsed_ms / 1000

    def wall_ms(self) -> int:
        return max(0, START_MS + self.elapsed_ms + self.jumped_ms)

    def committed_was_read(self, process: Process, tp: TopicPartition) -> None:
        commit, log = self.broker.committed.get(tp), self.logs[tp]
        if commit is not None:
            self.checker.taken_over(commit, log, process.shape.fingerprint)
            if self.settings.on_offset_lost == "continue" and commit.offset < log.start:
                self.checker.causes.add("offset_lost")
            return
        if self.settings.start_from == "latest" and not self.broker.committed:
            self.checker.excuse(log, log.end, "start_from")
        self.checker.excuse(log, log.start, "start_from")

    def polled(self, process: Process, tps: AbstractSet[TopicPartition]) -> None:
        """Called with what a poll brings anything of."""
        is_paused = process.pipeline.has_paused and not process.pipeline.is_draining
        if is_paused and tps & process.appenders.keys() - process.assignment.due:
            raise PromiseBrokenError(f"paused, and yet {sorted(tps)} are read")

    def rejoin(self, process: Process) -> None:
        """A member that joins anew gets what it has, if it has it still."""
        membership = process.group.membership
        if membership is not None and membership.generation == self.broker.generation:
            self.rebalance(dict(self.owners), [process])
        else:
            self.tell(process)

    # -- the group -------------------------------------------------------------------------------

    def give_all_to(self, owner: Process) -> None:
        self.rebalance(dict.fromkeys(self.tps, owner), [owner])

    def rebalance(self, owners: dict[TopicPartition, Process], told: list[Process]) -> None:
        """A new generation; who is not told believes in the old one."""
        self.broker.generation += 1
        self.owners = owners
        for process in told:
            self.tell(process)

    def tell(self, process: Process) -> None:
        """The group's present state reaches a member, which may own nothing by it."""
        mine = [tp for tp, owner in self.owners.items() if owner is process]
        process.joined(self.broker.generation, mine)

    def is_member(self, process: Process) -> bool:
        """Whether Kafka takes what it commits."""
        membership = process.group.membership
        return membership is not None and membership.generation == self.broker.generation

    # -- processes and topics --------------------------------------------------------------------

    def shape(self, amount: int = 0, *, quota: int | None) -> Shape:
        """The configuration of a process that starts now; what may differ does so by `amount`."""
        part = self.settings.part_bytes
        return Shape(
            self.variant,
            self.on_error,
            rotation=amount % len(ROTATIONS),
            has_max_open=amount % 3 == 1,
            quota_bytes=quota,
            part_bytes=part and part * (1 + amount % 2),
        )

    def start(self, spool: ModelSpool, shape: Shape) -> Process:
        self.started += 1
        return Process(self, f"owner{self.started}", spool, shape)

    def start_again(self, host: int, spool: ModelSpool, shape: Shape) -> Process:
        """A new process on a host whose last one is dead; an operator's pause outlives it."""
        process = self.hosts[host] = self.start(spool, shape)
        process.pipeline.is_paused = host in self.paused
        return process

    def close(self) -> None:
        """Nobody waits any more: what is left of a history that failed must not be woken."""
        for process in self.hosts:
            self.network.bury(process)

    def create_topic(self) -> None:
        for tp in self.tps:
            log = self.logs[tp] = Log(f"topic{self.topics}", tp.partition)
            self.checker.logs[log.name] = log
        self.topics += 1

    # -- what an operator does -------------------------------------------------------------------

    def stop_all(self, amount: int = 0) -> None:
        """Every sink is stopped, and started again with the configuration of now."""
        for host, process in enumerate(self.hosts):
            self.network.bury(process)
            shape = self.shape(amount, quota=process.shape.quota_bytes)
            self.start_again(host, process.spool, shape)

    def reset(self, tp: TopicPartition, offset: int, metadata: str) -> None:
        """The group's offset is moved while no sink runs, wherever it was."""
        log, checker = self.logs[tp], self.checker
        self.broker.generation += 1
        self.broker.committed[tp] = Commit(offset, metadata)
        checker.moved(tp)
        checker.excuse(log, offset, "moved")
        checker.exempt_from(log, offset, log.end, "moved")

    def mend(self, tp: TopicPartition, bad: int, *, skips: bool) -> None:
        """A bad record that stopped a topic partition is skipped from now on, or passed by hand."""
        if skips:
            self.on_error = "skip"
            self.checker.skips_bad = True
        else:
            # Nothing behind it was read, so nothing behind it can come to be twice.
            self.broker.committed[tp] = Commit(bad + 1, "")
            self.checker.excuse(self.logs[tp], bad + 1, "passed")
        self.stop_all()
        self.give_all_to(self.hosts[0])

    def give_room(self, process: Process) -> None:
        """`spool.max_bytes` is raised: the configuration file is read anew by a new process."""
        quota = process.shape.quota_bytes
        if quota is None:
            raise PromiseBrokenError("I10: no room, and no quota")
        self.network.bury(process)
        shape = process.shape._replace(quota_bytes=quota * 2)
        self.give_all_to(self.start_again(self.hosts.index(process), process.spool, shape))

    # -- requests --------------------------------------------------------------------------------

    def arrive(self, waiting: Waiting) -> None:
        """A request has its effect, and its answer arrives."""
        answer = waiting.answer if waiting.is_done else self.effect(waiting)
        self.network.answer(waiting, answer)

    def effect(self, waiting: Waiting) -> object:
        request = waiting.request
        match request:
            case SendCommit():
                return self._commit(waiting.process, request)
            case ReadCommitted():
                return dict(self.broker.committed)
            case DiskWork():
                return None
            case SendLetters():
                self.checker.letters.update(request.identities)
                return None
            case Put():
                stored: Stored | None = Stored(request.body, request.metadata)
            case Complete():
                stored = self.bucket.assembled(request)
            case _:
                return self.bucket.effect(request)
        refusal = self.bucket.effect(request)
        if refusal is None and stored is not None:
            self.checker.object_done(request.key, stored)
        return refusal

    def _commit(self, process: object, request: SendCommit) -> int:
        is_current = request.generation == self.broker.generation
        code = self.broker.commit(request.generation, request.commits)
        if code == 0:
            for tp, commit in request.commits.items():
                is_owner = is_current and self.owners.get(tp) is process
                self.checker.commit_accepted(tp, commit, is_owner=is_owner)
        return code

    def _was_sent(self, waiting: Waiting) -> None:
        request, process = waiting.request, waiting.process
        assert isinstance(process, Process)
        match request:
            case Put():
                self._is_going_up(process, request.key, request.body)
            case Complete():
                stored = self.bucket.assembled(request)
                if stored is not None:
                    self._is_going_up(process, request.key, stored.body)
            case CreateUpload():
                told = request.metadata
                tp = TopicPartition(TOPIC, int(told["spoolsink-partition"]))
                log = f"{process.appenders[tp].cuts.identity.topic_id}.{tp.partition}"
                last = int(told["spoolsink-last-offset"])
                self.checker.going_up(process.owner, request.key, log, last)

    def _is_going_up(self, process: Process, key: str, body: bytes) -> None:
        for log, offset in identities(body)[-1:]:
            self.checker.going_up(process.owner, key, log, offset)

    def check_spools(self) -> None:
        """I9: after every step."""
        for process in self.hosts:
            spool = process.spool
            if spool.used_bytes > spool.allowed_bytes:
                raise PromiseBrokenError(
                    f"I9: {spool.used_bytes} bytes in a spool of {spool.max_bytes}"
                )


def end_of(committed: Mapping[TopicPartition, Commit], tp: TopicPartition) -> int:
    """The committed offset, -1 for none."""
    commit = committed.get(tp)
    return -1 if commit is None else commit.offset
