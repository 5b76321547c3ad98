"""Apache Kafka with every kind of listener that wants a log-in, and an endpoint of tokens."""

import base64
import json
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.servers.certificates import Authority
from tests.servers.processes import LOG4J, SERVER_PROPERTIES, START_SECONDS, KafkaServer, free_port

USER = "ann"
PASSWORD = "ann-password"
AUDIENCE = "kafka-of-the-test"
ISSUER = "the-test"
LISTENERS = {
    "SCRAM": "SASL_PLAINTEXT",
    "SECURE": "SASL_SSL",
    "MUTUAL": "SSL",
    "TOKEN": "SASL_PLAINTEXT",
    "EXPIRED": "SSL",
}

# The validator by its name: the default one of Kafka 4.1 does not look at signatures.
_SECURITY = """\
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
{scram}
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required \
user_{user}="{password}";
listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.token.oauthbearer.sasl.jaas.config={modules}.oauthbearer.OAuthBearerLoginModule \
required;
listener.name.token.oauthbearer.sasl.server.callback.handler.class=\
{modules}.oauthbearer.OAuthBearerValidatorCallbackHandler
sasl.oauthbearer.jwt.validator.class={modules}.oauthbearer.BrokerJwtValidator
sasl.oauthbearer.jwks.endpoint.url=file://{directory}/keys.json
sasl.oauthbearer.expected.audience={audience}
sasl.oauthbearer.expected.issuer={issuer}
ssl.keystore.type=PEM
ssl.keystore.location={directory}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={directory}/authority.pem
listener.name.mutual.ssl.client.auth=required
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location={directory}/expired.pem
"""

_MODULES = "org.apache.kafka.common.security"


class SecureKafkaServer(KafkaServer):
    """Beside PLAINTEXT a listener of each kind of `LISTENERS`; one user, one authority."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.ports = {name: free_port() for name in LISTENERS}
        self.authority = Authority(directory)
        self.authority.issue("broker")
        self.authority.issue("expired", ends_in=timedelta(hours=-1))
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)

    def at(self, listener: str) -> str:
        """The address of one listener."""
        return f"127.0.0.1:{self.ports[listener]}"

    def token(self, *, audience: str = AUDIENCE, lifetime_seconds: float = 300) -> str:
        """A signed JWT of the user."""
        now = int(time.time())
        claims = {"sub": USER, "iss": ISSUER, "aud": audience, "iat": now}
        claims["exp"] = now + int(lifetime_seconds)
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (_HEADER, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encoded(signature)}"

    def command(self) -> list[str]:
        """Formats the storage the first time, and makes the SCRAM user with it."""
        properties = self.directory / "server.properties"
        if not properties.exists():
            (self.directory / "keys.json").write_text(json.dumps({"keys": [self._public_key()]}))
            (self.directory / "log4j2.xml").write_text(LOG4J)
            properties.write_text(self._properties())
            tool = self._java("kafka.tools.StorageTool", "format", "-t", "A" * 21 + "Q")
            tool += ["-c", str(properties), "--standalone"]
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                tool += ["--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]"]
            subprocess.run(tool, check=True, capture_output=True, timeout=START_SECONDS)
        command = self._java("kafka.Kafka", str(properties))
        # Kafka 4 reads keys only from where the process's own settings allow it.
        allowed = "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls="
        return [command[0], f"{allowed}file://{self.directory}/keys.json", *command[1:]]

    def _properties(self) -> str:
        logs = self.directory / "logs"
        text = SERVER_PROPERTIES.format(port=self.port, controller=self._controller, logs=logs)
        for name, protocol in LISTENERS.items():
            for key in ("\nlisteners=", "\nadvertised.listeners="):
                text = text.replace(key, f"{key}{name}://{self.at(name)},")
            text = text.replace("protocol.map=", f"protocol.map={name}:{protocol},")
        return text + _SECURITY.format(
            directory=self.directory,
            modules=_MODULES,
            user=USER,
            password=PASSWORD,
            audience=AUDIENCE,
            issuer=ISSUER,
            scram="\n".join(
                f"listener.name.{name}.scram-sha-{bits}.sasl.jaas.config="
                f"{_MODULES}.scram.ScramLoginModule required;"
                for name, bits in (("scram", 256), ("scram", 512), ("secure", 512))
            ),
        )

    def _public_key(self) -> dict[str, str]:
        numbers = self._key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "kid": "1",
            "alg": "RS256",
            "use": "sig",
            "n": _encoded(numbers.n.to_bytes(256)),
            "e": _encoded(numbers.e.to_bytes(3)),
        }


class TokenEndpoint:
    """Client credentials to tokens; `audience` and `lifetime_seconds` of what it hands out."""

    client_id = "sink:1"
    client_secret = "a secret/of+the=sink"

    def __init__(self, kafka: SecureKafkaServer) -> None:
        self.audience = AUDIENCE
        self.lifetime_seconds = 300
        self.url = ""
        self.forms: list[dict[str, str]] = []
        self._kafka = kafka

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Until the block ends."""
        app = web.Application()
        app.router.add_post("/token", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}/token"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        wanted = "Basic " + base64.b64encode(b"sink%3A1:a+secret%2Fof%2Bthe%3Dsink").decode()
        if request.headers.get("Authorization") != wanted:
            return web.json_response({"error": "invalid_client"}, status=401)
        token = self._kafka.token(audience=self.audience, lifetime_seconds=self.lifetime_seconds)
        return web.json_response({"access_token": token, "expires_in": self.lifetime_seconds})


_HEADER = {"alg": "RS256", "typ": "JWT", "kid": "1"}


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")
