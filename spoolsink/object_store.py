"""The S3 calls: each under our own deadline, each error in our own words.

1. No call outlasts `request_timeout`, whatever the server does: a silent server after
   `Expect: 100-continue`, a peer that stops reading and an exhausted pool hang aiobotocore without
   bound (measured, 3.10). The connection of such a call is closed.
2. botocore's own retries are off: its budget runs dry, and the loop in `uploader` never does.
3. At most `uploads` writing requests are in flight.
4. An empty 200 to a writing call is no success (S3 may answer 200 and then an error).
5. A body comes in pieces, which are neither joined, hashed nor copied on the event loop, and
   summed there only when the caller has no checksum for them. Measured, of 8 MiB: SHA-256 5 to
   16 ms by the CPU, CRC32 2 to 4 ms, a copy 1 to 8 ms; the whole call then takes 10 ms of CPU, in
   steps of 256 KiB.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import reduce
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlencode

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from zlib_ng.zlib_ng import crc32

from spoolsink.body_parts import Body
from spoolsink.config_model import S3
from spoolsink.errors import ObjectStoreError, OperatorStoreError, RetryableStoreError
from spoolsink.store_errors import classified
from spoolsink.store_session import make_client

T = TypeVar("T")

_STEP_BYTES = 256 * 1024
"""Sent between two looks at the event loop."""

REFUSED = frozenset({"AccessDenied", "403", "AllAccessDisabled"})
"""Codes of a right that is not granted. HEAD has no body, hence the bare number."""


class StoredObject(NamedTuple):
    """What HEAD tells; `modified` is the store's clock."""

    size_bytes: int
    metadata: dict[str, str]
    modified: datetime | None = None


class Part(NamedTuple):
    """An uploaded part, as CompleteMultipartUpload wants it."""

    number: int
    etag: str
    checksum: str | None


