"""From `kafka.security` to what aiokafka's clients take; what it takes to log in, and why it fails.

For Kerberos the ticket or keytab is the environment's (KRB5CCNAME, KRB5_CLIENT_KTNAME), the service
is `kafka` at the broker's name.
"""

from typing import Any

from aiokafka import conn
from aiokafka.errors import KafkaError, SaslAuthenticationFailed

from spoolsink import kafka_tokens
from spoolsink.config import reveal
from spoolsink.config_model import Kafka
from spoolsink.config_security import OWN_TLS, tls_context
from spoolsink.errors import BrokerRefusedError
from spoolsink.kafka_tokens import TokenProvider, client_credentials, msk_signed

START_ERRORS: tuple[type[Exception], ...] = (
    KafkaError,
    # What aiokafka says of text in an answer that is no UTF-8: this listener is no Kafka.
    ValueError,
)
"""What `start` of a client raises when it cannot log in; a KafkaError for everything else."""

_SCRAM = {"SCRAM-SHA-256", "SCRAM-SHA-512"}


class _Ticketed(conn.SaslGSSAPIAuthenticator):  # type: ignore[misc]
    """What Kerberos refuses is a KafkaError: aiokafka's own tasks survive nothing else."""

    def _step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        try:
            found: tuple[bytes, bool] | None = super()._step(payload)
        except conn.gssapi.exceptions.GSSError as error:
            raise SaslAuthenticationFailed(str(error)) from error
        return found


class _Proven(conn.ScramAuthenticator):  # type: ignore[misc]
    """So is a server's answer that does not prove that it knows the password, or is no SCRAM."""

    def _step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        try:
            found: tuple[bytes, bool] | None = super()._step(payload)
        except (ValueError, KeyError) as error:
            raise SaslAuthenticationFailed(f"the broker's SCRAM answer: {error}") from error
        return found


def client_arguments(settings: Kafka) -> dict[str, Any]:
    """For the constructor of a consumer, a producer or an admin client.

    Files are read, nothing is sent.

    Raises:
        BrokerRefusedError: a certificate that was fine at the start of the process is not any more.
    """
    security = settings.security
    arguments: dict[str, Any] = {"security_protocol": security.protocol}
    try:
        if security.protocol in OWN_TLS:
            arguments["ssl_context"] = tls_context(security)
        if security.protocol.startswith("SASL_"):
            arguments |= _sasl(settings)
    except OSError as error:
        raise BrokerRefusedError(f"kafka.security: a file cannot be used: {error}") from error
    return arguments


def _sasl(settings: Kafka) -> dict[str, Any]:
    security = settings.security
    if security.sasl_mechanism == "OAUTHBEARER":
        return _by_token(TokenProvider(client_credentials(security)))
    if security.sasl_mechanism == "AWS_MSK_IAM":
        return _by_token(TokenProvider(msk_signed(settings.bootstrap_servers)))
    if security.sasl_mechanism == "GSSAPI":
        conn.SaslGSSAPIAuthenticator = _Ticketed
    if security.sasl_mechanism in _SCRAM:
        conn.ScramAuthenticator = _Proven
    return {
        "sasl_mechanism": security.sasl_mechanism,
        "sasl_plain_username": security.username,
        "sasl_plain_password": reveal(security.password),
    }


def _by_token(provider: TokenProvider) -> dict[str, Any]:
    kafka_tokens.install()
    return {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": provider}
