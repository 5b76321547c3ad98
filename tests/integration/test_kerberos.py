"""GSSAPI with a real KDC: what is told without a keytab, and a sink that gets its own ticket."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Bench, SinkProcess
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce
from tests.servers.kerberos import CLIENT, Kdc, KerberosKafkaServer
from tests.servers.processes import S3Server

SECURITY = {"protocol": "SASL_PLAINTEXT", "sasl_mechanism": "GSSAPI"}


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    server = Kdc(tmp_path_factory.mktemp("kdc"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def kerberos_kafka(
    kdc: Kdc, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KerberosKafkaServer]:
    server = KerberosKafkaServer(tmp_path_factory.mktemp("kerberos-kafka"), kdc)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bench(kerberos_kafka: KerberosKafkaServer, s3: S3Server, tmp_path: Path) -> Iterator[Bench]:
    found = Bench(kerberos_kafka, s3, tmp_path)
    found.make_bucket()
    yield found
    found.close()


def sink_of(bench: Bench, kafka: KerberosKafkaServer) -> SinkProcess:
    settings: dict[str, Any] = {"bootstrap_servers": kafka.address, "security": SECURITY}
    return bench.sink({"kafka": settings, "rotate": {"records": 5}})


@pytest.mark.timeout(240)  # starts a KDC, and a broker twice
async def test_a_ticket_opens_the_listener_and_without_one_the_cause_is_told(
    bench: Bench, kerberos_kafka: KerberosKafkaServer, kdc: Kdc
) -> None:
    """The keytab is missing, comes while the sink runs, and is missing when the broker is back."""
    topic, oracle = await bench.topic(), Oracle(bench)
    servers = bench.kafka.bootstrap_servers
    keytab, tickets = bench.directory / "sink.keytab", bench.directory / "tickets"
    await produce(servers, topic, documents(5))
    sink = sink_of(bench, kerberos_kafka)
    sink.start(kdc.login(tickets, keytab=keytab))
    trace = await sink.until_failed("kafka:", "log-in refused", "No Kerberos credentials")
    await sink.not_ready("kafka:", "log-in refused", "No Kerberos credentials")
    assert f"No Kerberos credentials available (default cache: FILE:{tickets})" in trace
    keytab.write_bytes(kdc.keytab(CLIENT).read_bytes())
    await oracle.until_committed(sink)
    await sink.ready()
    keytab.unlink()
    tickets.unlink()
    kerberos_kafka.stop()
    kerberos_kafka.start()
    await sink.until_failed("kafka:", "log-in refused", "No Kerberos credentials")
    keytab.write_bytes(kdc.keytab(CLIENT).read_bytes())
    await produce(servers, topic, documents(5, start=5))
    await oracle.until_committed(sink)
    await sink.ready()
    await sink.stopped()
    await oracle.verify()
