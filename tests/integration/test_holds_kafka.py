"""Kafka is away, refuses or lacks something: the sink holds, says so, and goes on when mended."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import ROOT, Bench, SinkProcess
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce
from tests.servers.acl_kafka import AclKafkaServer
from tests.servers.processes import S3Server
from tests.servers.secure_kafka import USER

LATER_PASSWORD = "given-later"
GROUP_RIGHTS = ("READ", "DESCRIBE")
TOPIC_RIGHTS = ("READ", "DESCRIBE")


@pytest.fixture(scope="module")
def acl_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AclKafkaServer]:
    """Not started: the first thing that is missing is the broker."""
    server = AclKafkaServer(tmp_path_factory.mktemp("acl-kafka"))
    yield server
    server.stop()


@pytest.fixture
def bench(acl_kafka: AclKafkaServer, s3: S3Server, tmp_path: Path) -> Iterator[Bench]:
    found = Bench(acl_kafka, s3, tmp_path)
    found.make_bucket()
    yield found
    found.close()


def sink_of(bench: Bench, kafka: AclKafkaServer, **more: Any) -> SinkProcess:
    login = {"sasl_mechanism": "SCRAM-SHA-256", "username": USER, "password": LATER_PASSWORD}
    security = login | {"protocol": "SASL_PLAINTEXT"}
    settings = {"bootstrap_servers": kafka.at("SCRAM"), "security": security, **more}
    return bench.sink({"kafka": settings, "rotate": {"records": 5}})


async def held(sink: SinkProcess, *words: str) -> None:
    """FAILED, with the same words everywhere, in one line of the log."""
    trace = await sink.until_failed(*words)
    await sink.not_ready(*words)
    assert (await sink.ask("/healthz"))[0] == 200
    assert "Traceback" not in trace


@pytest.mark.timeout(240)
async def test_what_a_broker_lacks_or_refuses_is_waited_for_one_after_the_other(
    bench: Bench, acl_kafka: AclKafkaServer
) -> None:
    """From a broker that is not there to a topic that is granted, in one life of the sink."""
    sink, oracle = sink_of(bench, acl_kafka), Oracle(bench)
    sink.start()
    await sink.not_ready("kafka:", "connection refused")
    assert (await sink.status())["connector"]["state"] == "RUNNING"
    acl_kafka.start()
    await held(sink, "kafka:", "log-in refused", "invalid credentials")
    acl_kafka.set_password(LATER_PASSWORD)
    await held(sink, "kafka:", bench.group, "not authorised")
    acl_kafka.grant("GROUP", bench.group, *GROUP_RIGHTS)
    await held(sink, "kafka:", bench.name, "not authorised")
    acl_kafka.grant("TOPIC", bench.name, *TOPIC_RIGHTS)
    topic = await bench.topic()
    await produce(bench.kafka.bootstrap_servers, topic, documents(5))
    await oracle.until_committed(sink)
    await sink.ready()
    for number, (kind, name, rights) in enumerate(
        (("GROUP", bench.group, GROUP_RIGHTS), ("TOPIC", topic, TOPIC_RIGHTS)), start=1
    ):
        acl_kafka.revoke(kind, name)
        await produce(bench.kafka.bootstrap_servers, topic, documents(5, start=5 * number))
        await held(sink, "kafka:", name, "not authorised")
        acl_kafka.grant(kind, name, *rights)
        await oracle.until_committed(sink)
        await sink.ready()
    await sink.stopped()
    await oracle.verify()
    await check_names_every_right(bench, acl_kafka, sink)


async def check_names_every_right(
    bench: Bench, acl_kafka: AclKafkaServer, sink: SinkProcess
) -> None:
    """Before a first run: each right by its name, in a line of its own; nothing is left behind."""
    group, topic = bench.group, bench.name
    keys = Oracle(bench).object_keys()
    acl_kafka.revoke("GROUP", group)
    acl_kafka.revoke("TOPIC", topic)
    nothing = await checked(sink)
    assert f"kafka: not authorised: needs READ on the group {group}" in nothing
    assert f"kafka: not authorised: needs READ on the topic {topic}" in nothing
    acl_kafka.grant("GROUP", group, "DESCRIBE")
    acl_kafka.grant("TOPIC", topic, "DESCRIBE")
    assert await checked(sink) == nothing
    acl_kafka.grant("GROUP", group, "READ")
    acl_kafka.grant("TOPIC", topic, "READ")
    assert await checked(sink) == []
    assert Oracle(bench).object_keys() == keys
    assert not Oracle(bench).unfinished_uploads()


async def checked(sink: SinkProcess) -> list[str]:
    """What `check --connect` finds missing."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "spoolsink", "check", "--connect", str(sink.config)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    lines = [line.strip() for line in output.decode().splitlines()]
    found = [line.removeprefix("FAIL").strip() for line in lines if line.startswith("FAIL")]
    assert process.returncode == (1 if found else 0), output.decode()
    assert "Traceback" not in output.decode()
    return found
