"""Which keys of a bucket belong to a sink, and what an object says of itself (pure).

A key is the sink's when it lies under the directory of one of its topics and is called as the
contract says; metadata must agree with it. Another sink's topics under the same prefix are passed
by; what lies among our own objects and is not ours is unknown.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from spoolsink.records import TopicPartition
from spoolsink.store_probe import probe_key

_NAME = re.compile(
    r"(?P<topic>[A-Za-z0-9._-]+)\+(?P<partition>\d{1,10})\+(?P<first>\d{10,19})"
    r"(?:\+(?P<last>\d{10,19}))?(?:\+[0-9a-f]{8})?(?:\.[^/]*)?",
    re.ASCII,
)
_NUMBERS = ("partition", "first-offset", "last-offset", "records", "cut")
_MAX_NUMBER = 2**63 - 1
_MAX_PARTITION = 2**31 - 1


class Named(NamedTuple):
    """What a key says; `last` is None in a name of Connect's kind."""

    tp: TopicPartition
    directory: str
    first: int
    last: int | None


class Stored(NamedTuple):
    """One object of ours, as its metadata tells; `cut_end` and `cut_records` where it has them.

    `[cut, cut_end)` is the cut's range of offsets, `first` and `last` are the object's records.
    """

    key: str
    tp: TopicPartition
    directory: str
    first: int
    last: int
    records: int
    cut: int
    cut_end: int | None
    cut_records: int | None
    digest: str


class Unknown(NamedTuple):
    """An object among ours that is none, and why; `named` where it is called like one."""

    key: str
    why: str
    named: Named | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of one configuration; `has_topic` says which topics are its own."""

    prefix: str
    topic_directory: bool
    dead_letter_prefix: str
    topics: tuple[str, ...] | None
    has_topic: Callable[[str], bool]

    def roots(self) -> list[str]:
        """Key prefixes that hold everything of the sink, none within another."""
        prefix = f"{self.prefix}/" if self.prefix else ""
        if self.topics is None or not self.topic_directory:
            found = [prefix]
        else:
            found = [f"{prefix}{topic}/" for topic in self.topics]
        if self.dead_letter_prefix:
            found += [f"{self.dead_letter_prefix}/{topic}/" for topic in self.topics or ("",)]
            found = [root.replace("//", "/") for root in found]
        return _outermost(found)

    def judge(self, key: str) -> Named | Unknown | None:
        """None for what is nobody's business here."""
        if key == probe_key(self.prefix):
            return None
        directory, _, name = key.rpartition("/")
        match = _NAME.fullmatch(name)
        named = None if match is None else _named(directory, match)
        expected = self._topic_of_directory(key)
        if expected is not None:
            if not self.has_topic(expected):
                return None
            if named is not None and named.tp.topic == expected:
                return named
            return Unknown(key, "is not called like an object of this topic")
        if named is None:
            return Unknown(key, "is not called like an object of spoolsink")
        return named if self.has_topic(named.tp.topic) else None

    def _topic_of_directory(self, key: str) -> str | None:
        """The topic whose directory holds the key; None where directories name none."""
        letters = f"{self.dead_letter_prefix}/"
        if self.dead_letter_prefix and key.startswith(letters):
            return key.removeprefix(letters).partition("/")[0]
        if not self.topic_directory:
            return None
        return key.removeprefix(f"{self.prefix}/" if self.prefix else "").partition("/")[0]


def read(key: str, named: Named, metadata: Mapping[str, str]) -> Stored | Unknown:
    """What HEAD tells of an object that is called like one of ours."""
    said = {
        name.removeprefix("spoolsink-"): text
        for name, text in metadata.items()
        if name.startswith("spoolsink-")
    }
    if not said:
        return Unknown(key, "has no metadata of spoolsink", named)
    numbers = {name: _number(said.get(name)) for name in (*_NUMBERS, "cut-end", "cut-records")}
    missing = [name for name in _NUMBERS if numbers[name] is None]
    if missing:
        return Unknown(key, f"has metadata without {', '.join(missing)}", named)
    first, last = numbers["first-offset"], numbers["last-offset"]
    partition, records, cut = numbers["partition"], numbers["records"], numbers["cut"]
    assert first is not None
    assert last is not None
    assert records is not None
    assert cut is not None
    is_same = (
        (said.get("topic"), partition, first) == (*named.tp, named.first)
        and named.last in {None, last}
        and cut <= first <= last
    )
    if not is_same:
        return Unknown(key, "has metadata of other offsets than its name", named)
    return Stored(
        key=key,
        tp=named.tp,
        directory=named.directory,
        first=first,
        last=last,
        records=records,
        cut=cut,
        cut_end=numbers["cut-end"],
        cut_records=numbers["cut-records"],
        digest=said.get("digest", ""),
    )


def _named(directory: str, match: re.Match[str]) -> Named | None:
    """None where a number is none of Kafka's."""
    partition, first, last = int(match["partition"]), int(match["first"]), match["last"]
    if partition > _MAX_PARTITION or max(first, int(last or 0)) > _MAX_NUMBER:
        return None
    tp = TopicPartition(match["topic"], partition)
    return Named(tp, directory, first, None if last is None else int(last))


def _number(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    number = int(text) if len(text) <= len(str(_MAX_NUMBER)) else _MAX_NUMBER + 1
    return number if number <= _MAX_NUMBER else None


def _outermost(roots: Iterable[str]) -> list[str]:
    found: list[str] = []
    for root in sorted(set(roots)):
        if not any(root.startswith(outer) for outer in found):
            found.append(root)
    return found
