"""The oracle sees what it is there to see: every kind of damage to a true delivery."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.harness import Bench
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce


def lost(first: Path, _second: Path) -> None:
    first.unlink()


def doubled(first: Path, _second: Path) -> None:
    shutil.copy(first, first.with_name(first.name.replace("+0000000009", "+0000000008")))


def altered(first: Path, _second: Path) -> None:
    first.write_bytes(first.read_bytes().replace(b'"n":4', b'"n":5'))


def reordered(first: Path, _second: Path) -> None:
    lines = first.read_bytes().splitlines(keepends=True)
    first.write_bytes(b"".join([lines[1], lines[0], *lines[2:]]))


def misplaced(first: Path, _second: Path) -> None:
    directory = first.parent.with_name("partition=1")
    directory.mkdir()
    first.rename(directory / first.name)


def exchanged(first: Path, second: Path) -> None:
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


async def test_every_kind_of_damage_is_seen(bench: Bench) -> None:
    topic, oracle = await bench.topic(), Oracle(bench)
    await produce(bench.kafka.bootstrap_servers, topic, documents(20))
    await oracle.run(bench.sink({"rotate": {"records": 10}}), 20)
    bucket = bench.s3.root / bench.bucket
    first, second = (bucket / key for key in oracle.object_keys())
    damages: list[Callable[[Path, Path], None]] = [
        lost, doubled, altered, reordered, misplaced, exchanged,
    ]  # fmt: skip
    for damage in damages:
        before = bench.directory / damage.__name__
        shutil.copytree(first.parent, before)
        damage(first, second)
        with pytest.raises(AssertionError):
            await oracle.verify()
        shutil.rmtree(first.parent.parent)
        shutil.copytree(before, first.parent)
    await produce(bench.kafka.bootstrap_servers, topic, documents(1))
    with pytest.raises(AssertionError, match="lag is not zero"):
        await oracle.verify()
