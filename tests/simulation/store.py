"""S3: a bucket that holds objects and unfinished uploads, and the calls by which the sink sees it.

Conditional writes are atomic, with Put as with Complete; a part counts by the ETag that its
sender was told; an upload that was completed or aborted is not known any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from spoolsink.body_parts import Body
from spoolsink.errors import (
    ObjectConflictError,
    ObjectStoreError,
    OperatorStoreError,
    RetryableStoreError,
    UploadGoneError,
)
from spoolsink.object_store import Part, StoredObject
from tests.simulation.network import (
    Abort,
    Complete,
    CreateUpload,
    Head,
    NoAnswerError,
    Put,
    StoreRequest,
    UploadPart,
    ask,
)


class Refusal(NamedTuple):
    """S3 says no: the request had no effect; `code` is its own word for why."""

    code: str


TAKEN = Refusal("PreconditionFailed")
GONE = Refusal("NoSuchUpload")
WRONG_PARTS = Refusal("InvalidPart")
PASSING = (
    Refusal("SlowDown"),
    Refusal("AccessDenied"),
    Refusal("ConditionalRequestConflict"),
)
"""What any request may be told without a reason of its own."""

_ERRORS: Mapping[str, type[ObjectStoreError]] = {
    "PreconditionFailed": ObjectConflictError,
    "NoSuchUpload": UploadGoneError,
    "AccessDenied": OperatorStoreError,
}


class Stored(NamedTuple):
    """An object with its user metadata."""

    body: bytes
    metadata: Mapping[str, str]


@dataclass
class Unfinished:
    """A multipart upload: parts by number, each with its ETag."""

    key: str
    metadata: Mapping[str, str]
    parts: dict[int, tuple[str, bytes]] = field(default_factory=dict)

    def body(self, parts: Sequence[tuple[int, str]]) -> bytes | None:
        """What Complete would make of it, None where a part is not there as told."""
        held = [self.parts.get(number, ("", b"")) for number, _ in parts]
        if [etag for etag, _ in held] != [etag for _, etag in parts]:
            return None
        return b"".join(body for _, body in held)


@dataclass
class Bucket:
    """Objects by key, unfinished uploads by id."""

    objects: dict[str, Stored] = field(default_factory=dict)
    uploads: dict[str, Unfinished] = field(default_factory=dict)
    count: int = 0

    def effect(self, request: StoreRequest) -> object:
        """Let a request take effect; its answer."""
        match request:
            case Put():
                stored = Stored(request.body, request.metadata)
                return self._write(request.key, stored, create_only=request.create_only)
            case Head():
                found = self.objects.get(request.key)
                return None if found is None else found.metadata
            case CreateUpload():
                upload_id = self._number("upload")
                self.uploads[upload_id] = Unfinished(request.key, request.metadata)
                return upload_id
            case UploadPart():
                return self._upload_part(request)
            case Complete():
                return self._complete(request)
            case Abort():
                return None if self.uploads.pop(request.upload_id, None) else GONE

    def assembled(self, request: Complete) -> Stored | None:
        """The object that a Complete would make now, None where it would make none."""
        upload = self.uploads.get(request.upload_id)
        body = None if upload is None else upload.body(request.parts)
        return None if upload is None or body is None else Stored(body, upload.metadata)

    def _upload_part(self, request: UploadPart) -> object:
        upload = self.uploads.get(request.upload_id)
        if upload is None:
            return GONE
        etag = self._number("etag")
        upload.parts[request.number] = (etag, request.body)
        return etag

    def _complete(self, request: Complete) -> object:
        if request.upload_id not in self.uploads:
            return GONE
        stored = self.assembled(request)
        if stored is None:
            return WRONG_PARTS
        refusal = self._write(request.key, stored, create_only=request.create_only)
        if refusal is None:
            del self.uploads[request.upload_id]
        return refusal

    def _write(self, key: str, stored: Stored, *, create_only: bool) -> Refusal | None:
        if create_only and key in self.objects:
            return TAKEN
        self.objects[key] = stored
        return None

    def _number(self, what: str) -> str:
        self.count += 1
        return f"{what}{self.count}"


class ModelStore:
    """`ObjectStore` as the uploader uses it: each call is a request under way."""

    def checksum_of(self, body: Body) -> str | None:
        return None

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
        await self._ask(Put(key, b"".join(body), metadata, create_only))

    async def head(self, key: str) -> StoredObject | None:
        metadata = await self._ask(Head(key))
        return StoredObject(0, metadata) if isinstance(metadata, dict) else None

    async def create_upload(
        self, key: str, *, metadata: Mapping[str, str], content_type: str
    ) -> str:
        return str(await self._ask(CreateUpload(key, metadata)))

    async def upload_part(
        self, key: str, upload_id: str, number: int, body: Body, *, checksum: str | None = None
    ) -> Part:
        return Part(
            number, str(await self._ask(UploadPart(upload_id, number, b"".join(body)))), None
        )

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], *, create_only: bool
    ) -> None:
        told = tuple((part.number, part.etag) for part in parts)
        await self._ask(Complete(key, upload_id, told, create_only))

    async def abort(self, key: str, upload_id: str) -> None:
        await self._ask(Abort(upload_id))

    async def _ask(self, request: StoreRequest) -> object:
        operation = type(request).__name__
        try:
            answer = await ask(request)
        except NoAnswerError as error:
            raise RetryableStoreError(operation, "Timeout", "no answer", "") from error
        if isinstance(answer, Refusal):
            kind = _ERRORS.get(answer.code, RetryableStoreError)
            raise kind(operation, answer.code, "refused", "")
        return answer
