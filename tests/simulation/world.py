"""A model of Kafka, S3 and several sinks around the real `PartitionCuts`.

One topic partition, one log with gaps, one group, one bucket. Each call of `World.step` lets one
thing happen: a sink appends, seals, commits, uploads; the network delivers or loses; a sink
crashes, freezes or loses its membership without knowing. `check` holds the promises of the
contract after every step, `finish` heals everything and demands that each record is in S3 once.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from random import Random

from spoolsink.cut import Commit, CutObject, ObjectState, TakeoverKind
from spoolsink.cuts import PartitionCuts
from spoolsink.intent import Identity
from spoolsink.records import TopicPartition

TP = TopicPartition("orders", 0)
SPLIT_RECORDS = 3


class PromiseBrokenError(AssertionError):
    """An invariant does not hold: the history is a bug."""


@dataclass
class Broker:
    """OffsetCommit as Kafka does it: fenced by generation only, the last writer wins."""

    offset: int = 0
    metadata: str = ""
    generation: int = 0

    def commit(self, generation: int, commit: Commit) -> bool:
        if generation != self.generation:
            return False
        self.offset, self.metadata = commit
        return True


@dataclass
class Bucket:
    """Create-only objects: key → (digest, offsets)."""

    objects: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)

    def put(self, key: str, digest: str, offsets: tuple[int, ...]) -> bool:
        if key in self.objects:
            return False
        self.objects[key] = (digest, offsets)
        return True


def digest_of_offsets(offsets: tuple[int, ...]) -> str:
    return sha256(repr(offsets).encode()).hexdigest()[:16]


class Sink:
    """One process: the real cuts, a spool of offsets in place of bytes."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        identity = Identity("cluster", "topic-id", "f00dcafe", name)
        self.cuts = world.make_cuts(TP, identity)
        self.segments: dict[str, list[int]] = {}
        self.damaged: set[int] = set()
        self.generation = -1
        self.in_flight: tuple[int, Commit] | None = None

    # What the pipeline does, in miniature.

    def join(self) -> None:
        """Become the member of a new generation and read the committed offset."""
        broker = self.world.broker
        broker.generation += 1
        self.generation = broker.generation
        self.in_flight = None
        takeover = self.cuts.assigned(broker.offset, broker.metadata)
        if takeover.kind is not TakeoverKind.CONTINUED:
            self.segments.clear()
        for o in self.waiting_again():
            o.state = ObjectState.WAITING

    def waiting_again(self) -> list[CutObject]:
        objects = [o for cut in self.cuts.sealed for o in cut.objects] + self.cuts.open.splits
        return [o for o in objects if o.state is ObjectState.UPLOADING]

    def append(self, count: int, now_ms: int) -> None:
        cuts, world = self.cuts, self.world
        end = min(cuts.open.position + count, world.log_end)
        if cuts.append_limit is not None:
            end = min(end, cuts.append_limit)
        # One offset at a time here; the pipeline cuts its batches at the same places.
        for offset in range(cuts.open.position, end):
            if offset not in world.log:
                cuts.appended(offset + 1, 0)
            else:
                place = world.place(offset, cuts.begin(now_ms))
                segment = self.segments.setdefault(place, [])
                segment.append(offset)
                if len(segment) == SPLIT_RECORDS:
                    cuts.split_sealed(self.take(place), cuts.open.records + 1)
                cuts.appended(offset + 1, 1)
            if cuts.must_seal:
                self.seal()
                return

    def take(self, place: str) -> CutObject:
        offsets = tuple(self.segments.pop(place))
        key = f"{place}/{offsets[0]}-{offsets[-1]}"
        digest = digest_of_offsets(offsets)
        return CutObject(offsets, key, digest, offsets[0], offsets[-1], len(offsets))

    def seal(self) -> None:
        cuts = self.cuts
        if cuts.may_end_at(cuts.open.position) and (cuts.open.records or cuts.must_seal):
            cuts.seal([self.take(place) for place in sorted(self.segments)])

    def send_commit(self) -> None:
        commit = self.cuts.next_commit(is_idle=self.world.random.random() < 0.3)
        if commit is not None:
            self.in_flight = (self.generation, commit)
            self.world.network.append((self, self.generation, commit))

    def reply(self, commit: Commit, *, is_accepted: bool) -> None:
        if self.in_flight is None or self.in_flight[1] != commit:
            return
        self.in_flight = None
        if self.cuts.is_commit_unknown:
            return
        if is_accepted:
            self.cuts.commit_done()
        else:
            self.cuts.commit_refused()

    def lose_reply(self) -> None:
        if self.in_flight is not None:
            self.in_flight = None
            self.cuts.commit_unknown()

    def read_back(self) -> None:
        if self.cuts.is_commit_unknown:
            self.cuts.read_back(self.world.broker.offset, self.world.broker.metadata)

    def upload(self) -> None:
        """Write one allowed object; the effect and the reply may each be lost or late."""
        random, allowed = self.world.random, self.cuts.uploads()
        if not allowed:
            return
        target = random.choice(allowed)
        if target.first in self.damaged and self.world.verifies_segments:
            self.drop_spool()
            return
        offsets = self.bytes_of(target)
        fate = random.random()
        if fate < 0.1:
            return  # lost on the way
        if fate < 0.2:
            self.world.late_puts.append((target.key, digest_of_offsets(offsets), offsets))
            return
        self.put(target, offsets)
        if fate >= 0.3:
            target.state = ObjectState.CONFIRMED  # otherwise the reply was lost: it is repeated

    def put(self, target: CutObject, offsets: tuple[int, ...]) -> None:
        """Create-only; where the key is taken by other content, beside it, never over it."""
        bucket = self.world.bucket
        created = bucket.put(target.key, target.digest, offsets)
        if not created and bucket.objects[target.key][0] != target.digest:
            bucket.put(f"{target.key}+{target.digest[:8]}", target.digest, offsets)

    def bytes_of(self, target: CutObject) -> tuple[int, ...]:
        offsets = target.segment
        assert isinstance(offsets, tuple)
        return offsets[:-1] if target.first in self.damaged else offsets

    def drop_spool(self) -> None:
        """A damaged segment: everything is read again, unless a commit is under way."""
        if self.in_flight is None and not self.cuts.is_commit_unknown:
            self.cuts.forget()
            self.damaged.clear()
            self.segments.clear()
            if self.generation == self.world.broker.generation:
                self.join()


