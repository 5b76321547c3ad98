"""The commit metadata: what the next owner must know to repeat unfinished cuts exactly.

A short ASCII string beside the committed offset (Kafka allows 4,096 UTF-16 units by default,
`offset.metadata.max.bytes`)::

    s1;CLUSTER;TOPIC-ID;FINGERPRINT;OWNER;CUT,CUT,...;FLOOR;CRC
    CUT and FLOOR = OFFSET:RECORDS:DIGEST:INSTANT     (numbers in base 36, digest 16 hex digits)

1. `decode(encode(m)) == m`, and no other string decodes to `m`.
2. A string that begins with our mark and another version raises; anything else that is not
   exactly ours decodes to None: it is foreign, and the caller decides. The checksum is against
   damage, not against whoever may commit: numbers and their order are checked as well.
"""

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple

from spoolsink.errors import MetadataVersionError

VERSION = "s1"
_FIELD_COUNT = 7
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_VERSIONED = re.compile(r"s[0-9]+;")
_NUMBER = "([0-9a-z]{1,13})"
_MARK = re.compile(f"{_NUMBER}:{_NUMBER}:([0-9a-f]{{16}}):{_NUMBER}")
_MAX_NUMBER = 2**63 - 1
"""Of Kafka's offsets and times; 13 digits in base 36."""


class Mark(NamedTuple):
    """An offset with what lies below it in its cut.

    For a sealed cut `offset` is its end, for a floor the offset below which the cut may not end.
    `digest` covers the objects (of a floor: the splits) wholly below `offset`.
    """

    offset: int
    records: int
    digest: str
    instant_ms: int


@dataclass(frozen=True, slots=True)
class Identity:
    """What must be equal for a repeat to give the same objects, and who is speaking."""

    cluster_id: str
    topic_id: str
    fingerprint: str
    owner: str


@dataclass(frozen=True, slots=True)
class CommitMetadata:
    """Intents of sealed cuts in offset order, then the floor of the open cut, if any."""

    identity: Identity
    cuts: tuple[Mark, ...] = ()
    floor: Mark | None = None

    @property
    def horizon(self) -> int:
        """Objects wholly below this offset may be written; -1 when there are none."""
        if self.floor is not None:
            return self.floor.offset
        return self.cuts[-1].offset if self.cuts else -1


def digest_of(objects: Iterable[tuple[str, str]]) -> str:
    """16 hex digits over the sorted (key, digest) pairs of a cut's objects."""
    lines = sorted(f"{key}\0{digest}\n" for key, digest in objects)
    return sha256("".join(lines).encode()).hexdigest()[:16]


def encode(metadata: CommitMetadata) -> str:
    """The string for OffsetCommit; its length is its cost against the broker's limit."""
    who = metadata.identity
    body = ";".join(
        (
            VERSION,
            who.cluster_id,
            who.topic_id,
            who.fingerprint,
            who.owner,
            ",".join(map(_encode_mark, metadata.cuts)),
            _encode_mark(metadata.floor) if metadata.floor else "",
        )
    )
    return f"{body};{_crc(body)}"


def decode(text: str) -> CommitMetadata | None:
    """None for what is not ours (empty, another tool's, damaged).

    Raises:
        MetadataVersionError: ours, but of a version that this program does not know.
    """
    if _VERSIONED.match(text) and not text.startswith(f"{VERSION};"):
        raise MetadataVersionError(f"commit metadata of an unknown version: {text[:40]!r}")
    body, _, crc = text.rpartition(";")
    fields = body.split(";")
    if (
        not text.isascii()
        or len(fields) != _FIELD_COUNT
        or fields[0] != VERSION
        or crc != _crc(body)
    ):
        return None
    texts = [*(fields[5].split(",") if fields[5] else []), *([fields[6]] if fields[6] else [])]
    marks = [mark for mark in map(_decode_mark, texts) if mark is not None]
    if len(marks) != len(texts) or any(a.offset >= b.offset for a, b in pairwise(marks)):
        return None
    floor = marks.pop() if fields[6] else None
    found = CommitMetadata(Identity(*fields[1:5]), tuple(marks), floor)
    return found if encode(found) == text else None


def _encode_mark(mark: Mark) -> str:
    numbers = _base36(mark.offset), _base36(mark.records), mark.digest, _base36(mark.instant_ms)
    return ":".join(numbers)


def _decode_mark(text: str) -> Mark | None:
    match = _MARK.fullmatch(text)
    if match is None:
        return None
    offset, records, instant = (int(match[group], 36) for group in (1, 2, 4))
    if max(offset, records, instant) > _MAX_NUMBER:
        return None
    return Mark(offset, records, match[3], instant)


def _base36(number: int) -> str:
    if number < 0:
        raise RuntimeError(f"negative number in commit metadata: {number}")
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if not number:
            return digits


def _crc(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
