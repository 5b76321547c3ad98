"""What `s3` of the configuration does on the wire: headers, parts, addresses, proxies."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import get_session
from aiohttp import web

from spoolsink import body_parts
from spoolsink.backoff import Backoff
from spoolsink.config import reveal
from spoolsink.config_model import S3
from spoolsink.errors import OperatorStoreError
from spoolsink.object_store import ObjectStore
from spoolsink.uploader import Outcome, Upload, Uploader
from tests.contract.recording_s3 import META, ROLE, RecordingS3, put, upload
from tests.contract.small_s3 import SmallS3, store_of
from tests.contract.small_sts import SmallSts
from tests.servers.certificates import Authority

# -- what is written -------------------------------------------------------------------------------

OPTIONS: dict[str, Any] = {
    "storage_class": "STANDARD_IA",
    "sse": "aws:kms",
    "sse_kms_key_id": "key-1",
    "acl": "bucket-owner-full-control",
    "tags": {"team": "a b", "cost/centre": "1+2"},
    "metadata": {"owner": "me"},
}

HEADERS = {
    "x-amz-storage-class": "STANDARD_IA",
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-aws-kms-key-id": "key-1",
    "x-amz-acl": "bucket-owner-full-control",
    "x-amz-tagging": "team=a+b&cost%2Fcentre=1%2B2",
    "x-amz-meta-owner": "me",
    "x-amz-meta-spoolsink-records": "3",
}


@pytest.mark.parametrize("operation", ["PutObject", "CreateMultipartUpload"])
async def test_every_option_of_an_object_is_sent_for_one_put_and_for_many_parts(
    operation: str,
) -> None:
    server = RecordingS3()
    async with store_of(server.answer, changes=OPTIONS) as store:
        await put(store, "small")
        await upload(store, "large")
    sent = server.headers(operation)
    assert {name: sent.get(name) for name in HEADERS} == HEADERS
    # They belong to the object: S3 refuses some of them on a part.
    assert not set(HEADERS) & set(server.headers("UploadPart"))


@pytest.mark.parametrize("operation", ["PutObject", "CreateMultipartUpload"])
async def test_without_options_nothing_is_asked_of_the_store(operation: str) -> None:
    server = RecordingS3()
    async with store_of(server.answer) as store:
        await put(store, "small")
        await upload(store, "large")
    own = {name for name in HEADERS if "spoolsink" not in name}
    assert not own & set(server.headers(operation))


async def test_a_store_keeps_class_tags_encryption_and_metadata_either_way(moto: str) -> None:
    keys = {"region_name": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "s"}
    settings = S3.model_validate(
        {
            **OPTIONS,
            "bucket": "options",
            "endpoint_url": moto,
            "addressing_style": "path",
            "access_key_id": "a",
            "secret_access_key": "s",
        }
    )
    async with get_session().create_client("s3", endpoint_url=moto, **keys) as client:
        await client.create_bucket(Bucket="options")
        async with ObjectStore(settings, reveal=reveal) as store:
            await put(store, "small")
            await upload(store, "large")
        for key in ("small", "large"):
            found = await client.head_object(Bucket="options", Key=key)
            tags = await client.get_object_tagging(Bucket="options", Key=key)
            assert found["StorageClass"] == "STANDARD_IA"
            assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "key-1")
            assert found["Metadata"] == {"owner": "me", **META}
            assert {t["Key"]: t["Value"] for t in tags["TagSet"]} == OPTIONS["tags"]


async def test_a_part_grows_where_an_object_would_need_more_parts_than_s3_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(body_parts, "MAX_PARTS", 10)
    server = RecordingS3()
    body = bytes(range(250)) * 200
    async with store_of(server.answer) as store:
        uploader = Uploader(
            store,
            part_bytes=1000,
            uploads=2,
            make_backoff=lambda: Backoff(0, 0, lambda: 0.5),
            on_error=lambda error: pytest.fail(str(error)),
        )
        wanted = Upload(
            keys=["k"],
            body=lambda: iter([body[:7], body[7:]]),
            size_bytes=len(body),
            metadata=META,
            content_type="text/plain",
        )
        assert await uploader.upload(wanted, lambda: True, create_only=True) == (
            Outcome.CREATED,
            "k",
        )
    parts = [
        r for r, name in zip(server.requests, server.calls, strict=True) if name == "UploadPart"
    ]
    sizes = [request.content_length or 0 for request in parts]
    assert sum(sizes) == len(body)
    assert len(sizes) <= 10
    assert len(set(sizes[:-1])) == 1
    assert sizes[0] > 1000


# -- the way there ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "host", "path"),
    [
        ("virtual", "b-1.s3.test", "/k"),
        ("path", "s3.test", "/b-1/k"),
        # Of a store that is not AWS's own: many of them know no bucket as a host.
        ("auto", "s3.test", "/b-1/k"),
    ],
)
async def test_the_bucket_stands_where_the_addressing_style_says_and_the_proxy_is_asked(
    monkeypatch: pytest.MonkeyPatch, style: str, host: str, path: str
) -> None:
    """Neither host has an address: only the proxy can have been asked, for STS as for S3."""
    seen: list[tuple[str, str]] = []
    server, sts = SmallS3(), SmallSts()

    async def proxy(request: web.Request) -> web.Response:
        seen.append((request.host, request.path))
        answers = sts.answer if request.host == "sts.test" else server.answer
        return await answers(request)

    async with store_of(proxy) as direct:
        address = direct._settings.endpoint_url
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://sts.test")
        settings = direct._settings.model_dump() | {
            "endpoint_url": "http://s3.test",
            "addressing_style": style,
            "proxy_url": address,
            "assume_role": {"role_arn": ROLE},
            "secret_access_key": "s",
            "part_size": "8MiB",
            "request_timeout": "20s",
            "abort_uploads_after": "1d",
        }
        async with ObjectStore(S3.model_validate(settings), reveal=reveal) as store:
            await put(store)
    assert seen == [("sts.test", "/"), (host, path)]


async def test_the_authorities_of_the_configuration_vouch_for_s3_and_for_sts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("server"))
    server, sts = RecordingS3(), SmallSts()
    changes = {"assume_role": {"role_arn": ROLE}, "ca_file": str(authority.file)}
    async with sts.serving(context):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        async with store_of(server.answer, changes=changes, ssl_context=context) as store:
            await put(store)
        changes["ca_file"] = str(Authority(tmp_path, "other").file)
        async with store_of(server.answer, changes=changes) as store:
            with pytest.raises(OperatorStoreError, match="certificate verify failed"):
                await put(store)
    assert server.signers == ["KEY1"]
