"""What aiokafka does not speak: topic ids, commits of a named generation, offsets with metadata.

Each function is one question to the broker: no state, no retry. Errors are aiokafka's, as they
came; a request that runs into the client's `request_timeout_ms` is a RequestTimedOutError whose
outcome is unknown. The client is `AIOKafkaConsumer._client`, and stays its owner's.

1. No request of this module creates a topic.
2. A commit carries the generation and the member id that it was given. aiokafka's own takes the
   coordinator's present ones, also while rejoining: a zombie would commit with a new
   generation what it read under the old one.
3. An offset that the broker did not answer for is an error, never "no offset".
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from aiokafka import TopicPartition as ClientTopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaProtocolError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    NoError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.metadata import MetadataRequest_v4, MetadataRequest_v5
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from spoolsink.records import TopicPartition

UNKNOWN_TOPIC_ID = "0"
"""Of a topic whose cluster has no topic ids (before Kafka 2.8, or still upgrading to it)."""

_NO_UUID = bytes(16)
_NO_GENERATION = -1
_FIRST_VERSION_WITH_IDS = 10
_NO_TOPIC = {UnknownTopicOrPartitionError, LeaderNotAvailableError}
"""LEADER_NOT_AVAILABLE of a whole topic: it is being created and has no id yet."""


class TopicIds(NamedTuple):
    """`ids` by topic name: 22 characters of base64url, as Kafka prints them.

    Topics that do not exist are absent. Brokers answer from a cache: a topic just created may
    still be absent, one just deleted still be there. `UNKNOWN_TOPIC_ID` says that the broker has
    no ids: a topic that was created anew is not noticed there, and the text is not to be compared
    with a real id (a cluster that is upgraded begins to have them, broker by broker).
    """

    cluster_id: str
    ids: dict[str, str]


class _Uuid(AbstractType):  # type: ignore[misc]  # aiokafka ships no types
    """16 raw bytes."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        value = data.read(16)
        if len(value) != len(_NO_UUID):
            raise ValueError("Buffer underrun decoding Uuid")
        return value


_TEXT = CompactString("utf-8")
_TAGS = ("tags", TaggedFields)
_BROKERS = CompactArray(
    ("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), _TAGS
)
_PARTITIONS = CompactArray(
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline_replicas", CompactArray(Int32)),
    _TAGS,
)
_TOPICS = CompactArray(
    ("error_code", Int16),
    ("topic", _TEXT),
    ("topic_id", _Uuid),
    ("is_internal", Boolean),
    ("partitions", _PARTITIONS),
    ("authorized_operations", Int32),
    _TAGS,
)
_ASKED = ("topics", CompactArray(("topic_id", _Uuid), ("topic", _TEXT), _TAGS))
_ANSWERED = (
    ("throttle_time_ms", Int32),
    ("brokers", _BROKERS),
    ("cluster_id", _TEXT),
    ("controller_id", Int32),
    ("topics", _TOPICS),
)


class _MetadataResponse_v10(Response):  # type: ignore[misc]  # noqa: N801  # aiokafka's way of names
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(*_ANSWERED, ("cluster_operations", Int32), _TAGS)


class _MetadataResponse_v12(Response):  # type: ignore[misc]  # noqa: N801  # as above
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(*_ANSWERED, _TAGS)


class _MetadataRequest_v10(RequestStruct):  # type: ignore[misc]  # noqa: N801  # as above
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse_v10
    SCHEMA = Schema(
        _ASKED,
        ("allow_auto_topic_creation", Boolean),
        ("cluster_operations", Boolean),
        ("topic_operations", Boolean),
        _TAGS,
    )


class _MetadataRequest_v12(RequestStruct):  # type: ignore[misc]  # noqa: N801  # as above
    """Kafka 3.0 and later; also kept by brokers that will drop version 10."""

    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse_v12
    SCHEMA = Schema(
        _ASKED, ("allow_auto_topic_creation", Boolean), ("topic_operations", Boolean), _TAGS
    )


class _DescribeTopics(
    Request[MetadataRequest_v4 | MetadataRequest_v5 | _MetadataRequest_v10 | _MetadataRequest_v12]  # type: ignore[misc]
):
    """Metadata of named topics in the highest version that both sides speak.

    Version 4 is the lowest in which a topic's creation can be forbidden (Kafka 0.11).
    """

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[Any]) -> Any:
        """In the shape of the version that aiokafka negotiated."""
        if request_struct_class.API_VERSION < _FIRST_VERSION_WITH_IDS:
            return request_struct_class(list(self._topics), False)
        asked: list[tuple[Any, ...]] = [(_NO_UUID, topic, {}) for topic in self._topics]
        flags = [False] * (len(request_struct_class.SCHEMA) - 2)
        return request_struct_class(asked, *flags, {})


async def describe_topics(client: Any, topics: Sequence[str]) -> TopicIds:
    """Cluster id, and the id of each topic that exists, from any broker that answers.

    Raises aiokafka's error where the broker gives one for a topic (not authorized, invalid name),
    NodeNotReadyError when no broker can be reached, and NotImplementedError of a broker that
    is older than Kafka 0.11.
    """
    answer = await client.send(await _ready_node(client), _DescribeTopics(topics))
    ids = {}
    for error_code, topic, *rest in answer.topics:
        error = for_code(error_code)
        if error in _NO_TOPIC:
            continue
        if error is not NoError:
            raise error(topic)
        has_ids = answer.API_VERSION >= _FIRST_VERSION_WITH_IDS
        ids[topic] = _printed(rest[0]) if has_ids else UNKNOWN_TOPIC_ID
    return TopicIds(answer.cluster_id or "", ids)


