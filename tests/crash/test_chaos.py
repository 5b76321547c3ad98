"""A short run of the chaos harness, and that the harness sees and does what it is there for."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.chaos.contents import CONTENTS
from tests.chaos.faults import CHEAP, FAULTS
from tests.chaos.fleet import Fleet, Member
from tests.chaos.oracle import LETTERS, ChaosOracle
from tests.chaos.run import Run
from tests.chaos.settings import BAD_VALUE, ROTATIONS, draw
from tests.chaos.store_proxy import KINDS, StoreProxy, Trouble
from tests.chaos.witness import Witness
from tests.integration.harness import Bench, SinkProcess, merged
from tests.integration.producing import Sent, documents, produce
from tests.servers.processes import S3Server, free_port


@pytest.mark.timeout(400)
async def test_a_run_with_a_fixed_seed_breaks_nothing(tmp_path: Path) -> None:
    lines: list[str] = []
    run = Run(
        tmp_path,
        seed=5,
        seconds=15,
        say=lines.append,
        faults=CHEAP,
        mean_seconds=0.5,
        settings=lambda rng: draw(rng, rotation="object_records"),
    )
    await run.run()
    assert len(run.totals.faults) >= 5, run.summary()
    assert run.totals.records > 0, run.summary()
    assert run.totals.answers, run.summary()


def test_every_choice_is_drawn_and_cheap_faults_are_faults() -> None:
    drawn = [draw(random.Random(seed)) for seed in range(100)]
    assert {one.name.partition(" by ")[0] for one in drawn} == ROTATIONS.keys()
    assert {one.content.format["type"] for one in drawn} == CONTENTS.keys()
    assert {one.errors for one in drawn} == {"skip", "prefix", "topic"}
    assert {one.has_connect_names for one in drawn} == {True, False}
    assert any(one.recreates for one in drawn)
    assert set(CHEAP) < FAULTS.keys()


# -- the oracle ------------------------------------------------------------------------------------


async def test_the_oracle_sees_letters_that_are_missing_and_names_that_are_not_as_asked_for(
    bench: Bench,
) -> None:
    settings = next(
        one
        for one in (draw(random.Random(seed), content="parquet") for seed in range(100))
        if (one.errors, one.has_connect_names) == ("prefix", True) and one.place is not None
    )
    topic = await bench.topic()
    await produce(
        bench.kafka.bootstrap_servers, topic, [*documents(5), Sent(BAD_VALUE), *documents(5)]
    )
    overrides = merged(settings.sections, {"records": {"dead_letter": {"prefix": LETTERS}}})
    sink = bench.sink(overrides)
    sink.start()
    await sink.ready()
    oracle = ChaosOracle(bench, settings)
    await oracle.until_committed(sink, flushes=True)
    await sink.stopped()
    assert any(one.key.startswith(f"{LETTERS}/") for one in await oracle.verify(topic))
    letters = next((bench.s3.root / bench.bucket / LETTERS).rglob("*.json"))
    other = letters.rename(letters.with_name(letters.name.replace(".json", "+0000000005.json")))
    with pytest.raises(AssertionError, match="named otherwise"):
        await oracle.verify(topic)
    other.unlink()
    with pytest.raises(AssertionError, match="no object holds"):
        await oracle.verify(topic)


# -- the witness -----------------------------------------------------------------------------------


def other_bytes(path: Path) -> None:
    path.write_bytes(b"row 2\n")


def other_metadata(path: Path) -> None:
    os.setxattr(path, "user.X-Amz-Meta.spoolsink-records", b"2")


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [other_bytes, other_metadata, gone])
def test_a_witness_sees_an_object_that_changes(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    witness, path = Witness(tmp_path), tmp_path / "object"
    path.write_bytes(b"row 1\n")
    witness.completed("object", create_only=True)
    witness.verify(["object"])
    damage(path)
    with pytest.raises(AssertionError, match="gone" if damage is gone else "changed"):
        witness.verify([found.name for found in tmp_path.iterdir()])


def test_a_witness_sees_a_write_that_could_have_overwritten(tmp_path: Path) -> None:
    witness = Witness(tmp_path)
    (tmp_path / "object").write_bytes(b"row 1\n")
    witness.completed("object", create_only=False)
    with pytest.raises(AssertionError, match="without If-None-Match"):
        witness.verify(["object"])


def test_a_witness_remembers_what_was_undone_meanwhile(tmp_path: Path) -> None:
    witness, path = Witness(tmp_path), tmp_path / "object"
    path.write_bytes(b"row 1\n")
    witness.completed("object", create_only=True)
    path.write_bytes(b"row 2\n")
    witness.completed("object", create_only=True)
    path.write_bytes(b"row 1\n")
    with pytest.raises(AssertionError, match="changed"):
        witness.verify(["object"])


# -- the fleet -------------------------------------------------------------------------------------


async def test_a_fleet_sees_a_process_that_ends_by_itself_and_a_spool_too_large(
    tmp_path: Path,
) -> None:
    spool = tmp_path / "disk" / "spool"
    config = tmp_path / "sink.yaml"
    config.write_text("name: []\n")
    member = Member(0, SinkProcess(config, spool, tmp_path / "sink.log"), max_bytes=1000)
    fleet = Fleet([member])
    member.start()
    assert await member.process.ended() == 2
    fleet.look()
    with pytest.raises(AssertionError, match="ended by itself"):
        fleet.verify()
    fleet.broken.clear()
    spool.mkdir(parents=True)
    (spool / "1.open").write_bytes(bytes(10_000))
    member.start()
    fleet.look()
    member.kill()
    with pytest.raises(AssertionError, match="of 1000 bytes"):
        fleet.verify()


# -- the proxy -------------------------------------------------------------------------------------


@pytest.fixture
async def proxied(bench: Bench, s3: S3Server) -> AsyncIterator[tuple[StoreProxy, Any]]:
    """The proxy before the real server, and a client of it that tries once."""
    witness = Witness(s3.root / bench.bucket)
    proxy = StoreProxy(
        server_port=s3.port, rng=random.Random(1), abort=lambda *_: None, witness=witness
    )
    port = free_port()
    await proxy.listen(0, port)
    client = botocore.session.get_session().create_client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=s3.region,
        aws_access_key_id=s3.access_key_id,
        aws_secret_access_key=s3.secret_access_key,
        config=Config(
            s3={"addressing_style": "path"},
            read_timeout=3,
            retries={"total_max_attempts": 1},
        ),
    )
    client.meta.events.register("before-send.s3", without_expect)
    yield proxy, client
    client.close()
    await proxy.close()


HAVE_EFFECT = {"503 after", "500 after", "412 after", "reset after", "slow"}
HAVE_NONE = {"503", "500", "403 expired", "404 bucket", "409", "412", "reset before"}
BY_CHANCE = {"silent", "error in 200", "empty 200"}


@pytest.mark.parametrize("kind", sorted(HAVE_EFFECT | HAVE_NONE | BY_CHANCE))
async def test_an_answer_of_the_proxy_has_the_effect_that_it_should(
    bench: Bench, proxied: tuple[StoreProxy, Any], kind: str
) -> None:
    proxy, client = proxied
    proxy.troubles.append(Trouble(kind, 1.0))
    with suppress(ClientError, BotoCoreError):
        await asyncio.to_thread(put, client, bench.bucket)
    proxy.troubles.clear()
    is_there = (bench.s3.root / bench.bucket / "object").exists()
    assert kind in BY_CHANCE or is_there == (kind in HAVE_EFFECT)
    assert proxy.caused[kind] == 1
    with suppress(ClientError):
        await asyncio.to_thread(put, client, bench.bucket)
    assert (bench.s3.root / bench.bucket / "object").read_bytes() == b"row 1\n"
    proxy.witness.verify(["object"])


async def test_a_late_request_takes_effect_behind_its_lost_answer(
    bench: Bench, proxied: tuple[StoreProxy, Any]
) -> None:
    proxy, client = proxied
    proxy.troubles.append(Trouble("late", 1.0))
    with pytest.raises(BotoCoreError):
        await asyncio.to_thread(put, client, bench.bucket)
    path = bench.s3.root / bench.bucket / "object"
    assert not path.exists()
    await proxy.settled()
    assert path.exists()


def without_expect(request: Any, **_: object) -> None:
    """As a sink: a request comes whole."""
    request.headers.pop("Expect", None)


def put(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="object", Body=b"row 1\n", IfNoneMatch="*")


def test_every_kind_of_answer_is_a_fault() -> None:
    assert {f"S3 {kind}" for kind in KINDS} < FAULTS.keys()
