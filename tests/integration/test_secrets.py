"""A secret that the process holds is nowhere that somebody else may look."""

import base64
from pathlib import Path
from urllib.parse import quote

from tests.integration.harness import Bench, SinkProcess, all_of
from tests.integration.producing import Sent, produce
from tests.integration.sink_process import Overrides

ROUTES = (
    *("/", "/metrics", "/healthz", "/readyz", "/status.json", "/connectors"),
    *("/connectors?expand=status&expand=info", "/connectors/{name}", "/connectors/{name}/config"),
    *("/connectors/{name}/status", "/connectors/{name}/tasks", "/connectors/{name}/offsets"),
    *("/connectors/{name}/tasks/0/status", "/connectors/{name}/topics"),
)
FRAMED = b"\0\0\0\0\7" + b"\2"
"""The value of a producer that registered its schema as number 7."""


class Vault:
    """Canaries in files, so that a process needs no environment for them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.values: list[str] = []

    def reference(self, name: str, within: str = "{}") -> str:
        """What stands in the configuration in place of a new canary, or of a text around it."""
        value = f"canary/{name}+{len(self.values):04d}"
        path = self._directory / f"{name}.secret"
        path.write_text(within.format(quote(value, safe="") if "/" in within else value))
        path.chmod(0o600)
        self.values.append(value)
        return f"${{file:{path}}}"

    def found_in(self, text: str) -> list[str]:
        """Canaries in any of the spellings that they travel in."""
        return [
            value
            for value in self.values
            for spelling in (
                value,
                quote(value, safe=""),
                base64.b64encode(value.encode()).decode(),
            )
            if spelling in text
        ]


async def everything_said(sink: SinkProcess, name: str) -> dict[str, str]:
    """Where it may be found, and what is there."""
    found = {route: (await sink.ask(route.format(name=name)))[1] for route in ROUTES}
    return {**found, **files_of(sink), "log": sink.text()}


def files_of(sink: SinkProcess) -> dict[str, str]:
    """What the system shows of the process, and its spool."""
    shown = [Path(f"/proc/{sink.pid}/{name}") for name in ("cmdline", "environ")]
    spooled = [path for path in sink.spool.rglob("*") if path.is_file()]
    return {str(path): path.read_bytes().decode(errors="replace") for path in [*shown, *spooled]}


async def is_nowhere(bench: Bench, vault: Vault, overrides: Overrides, holds_for: str) -> None:
    """Started, held up by what its secrets are for, restarted with a bad file, and looked at."""
    await bench.topic()
    await produce(bench.kafka.bootstrap_servers, bench.name, [Sent(FRAMED)])
    sink = bench.sink(overrides)
    sink.start({"SPOOLSINK_TEST": "as it is"})
    await sink.not_ready(holds_for)
    sink.reconfigure({"admin": {"tokens": vault.reference("token-of-a-bad-file")}})

    async def is_refused() -> bool:
        return "did you mean" in sink.text()

    await sink.until("the bad file is refused", is_refused)
    said = await everything_said(sink, bench.name)
    assert said["/metrics"]
    assert "as it is" in said[f"/proc/{sink.pid}/environ"]
    assert len(vault.values) > 1
    assert {place: vault.found_in(text) for place, text in said.items()} == {
        place: [] for place in said
    }


async def test_no_secret_shows_in_log_metrics_pages_arguments_or_spool(
    bench: Bench, tmp_path: Path
) -> None:
    async def refused(own: Bench, vault: Vault) -> None:
        s3 = {
            "secret_access_key": vault.reference("secret-access-key"),
            "session_token": vault.reference("session-token"),
        }
        admin = {"token": vault.reference("admin-token")}
        await is_nowhere(own, vault, {"s3": s3, "admin": admin}, "s3")

    async def behind_a_proxy(own: Bench, vault: Vault) -> None:
        proxy = vault.reference("proxy-password", within="http://me:{}@127.0.0.1:9")
        await is_nowhere(own, vault, {"s3": {"proxy_url": proxy}}, "s3")

    async def without_its_registry(own: Bench, vault: Vault) -> None:
        registry = {
            "url": "http://127.0.0.1:9",
            "username": "me",
            "password": vault.reference("registry-password"),
        }
        records = {"value": "avro", "schema_registry": registry}
        await is_nowhere(own, vault, {"records": records}, "registry")

    works = {}
    for work in (refused, behind_a_proxy, without_its_registry):
        directory = tmp_path / work.__name__
        directory.mkdir()
        works[work.__name__] = work(bench.sibling(), Vault(directory))
    await all_of(**works)


def test_a_secret_would_be_found_in_every_spelling(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    vault.reference("one")
    (value,) = vault.values
    for spelling in (value, quote(value, safe=""), base64.b64encode(value.encode()).decode()):
        assert vault.found_in(f"x{spelling}y") == [value]
