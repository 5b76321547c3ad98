"""Every way into Kafka, and every way of being refused, on the real command line."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.integration.harness import ROOT, Bench, SinkProcess, all_of
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce
from tests.servers.certificates import Authority
from tests.servers.processes import S3Server, free_port
from tests.servers.secure_kafka import PASSWORD, USER, SecureKafkaServer, TokenEndpoint

KEY_PASSWORD = "key-password"
WRONG = "not-the-password"


@dataclass
class Doors:
    """A bench on a broker whose listeners all want something, and what to show them."""

    kafka: SecureKafkaServer
    bench: Bench
    tokens: TokenEndpoint
    directory: Path
    ca_file: str = field(init=False)

    def __post_init__(self) -> None:
        self.ca_file = str(self.kafka.authority.file)

    def tls(self, **more: str) -> dict[str, str]:
        return {"protocol": "SSL", "ca_file": self.ca_file, **more}

    def password(self, protocol: str, mechanism: str, password: str = PASSWORD) -> dict[str, str]:
        login = {"sasl_mechanism": mechanism, "username": USER, "password": password}
        return login | (self.tls() if protocol == "SASL_SSL" else {}) | {"protocol": protocol}

    def oauth(self, **more: str) -> dict[str, str]:
        return {
            "protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "OAUTHBEARER",
            "oauth_token_endpoint": self.tokens.url,
            "oauth_client_id": self.tokens.client_id,
            "oauth_client_secret": self.tokens.client_secret,
            **more,
        }

    def sink(self, listener: str, security: dict[str, str]) -> SinkProcess:
        """`listener`: a name of the broker's, or an address."""
        address = self.kafka.at(listener) if listener in self.kafka.ports else listener
        kafka: dict[str, Any] = {"bootstrap_servers": address, "security": security}
        return self.bench.sink({"kafka": kafka})

    async def check(self, listener: str, security: dict[str, str]) -> tuple[int | None, str]:
        """Exit status and everything said by `spoolsink check --connect`."""
        config = self.sink(listener, security).config
        command = [sys.executable, "-m", "spoolsink", "check", "--connect", str(config)]
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        text = output.decode()
        for secret in (PASSWORD, WRONG, KEY_PASSWORD, self.tokens.client_secret):
            assert secret not in text
        assert "Traceback" not in text, text
        return process.returncode, text

    async def lets_in(self, listener: str, security: dict[str, str]) -> None:
        status, text = await self.check(listener, security)
        assert (status, "ok   kafka: cluster" in text) == (0, True), text

    async def refuses(self, listener: str, security: dict[str, str], *words: str) -> None:
        """The words stand in the one line that says what failed."""
        status, text = await self.check(listener, security)
        failed = [line for line in text.splitlines() if "FAIL" in line]
        assert (status, len(failed)) == (1, 1), text
        assert all(word in failed[0] for word in words), text
        assert "Unable connect" not in text, text


@pytest.fixture(scope="module")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafkaServer]:
    server = SecureKafkaServer(tmp_path_factory.mktemp("secure-kafka"))
    server.start()
    asyncio.run(_join_once(server))
    yield server
    server.stop()


async def _join_once(server: SecureKafkaServer) -> None:
    """A broker makes the topic of offsets at the first join, and is no coordinator before."""
    async with AIOKafkaConsumer(
        bootstrap_servers=server.bootstrap_servers, group_id="first"
    ) as consumer:
        await consumer.committed(TopicPartition("first", 0))


@pytest.fixture
async def doors(
    secure_kafka: SecureKafkaServer, s3: S3Server, tmp_path: Path
) -> AsyncIterator[Doors]:
    bench = Bench(secure_kafka, s3, tmp_path)
    bench.make_bucket()
    await bench.topic()
    tokens = TokenEndpoint(secure_kafka)
    async with tokens.serving():
        yield Doors(secure_kafka, bench, tokens, tmp_path)
    bench.close()


async def test_a_right_password_opens_every_listener_that_wants_one(doors: Doors) -> None:
    plain = "SASL_PLAINTEXT"
    await all_of(
        scram_256=doors.lets_in("SCRAM", doors.password(plain, "SCRAM-SHA-256")),
        scram_512=doors.lets_in("SCRAM", doors.password(plain, "SCRAM-SHA-512")),
        plain_tls=doors.lets_in("SECURE", doors.password("SASL_SSL", "PLAIN")),
        scram_tls=doors.lets_in("SECURE", doors.password("SASL_SSL", "SCRAM-SHA-512")),
    )


async def test_a_wrong_password_is_named_with_the_brokers_own_words(doors: Doors) -> None:
    scram = doors.password("SASL_PLAINTEXT", "SCRAM-SHA-256", WRONG)
    plain = doors.password("SASL_SSL", "PLAIN", WRONG)
    absent = doors.password("SASL_PLAINTEXT", "PLAIN", WRONG)
    await all_of(
        scram=doors.refuses("SCRAM", scram, "log-in refused", "invalid credentials"),
        plain=doors.refuses("SECURE", plain, "log-in refused", "Invalid username or password"),
        absent=doors.refuses("SCRAM", absent, "log-in refused", "no such sasl_mechanism"),
    )


