"""Keys of a web identity and of a container's endpoint, renewed under load in the whole program."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.contract.recording_s3 import NO_KEYS, ROLE, RecordingS3, signer_of
from tests.contract.small_sts import SmallSts
from tests.integration.harness import Bench
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce
from tests.integration.test_store_modes import FROM_THE_START, serving

LIFETIME_SECONDS = 4
ROUNDS = 3
"""Of records at least, and until all keys of the first one have ended."""


class ExpiringS3:
    """A store that takes keys of one STS, until they end; `used` are they by request."""

    def __init__(self, sts: SmallSts) -> None:
        self.server = RecordingS3()
        self.used: list[str] = []
        self._sts = sts

    async def answer(self, request: web.Request) -> web.Response:
        """As AWS does it."""
        self.used.append(signer_of(request))
        if not self._sts.is_valid(self.used[-1]):
            text = "<Error><Code>ExpiredToken</Code></Error>"
            return web.Response(status=400, text=text, content_type="application/xml")
        return await self.server.answer(request)

    def rows(self) -> list[bytes]:
        """Of all objects, the probe left out."""
        bodies = [body for path, body in self.server.objects.items() if "+" in path]
        return b"".join(bodies).splitlines()


def environment(source: str, sts: SmallSts, directory: Path) -> dict[str, str]:
    """Of a pod or a task, and of no other source."""
    nothing = str(directory / "nothing")
    found = {
        "AWS_CONFIG_FILE": nothing,
        "AWS_SHARED_CREDENTIALS_FILE": nothing,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if source == "container":
        return found | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{sts.url}/container"}
    token = directory / "token"
    token.write_text("identity-1")
    return found | {
        "AWS_ENDPOINT_URL_STS": sts.url,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": ROLE,
    }


@pytest.mark.parametrize("source", ["web identity", "container"])
async def test_keys_of_the_environment_are_renewed_under_load(bench: Bench, source: str) -> None:
    topic, oracle = await bench.topic(), Oracle(bench)
    sts = SmallSts(lifetime_seconds=LIFETIME_SECONDS)
    store, sent = ExpiringS3(sts), 0
    async with sts.serving(), serving(store.answer) as endpoint:
        s3: Mapping[str, Any] = {"endpoint_url": endpoint, **NO_KEYS}
        sink = bench.sink({**FROM_THE_START, "s3": s3})
        sink.start(environment(source, sts, bench.directory))
        rounds: list[set[str]] = []
        while len(rounds) < ROUNDS or any(map(sts.is_valid, rounds[0])):
            before = len(store.used)
            await produce(bench.kafka.bootstrap_servers, topic, documents(5, start=sent))
            sent += 5
            await oracle.until_committed(sink)
            rounds.append(set(store.used[before:]))
            # A kubelet writes a new token into the same file.
            (bench.directory / "token").write_text(f"identity-{len(rounds) + 1}")
        assert rounds[0].isdisjoint(rounds[-1])
        assert await sink.metric("s3_errors_total") == 0
        await sink.ready()
        await sink.stopped()
    assert len(store.rows()) == len(set(store.rows())) == sent
    if source == "web identity":
        assert {form["Action"] for form in sts.forms} == {"AssumeRoleWithWebIdentity"}
        tokens = [form["WebIdentityToken"] for form in sts.forms]
        assert set(tokens) >= {f"identity-{number}" for number in range(1, ROUNDS + 1)}


async def test_a_web_identity_that_is_refused_is_held_and_goes_on_when_it_is_granted(
    bench: Bench,
) -> None:
    topic, oracle = await bench.topic(), Oracle(bench)
    sts = SmallSts()
    store = ExpiringS3(sts)
    sts.refusal = (403, "AccessDenied")
    await produce(bench.kafka.bootstrap_servers, topic, documents(5))
    async with sts.serving(), serving(store.answer) as endpoint:
        sink = bench.sink({**FROM_THE_START, "s3": {"endpoint_url": endpoint, **NO_KEYS}})
        sink.start(environment("web identity", sts, bench.directory))
        await sink.until_failed("s3:", "AssumeRoleWithWebIdentity: AccessDenied")
        await sink.not_ready("s3:", "AssumeRoleWithWebIdentity: AccessDenied")
        sts.refusal = None
        await oracle.until_committed(sink)
        await sink.ready()
        await sink.stopped()
    assert len(store.rows()) == 5
