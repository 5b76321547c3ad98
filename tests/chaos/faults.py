"""Everything that goes wrong, one coroutine each, and what undoes it.

Each is bounded in time, takes what it needs for itself, and leaves the world as it was, or leaves
it to `calm`.
"""

import asyncio
import os
import random
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import get_args

from spoolsink.fault_points import Point
from tests.chaos.broker import ChaosKafka
from tests.chaos.fleet import BusyError, Fleet, Member, fill_disk, mend_disk
from tests.chaos.links import Link, State
from tests.chaos.settings import SESSION_SECONDS
from tests.chaos.store_proxy import KINDS, StoreProxy, Trouble

_POINTS_OF_SPLITS = frozenset({"floor.after", "part.after"})
_POINT_STEPS = 150
"""Of 0.1 s each: how long a process may take to come to the point at which it is to die."""
_READY_STEPS = 25
_ANSWER_STEPS = 40
"""Of 0.2 s each: how long an answer may wait for its request."""


@dataclass
class World:
    """What faults are done to."""

    kafka: ChaosKafka
    links: list[Link]
    proxy: StoreProxy
    fleet: Fleet
    rng: random.Random
    connector: str
    """The name of the sinks' connector on their admin port."""
    has_splits: bool = True
    done: Counter[str] = field(default_factory=Counter)
    is_broker_busy: bool = False

    def member(self) -> AbstractContextManager[Member]:
        """For one fault alone."""
        return self.fleet.one(self.rng.random())

    @contextmanager
    def broker(self) -> Iterator[ChaosKafka]:
        """For one fault alone."""
        if self.is_broker_busy:
            raise BusyError
        self.is_broker_busy = True
        try:
            yield self.kafka
        finally:
            self.is_broker_busy = False

    def pause(self, low: float, high: float) -> Awaitable[None]:
        """Some time within the bounds, in seconds."""
        return asyncio.sleep(self.rng.uniform(low, high))

    async def calm(self) -> None:
        """Everything works again; whether the sinks find that out is theirs."""
        for link in self.links:
            link.turn(State.OPEN)
        self.proxy.troubles.clear()
        self.proxy.silenced.clear()
        self.kafka.resume()
        self.fleet.calm()
        await self.proxy.settled()


Act = Callable[[World], Awaitable[None]]


async def started(world: World, member: Member) -> None:
    """Again; mostly it comes to work before the next fault finds it."""
    member.start()
    if world.rng.random() < 0.7:
        for _ in range(_READY_STEPS):
            if (await member.process.ask("/readyz"))[0] == 200:
                break
            await asyncio.sleep(0.2)


# -- processes -------------------------------------------------------------------------------------


async def kill(world: World) -> None:
    with world.member() as member:
        member.kill()
        await world.pause(0, 1.5)
        await started(world, member)


async def kill_at_a_point(world: World) -> None:
    """At a step of the protocol, the first few times that it comes there."""
    with world.member() as member:
        points = [p for p in get_args(Point) if world.has_splits or p not in _POINTS_OF_SPLITS]
        point, times = world.rng.choice(points), world.rng.randint(1, 3)
        member.kill()
        member.start(f"{point}:{times}")
        for _ in range(_POINT_STEPS):
            if not member.process.is_running:
                break
            await asyncio.sleep(0.1)
        if not member.process.is_running:
            world.done[f"died at {point}"] += 1
        member.kill()
        await started(world, member)


async def suspend(world: World) -> None:
    """Longer than the session lasts: it wakes as a zombie."""
    with world.member() as member:
        member.process.suspend()
        await world.pause(SESSION_SECONDS, 2 * SESSION_SECONDS)
        member.process.resume()


async def suspend_briefly(world: World) -> None:
    with world.member() as member:
        member.process.suspend()
        await world.pause(0.2, 0.9 * SESSION_SECONDS)
        member.process.resume()


async def stop_and_start(world: World) -> None:
    """SIGTERM; stays away for a while."""
    with world.member() as member:
        await _stopped(world, member)
        await world.pause(0, 3)
        await started(world, member)


async def stop_and_kill(world: World) -> None:
    """SIGTERM, and SIGKILL in the middle of the drain."""
    with world.member() as member:
        member.begin_stop()
        await world.pause(0, 1)
        member.kill()
        await started(world, member)


async def _stopped(world: World, member: Member) -> None:
    try:
        await member.stopped()
    except AssertionError as error:
        world.fleet.broken.append(str(error))


async def use_the_admin_port(world: World) -> None:
    """An operator who cannot leave it alone."""
    with world.member() as member:
        base = f"/connectors/{world.connector}"
        ask = member.process.ask
        choice = world.rng.choice(["flush", "restart", "pause", "stop"])
        if choice == "flush":
            await ask("/flush", "POST")
        elif choice == "restart":
            await ask(f"{base}/restart", "POST")
        else:
            await ask(f"{base}/{choice}", "PUT")
            await world.pause(0.2, 3)
            await ask(f"{base}/resume", "PUT")


# -- disks -----------------------------------------------------------------------------------------


async def fill(world: World) -> None:
    with world.member() as member:
        fill_disk(member)
        await world.pause(0.5, 3)
        mend_disk(member)


async def wipe(world: World) -> None:
    with world.member() as member:
        if world.rng.random() < 0.5:
            await _stopped(world, member)
        member.kill()
        shutil.rmtree(member.process.spool, ignore_errors=True)
        await started(world, member)


