"""What keeps a call from the store, told apart at the S3 door."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from spoolsink.config import reveal
from spoolsink.errors import (
    ObjectStoreError,
    OperatorStoreError,
    RetryableStoreError,
    UploadGoneError,
)
from spoolsink.object_store import ObjectStore
from tests.contract.small_s3 import SmallS3, store_of
from tests.contract.test_object_store import put, settings_of
from tests.servers.processes import S3Server


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths = directory / "certificate.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(pem))
    paths[1].write_bytes(key.private_bytes(pem, *form))
    return paths


@pytest.mark.parametrize(
    ("call", "meaning"),
    [
        ("put", OperatorStoreError),
        ("create", OperatorStoreError),
        ("part", UploadGoneError),
        ("abort", UploadGoneError),
    ],
)
async def test_a_404_without_a_body_means_the_bucket_or_the_upload(
    call: str, meaning: type[ObjectStoreError]
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=404)

    async with store_of(answer) as store:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "put": lambda: put(store, "k", b"x"),
            "create": lambda: store.create_upload("k", metadata={}, content_type="x/y"),
            "part": lambda: store.upload_part("k", "u", 1, [b"x"]),
            "abort": lambda: store.abort("k", "u"),
        }
        with pytest.raises(meaning, match="404"):
            await calls[call]()
        assert await store.head("k") is None


async def test_an_empty_answer_to_create_and_one_that_is_not_xml_are_no_success() -> None:
    answers = [web.Response(), web.Response(text="<html>", content_type="text/html")]

    async def answer(_: web.Request) -> web.Response:
        return answers.pop(0)

    async with store_of(answer) as store:
        for _ in range(2):
            with pytest.raises(RetryableStoreError, match=r"OddAnswer|500"):
                await store.create_upload("k", metadata={}, content_type="x/y")


@pytest.mark.parametrize(
    ("changes", "meaning", "told"),
    [
        ({"endpoint_url": "http://127.0.0.1:9"}, RetryableStoreError, "Connect"),
        ({"proxy_url": "http://me:canary@127.0.0.1:9"}, RetryableStoreError, "Proxy"),
        ({"ca_file": "/nonexistent/ca.pem"}, OperatorStoreError, "ca.pem|such file"),
        ({"metadata": {"owner": "m\u00fcller"}}, OperatorStoreError, "ParamValidationError"),
    ],
)
async def test_what_keeps_a_call_from_the_store_is_told_apart(
    s3: S3Server, changes: dict[str, object], meaning: type[ObjectStoreError], told: str
) -> None:
    async with ObjectStore(settings_of(s3, **changes), reveal=reveal) as store:
        with pytest.raises(meaning, match=told) as caught:
            await put(store, "k", b"x")
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_certificate_that_nobody_vouches_for_is_for_an_operator_until_it_is_named(
    tmp_path: Path,
) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = SmallS3()
    trusting = {"ca_file": str(certificate)}
    async with store_of(server.answer, ssl_context=context) as store:
        with pytest.raises(OperatorStoreError, match=r"SSLError.*self-signed"):
            await put(store, "k", b"x")
    async with store_of(server.answer, ssl_context=context, changes=trusting) as store:
        await put(store, "k", b"x")


async def test_a_proxy_that_wants_another_password_does_not_make_us_tell_ours(
    s3: S3Server,
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy = f"http://me:canary@127.0.0.1:{port}"
    for endpoint in ("http://s3.invalid", "https://s3.invalid"):
        settings = settings_of(s3, endpoint_url=endpoint, proxy_url=proxy)
        async with ObjectStore(settings, reveal=reveal) as store:
            with pytest.raises(ObjectStoreError) as caught:
                await put(store, "k", b"x")
        assert "canary" not in str(caught.value)
    server.close()


async def test_a_profile_that_is_not_there_is_for_an_operator_and_may_be_tried_again(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    changes = {"access_key_id": None, "secret_access_key": None, "region": None}
    store = ObjectStore(settings_of(s3, profile="backup", **changes), reveal=reveal)
    (s3.root / store.bucket).mkdir()
    with pytest.raises(OperatorStoreError, match="ProfileNotFound"):
        await store.__aenter__()
    config.write_text(
        f"[profile backup]\nregion = {s3.region}\naws_access_key_id = {s3.access_key_id}\n"
        f"aws_secret_access_key = {s3.secret_access_key}\n"
    )
    async with store:
        await put(store, "k", b"x")


@pytest.mark.parametrize(
    ("environment", "changes", "region"),
    [
        ({"AWS_REGION": "eu-a-1", "AWS_DEFAULT_REGION": "eu-b-1"}, {"region": "eu-c-1"}, "eu-c-1"),
        ({"AWS_REGION": "eu-a-1", "AWS_DEFAULT_REGION": "eu-b-1"}, {}, "eu-a-1"),
        ({"AWS_DEFAULT_REGION": "eu-b-1"}, {}, "eu-b-1"),
        ({}, {}, "us-east-1"),
    ],
)
async def test_the_region_is_looked_for_where_the_contract_says(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    environment: dict[str, str],
    changes: dict[str, str],
    region: str,
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.Response(headers={"ETag": '"e"'})

    async with store_of(answer, changes={"region": None, **changes}) as store:
        await put(store, "k", b"x")
    assert f"/{region}/s3/aws4_request" in seen[0]