class OpenUpload(NamedTuple):
    """A multipart upload that is not finished."""

    key: str
    upload_id: str
    initiated: datetime


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
        self.inflight = 0
        """Writing requests under way now."""
        self._settings = settings
        self._on_request = on_request
        self._reveal = reveal
        self._writing = asyncio.Semaphore(settings.uploads)
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        """Make the client; no request is sent. May be tried again after an error.

        Raises:
            OperatorStoreError: the profile, its file or the endpoint cannot be used.
        """
        try:
            self._client = await self._stack.enter_async_context(
                make_client(self._settings, self._reveal)
            )
        except ValueError as error:  # botocore's word for an endpoint that is no URL
            raise OperatorStoreError("CreateClient", "Invalid", str(error), self.bucket) from error
        except Exception as error:  # the door: the classifier raises what it does not know
            raise classified(error, "CreateClient", self.bucket, "") from error
        self._client.meta.events.register("before-send.s3", _without_expect)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the client and its connections."""
        await self._stack.aclose()

    def checksum_of(self, body: Body) -> str | None:
        """What `put` and `upload_part` take as `checksum`; None where it is switched off.

        Without state, so that a worker thread can compute it.
        """
        return crc32_of(body) if self._settings.checksum == "crc32" else None

    async def put(
        self,
        key: str,
        body: Body,
        *,
        metadata: Mapping[str, str],
        content_type: str,
        create_only: bool,
        checksum: str | None = None,
    ) -> None:
        """PutObject; with `create_only` a taken key raises ObjectConflictError."""
        extras = self._object_extras(metadata, content_type) | self._checksum(body, checksum)
        if create_only:
            extras["IfNoneMatch"] = "*"
        async with self._writing_request():
            answer = await self._call("PutObject", key, Body=_Body(body), **extras)
        self._told(answer, "ETag", "PutObject", key)

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
        size_bytes = int(answer.get("ContentLength", 0))
        return StoredObject(
            size_bytes, dict(answer.get("Metadata", {})), answer.get("LastModified")
        )

    async def create_upload(
        self, key: str, *, metadata: Mapping[str, str], content_type: str
    ) -> str:
        """CreateMultipartUpload; returns the upload id."""
        extras = self._object_extras(metadata, content_type)
        if self._settings.checksum == "crc32":
            extras["ChecksumAlgorithm"] = "CRC32"
        async with self._writing_request():
            answer = await self._call("CreateMultipartUpload", key, **extras)
        return self._told(answer, "UploadId", "CreateMultipartUpload", key)

    async def upload_part(
        self, key: str, upload_id: str, number: int, body: Body, *, checksum: str | None = None
    ) -> Part:
        """UploadPart; the same number may be sent again."""
        extras = self._checksum(body, checksum)
        where = {"UploadId": upload_id, "PartNumber": number}
        async with self._writing_request():
            answer = await self._call("UploadPart", key, Body=_Body(body), **where, **extras)
        etag = self._told(answer, "ETag", "UploadPart", key)
        return Part(number, etag, extras.get("ChecksumCRC32"))

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
        body = {"UploadId": upload_id, "MultipartUpload": {"Parts": listed}}
        async with self._writing_request():
            answer = await self._call("CompleteMultipartUpload", key, **body, **extras)
        self._told(answer, "ETag", "CompleteMultipartUpload", key)

    async def abort(self, key: str, upload_id: str) -> None:
        """AbortMultipartUpload; raises UploadGoneError where there is none."""
        await self._call("AbortMultipartUpload", key, UploadId=upload_id)

    async def delete(self, key: str) -> None:
        """DeleteObject; an absent key is no error."""
        await self._call("DeleteObject", key)

    async def list_objects(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        """Key and bytes of every object under the key prefix, a page at a time."""
        pages = self._pages("ListObjectsV2", prefix, {"NextContinuationToken": "ContinuationToken"})
        async for page in pages:
            for found in page.get("Contents", ()):
                yield str(found["Key"]), int(found["Size"])

    async def list_uploads(self, prefix: str) -> AsyncIterator[OpenUpload]:
        """Every unfinished multipart upload under the key prefix, a page at a time."""
        markers = {"NextKeyMarker": "KeyMarker", "NextUploadIdMarker": "UploadIdMarker"}
        async for page in self._pages("ListMultipartUploads", prefix, markers):
            for found in page.get("Uploads", ()):
                # A store that does not say when: never old enough to be given up.
                initiated = found.get("Initiated", datetime.max.replace(tzinfo=UTC))
                yield OpenUpload(str(found["Key"]), str(found["UploadId"]), initiated)

    async def has_objects(
        self, prefix: str, matches: Callable[[str], bool], limit_keys: int = 10_000
    ) -> bool | None:
        """Whether a key under the key prefix matches.

        None where it cannot be known: listing is refused, or none of the first `limit_keys` does.
        """
        seen = 0
        try:
            async for key, _ in self.list_objects(prefix):
                if matches(key):
                    return True
                seen += 1
                if seen >= limit_keys:
                    return None
        except OperatorStoreError as error:
            if error.code in REFUSED:
                return None
            raise
        return False

    async def _pages(
        self, operation: str, prefix: str, markers: Mapping[str, str]
    ) -> AsyncIterator[Any]:
        """`markers`: what an answer calls the next page's start, and the question for it."""
        start: dict[str, str] = {}
        following: dict[str, str] = {}
        while True:
            try:
                page = await self._call(operation, None, Prefix=prefix, **start)
            except RetryableStoreError as error:
                if error.code != "InvalidArgument" or "UploadIdMarker" not in start:
                    raise
                # versitygw 1.7 refuses its own marker. Without it the rest of one key's uploads
                # is passed by, which the next listing finds.
                del start["UploadIdMarker"]
                continue
            yield page
            if not page.get("IsTruncated"):
                return
            start = {asked: str(page[told]) for told, asked in markers.items() if page.get(told)}
            if not start or start == following:
                # More is promised, and no way to it: going on would never end.
                raise self._odd(operation, prefix, "truncated without a marker")
            following = dict(start)

    @asynccontextmanager
    async def _writing_request(self) -> AsyncIterator[None]:
        async with self._writing:
            self.inflight += 1
            try:
                yield
            finally:
                self.inflight -= 1

    async def _call(self, operation: str, key: str | None, **arguments: object) -> Any:
        self._on_request(operation)
        call = getattr(self._client, _METHODS[operation])
        if key is not None:
            arguments["Key"] = key
        where = key if key is not None else str(arguments.get("Prefix", ""))
        return await self._bounded(operation, where, lambda: call(Bucket=self.bucket, **arguments))

    async def _bounded(self, operation: str, key: str, call: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._settings.request_timeout):
                return await call()
        except ObjectStoreError:
            raise
        except Exception as error:  # the door: the classifier raises what it does not know
            raise classified(error, operation, self.bucket, key) from error

    def _checksum(self, body: Body, known: str | None) -> dict[str, Any]:
        checksum = known or self.checksum_of(body)
        return {"ChecksumCRC32": checksum} if checksum else {}

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

    def _told(self, answer: Mapping[str, Any], name: str, operation: str, key: str) -> str:
        if not answer.get(name):
            raise self._odd(operation, key, f"answered without {name}")
        return str(answer[name])

    def _odd(self, operation: str, key: str, what: str) -> RetryableStoreError:
        return RetryableStoreError(operation, "OddAnswer", what, self.bucket, key)


_METHODS = {
    "PutObject": "put_object",
    "HeadObject": "head_object",
    "DeleteObject": "delete_object",
    "CreateMultipartUpload": "create_multipart_upload",
    "UploadPart": "upload_part",
    "CompleteMultipartUpload": "complete_multipart_upload",
    "AbortMultipartUpload": "abort_multipart_upload",
    "ListObjectsV2": "list_objects_v2",
    "ListMultipartUploads": "list_multipart_uploads",
}


class _Body(Payload):
    """To aiohttp a payload that it can send again, to botocore a file."""

    _autoclose = True

    def __init__(self, body: Body) -> None:
        super().__init__(body)
        self._size = sum(map(len, body))

    def __len__(self) -> int:
        """Botocore's question for Content-Length."""
        return self._size or 0

    async def write(self, writer: AbstractStreamWriter) -> None:
        for piece in self._value:
            view = memoryview(piece)
            for start in range(0, len(view), _STEP_BYTES):
                await writer.write(view[start : start + _STEP_BYTES])
                await asyncio.sleep(0)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self.read().decode(encoding, errors)

    def read(self) -> bytes:
        """Makes it a file to botocore, which has no reason to read it: the checksum is there."""
        return b"".join(self._value)

    def seek(self, _: int) -> None:
        """Botocore's before it sends again: sending uses nothing up."""


def crc32_of(body: Body) -> str:
    """As S3 writes it: base64 of four big-endian bytes."""
    found = reduce(lambda crc, piece: crc32(piece, crc), body, 0)
    return base64.b64encode(found.to_bytes(4)).decode()


def _without_expect(request: Any, **_: object) -> None:
    # A server that stays silent after `Expect` is waited for without bound (measured).
    request.headers.pop("Expect", None)
