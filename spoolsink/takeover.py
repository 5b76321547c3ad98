"""Where each newly assigned topic partition begins: what the group has committed, or the policy.

Nothing is decided on doubt: an offset that the log does not reach, a topic that was created anew,
a group that knows nothing of a topic which is in S3 already, hold their topic partition with a
reason, and are asked again.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from spoolsink.cut import Commit
from spoolsink.errors import MetadataVersionError
from spoolsink.intent import CommitMetadata, Identity, decode
from spoolsink.kafka_protocol import UNKNOWN_TOPIC_ID
from spoolsink.records import OffsetRange, TopicPartition

log = logging.getLogger(__name__)


class TopicIds(Protocol):
    """Cluster id, and ids by the names of topics that exist."""

    @property
    def cluster_id(self) -> str: ...
    @property
    def ids(self) -> Mapping[str, str]: ...


class Group(Protocol):
    """What is asked of `GroupConsumer`."""

    async def topic_ids(self, topics: Collection[str]) -> TopicIds: ...
    async def committed(
        self, tps: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, Commit | None]: ...
    async def log_ranges(
        self, tps: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, OffsetRange]: ...
    def partitions_of(self, topic: str) -> list[TopicPartition]: ...


class Beginning(NamedTuple):
    """A topic partition may begin: at the committed offset, or where the policy says."""

    identity: Identity
    commit: Commit
    log: OffsetRange


@dataclass(frozen=True, slots=True)
class StartPolicy:
    """`kafka.start_from`, and what a commit of ours must carry.

    `has_objects` tells of a topic whether objects lie under its keys: None where S3 does not let
    us look.
    """

    fingerprint: str
    owner: str
    start_from: Literal["earliest", "latest", "fail"] | None
    has_objects: Callable[[str], Awaitable[bool | None]]

    async def beginnings(
        self, group: Group, tps: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, Beginning | str]:
        """A beginning for each, or the reason why it holds.

        Raises ConsumerError or ObjectStoreError where the question had no answer.
        """
        ids = await group.topic_ids({tp.topic for tp in tps})
        existing = [tp for tp in tps if tp.topic in ids.ids]
        found: dict[TopicPartition, Beginning | str] = {
            tp: "the topic does not exist" for tp in tps if tp.topic not in ids.ids
        }
        committed = await group.committed(existing)
        logs = await group.log_ranges(existing)
        fresh = {tp for tp in existing if committed[tp] is None}
        known = await self._known_topics(group, {tp.topic for tp in fresh})
        for tp in existing:
            who = Identity(ids.cluster_id, ids.ids[tp.topic], self.fingerprint, self.owner)
            commit = committed[tp]
            if commit is not None:
                found[tp] = _checked(who, commit, logs[tp])
            else:
                found[tp] = await self._fresh(who, tp, logs[tp], is_known=tp.topic in known)
        return found

    async def _known_topics(self, group: Group, topics: Iterable[str]) -> set[str]:
        """Topics of which the group has an offset for some topic partition."""
        others = [tp for topic in topics for tp in group.partitions_of(topic)]
        committed = await group.committed(others) if others else {}
        return {tp.topic for tp, commit in committed.items() if commit is not None}

    async def _fresh(
        self, who: Identity, tp: TopicPartition, log_range: OffsetRange, *, is_known: bool
    ) -> Beginning | str:
        if is_known:
            return Beginning(who, Commit(log_range.start, ""), log_range)
        if self.start_from == "fail":
            return "the group has no offset, and kafka.start_from is fail"
        if self.start_from is None and await self.has_objects(tp.topic):
            return (
                "the group has no offset of the topic, and objects of it are in S3 already "
                "(offsets expired, or the group was deleted): set kafka.start_from"
            )
        start = log_range.end if self.start_from == "latest" else log_range.start
        return Beginning(who, Commit(start, ""), log_range)


def _checked(who: Identity, commit: Commit, log_range: OffsetRange) -> Beginning | str:
    try:
        found = decode(commit.metadata)
    except MetadataVersionError as error:
        return str(error)
    if found is not None and found.identity.cluster_id == who.cluster_id:
        theirs = found.identity.topic_id
        if theirs != who.topic_id and UNKNOWN_TOPIC_ID not in {theirs, who.topic_id}:
            return (
                f"the topic was created anew (id {who.topic_id}, committed for {theirs}): "
                "reset the group's offset to begin with the new one"
            )
    if commit.offset > log_range.end:
        return f"the committed offset {commit.offset} is above the log's end {log_range.end}"
    promised = _promised(found, who)
    if promised > log_range.end:
        # An unclean leader election lost records that were read, and perhaps uploaded.
        return f"a cut was promised to end at {promised}, above the log's end {log_range.end}"
    return Beginning(who, commit, log_range)


def _promised(found: CommitMetadata | None, who: Identity) -> int:
    """The highest offset that an earlier owner bound us to, -1 for none."""
    if found is None or found.identity.fingerprint != who.fingerprint:
        return -1
    return found.horizon
