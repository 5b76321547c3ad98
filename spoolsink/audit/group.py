"""What Kafka says of the group and its topics, at one moment."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from spoolsink.config_model import Config
from spoolsink.consumer import GroupConsumer
from spoolsink.cut import Commit
from spoolsink.errors import MetadataVersionError
from spoolsink.intent import CommitMetadata, decode
from spoolsink.kafka_protocol import UNKNOWN_TOPIC_ID, TopicIds
from spoolsink.log_reader import LogReader
from spoolsink.records import OffsetRange, TopicPartition

_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What the group has committed of a topic partition.

    `offset` is None where it has nothing; `horizon` is the offset below which objects may lie,
    announced by intents and a floor.
    """

    offset: int | None
    horizon: int
    metadata: CommitMetadata | None = None


class Group:
    """Asks only: nothing is joined, nothing is committed. Raises ConsumerError throughout."""

    def __init__(self, config: Config, *, command: str) -> None:
        async def nothing() -> None:
            """The group is not joined, so nothing is ever revoked."""

        client_id = f"spoolsink-{config.name}-{command}"
        self._kafka = config.kafka
        self._consumer = GroupConsumer(
            config.kafka,
            config.group_id,
            client_id=client_id,
            on_revoked=nothing,
            on_assigned=lambda _: None,
        )
        self.reader = LogReader(config.kafka, client_id=f"{client_id}-log")

    async def start(self) -> None:
        """Connect."""
        await self._consumer.start(joins=False)
        await self.reader.start()

    async def stop(self) -> None:
        """Of a start that failed, too."""
        await self.reader.stop()
        await self._consumer.stop(_STOP_SECONDS)

    async def topics(self) -> tuple[str, ...]:
        """The configured ones, or those that exist and match the pattern."""
        if self._kafka.topics is not None:
            return self._kafka.topics
        pattern = re.compile(self._kafka.topics_pattern or "")
        return tuple(sorted(t for t in await self.reader.topics() if pattern.fullmatch(t)))

    async def ids(self, topics: Collection[str]) -> TopicIds:
        """Of the topics that exist."""
        return await self._consumer.topic_ids(topics)

    async def topic_partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        """Of topics that exist."""
        return [tp for topic in sorted(topics) for tp in await self._consumer.all_of(topic)]

    async def standings(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, Standing]:
        """Of each."""
        if not tps:
            return {}
        committed = await self._consumer.committed(tps)
        return {tp: _standing(commit) for tp, commit in committed.items()}

    async def logs(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, OffsetRange]:
        """Start and end of the logs of topic partitions that exist."""
        return await self._consumer.log_ranges(tps)


def is_same_topic(standing: Standing, tp: TopicPartition, ids: TopicIds) -> bool:
    """Whether the log is the one that the group's offset is about, as far as it says."""
    said = standing.metadata
    known = ids.ids.get(tp.topic, UNKNOWN_TOPIC_ID)
    if said is None or UNKNOWN_TOPIC_ID in {known, said.identity.topic_id}:
        return True
    return (said.identity.cluster_id, said.identity.topic_id) == (ids.cluster_id, known)


def _standing(commit: Commit | None) -> Standing:
    if commit is None:
        return Standing(None, -1)
    try:
        metadata = decode(commit.metadata)
    except MetadataVersionError:
        metadata = None  # of another version of spoolsink: what it announces is not known
    horizon = commit.offset if metadata is None else max(commit.offset, metadata.horizon)
    return Standing(commit.offset, horizon, metadata)


def announced(
    offset: int, standings: Mapping[TopicPartition, Standing], tp: TopicPartition
) -> bool:
    """Whether the group has committed, or announced, objects with a record at this offset."""
    standing = standings.get(tp)
    return standing is not None and offset < standing.horizon
