"""Why Kafka cannot be reached, told from what aiokafka logs."""

import asyncio
import logging
import socket
import ssl

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from spoolsink.errors import BrokerRefusedError, ConsumerError
from spoolsink.kafka_causes import (
    Causes,
    cause_of,
    commit_refusal,
    refused,
    start_error,
    translated,
)
from spoolsink.kafka_tokens import TokenRefusedError, TokenUnavailableError


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def behind(cause: BaseException) -> KafkaConnectionError:
    error = KafkaConnectionError("Connection at b:9092 closed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "told", "is_operator"),
    [
        (SaslAuthenticationFailed("Invalid username"), "log-in refused: Invalid username", True),
        (UnsupportedSaslMechanismError(object()), "no such sasl_mechanism", True),
        (tls_error("SSLV3_ALERT_CERTIFICATE_EXPIRED"), "the client certificate has expired", True),
        (behind(tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED")), "wants a client", True),
        (behind(tls_error("NEVER_HEARD_OF")), "TLS: never heard of", True),
        (behind(EOFError()), "closed the connection", False),
        (ConnectionResetError(104, "reset"), "closed the connection", False),
        (ConnectionRefusedError(111, "Connect call failed"), "connection refused", False),
        (
            OSError("Multiple exceptions: [Errno 111] a ('::1'), [Errno 111] b ('127.0.0.1')"),
            "connection refused",
            False,
        ),
        (OSError(113, "x"), "no route to host", False),
        (socket.gaierror(-2, "Name or service not known"), "name not resolved", False),
        (TimeoutError(), "no answer in time", False),
        (TokenRefusedError("status 401"), "no token: status 401", True),
        (TokenUnavailableError("status 503"), "no token: status 503", False),
        (ValueError("Server sent wrong signature!"), "log-in failed: Server sent wrong", True),
    ],
)
def test_each_cause_has_its_words_and_says_whether_an_operator_must_act(
    error: Exception, told: str, *, is_operator: bool
) -> None:
    cause = cause_of(error, "b:9092")
    assert told in cause.text
    assert (cause.where, cause.is_operator) == ("b:9092", is_operator)


def test_a_refusal_by_one_broker_is_told_as_such_beside_brokers_that_are_away() -> None:
    away = cause_of(ConnectionRefusedError(111, "x"), "a:1")
    refused = cause_of(SaslAuthenticationFailed("no"), "b:1")
    error = start_error(KafkaConnectionError("Unable to bootstrap"), [away, refused], "a:1, b:1")
    assert isinstance(error, BrokerRefusedError)
    assert str(error) == "a:1: connection refused; b:1: log-in refused: no"
    merely_away = start_error(KafkaConnectionError("Unable to bootstrap"), [away, away], "a:1")
    assert type(merely_away) is ConsumerError
    assert str(merely_away) == "a:1: connection refused"


CLIENT_LOG = logging.getLogger("aiokafka")
LINE = "Unable connect to node with id %s: %s"


async def test_two_starts_at_the_same_time_hear_each_their_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def start(port: int) -> list[str]:
        causes = Causes()
        with causes.of_start() as found:
            await asyncio.sleep(0)
            CLIENT_LOG.error('Unable connect to "%s:%s": %s', "b", port, ConnectionResetError())
            await asyncio.sleep(0)
        causes.close()
        return [cause.where for cause in found]

    assert list(await asyncio.gather(start(1), start(2))) == [["b:1"], ["b:2"]]
    assert not caplog.records
    CLIENT_LOG.error(LINE, 1, ConnectionResetError())
    assert len(caplog.records) == 1


async def test_a_running_consumer_knows_why_it_is_refused_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    causes, go_on = Causes(), asyncio.Event()

    async def background() -> None:
        await go_on.wait()
        CLIENT_LOG.error(LINE, 1, ConnectionRefusedError(111, "x"))
        assert causes.refusal is None
        for _ in range(3):
            CLIENT_LOG.error(LINE, 1, SaslAuthenticationFailed("wrong password"))

    with causes.of_start():
        task = asyncio.create_task(background())
    go_on.set()
    await task
    assert causes.refusal is not None
    assert str(refused(causes.refusal)) == "broker 1: log-in refused: wrong password"
    assert len(caplog.records) == 2
    causes.answered()
    assert causes.refusal is None
    causes.close()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (GroupAuthorizationFailedError("g"), "not authorised: needs READ on the group g"),
        (TopicAuthorizationFailedError("t"), "not authorised: needs READ on the topic t"),
        (TopicAuthorizationFailedError({"b", "a"}), "not authorised: needs READ on the topic a, b"),
    ],
)
def test_a_right_that_is_missing_is_named_and_is_for_an_operator(
    error: KafkaError, told: str
) -> None:
    found = translated(error, "poll")
    assert isinstance(found, BrokerRefusedError)
    assert str(found) == told


def test_what_is_no_matter_of_rights_is_told_with_its_place() -> None:
    found = translated(KafkaError("odd"), "poll")
    assert not isinstance(found, BrokerRefusedError)
    assert str(found) == "poll: KafkaError: odd"


def test_a_heartbeat_that_is_refused_is_the_refusal_until_a_broker_answers() -> None:
    causes = Causes()
    assert not causes.refuses(KafkaError("odd"))
    assert causes.refuses(GroupAuthorizationFailedError("g"))
    assert causes.refusal is not None
    assert str(refused(causes.refusal)) == "not authorised: needs READ on the group g"
    causes.answered()
    assert causes.refusal is None


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (12, "offset.metadata.max.bytes"),
        (29, "not authorised: needs READ on the topic"),
        (30, "not authorised: needs READ on the group"),
        (99, "Kafka's error 99"),
    ],
)
def test_a_commit_that_is_refused_says_what_to_do(code: int, told: str) -> None:
    assert told in commit_refusal(code, 5000)
