"""HTTP/1.1 on asyncio streams, no more of it than an S3 client and server speak to each other.

Bytes are kept as they came, so that a signature stays true.
"""

import asyncio
import socket
import struct
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

MAX_HEAD_BYTES = 64 << 10
MAX_BODY_BYTES = 64 << 20


class WireError(Exception):
    """Not what a client or server of ours sends."""


@dataclass(frozen=True)
class Message:
    """A request or an answer, whole; `raw` is what travelled."""

    first_line: str
    headers: dict[str, str]
    body: bytes
    raw: bytes

    @property
    def method(self) -> str:
        """Of a request."""
        return self.first_line.split(" ")[0]

    @property
    def key(self) -> str:
        """Of the object that a request names; empty for the bucket's own."""
        path = unquote(urlsplit(self.first_line.split(" ")[1]).path)
        return path.lstrip("/").partition("/")[2]

    @property
    def upload_id(self) -> str:
        """Of the multipart upload that a request is about, or empty."""
        return self._query.get("uploadId", [""])[0]

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.first_line.split(" ")[1])

    @property
    def _query(self) -> dict[str, list[str]]:
        target = self.first_line.split(" ")[1]
        return parse_qs(urlsplit(target).query, keep_blank_values=True)

    @property
    def operation(self) -> str:
        """S3's name for a request, as far as a sink sends it; else `Other`."""
        query, has_key = self._query, bool(self.key)
        if self.method == "PUT" and has_key:
            return "UploadPart" if "partNumber" in query else "PutObject"
        if self.method == "POST" and "uploads" in query:
            return "CreateMultipartUpload"
        if self.method == "POST" and self.upload_id:
            return "CompleteMultipartUpload"
        if self.method == "DELETE":
            return "AbortMultipartUpload" if self.upload_id else "DeleteObject"
        if self.method == "HEAD":
            return "HeadObject"
        return "List" if self.method == "GET" and not has_key else "Other"


async def read_message(reader: asyncio.StreamReader, *, has_body: bool = True) -> Message | None:
    """The next one, None at the connection's end; `has_body`: false for the answer to a HEAD."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise WireError("the head ends in the middle") from error
        return None
    first_line, *lines = head[:-4].decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if not has_body:
        return Message(first_line, headers, b"", head)
    if "chunked" in headers.get("transfer-encoding", ""):
        body, raw = await _read_chunks(reader)
        return Message(first_line, headers, body, head + raw)
    size_bytes = int(headers.get("content-length", 0))
    if size_bytes > MAX_BODY_BYTES:
        raise WireError(f"a body of {size_bytes} bytes")
    body = await reader.readexactly(size_bytes)
    return Message(first_line, headers, body, head + body)


async def _read_chunks(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    body, raw = b"", b""
    while len(raw) < MAX_BODY_BYTES:
        line = await reader.readuntil(b"\r\n")
        size_bytes = int(line.split(b";")[0], 16)
        chunk = await reader.readexactly(size_bytes + 2)
        body, raw = body + chunk[:-2], raw + line + chunk
        if size_bytes == 0:
            return body, raw
    raise WireError("chunks without end")


def answer(status: int, body: str = "", *, content_type: str = "application/xml") -> bytes:
    """As a store would send it; the phrase is nobody's business."""
    data = body.encode()
    head = (
        f"HTTP/1.1 {status} Told\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(data)}\r\nx-amz-request-id: chaos\r\n\r\n"
    )
    return head.encode() + data


def error(code: str) -> str:
    """S3's document for an error."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
        f"<Message>chaos</Message><RequestId>chaos</RequestId></Error>"
    )


def reset(writer: asyncio.StreamWriter) -> None:
    """The peer sees ECONNRESET, not an end."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