async def send_offset_commit(  # noqa: PLR0917  # the order of the request's own fields
    client: Any,
    coordinator_id: int,
    group: str,
    generation: int,
    member_id: str,
    offsets: Mapping[TopicPartition, tuple[int, str]],
) -> dict[TopicPartition, int]:
    """One commit request with the given generation and member; the broker's error codes.

    `offsets` are (offset, metadata). Code 0 is success and durable as Kafka's own commits are.
    When this raises or is cancelled after sending, the outcome is unknown: the broker may still
    apply it.
    """
    rows = [(tp, offset, metadata) for tp, (offset, metadata) in offsets.items()]
    request = OffsetCommitRequest(
        group,
        generation,
        member_id,
        OffsetCommitRequest.DEFAULT_RETENTION_TIME,
        _by_topic((tp.topic, (tp.partition, *rest)) for tp, *rest in rows),
    )
    answer = await client.send(coordinator_id, request, group=ConnectionGroup.COORDINATION)
    return {
        TopicPartition(topic, number): code
        for topic, partitions in answer.topics
        for number, code in partitions
    }


async def fetch_offsets(
    client: Any, coordinator_id: int, group: str, tps: Iterable[TopicPartition]
) -> dict[TopicPartition, tuple[int, str] | None]:
    """Committed (offset, metadata) of each topic partition; None where the group has none.

    Raises aiokafka's error for an error code of the group or of a topic partition.
    """
    wanted = list(tps)
    request = OffsetFetchRequest(group, _by_topic(wanted))
    answer = await client.send(coordinator_id, request, group=ConnectionGroup.COORDINATION)
    # Version 1 has no code of the group.
    _raise_for(getattr(answer, "error_code", 0), group)
    found: dict[TopicPartition, tuple[int, str] | None] = {}
    for topic, partitions in answer.topics:
        for number, offset, metadata, code in partitions:
            tp = TopicPartition(topic, number)
            _raise_for(code, tp)
            found[tp] = None if offset < 0 else (offset, metadata or "")
    if unanswered := set(wanted) - set(found):
        raise KafkaProtocolError(f"no answer for the offsets of {sorted(unanswered)}")
    return found


async def list_offsets(
    consumer: Any, tps: Iterable[TopicPartition]
) -> dict[TopicPartition, tuple[int, int]]:
    """Log start and end of each topic partition, from its leader.

    aiokafka sends the consumer's isolation level: under `read_committed` the end is the last
    stable offset (the first offset of the oldest open transaction, else the high watermark), under
    `read_uncommitted` the high watermark. Raises KafkaTimeoutError after the client's
    `request_timeout_ms`, also for a topic partition that does not exist.
    """
    asked = [ClientTopicPartition(*tp) for tp in tps]
    if not asked:
        return {}
    starts = await consumer.beginning_offsets(asked)
    ends = await consumer.end_offsets(asked)
    return {TopicPartition(*tp): (starts[tp], ends[tp]) for tp in asked}


async def try_topic(client: Any, topic: str) -> None:
    """Raises TopicAuthorizationFailedError where the topic may be seen and not read.

    One byte is asked for, of one topic partition; other errors are a reader's business.
    """
    leader = client.cluster.leader_for_partition(ClientTopicPartition(topic, 0))
    if leader in {None, -1} or not await client.ready(leader):
        raise NodeNotReadyError(f"{topic} has no leader that can be reached")
    answer = await client.send(leader, FetchRequest(0, 0, 1, 0, [(topic, [(0, 0, 1)])]))
    codes = {code for _, partitions in answer.topics for _, code, *_ in partitions}
    if TopicAuthorizationFailedError.errno in codes:
        raise TopicAuthorizationFailedError(topic)


async def try_group(coordinator: Any, group: str) -> None:
    """Raises GroupAuthorizationFailedError where the group may not be joined; it is not.

    A heartbeat needs the right that a join needs; one of no member is refused either way.
    """
    await coordinator.ensure_coordinator_known()
    request = HeartbeatRequest(group, _NO_GENERATION, "")
    answer = await coordinator._send_req(request)  # noqa: SLF001 (tests/contract names it)
    if answer.error_code == GroupAuthorizationFailedError.errno:
        raise GroupAuthorizationFailedError(group)


async def _ready_node(client: Any) -> int:
    for broker in client.cluster.brokers():
        if await client.ready(broker.nodeId):
            return int(broker.nodeId)
    raise NodeNotReadyError("no broker can be reached")


def _printed(topic_id: bytes) -> str:
    if topic_id == _NO_UUID:
        return UNKNOWN_TOPIC_ID
    return urlsafe_b64encode(topic_id).decode().rstrip("=")


def _by_topic(pairs: Iterable[tuple[str, Any]]) -> list[tuple[str, list[Any]]]:
    """(topic, row) pairs as Kafka wants them: each topic once, with its rows."""
    rows = sorted(pairs, key=itemgetter(0))
    return [(topic, [row for _, row in group]) for topic, group in groupby(rows, key=itemgetter(0))]


def _raise_for(code: int, what: object) -> None:
    error = for_code(code)
    if error is not NoError:
        raise error(what)
