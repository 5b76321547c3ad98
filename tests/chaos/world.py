"""What faults are done to, and how each takes what it needs for itself."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from tests.chaos.broker import ChaosKafka
from tests.chaos.fleet import BusyError, Fleet, Member
from tests.chaos.links import Link, State
from tests.chaos.store_proxy import StoreProxy
from tests.servers.processes import S3Server, ServerProcess

Server = TypeVar("Server", bound=ServerProcess)

_READY_STEPS = 25
"""Of 0.2 s each."""


@dataclass
class World:
    """What faults are done to."""

    kafka: ChaosKafka
    s3: S3Server
    links: list[Link]
    proxy: StoreProxy
    fleet: Fleet
    rng: random.Random
    connector: str
    """The name of the sinks' connector on their admin port."""
    has_splits: bool = True
    done: Counter[str] = field(default_factory=Counter)
    taken: set[ServerProcess] = field(default_factory=set)
    """By a fault each."""

    def member(self) -> AbstractContextManager[Member]:
        """For one fault alone."""
        return self.fleet.one(self.rng.random())

    def broker(self) -> AbstractContextManager[ChaosKafka]:
        """For one fault alone."""
        return self._alone(self.kafka)

    def store(self) -> AbstractContextManager[S3Server]:
        """For one fault alone."""
        return self._alone(self.s3)

    @contextmanager
    def _alone(self, server: Server) -> Iterator[Server]:
        if server in self.taken:
            raise BusyError
        self.taken.add(server)
        try:
            yield server
        finally:
            self.taken.discard(server)

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
        self.s3.resume()
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


async def stopped(world: World, member: Member) -> None:
    """SIGTERM; what is not clean about its end is noted."""
    try:
        await member.stopped()
    except AssertionError as error:
        world.fleet.broken.append("\n".join([str(error), *getattr(error, "__notes__", ())]))
