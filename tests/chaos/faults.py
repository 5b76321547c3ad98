"""Everything that goes wrong, one coroutine each, and what undoes it.

Each is bounded in time, takes what it needs for itself, and leaves the world as it was, or leaves
it to `calm`.
"""

import asyncio
import random
from functools import partial
from typing import get_args

from spoolsink.fault_points import Point
from tests.chaos.disk_faults import damage, fill, wipe
from tests.chaos.fleet import BusyError
from tests.chaos.links import State
from tests.chaos.settings import SESSION_SECONDS
from tests.chaos.store_proxy import KINDS, Trouble
from tests.chaos.world import Act, World, started, stopped

_POINTS_OF_SPLITS = frozenset({"floor.after", "part.after"})
_POINT_STEPS = 150
"""Of 0.1 s each: how long a process may take to come to the point at which it is to die."""
_ANSWER_STEPS = 40
"""Of 0.2 s each: how long an answer may wait for its request."""


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
        await stopped(world, member)
        await world.pause(0, 3)
        await started(world, member)


async def stop_and_kill(world: World) -> None:
    """SIGTERM, and SIGKILL in the middle of the drain."""
    with world.member() as member:
        member.begin_stop()
        await world.pause(0, 1)
        member.kill()
        await started(world, member)


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


async def pause_over_a_kill(world: World) -> None:
    """What an operator asked for outlives the process; what comes of it is taken back."""
    with world.member() as member:
        base, process = f"/connectors/{world.connector}", member.process
        wish, taken = world.rng.choice([("pause", 202), ("stop", 204)])
        if (await process.ask(f"{base}/{wish}", "PUT"))[0] != taken:
            return
        await world.pause(0, 2)
        member.kill()
        before = len(process.text())
        await started(world, member)
        words = {"pause": "paused", "stop": "stopped"}[wish] + " since an operator asked for it"
        # Only where it came so far: a process may still be loading.
        if "admin port" in process.text()[before:]:
            await asyncio.sleep(0.5)
            if words not in process.text()[before:]:
                world.fleet.broken.append(f"sink {member.number} forgot: {wish}")
        await world.pause(0, 2)
        await process.ask(f"{base}/resume", "PUT")


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


async def kill_store(world: World) -> None:
    """SIGKILL, in the middle of whatever it writes; the bucket stays."""
    with world.store() as s3:
        await asyncio.to_thread(s3.kill)
        await world.pause(0, 3)
        await asyncio.to_thread(s3.start)


async def suspend_store(world: World) -> None:
    """It accepts connections and says nothing."""
    with world.store() as s3:
        await asyncio.to_thread(s3.suspend)
        await world.pause(0.5, 5)
        s3.resume()


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
    "paused over a kill": pause_over_a_kill,
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
    "S3 killed": kill_store,
    "S3 hangs": suspend_store,
    **{f"S3 {kind}": partial(answer, kind) for kind in KINDS},
}
_DEAR = {"S3 late", "S3 hangs", "paused over a kill"}
CHEAP = [name for name in FAULTS if not name.startswith("broker") and name not in _DEAR]
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
