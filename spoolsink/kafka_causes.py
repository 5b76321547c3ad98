"""Why Kafka cannot be reached: aiokafka swallows the cause and says only "Unable to bootstrap".

The cause is the last argument of its log record: taken from there, in the task that logs it, so
that two consumers that start at the same time do not hear each other's. Records that are told as
an error of ours are not logged a second time, those of a running consumer once.
"""

import logging
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)

from spoolsink import kafka_start
from spoolsink.errors import BrokerRefusedError, ConsumerError
from spoolsink.kafka_security import START_ERRORS
from spoolsink.kafka_tokens import TokenRefusedError, TokenUnavailableError

_CLIENT_LOG = "aiokafka"
"""The logger of `aiokafka.client`, and of nothing else (tests/integration proves it)."""

_NUMBER = re.compile(r"\[Errno (\d+)\]")

# Kafka says no more, whether it was shown none, a foreign one or one that has expired.
_NO_CERTIFICATE = "the broker refuses the client certificate, or was shown none (cert_file)"
_CLOSED = "the broker closed the connection; is kafka.security.protocol this listener's?"

_RIGHTS: dict[type[KafkaError], str] = {
    # An ACL names a literal or a prefix; a fetch and a join need READ, which implies DESCRIBE.
    GroupAuthorizationFailedError: "needs READ on the group",
    TopicAuthorizationFailedError: "needs READ on the topic",
    ClusterAuthorizationFailedError: "needs a right on the cluster",
}

_TOO_LARGE = {12, 28}
"""Of OffsetCommit: metadata or request too large."""

_ALERTS = {
    # What a broker says that wants a certificate, or does not like the one that it was shown.
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the broker wants a client certificate (cert_file)",
    "SSLV3_ALERT_BAD_CERTIFICATE": _NO_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the client certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _NO_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": "the broker does not know the client certificate's authority",
    "TLSV1_ALERT_ACCESS_DENIED": _NO_CERTIFICATE,
    # What the other side speaks is no TLS.
    "WRONG_VERSION_NUMBER": "this listener does not speak TLS (kafka.security.protocol)",
    "RECORD_LAYER_FAILURE": "this listener does not speak TLS (kafka.security.protocol)",
}


class Cause(NamedTuple):
    """One attempt that failed; `is_operator`: it does not go away by itself.

    `where` is a broker's address, '' where every one would say so.
    """

    where: str
    text: str
    is_operator: bool


class Causes(logging.Filter):
    """What keeps one consumer from its brokers; from its start until `close`."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal: Cause | None = None
        """The last one that does not go away by itself, since a broker answered last."""
        self._starting: list[Cause] | None = None
        self._told: set[Cause] = set()

    async def started(self, start: Callable[[], Awaitable[None]], servers: Sequence[str]) -> None:
        """Run an aiokafka client's `start`; raises ConsumerError that says every cause known."""
        try:
            with self.of_start() as causes:
                await kafka_start.whole(start)
        except START_ERRORS as error:
            raise start_error(error, causes, ", ".join(servers)) from error

    @contextmanager
    def of_start(self) -> Iterator[list[Cause]]:
        """Those of this block, in the order of the attempts; told by `start_error`, not logged.

        Tasks that are begun in it, or later by the same task, belong to the consumer.
        """
        logging.getLogger(_CLIENT_LOG).addFilter(self)
        self.follow()
        found: list[Cause] = []
        self._starting = found
        try:
            yield found
        finally:
            self._starting = None

    def follow(self) -> None:
        """From here on what this task, and those that it begins, log is the consumer's.

        Never undone: of a consumer that has ended nothing is heard.
        """
        _current.set(self)

    def answered(self) -> None:
        """A broker did."""
        self.refusal = None
        self._told.clear()

    def refuses(self, error: KafkaError) -> bool:
        """Whether it is a right that is missing; then that is the refusal from here on."""
        right = missing_right(error)
        if right is not None:
            self.refusal = Cause("", right, is_operator=True)
        return right is not None

    def close(self) -> None:
        """The consumer has ended; may be called again."""
        logging.getLogger(_CLIENT_LOG).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether aiokafka's line is logged: of our own consumer's, each cause once."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        error = arguments[-1] if arguments else None
        if _current.get() is not self or not isinstance(error, Exception):
            return True
        cause = cause_of(error, ":".join(map(str, arguments[:-1])))
        if self._starting is not None:
            self._starting.append(cause)
            return False
        if cause.is_operator:
            self.refusal = cause
        # It tries ten times a second.
        is_new = cause not in self._told
        self._told.add(cause)
        return is_new


