"""What happens to a sink's disk: full, wiped or damaged between two runs."""

import os
import random
import shutil
from pathlib import Path

from tests.chaos.fleet import fill_disk, mend_disk
from tests.chaos.world import World, started, stopped


async def fill(world: World) -> None:
    with world.member() as member:
        fill_disk(member)
        await world.pause(0.5, 3)
        mend_disk(member)


async def wipe(world: World) -> None:
    with world.member() as member:
        if world.rng.random() < 0.5:
            await stopped(world, member)
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