class World:
    """The whole history of one seed."""

    def __init__(self, seed: int, make_cuts: type[PartitionCuts] = PartitionCuts) -> None:
        self.random = Random(seed)
        self.make_cuts = make_cuts
        self.broker, self.bucket = Broker(), Bucket()
        self.network: list[tuple[Sink, int, Commit]] = []
        self.late_puts: list[tuple[str, str, tuple[int, ...]]] = []
        self.log_end = self.random.randint(8, 40)
        self.log = {o for o in range(self.log_end) if self.random.random() < 0.85}
        self.places = self.random.randint(1, 4)
        self.uses_clock = self.random.random() < 0.3
        self.now_ms = 1_000
        self.names = 0
        self.verifies_segments = True
        self.is_fenced = True
        self.sinks = [self.new_sink()]
        self.sinks[0].join()

    def new_sink(self) -> Sink:
        self.names += 1
        return Sink(self, f"owner{self.names}")

    def place(self, offset: int, instant_ms: int) -> str:
        """The S3 partition of a record: a function of the record and the cut's instant."""
        hour = instant_ms // 5_000 if self.uses_clock else 0
        return f"h={hour}/p={(offset * 7) % self.places}"

    def step(self) -> None:
        random = self.random
        self.now_ms += random.randint(0, 900)
        sink = random.choice(self.sinks)
        chance = random.random()
        if chance < 0.25:
            sink.append(random.randint(1, 6), self.now_ms)
        elif chance < 0.33:
            sink.seal()
        elif chance < 0.50:
            sink.send_commit()
        elif chance < 0.68:
            sink.upload()
        elif chance < 0.86:
            self.deliver()
        else:
            self.fault(sink)
        self.check()

    def fault(self, sink: Sink) -> None:
        chance = self.random.random()
        if chance < 0.25:
            sink.lose_reply()
        elif chance < 0.50:
            sink.read_back()
        elif chance < 0.62:
            sink.damaged.update(o.first for cut in sink.cuts.sealed for o in cut.objects)
        elif chance < 0.75:
            self.sinks.remove(sink)  # crash; its messages may still arrive
            self.sinks.append(self.new_sink())
            self.sinks[-1].join()
        elif chance < 0.88:
            self.take_over(sink)
        else:
            sink.cuts.revoked()
            sink.join()

    def take_over(self, zombie: Sink) -> None:
        """Another member joins while `zombie` still believes that it owns everything."""
        heir = self.new_sink()
        heir.join()
        self.sinks = [zombie, heir]

    def deliver(self) -> None:
        if self.late_puts and self.random.random() < 0.3:
            key, digest, offsets = self.late_puts.pop(self.random.randrange(len(self.late_puts)))
            self.bucket.put(key, digest, offsets)
        if self.network:
            message = self.network.pop(self.random.randrange(len(self.network)))
            sink, generation, commit = message
            if not self.is_fenced:
                generation = self.broker.generation
            sink.reply(commit, is_accepted=self.broker.commit(generation, commit))

    def check(self) -> None:
        """No loss: every record below the committed offset is whole in some object."""
        stored = {o for _, offsets in self.bucket.objects.values() for o in offsets}
        missing = {o for o in self.log if o < self.broker.offset} - stored
        if missing:
            raise PromiseBrokenError(
                f"committed {self.broker.offset}, not in S3: {sorted(missing)}"
            )

    def finish(self) -> None:
        """Everything is healed and delivered: a last owner reaches the end of the log."""
        while self.network or self.late_puts:
            self.deliver()
        owner = self.new_sink()
        owner.join()
        for _ in range(40):
            owner.append(self.log_end, self.now_ms)
            owner.seal()
            self._settle(owner)
            if self.broker.offset == self.log_end:
                break
        self.check()
        self._check_once()

    def _settle(self, owner: Sink) -> None:
        for _ in range(4):
            commit = owner.cuts.next_commit(is_idle=True)
            if commit is not None:
                assert self.broker.commit(owner.generation, commit)
                owner.cuts.commit_done()
            for target in owner.cuts.uploads():
                owner.put(target, owner.bytes_of(target))
                target.state = ObjectState.CONFIRMED

    def _check_once(self) -> None:
        if self.broker.offset != self.log_end:
            raise PromiseBrokenError(f"stuck at {self.broker.offset} of {self.log_end}")
        stored = [o for _, offsets in self.bucket.objects.values() for o in offsets]
        twice = sorted({o for o in stored if stored.count(o) > 1})
        if twice:
            raise PromiseBrokenError(f"in S3 more than once: {twice}")


def run_history(
    seed: int,
    make_cuts: type[PartitionCuts] = PartitionCuts,
    *,
    is_fenced: bool = True,
    verifies_segments: bool = True,
    steps: int = 90,
) -> World:
    """One history from its seed; raises PromiseBrokenError."""
    world = World(seed, make_cuts)
    world.is_fenced, world.verifies_segments = is_fenced, verifies_segments
    for _ in range(steps):
        world.step()
    world.finish()
    return world