_current: ContextVar[Causes | None] = ContextVar("current", default=None)


def refused(cause: Cause) -> BrokerRefusedError:
    """The error of a consumer that has lost its brokers for this."""
    return BrokerRefusedError(f"broker {cause.where}: {cause.text}" if cause.where else cause.text)


def start_error(error: Exception, causes: list[Cause], where: str) -> ConsumerError:
    """The error of a start that failed, with every cause that is known.

    A refusal by one broker is told as such, also where others are merely away.
    """
    causes = causes or [cause_of(error, where)]
    text = "; ".join(dict.fromkeys(f"{cause.where}: {cause.text}" for cause in causes))
    kind = BrokerRefusedError if any(cause.is_operator for cause in causes) else ConsumerError
    return kind(text)


def translated(error: KafkaError, where: str) -> ConsumerError:
    """Ours for what a running consumer met; `where` is the group or what was done."""
    right = missing_right(error)
    return ConsumerError(f"{where}: {error}") if right is None else BrokerRefusedError(right)


def missing_right(error: KafkaError) -> str | None:
    """What a running consumer is not allowed to do, with the right by Kafka's name; else None."""
    names = error.args[0] if error.args else ""
    name = ", ".join(sorted(names)) if isinstance(names, set | frozenset) else names
    for kind, text in _RIGHTS.items():
        if isinstance(error, kind):
            return f"not authorised: {text} {name}".rstrip()
    return None


def commit_refusal(code: int, metadata_bytes: int) -> str:
    """What an error code of OffsetCommit means for an operator."""
    if code in _TOO_LARGE:
        text = "bytes of commit metadata: raise offset.metadata.max.bytes"
        return f"the broker refuses {metadata_bytes} {text}"
    refused = next((text for kind, text in _RIGHTS.items() if kind.errno == code), None)
    return f"not authorised: {refused}" if refused else f"OffsetCommit: Kafka's error {code}"


def cause_of(error: BaseException, where: str) -> Cause:
    """The first in the chain of causes that means something to us, else the error itself."""
    step: BaseException | None = error
    while step is not None:
        for tell in (_of_tls, _of_kafka, _of_network):
            found = tell(step)
            if found is not None:
                return Cause(where, *found)
        step = step.__cause__
    return Cause(where, *_of_the_rest(error))


def _of_tls(error: BaseException) -> tuple[str, bool] | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}", True
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "the connection was closed during the TLS handshake", False
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        return f"TLS: {_ALERTS.get(reason, reason.replace('_', ' ').lower())}", True
    return None


_REFUSALS: dict[type[KafkaError], str] = {
    # A wrong name, password or token, in the broker's own words where it has any; no ticket.
    SaslAuthenticationFailed: "log-in refused",
    # The listener does not have it: another mechanism, or another listener.
    UnsupportedSaslMechanismError: "log-in refused: this listener has no such sasl_mechanism",
    IllegalSaslStateError: "log-in refused: this listener wants no SASL",
    ClusterAuthorizationFailedError: "not authorised",
    # A token could not be had, and will not be until somebody mends something.
    TokenRefusedError: "no token",
    UnsupportedVersionError: "the broker is too old",
}


def _of_kafka(error: BaseException) -> tuple[str, bool] | None:
    if isinstance(error, TokenUnavailableError):
        return f"no token: {_words(error)}", False
    for kind, text in _REFUSALS.items():
        if isinstance(error, kind):
            words = _words(error)
            return (f"{text}: {words}" if words else text), True
    return None


def _of_network(error: BaseException) -> tuple[str, bool] | None:
    if isinstance(error, socket.gaierror):
        # Not an operator's: names of a cluster come and go with its pods.
        return f"name not resolved: {error.strerror}", False
    if isinstance(error, TimeoutError):
        return "no answer in time", False
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return _CLOSED, False
    if isinstance(error, OSError):
        numbers = {error.errno} if error.errno else set(map(int, _NUMBER.findall(str(error))))
        # Several where a name has several addresses; asyncio puts them into one text.
        return ", ".join(os.strerror(n).lower() for n in sorted(numbers)) or str(error), False
    return None


def _of_the_rest(error: BaseException) -> tuple[str, bool]:
    if isinstance(error, KafkaConnectionError):
        return _CLOSED, False
    if isinstance(error, KafkaError):
        return str(error), False
    # SCRAM's proof of the server does not hold.
    return f"log-in failed: {error}", True


def _words(error: KafkaError) -> str:
    return str(error.args[0]) if error.args and isinstance(error.args[0], str) else ""
