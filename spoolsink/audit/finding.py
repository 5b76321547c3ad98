"""What an audit finds, and how it is told."""

import json
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, get_args

from spoolsink.logs import printable
from spoolsink.records import TopicPartition

Kind = Literal["gap", "overlap", "double", "unknown", "ahead", "unfinished", "undecided"]
KINDS: tuple[Kind, ...] = get_args(Kind)
UNDECIDED: Kind = "undecided"
"""No finding: what could not be judged."""


class Finding(NamedTuple):
    """One line; `[first, last]` are offsets, both included, and `records` how many are meant."""

    kind: Kind
    key: str | None = None
    topic: str | None = None
    partition: int | None = None
    first: int | None = None
    last: int | None = None
    records: int | None = None
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether the command ends with status 3 for it."""
        return self.kind != UNDECIDED


def about(
    kind: Kind,
    tp: TopicPartition | None,
    offsets: tuple[int | None, int | None] = (None, None),
    *,
    key: str | None = None,
    records: int | None = None,
    detail: str,
) -> Finding:
    """A finding about offsets of a topic partition, as far as they are known."""
    topic, partition = tp or (None, None)
    return Finding(kind, key, topic, partition, *offsets, records, detail)


class Tally:
    """How many of each kind."""

    def __init__(self) -> None:
        self.counts: dict[Kind, int] = dict.fromkeys(KINDS, 0)

    def count(self, finding: Finding) -> None:
        """One more."""
        self.counts[finding.kind] += 1

    @property
    def has_faults(self) -> bool:
        """Whether anything was found."""
        return any(n for kind, n in self.counts.items() if kind != UNDECIDED)


def as_text(finding: Finding, bucket: str) -> str:
    """`FOUND gap orders-0 offsets 10..19 s3://b/topics/orders/...: ...` on one line."""
    head = f"FOUND {finding.kind}" if finding.is_fault else finding.kind
    parts = [head]
    if finding.topic is not None:
        parts.append(finding.topic if finding.partition is None else _tp(finding))
    if finding.first is not None:
        parts.append(f"offsets {finding.first}..{finding.last}")
    parts.append(f"s3://{bucket}/{finding.key}" if finding.key is not None else f"s3://{bucket}")
    return printable(f"{' '.join(parts)}: {finding.detail}")


def _tp(finding: Finding) -> str:
    return f"{finding.topic}-{finding.partition}"


def as_json(findings: Iterable[Finding], summary: dict[str, object], bucket: str) -> Iterator[str]:
    """One document, piece by piece: there may be more findings than memory holds."""
    yield json.dumps(summary)[:-1] + ', "findings": ['
    separator = ""
    for finding in findings:
        yield separator + json.dumps(_fields(finding, bucket))
        separator = ", "
    yield "]}\n"


def _fields(finding: Finding, bucket: str) -> dict[str, object]:
    return {
        "kind": finding.kind,
        "is_fault": finding.is_fault,
        "bucket": bucket,
        "key": finding.key,
        "topic": finding.topic,
        "partition": finding.partition,
        "first_offset": finding.first,
        "last_offset": finding.last,
        "records": finding.records,
        "detail": finding.detail,
    }
