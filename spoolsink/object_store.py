"""The S3 calls: each under our own deadline, each error in our own words.

1. No call outlasts `request_timeout`, whatever the server does: a silent server after
   `Expect: 100-continue`, a peer that stops reading and an exhausted pool hang aiobotocore without
   bound (measured, 3.10). The connection of such a call is closed.
2. botocore's own retries are off: its budget runs dry, and the loop in `uploader` never does.
3. At most `uploads` writing requests are in flight.
4. An empty 200 to CompleteMultipartUpload is no success (S3 may answer 200 and then an error).
"""

import asyncio
import base64
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlencode

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from spoolsink.config_model import S3
from spoolsink.errors import ObjectStoreError, RetryableStoreError
from spoolsink.store_errors import classified

T = TypeVar("T")

_SPARE_CONNECTIONS = 4
"""For calls that do not write: HEAD, Abort, List."""


class StoredObject(NamedTuple):
    """What HEAD tells."""

    size_bytes: int
    metadata: dict[str, str]


class Part(NamedTuple):
    """An uploaded part, as CompleteMultipartUpload wants it."""

    number: int
    etag: str
    checksum: str | None


class ObjectStore:
    """One bucket; one client for the life of the process (botocore leaks with each)."""

    def __init__(
        self,
        settings: S3,
        *,
        on_request: Callable[[str], None] = lambda _: None,
        reveal: Callable[[Any], str | None],
    ) -> None:
        self.bucket = settings.bucket
        self._settings = settings
        self._on_request = on_request
        self._reveal = reveal
        self._writing = asyncio.Semaphore(settings.uploads)
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        """Make the client; no request is sent."""
        settings = self._settings
        session = get_session()
        if settings.profile is not None:
            session.set_config_variable("profile", settings.profile)
        context = session.create_client(
            "s3",
            region_name=settings.region,
            endpoint_url=settings.endpoint_url,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=self._reveal(settings.secret_access_key),
            aws_session_token=self._reveal(settings.session_token),
            verify=settings.ca_file,
            config=self._client_config(),
        )
        self._client = await self._stack.enter_async_context(context)
        self._client.meta.events.register("before-send.s3", _without_expect)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the client and its connections."""
        await self._stack.aclose()

    def _client_config(self) -> AioConfig:
        settings = self._settings
        proxy = self._reveal(settings.proxy_url)
        return AioConfig(
            connect_timeout=min(10.0, settings.request_timeout),
            read_timeout=settings.request_timeout,
            max_pool_connections=settings.uploads + _SPARE_CONNECTIONS,
            retries={"total_max_attempts": 1},
            # Streaming trailers of the library's own checksum break many compatible stores.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            proxies={"http": proxy, "https": proxy} if proxy else None,
            s3={
                "addressing_style": settings.addressing_style,
                # Only over TLS: botocore signs the body of a plain HTTP request anyway.
                "payload_signing_enabled": False,
            },
        )

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        metadata: Mapping[str, str],
        content_type: str,
        create_only: bool,
    ) -> None:
        """PutObject; with `create_only` a taken key raises ObjectConflictError."""
        extras = self._object_extras(metadata, content_type)
        if create_only:
            extras["IfNoneMatch"] = "*"
        if self._settings.checksum == "crc32":
            extras["ChecksumCRC32"] = crc32_of(body)
        async with self._writing:
            answer = await self._call("PutObject", key, Body=body, **extras)
        if not answer.get("ETag"):
            raise self._odd("PutObject", key, "answered without an ETag")

    async def head(self, key: str) -> StoredObject | None:
        """HeadObject; None where there is no such object.

        Without the right to list, S3 answers 403 for an absent key: that is an OperatorStoreError.
        """
        try:
            answer = await self._call("HeadObject", key)
        except RetryableStoreError as error:
            if error.code in {"404", "NoSuchKey", "NotFound"}:
                return None
            raise
        return StoredObject(int(answer["ContentLength"]), dict(answer.get("Metadata", {})))

    async def create_upload(
        self, key: str, *, metadata: Mapping[str, str], content_type: str
    ) -> str:
        """CreateMultipartUpload; returns the upload id."""
        extras = self._object_extras(metadata, content_type)
        if self._settings.checksum == "crc32":
            extras["ChecksumAlgorithm"] = "CRC32"
        async with self._writing:
            answer = await self._call("CreateMultipartUpload", key, **extras)
        return str(answer["UploadId"])

    async def upload_part(self, key: str, upload_id: str, number: int, body: bytes) -> Part:
        """UploadPart; the same number may be sent again."""
        checksum = crc32_of(body) if self._settings.checksum == "crc32" else None
        extras = {"ChecksumCRC32": checksum} if checksum else {}
        async with self._writing:
            answer = await self._call(
                "UploadPart", key, UploadId=upload_id, PartNumber=number, Body=body, **extras
            )
        if not answer.get("ETag"):
            raise self._odd("UploadPart", key, "answered without an ETag")
        return Part(number, str(answer["ETag"]), checksum)

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], *, create_only: bool
    ) -> None:
        """CompleteMultipartUpload; with `create_only` a taken key raises ObjectConflictError."""
        extras = {"IfNoneMatch": "*"} if create_only else {}
        listed = [
            {"PartNumber": part.number, "ETag": part.etag}
            | ({"ChecksumCRC32": part.checksum} if part.checksum else {})
            for part in parts
        ]
        async with self._writing:
            answer = await self._call(
                "CompleteMultipartUpload",
                key,
                UploadId=upload_id,
                MultipartUpload={"Parts": listed},
                **extras,
            )
        if not answer.get("ETag"):
            raise self._odd("CompleteMultipartUpload", key, "answered without an ETag")

    async def abort(self, key: str, upload_id: str) -> None:
        """AbortMultipartUpload; raises UploadGoneError where there is none."""
        await self._call("AbortMultipartUpload", key, UploadId=upload_id)

    async def _call(self, operation: str, key: str, **arguments: object) -> Any:
        self._on_request(operation)
        call = getattr(self._client, _METHODS[operation])
        return await self._bounded(
            operation, key, lambda: call(Bucket=self.bucket, Key=key, **arguments)
        )

    async def _bounded(self, operation: str, key: str, call: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._settings.request_timeout):
                return await call()
        except ObjectStoreError:
            raise
        except Exception as error:  # the door: the classifier raises what it does not know
            raise classified(error, operation, self.bucket, key) from error

    def _object_extras(self, metadata: Mapping[str, str], content_type: str) -> dict[str, Any]:
        settings = self._settings
        extras = {
            "ContentType": content_type,
            "Metadata": {**settings.metadata, **metadata},
            "StorageClass": settings.storage_class,
            "ServerSideEncryption": settings.sse,
            "SSEKMSKeyId": settings.sse_kms_key_id,
            "ACL": settings.acl,
            "Tagging": urlencode(settings.tags) or None,
        }
        return {name: value for name, value in extras.items() if value is not None}

    def _odd(self, operation: str, key: str, what: str) -> RetryableStoreError:
        return RetryableStoreError(operation, "OddAnswer", what, self.bucket, key)


_METHODS = {
    "PutObject": "put_object",
    "HeadObject": "head_object",
    "CreateMultipartUpload": "create_multipart_upload",
    "UploadPart": "upload_part",
    "CompleteMultipartUpload": "complete_multipart_upload",
    "AbortMultipartUpload": "abort_multipart_upload",
}


def crc32_of(body: bytes) -> str:
    """As S3 writes it: base64 of four big-endian bytes."""
    return base64.b64encode(zlib.crc32(body).to_bytes(4)).decode()


def _without_expect(request: Any, **_: object) -> None:
    # A server that stays silent after `Expect` is waited for without bound (measured).
    request.headers.pop("Expect", None)
