"""A store that keeps every request that it was sent, and what tests of options have in common."""

import re
from typing import Any

from aiohttp import web

from spoolsink.object_store import ObjectStore
from tests.contract.small_s3 import SmallS3

ROLE = "arn:aws:iam::123456789012:role/sink"
NO_KEYS = {"access_key_id": None, "secret_access_key": None}
META = {"spoolsink-records": "3"}
_SIGNER = re.compile(r"Credential=(\w+)/")


class RecordingS3(SmallS3):
    """Keeps every request that it was sent, by operation."""

    def __init__(self, **looseness: Any) -> None:
        """`looseness`: as `SmallS3` has it."""
        super().__init__(**looseness)
        self.requests: list[web.Request] = []

    async def answer(self, request: web.Request) -> web.Response:
        """The server."""
        self.requests.append(request)
        return await super().answer(request)

    @property
    def signers(self) -> list[str]:
        """The access key of each request."""
        return [signer_of(request) for request in self.requests]

    def of(self, operation: str) -> list[web.Request]:
        """All requests of that name."""
        told = zip(self.requests, self.calls, strict=True)
        return [request for request, name in told if name == operation]

    def headers(self, operation: str) -> dict[str, str]:
        """Of the first request of that name, in lower case."""
        return {name.lower(): value for name, value in self.of(operation)[0].headers.items()}


def signer_of(request: web.Request) -> str:
    """Its access key."""
    match = _SIGNER.search(request.headers["Authorization"])
    assert match is not None
    return match[1]


async def put(store: ObjectStore, key: str = "k") -> None:
    """One small object."""
    await store.put(key, [b"x"], metadata=META, content_type="text/plain", create_only=True)


async def upload(store: ObjectStore, key: str) -> None:
    """The same in parts."""
    upload_id = await store.create_upload(key, metadata=META, content_type="text/plain")
    part = await store.upload_part(key, upload_id, 1, [b"x"])
    await store.complete(key, upload_id, [part], create_only=True)
