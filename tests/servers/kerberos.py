"""A KDC with a realm of its own, and Apache Kafka with a listener that wants one of its tickets."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers.processes import (
    CACHE,
    KafkaServer,
    ServerProcess,
    free_port,
)

GSSAPI = CACHE / "gssapi-1.12.0"
"""The Python library, built by fetch.sh: on the path of those sinks that want it."""

REALM = "SINK.TEST"
CLIENT = "sink"
SERVICE = "kafka/localhost"
_MASTER_PASSWORD = "of-the-test"

_CLIENT_CONF = """\
[libdefaults]
default_realm = {realm}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
[realms]
{realm} = {{
  kdc = 127.0.0.1:{port}
}}
[domain_realm]
localhost = {realm}
"""

_KDC_CONF = """\
[kdcdefaults]
kdc_listen = ""
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
{realm} = {{
  database_name = {directory}/principals
  key_stash_file = {directory}/stash
  supported_enctypes = aes256-cts-hmac-sha1-96:normal
}}
[logging]
kdc = STDERR
"""

_LISTENER = """\
listener.name.kerberos.sasl.enabled.mechanisms=GSSAPI
sasl.kerberos.service.name=kafka
listener.name.kerberos.gssapi.sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule \
required useKeyTab=true storeKey=true keyTab="{keytab}" principal="{service}@{realm}";
"""


class Kdc(ServerProcess):
    """MIT's; a keytab for the broker and one for the sink."""

    name = "the KDC"

    @property
    def configuration(self) -> Path:
        """For whoever wants a ticket."""
        return self.directory / "krb5.conf"

    def keytab(self, principal: str) -> Path:
        """Of a principal that `command` made."""
        return self.directory / f"{principal.partition('/')[0]}.keytab"

    def environment(self) -> dict[str, str]:
        """For the KDC and its tools."""
        profile = self.directory / "kdc.conf"
        return {"KRB5_CONFIG": str(self.configuration), "KRB5_KDC_PROFILE": str(profile)}

    def login(self, cache: Path, *, keytab: Path | None = None) -> dict[str, str]:
        """What a sink's environment needs; no `keytab`: only the tickets of `cache`."""
        return {
            "PYTHONPATH": str(GSSAPI),
            "KRB5_CONFIG": str(self.configuration),
            "KRB5CCNAME": f"FILE:{cache}",
            "KRB5_CLIENT_KTNAME": f"FILE:{keytab or self.directory / 'no.keytab'}",
        }

    def command(self) -> list[str]:
        """Makes the realm the first time."""
        if not self.configuration.exists():
            names = {"realm": REALM, "port": self.port, "directory": self.directory}
            self.configuration.write_text(_CLIENT_CONF.format(**names))
            (self.directory / "kdc.conf").write_text(_KDC_CONF.format(**names))
            self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", _MASTER_PASSWORD)
            for principal in (CLIENT, SERVICE):
                self._ask(f"addprinc -randkey {principal}")
                self._ask(f"ktadd -k {self.keytab(principal)} {principal}")
        return [_tool("krb5kdc"), "-n", "-r", REALM]

    def _ask(self, query: str) -> None:
        self._run("kadmin.local", "-r", REALM, "-q", query)

    def _run(self, tool: str, *arguments: str) -> None:
        environment = {**os.environ, **self.environment()}
        command = [_tool(tool), *arguments]
        subprocess.run(command, check=True, capture_output=True, env=environment, timeout=60)


class KerberosKafkaServer(KafkaServer):
    """Beside PLAINTEXT a listener `KERBEROS`, at `localhost`: the name of its principal."""

    def __init__(self, directory: Path, kdc: Kdc) -> None:
        super().__init__(directory)
        self._kdc = kdc
        self._kerberos = free_port()

    @property
    def address(self) -> str:
        """Of the listener that wants a ticket."""
        return f"localhost:{self._kerberos}"

    def command(self) -> list[str]:
        """The KDC was started before: its keytab is shown."""
        command = super().command()
        properties = self.directory / "server.properties"
        text = properties.read_text()
        if "KERBEROS://" not in text:
            properties.write_text(self._with_listener(text))
        return [command[0], f"-Djava.security.krb5.conf={self._kdc.configuration}", *command[1:]]

    def _with_listener(self, text: str) -> str:
        for key, host in (("\nlisteners=", "127.0.0.1"), ("\nadvertised.listeners=", "localhost")):
            text = text.replace(key, f"{key}KERBEROS://{host}:{self._kerberos},")
        text = text.replace("protocol.map=", "protocol.map=KERBEROS:SASL_PLAINTEXT,")
        keytab = self._kdc.keytab(SERVICE)
        return text + _LISTENER.format(keytab=keytab, service=SERVICE, realm=REALM)


def _tool(name: str) -> str:
    """Those of a KDC are no user's: not on everyone's path."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None or not (GSSAPI / ".complete").exists():
        raise RuntimeError("Kerberos is not here: run `make servers`")
    return found
