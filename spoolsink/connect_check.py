"""`spoolsink check --connect`: whether Kafka and S3 answer as the sink needs, before its first run.

Nothing is written but the probe key; the group is not joined and no offset is committed.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple

from spoolsink.config import reveal
from spoolsink.config_model import Config
from spoolsink.config_types import whole_name
from spoolsink.consumer import GroupConsumer
from spoolsink.errors import BrokerRefusedError, ConsumerError, ObjectStoreError
from spoolsink.object_store import ObjectStore
from spoolsink.records import TopicPartition
from spoolsink.store_probe import check_rights, probe_conditional_writes

_STOP_SECONDS = 5.0
_SHOWN_TOPICS = 5
"""Of a pattern's: a line for each of thousands would hide the rest."""


class Finding(NamedTuple):
    """One line for the operator; `is_fine` False is a reason for exit status 1.

    `is_odd`: perhaps not what was meant, and nothing that the sink cannot start with.
    """

    is_fine: bool
    text: str
    is_odd: bool = False

    @property
    def mark(self) -> str:
        """What stands before the line."""
        if not self.is_fine:
            return "FAIL"
        return "warn" if self.is_odd else "ok"


async def findings(config: Config) -> AsyncIterator[Finding]:
    """Each thing that the sink needs, as it is found."""
    async for finding in _kafka(config):
        yield finding
    async for finding in _s3(config):
        yield finding


async def _kafka(config: Config) -> AsyncIterator[Finding]:
    async def nothing() -> None:
        """The group is not joined, so nothing is ever revoked."""

    consumer = GroupConsumer(
        config.kafka,
        config.group_id,
        client_id=f"spoolsink-{config.name}-check",
        on_revoked=nothing,
        on_assigned=lambda _: None,
    )
    try:
        await consumer.start(joins=False)
        async for finding in _topics(config, consumer):
            yield finding
    except ConsumerError as error:
        yield Finding(is_fine=False, text=f"kafka: {error}")
    finally:
        await consumer.stop(_STOP_SECONDS)


async def _topics(config: Config, consumer: GroupConsumer) -> AsyncIterator[Finding]:
    """Each topic by itself: what one lacks says nothing of the others, nor of the group."""
    cluster_id = (await consumer.topic_ids(())).cluster_id
    yield Finding(is_fine=True, text=f"kafka: cluster {cluster_id} answers")
    topics = shown = config.kafka.topics or ()
    if config.kafka.topics_pattern is not None:
        topics = await _matching(config.kafka.topics_pattern, consumer)
        shown = topics[:_SHOWN_TOPICS]
        yield _matched(config.kafka.topics_pattern, topics)
    readable: list[TopicPartition] = []
    for topic in topics:
        try:
            found = await _topic(consumer, topic)
        except BrokerRefusedError as error:
            yield Finding(is_fine=False, text=f"kafka: {error}")
            continue
        readable += consumer.partitions_of(topic) if found.is_fine else ()
        if topic in shown or not found.is_fine:
            yield found
    try:
        yield await _group(config, consumer, readable)
    except BrokerRefusedError as error:
        yield Finding(is_fine=False, text=f"kafka: {error}")


async def _matching(pattern: str, consumer: GroupConsumer) -> tuple[str, ...]:
    """Of all topics that this user may see, those that the sink would read."""
    whole = whole_name(pattern)
    return tuple(sorted(name for name in await consumer.topics() if whole.match(name)))


def _matched(pattern: str, topics: tuple[str, ...]) -> Finding:
    said = f"kafka: topics_pattern {pattern} matches"
    if not topics:
        text = f"{said} no topic yet, of those that this user may see"
        return Finding(is_fine=True, text=text, is_odd=True)
    names = ", ".join(topics[:_SHOWN_TOPICS])
    more = ", ..." if len(topics) > _SHOWN_TOPICS else ""
    return Finding(is_fine=True, text=f"{said} {len(topics)}: {names}{more}")


async def _topic(consumer: GroupConsumer, topic: str) -> Finding:
    if topic not in (await consumer.topic_ids([topic])).ids:
        return Finding(is_fine=False, text=f"kafka: the topic {topic} does not exist")
    tps = await consumer.all_of(topic)
    await consumer.try_topic(topic)
    logs = await consumer.log_ranges(tps)
    records = sum(log.end - log.start for log in logs.values())
    text = f"kafka: topic {topic}: {len(tps)} partitions, {records} offsets in the log"
    return Finding(is_fine=True, text=text)


async def _group(config: Config, consumer: GroupConsumer, tps: list[TopicPartition]) -> Finding:
    await consumer.try_group()
    committed = await consumer.committed(tps)
    known = sum(commit is not None for commit in committed.values())
    text = f"kafka: group {config.group_id}: has offsets for {known} of {len(tps)} partitions"
    return Finding(is_fine=True, text=text)


async def _s3(config: Config) -> AsyncIterator[Finding]:
    where = f"s3://{config.s3.bucket}"
    try:
        async with ObjectStore(config.s3, on_request=lambda _: None, reveal=reveal) as store:
            for right in await check_rights(store, config.layout.prefix):
                missing = "missing" if right.is_needed else "not granted (used where it is)"
                state = "granted" if right.is_granted else f"{missing}: {right.error}"
                is_fine = right.is_granted or not right.is_needed
                yield Finding(is_fine, f"{where}: {right.name} {state}")
            if config.s3.conditional_writes != "off":
                yield await _conditional_writes(config, store)
    except ObjectStoreError as error:
        yield Finding(is_fine=False, text=str(error))


async def _conditional_writes(config: Config, store: ObjectStore) -> Finding:
    if await probe_conditional_writes(store, config.layout.prefix):
        return Finding(is_fine=True, text="s3: conditional writes are honoured")
    is_needed = config.s3.conditional_writes == "require" or config.layout.file_name == "connect"
    return Finding(not is_needed, "s3: conditional writes (If-None-Match) are not honoured")
