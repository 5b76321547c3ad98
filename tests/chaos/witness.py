"""That no object ever changes: what each held when it was first seen is remembered.

1. The bytes and the user metadata of a completed object stay what they were.
2. A completed object stays.
3. Nothing is written without `If-None-Match: *`.
"""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

_ATTRIBUTES = ("user.", "trusted.")


def print_of(path: Path) -> str:
    """SHA-256 over the bytes and over what the server keeps beside them as attributes."""
    digest = hashlib.sha256(path.read_bytes())
    for name in sorted(os.listxattr(path)):
        if name.startswith(_ATTRIBUTES):
            digest.update(name.encode() + b"\0" + os.getxattr(path, name) + b"\0")
    return digest.hexdigest()


@dataclass
class Witness:
    """For one bucket, which is a directory; told by the proxy, and looks by itself."""

    bucket: Path
    seen: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    """What was seen and may not be, in the order in which it was."""

    def completed(self, key: str, *, create_only: bool) -> None:
        """The server has just confirmed a Put or a Complete of the key."""
        if key.endswith(".spoolsink-probe"):
            return
        if not create_only:
            self.broken.append(f"written without If-None-Match: {key}")
        path = self.bucket / key
        if not path.is_file():
            self.broken.append(f"confirmed, and not there: {key}")
            return
        self._compare(key, print_of(path))

    def look(self, keys: list[str]) -> None:
        """All objects that there are now."""
        for key in keys:
            self._compare(key, print_of(self.bucket / key))
        self.broken.extend(f"gone: {key}" for key in sorted(self.seen.keys() - set(keys)))

    def _compare(self, key: str, found: str) -> None:
        if self.seen.setdefault(key, found) != found:
            self.broken.append(f"changed: {key}")

    def verify(self, keys: list[str]) -> None:
        """AssertionError with everything that is broken."""
        self.look(keys)
        assert not self.broken, "\n".join(dict.fromkeys(self.broken))