async def damage(world: World) -> None:
    """Some files, between two runs: a flipped byte, a lost end, all of it gone."""
    with world.member() as member:
        member.kill()
        found = [path for path in sorted(member.process.spool.rglob("*")) if path.is_file()]
        segments = [path for path in found if path.suffix == ".sealed"]
        for path in segments or found:
            if world.rng.random() < 0.5:
                _damage(path, world.rng)
        if world.rng.random() < 0.3:
            for path in found:
                if path.suffix == ".mdb" and world.rng.random() < 0.5:
                    _flip(path, world.rng)
        await started(world, member)


def _damage(path: Path, rng: random.Random) -> None:
    way = rng.choice(["flip", "cut", "delete"])
    size_bytes = path.stat().st_size
    if way == "delete":
        path.unlink()
    elif way == "cut":
        os.truncate(path, rng.randint(0, max(0, size_bytes - 1)))
    else:
        _flip(path, rng)


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)


# -- Kafka -----------------------------------------------------------------------------------------


async def restart_broker(world: World) -> None:
    with world.broker() as kafka:
        await asyncio.to_thread(kafka.stop)
        await world.pause(0, 1)
        await asyncio.to_thread(kafka.start)


async def kill_broker(world: World) -> None:
    with world.broker() as kafka:
        await asyncio.to_thread(kafka.kill)
        await asyncio.to_thread(kafka.start)


async def suspend_broker(world: World) -> None:
    with world.broker() as kafka:
        await asyncio.to_thread(kafka.suspend)
        await world.pause(0.5, 1.5 * SESSION_SECONDS)
        kafka.resume()


async def cut_kafka(state: State, world: World) -> None:
    with world.member() as member:
        link = world.links[member.number]
        link.turn(state)
        await world.pause(0.5, 2 * SESSION_SECONDS)
        if world.rng.random() < 0.5:
            link.turn(State.REFUSED)  # what was held on its way is lost
        link.turn(State.OPEN)


# -- S3 --------------------------------------------------------------------------------------------


async def cut_store(world: World) -> None:
    with world.member() as member:
        world.proxy.silenced.add(member.number)
        await world.pause(0.5, 5)
        world.proxy.silenced.discard(member.number)


async def answer(kind: str, world: World) -> None:
    """One kind of answer, for one sink or all, for a part of the requests or all."""
    rng = world.rng
    members = [None, *(member.number for member in world.fleet.members)]
    trouble = Trouble(kind, rng.choice([0.2, 0.5, 1.0]), rng.choice(members))
    world.proxy.troubles.append(trouble)
    before, wanted = world.proxy.caused[kind], rng.randint(1, 8)
    for _ in range(_ANSWER_STEPS):
        await asyncio.sleep(0.2)
        if world.proxy.caused[kind] - before >= wanted:
            break
    if trouble in world.proxy.troubles:
        world.proxy.troubles.remove(trouble)


FAULTS: dict[str, Act] = {
    "kill -9": kill,
    "kill at a point": kill_at_a_point,
    "kill at another point": kill_at_a_point,
    "zombie": suspend,
    "short pause": suspend_briefly,
    "SIGTERM": stop_and_start,
    "SIGTERM then SIGKILL": stop_and_kill,
    "admin port": use_the_admin_port,
    "disk full": fill,
    "spool wiped": wipe,
    "spool damaged": damage,
    "broker restart": restart_broker,
    "broker killed": kill_broker,
    "broker hangs": suspend_broker,
    "Kafka refused": partial(cut_kafka, State.REFUSED),
    "Kafka silent": partial(cut_kafka, State.SILENT),
    "Kafka deaf": partial(cut_kafka, State.DEAF),
    "S3 cut": cut_store,
    **{f"S3 {kind}": partial(answer, kind) for kind in KINDS},
}
CHEAP = [name for name in FAULTS if not name.startswith("broker") and name != "S3 late"]
"""What a run of seconds can afford."""


class Scheduler:
    """Draws faults from a bag, so that each comes before any comes twice."""

    def __init__(
        self, rng: random.Random, names: list[str], mean_seconds: float | None = None
    ) -> None:
        """`mean_seconds`: between two faults; another in each round where it is not given."""
        self._rng = rng
        self._names = names
        self._mean_seconds = mean_seconds
        self._bag: list[str] = []
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, world: World, seconds: float) -> None:
        """Start faults for so long, several at a time, and wait for the end of all."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        mean_seconds = self._mean_seconds or self._rng.choice([0.5, 1.0, 2.0])
        try:
            while loop.time() < until:
                name = self._next()
                task = asyncio.create_task(self._do(name, world), name=name)
                self._running.add(task)
                task.add_done_callback(self._running.discard)
                await asyncio.sleep(min(self._rng.expovariate(1 / mean_seconds), 3))
            if self._running:
                await asyncio.gather(*self._running)
        finally:
            left = list(self._running)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _next(self) -> str:
        if not self._bag:
            self._bag = list(self._names)
            self._rng.shuffle(self._bag)
        return self._bag.pop()

    async def _do(self, name: str, world: World) -> None:
        if name.startswith("broker") and world.rng.random() < 0.5:
            return  # nothing else happens while it is away
        try:
            await FAULTS[name](world)
        except BusyError:
            return
        world.done[name] += 1