async def test_a_client_certificate_opens_the_listener_that_wants_one(doors: Doors) -> None:
    own = doors.kafka.authority.issue("client", password=KEY_PASSWORD)
    foreign = Authority(doors.directory, "stranger").issue("foreign")
    shown = doors.tls(cert_file=str(own), key_password=KEY_PASSWORD)
    refused = "refuses the client certificate"
    await all_of(
        own=doors.lets_in("MUTUAL", shown),
        none=doors.refuses("MUTUAL", doors.tls(), refused),
        foreign=doors.refuses("MUTUAL", doors.tls(cert_file=str(foreign)), refused),
    )


async def test_a_broker_that_cannot_be_trusted_is_named_by_what_is_wrong(doors: Doors) -> None:
    other = Authority(doors.directory, "other")
    login = doors.password("SASL_SSL", "PLAIN")
    failed = "certificate verify failed"
    await all_of(
        wrong=doors.refuses("SECURE", login | {"ca_file": str(other.file)}, failed, "local issuer"),
        expired=doors.refuses("EXPIRED", doors.tls(), failed, "certificate has expired"),
        plain=doors.refuses(doors.kafka.bootstrap_servers, doors.tls(), "closed the connection"),
    )


async def test_a_token_opens_the_listener_and_a_bad_one_is_named(doors: Doors) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/token"
    await all_of(
        good=doors.lets_in("TOKEN", doors.oauth(oauth_scope="write")),
        secret=doors.refuses(
            "TOKEN", doors.oauth(oauth_client_secret=WRONG), "no token", "401", "invalid_client"
        ),
        away=doors.refuses("TOKEN", doors.oauth(oauth_token_endpoint=nowhere), "Connect call"),
    )
    grant = {"grant_type": "client_credentials"}
    assert sorted(doors.tokens.forms, key=len) == [grant, grant | {"scope": "write"}]
    doors.tokens.audience = "somebody else's"
    await doors.refuses("TOKEN", doors.oauth(), "log-in refused", "invalid_token")


async def test_a_broker_that_is_away_is_told_from_a_name_that_is_not_known(doors: Doors) -> None:
    await all_of(
        refused=doors.refuses(f"localhost:{free_port()}", {}, "connection refused"),
        unknown=doors.refuses("broker.invalid:9092", {}, "name not resolved"),
        closed=doors.refuses("SCRAM", {}, "is kafka.security.protocol this listener's?"),
    )


async def test_records_arrive_over_an_encrypted_connection_with_a_log_in(doors: Doors) -> None:
    await produce(doors.kafka.bootstrap_servers, doors.bench.name, documents(50))
    sink = doors.sink("SECURE", doors.password("SASL_SSL", "SCRAM-SHA-512"))
    assert await Oracle(doors.bench).run(sink, 50)


async def test_the_sink_holds_at_a_wrong_certificate_until_it_is_mended(doors: Doors) -> None:
    await produce(doors.kafka.bootstrap_servers, doors.bench.name, documents(5))
    # The authority of before, in the file that the new one is put into.
    ca_file = doors.directory / "ca.pem"
    ca_file.write_bytes(Authority(doors.directory, "former").file.read_bytes())
    login = doors.password("SASL_SSL", "PLAIN") | {"ca_file": str(ca_file)}
    sink = doors.sink("SECURE", login)
    sink.start()
    await sink.until_failed("certificate verify failed")
    await sink.not_ready("certificate verify failed")
    ca_file.write_bytes(doors.kafka.authority.file.read_bytes())
    await sink.ready()
    await sink.until_metric("records_total", 5)
    await sink.stopped()


async def test_a_sink_gets_new_tokens_and_holds_while_they_are_refused(doors: Doors) -> None:
    doors.tokens.lifetime_seconds = 2
    await produce(doors.kafka.bootstrap_servers, doors.bench.name, documents(5))
    sink = doors.sink("TOKEN", doors.oauth())
    sink.start()
    await sink.until_metric("records_total", 5)
    asked, fine = len(doors.tokens.forms), doors.tokens.audience
    doors.tokens.audience = "somebody else's"
    doors.kafka.stop()
    doors.kafka.start()
    await sink.not_ready("log-in refused", "invalid_token")
    await sink.until_failed("log-in refused", "invalid_token")
    assert sink.text().count("Unable connect to node with id") < 10
    doors.tokens.audience = fine
    await produce(doors.kafka.bootstrap_servers, doors.bench.name, documents(5, start=5))
    await sink.until_metric("records_total", 10)
    assert len(doors.tokens.forms) > asked
    await sink.ready()
    await sink.stopped()
