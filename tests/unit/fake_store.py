"""S3 in memory, which fails as it is told, and an uploader to it with its owner."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence

from spoolsink.backoff import Backoff
from spoolsink.body_parts import Body
from spoolsink.errors import ObjectConflictError, ObjectStoreError, UploadGoneError
from spoolsink.object_store import Part, StoredObject, crc32_of
from spoolsink.uploader import Outcome, Store, Upload, Uploader

META = {
    "spoolsink-first-offset": "7",
    "spoolsink-last-offset": "9",
    "spoolsink-records": "3",
    "spoolsink-digest": "xxh128:aa",
}
PART_BYTES = 4

Script = dict[str, list[tuple[str, type[ObjectStoreError]]]]


class FakeStore:
    """S3 in memory; `script` says for an operation's next calls what goes wrong, and when."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or {}
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.uploads: dict[str, tuple[dict[str, str], dict[int, bytes]]] = {}
        self.calls: list[str] = []
        self.has_part = asyncio.Event()
        self.code = "Scripted"
        self.summing_threads: set[int] = set()

    def _fails(self, operation: str, when: str) -> None:
        if when == "before":
            self.calls.append(operation)
        steps = self.script.get(operation, [])
        if steps and steps[0][0] == when:
            _, error = steps.pop(0)
            raise error(operation, self.code, "as scripted", "bucket", "")

    def checksum_of(self, body: Body) -> str | None:
        self.summing_threads.add(threading.get_ident())
        return crc32_of(body)

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
        self._fails("put", "before")
        assert checksum == crc32_of(body)
        self._store(key, b"".join(body), dict(metadata), create_only=create_only)
        self._fails("put", "after")

    async def head(self, key: str) -> StoredObject | None:
        self._fails("head", "before")
        found = self.objects.get(key)
        return None if found is None else StoredObject(len(found[0]), found[1])

    async def create_upload(
        self, key: str, *, metadata: Mapping[str, str], content_type: str
    ) -> str:
        self._fails("create", "before")
        upload_id = f"u{len(self.calls)}"
        self.uploads[upload_id] = (dict(metadata), {})
        return upload_id

    async def upload_part(
        self, key: str, upload_id: str, number: int, body: Body, *, checksum: str | None = None
    ) -> Part:
        self.has_part.set()
        assert checksum == crc32_of(body)
        self._fails("part", "before")
        self._upload(upload_id)[1][number] = b"".join(body)
        self._fails("part", "after")
        return Part(number, f"e{number}", None)

    async def complete(
        self, key: str, upload_id: str, parts: Sequence[Part], *, create_only: bool
    ) -> None:
        self._fails("complete", "before")
        metadata, bodies = self._upload(upload_id)
        body = b"".join(bodies[part.number] for part in parts)
        self._store(key, body, metadata, create_only=create_only)
        del self.uploads[upload_id]
        self._fails("complete", "after")

    async def abort(self, key: str, upload_id: str) -> None:
        self._fails("abort", "before")
        self._upload(upload_id)
        del self.uploads[upload_id]

    def _upload(self, upload_id: str) -> tuple[dict[str, str], dict[int, bytes]]:
        if upload_id not in self.uploads:
            raise UploadGoneError("any", "NoSuchUpload", "", "bucket", "")
        return self.uploads[upload_id]

    def _store(self, key: str, body: bytes, metadata: dict[str, str], *, create_only: bool) -> None:
        if create_only and key in self.objects:
            raise ObjectConflictError("any", "PreconditionFailed", "", "bucket", key)
        self.objects[key] = (body, metadata)


def upload_of(body: bytes, *keys: str) -> Upload:
    return Upload(keys or ("k",), lambda: iter([body[:3], body[3:]]), len(body), META, "text/plain")


class Owner:
    """What an uploader tells its owner, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    async def started(self, key: str, upload_id: str) -> None:
        self.told.append(f"started {key} {upload_id}")

    async def ended(self, key: str, upload_id: str) -> None:
        self.told.append(f"ended {key} {upload_id}")

    def uploader(self, store: Store, *, part_bytes: int = PART_BYTES, uploads: int = 4) -> Uploader:
        return Uploader(
            store,
            part_bytes=part_bytes,
            uploads=uploads,
            make_backoff=lambda: Backoff(0.1, 60, lambda: 0.999),
            sleep=self.sleep,
            on_error=lambda error: self.told.append(f"error {error.operation}"),
            on_success=lambda: self.told.append("success"),
            on_upload_started=self.started,
            on_upload_ended=self.ended,
        )


async def run(
    store: FakeStore,
    upload: Upload,
    *,
    is_allowed: Callable[[], bool] = lambda: True,
    create_only: bool = True,
    owner: Owner | None = None,
) -> tuple[Outcome, str]:
    uploader = (owner or Owner()).uploader(store)
    return await uploader.upload(upload, is_allowed, create_only=create_only)
