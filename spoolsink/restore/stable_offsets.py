"""OffsetFetch that waits for transactions: aiokafka speaks no version with `require_stable`.

A restore that was killed may have left a transaction whose outcome is being written; its offsets
are told only when it is decided (KIP-447), so that nothing is sent twice.
"""

from collections.abc import Sequence
from typing import Any

from aiokafka.client import ConnectionGroup
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from spoolsink.errors import ConsumerError

UNSTABLE = 88
"""UNSTABLE_OFFSET_COMMIT: a transaction on these offsets is still open."""

_TEXT = CompactString("utf-8")
_TAGS = ("tags", TaggedFields)


class _OffsetFetchResponse_v7(Response):  # type: ignore[misc]  # noqa: N801  # aiokafka's way of names
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _TEXT),
                        ("error_code", Int16),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        ("error_code", Int16),
        _TAGS,
    )


class _OffsetFetchRequest_v7(RequestStruct):  # type: ignore[misc]  # noqa: N801  # as above
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _OffsetFetchResponse_v7
    SCHEMA = Schema(
        ("group_id", _TEXT),
        ("topics", CompactArray(("name", _TEXT), ("partitions", CompactArray(Int32)), _TAGS)),
        ("require_stable", Boolean),
        _TAGS,
    )


class _StableOffsets(Request[_OffsetFetchRequest_v7]):  # type: ignore[misc]
    """Kafka 2.5 and later."""

    API_KEY = 9

    def __init__(self, group: str, topic: str, partitions: Sequence[int]) -> None:
        self._asked: tuple[object, ...] = (group, [(topic, list(partitions), {})], True, {})

    def build(self, request_struct_class: type[Any]) -> Any:
        """The one version."""
        return request_struct_class(*self._asked)


async def stable_offsets(
    client: Any, coordinator_id: int, group: str, topic: str, partitions: Sequence[int]
) -> dict[int, int] | None:
    """The group's offset of each partition of a topic that has one; None while one is not decided.

    Raises aiokafka's error for any other code, ConsumerError where the broker is older.
    """
    request = _StableOffsets(group, topic, partitions)
    try:
        answer = await client.send(coordinator_id, request, group=ConnectionGroup.COORDINATION)
    except NotImplementedError as error:
        raise ConsumerError("a restore needs Kafka 2.5 or later") from error
    rows = [row for _, found, _ in answer.topics for row in found]
    codes = {answer.error_code, *(row[4] for row in rows)}
    if UNSTABLE in codes:
        return None
    for code in codes:
        error_type = for_code(code)
        if error_type is not NoError:
            raise error_type(group)
    return {row[0]: row[1] for row in rows if row[1] >= 0}
