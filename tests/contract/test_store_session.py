"""The keys that S3 requests are signed with: the default chain, roles that end and are renewed."""

import asyncio
import os
from pathlib import Path

import pytest
from aiohttp import web

from spoolsink.errors import OperatorStoreError, RetryableStoreError
from spoolsink.object_store import ObjectStore
from tests.contract.recording_s3 import NO_KEYS, ROLE, RecordingS3, put, signer_of
from tests.contract.small_s3 import SmallS3, store_of
from tests.contract.small_sts import SmallSts


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


# -- where the keys come from ----------------------------------------------------------------------


@pytest.mark.parametrize("source", ["environment", "profile", "container", "web identity"])
async def test_the_default_chain_finds_keys_where_aws_has_them(
    source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server, sts = RecordingS3(), SmallSts()
    changes: dict[str, object] = dict(NO_KEYS)
    async with sts.serving():
        if source == "environment":
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY1")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        elif source == "profile":
            (tmp_path / "credentials").write_text(
                "[backup]\naws_access_key_id = KEY1\naws_secret_access_key = s\n"
            )
            changes["profile"] = "backup"
        elif source == "container":
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{sts.url}/container")
        else:
            (tmp_path / "token").write_text("identity-token")
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
            monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
            monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
        async with store_of(server.answer, changes=changes) as store:
            await put(store)
    assert server.signers == ["KEY1"]
    assert [form["WebIdentityToken"] for form in sts.forms] == (
        ["identity-token"] if source == "web identity" else []
    )


async def test_keys_that_come_later_are_found_without_a_restart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = RecordingS3()
    async with store_of(server.answer, changes=NO_KEYS) as store:
        with pytest.raises(OperatorStoreError, match="NoCredentialsError"):
            await put(store)
        (tmp_path / "credentials").write_text(
            "[default]\naws_access_key_id = LATE\naws_secret_access_key = s\n"
        )
        await put(store)
    assert server.signers == ["LATE"]


async def test_a_web_identity_that_sts_refuses_is_for_an_operator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sts = SmallSts()
    sts.refusal = (400, "InvalidIdentityToken")
    (tmp_path / "token").write_text("identity-token")
    async with sts.serving():
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
        async with store_of(SmallS3().answer, changes=NO_KEYS) as store:
            with pytest.raises(OperatorStoreError, match="WebIdentity: InvalidIdentityToken"):
                await put(store)


async def test_keys_of_a_container_that_have_ended_already_are_for_an_operator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sts = SmallSts(lifetime_seconds=-60)
    async with sts.serving():
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{sts.url}/container")
        async with store_of(SmallS3().answer, changes=NO_KEYS) as store:
            with pytest.raises(OperatorStoreError, match="expired"):
                await put(store)


# -- an assumed role -------------------------------------------------------------------------------


async def test_a_role_is_assumed_with_all_that_the_configuration_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, sts = RecordingS3(), SmallSts()
    role = {"role_arn": ROLE, "external_id": "ours", "session_name": "sink-1", "duration": "30m"}
    async with sts.serving():
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        async with store_of(server.answer, changes={"assume_role": role}) as store:
            await put(store, "a")
            await put(store, "b")
    assert server.signers == ["KEY1", "KEY1"]
    assert server.requests[0].headers["X-Amz-Security-Token"] == "token-KEY1"
    (form,) = sts.forms
    wanted = {"RoleArn": ROLE, "ExternalId": "ours", "RoleSessionName": "sink-1"}
    wanted |= {"DurationSeconds": "1800", "Action": "AssumeRole"}
    assert {name: form[name] for name in wanted} == wanted
    assert "Credential=a/" in sts.authorizations[0]


async def test_a_role_is_assumed_with_the_keys_of_the_chain(
    moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = RecordingS3()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "chain")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    changes = NO_KEYS | {"assume_role": {"role_arn": ROLE}}
    async with store_of(server.answer, changes=changes) as store:
        await put(store)
    assert server.signers[0].startswith("ASIA")


async def test_keys_of_a_role_are_renewed_under_load_before_they_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, sts = RecordingS3(), SmallSts(lifetime_seconds=8)
    used: set[str] = set()

    async def answer(request: web.Request) -> web.Response:
        used.add(signer_of(request))
        if not sts.is_valid(signer_of(request)):
            text = "<Error><Code>ExpiredToken</Code></Error>"
            return web.Response(status=400, text=text, content_type="application/xml")
        return await server.answer(request)

    async def load(store: ObjectStore, name: str) -> None:
        number = 0
        while len(used) < 3:
            await put(store, f"{name}-{number}")
            number += 1

    async with sts.serving():
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        changes = {"assume_role": {"role_arn": ROLE}}
        async with store_of(answer, changes=changes) as store, asyncio.timeout(60):
            await asyncio.gather(*(load(store, str(number)) for number in range(4)))
    assert len(server.objects) > len(sts.forms)
    assert len(sts.forms) <= len(used) + 1


@pytest.mark.parametrize(
    ("refusal", "meaning", "told"),
    [
        ((403, "AccessDenied"), OperatorStoreError, "AssumeRole: AccessDenied: as planned"),
        ((400, "ValidationError"), OperatorStoreError, "AssumeRole: ValidationError"),
        ((400, "Throttling"), RetryableStoreError, "Throttling"),
        ((503, "ServiceUnavailable"), RetryableStoreError, "ServiceUnavailable"),
    ],
)
async def test_a_refused_role_is_named_and_assumed_when_it_is_granted(
    monkeypatch: pytest.MonkeyPatch,
    refusal: tuple[int, str],
    meaning: type[Exception],
    told: str,
) -> None:
    server, sts = RecordingS3(), SmallSts()
    sts.refusal = refusal
    async with sts.serving():
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        async with store_of(server.answer, changes={"assume_role": {"role_arn": ROLE}}) as store:
            with pytest.raises(meaning, match=told):
                await put(store)
            sts.refusal = None
            await put(store)
    assert server.signers == ["KEY1"]


async def test_keys_that_have_ended_when_they_come_point_to_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sts = SmallSts(lifetime_seconds=-60)
    async with sts.serving():
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        changes = {"assume_role": {"role_arn": ROLE}}
        async with store_of(RecordingS3().answer, changes=changes) as store:
            with pytest.raises(OperatorStoreError, match="clock"):
                await put(store)
