"""From `kafka.security` to what aiokafka's clients take."""

import ssl
from pathlib import Path

import pytest
from aiokafka import conn
from aiokafka.errors import SaslAuthenticationFailed

from spoolsink.config_model import Kafka
from spoolsink.errors import BrokerRefusedError
from spoolsink.kafka_security import client_arguments
from spoolsink.kafka_tokens import TokenProvider
from tests.servers.certificates import Authority

LOGIN = {"username": "me", "password": "secret"}


def settings_of(**security: str) -> Kafka:
    return Kafka.model_validate({"bootstrap_servers": ["b:9092"], "security": security})


def test_without_security_nothing_is_asked_for() -> None:
    assert client_arguments(settings_of()) == {"security_protocol": "PLAINTEXT"}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_password_goes_with_its_mechanism(mechanism: str) -> None:
    found = client_arguments(
        settings_of(protocol="SASL_PLAINTEXT", sasl_mechanism=mechanism, **LOGIN)
    )
    assert found == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "me",
        "sasl_plain_password": "secret",
    }


@pytest.mark.parametrize("username", ["me", "a,b=c", "käse", "a b\x01"])
@pytest.mark.parametrize("answer", [b"", b"r=other,s=AAAA,i=1", b"e=unknown-user", b"\xff", b"r="])
def test_a_server_that_does_not_speak_scram_is_refused_as_kafka_refuses(
    username: str, answer: bytes
) -> None:
    """Found by reading: a ValueError or KeyError, which aiokafka's tasks do not expect."""
    client_arguments(
        settings_of(
            protocol="SASL_PLAINTEXT",
            sasl_mechanism="SCRAM-SHA-256",
            username=username,
            password="secret",
        )
    )
    scram = conn.ScramAuthenticator(
        loop=None,
        sasl_plain_username=username,
        sasl_plain_password="secret",
        sasl_mechanism="SCRAM-SHA-256",
    )
    first = scram._step(None)
    assert first is not None
    assert first[0].startswith(b"n,,n=")
    with pytest.raises(SaslAuthenticationFailed, match="the broker's SCRAM answer"):
        scram._step(answer)


def test_kerberos_takes_everything_from_its_environment() -> None:
    found = client_arguments(settings_of(protocol="SASL_PLAINTEXT", sasl_mechanism="GSSAPI"))
    assert found["sasl_mechanism"] == "GSSAPI"
    assert found["sasl_plain_username"] is found["sasl_plain_password"] is None


def test_a_broker_is_trusted_by_the_configured_authority_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = client_arguments(settings_of(protocol="SSL", ca_file=str(authority.file)))[
        "ssl_context"
    ]
    assert context.cert_store_stats()["x509_ca"] == 1
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "AWS_MSK_IAM"])
def test_tokens_go_by_the_mechanism_that_the_protocol_knows(mechanism: str) -> None:
    found = client_arguments(settings_of(protocol="SASL_SSL", sasl_mechanism=mechanism))
    assert found["sasl_mechanism"] == "OAUTHBEARER"
    assert isinstance(found["sasl_oauth_token_provider"], TokenProvider)


def test_a_file_that_vanished_since_the_start_is_for_an_operator_and_read_anew(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    settings = settings_of(protocol="SSL", ca_file=str(authority.file))
    kept = authority.file.read_bytes()
    authority.file.unlink()
    with pytest.raises(BrokerRefusedError, match=r"a file cannot be used: .*No such file"):
        client_arguments(settings)
    authority.file.write_bytes(kept)
    assert "ssl_context" in client_arguments(settings)
