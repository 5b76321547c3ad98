"""Where a topic partition begins: every answer of the group, the log and S3."""

from typing import Literal

import pytest

from spoolsink.cut import Commit
from spoolsink.errors import ConsumerError
from spoolsink.intent import CommitMetadata, Identity, Mark, encode
from spoolsink.kafka_protocol import UNKNOWN_TOPIC_ID
from spoolsink.records import OffsetRange, TopicPartition
from spoolsink.takeover import Beginning, StartPolicy
from tests.unit.builders import CLUSTER, FINGERPRINT, ME, NEXT, TOPIC_ID, TP, docs
from tests.unit.fake_kafka import FakeBroker, FakeGroup

OTHER = TopicPartition("orders", 1)
LOG = OffsetRange(2, 10)

StartFrom = Literal["earliest", "latest", "fail"] | None


def broker_of(*tps: TopicPartition, commit: Commit | None = None) -> FakeBroker:
    """Logs of 10 records, of which the first two are gone."""
    broker = FakeBroker()
    for tp in tps or (TP,):
        broker.write(tp, docs("a" * 10))
        broker.starts[tp] = 2
    if commit is not None:
        broker.offsets[TP] = commit
    return broker


async def begin(
    broker: FakeBroker,
    *tps: TopicPartition,
    start_from: StartFrom = None,
    has_objects: bool | None = False,
) -> list[Beginning | str]:
    async def looked(topic: str) -> bool | None:
        assert topic == TP.topic
        return has_objects

    policy = StartPolicy(FINGERPRINT, "me", start_from, looked)
    asked = tps or (TP,)
    found = await policy.beginnings(FakeGroup(broker), asked)
    return [found[tp] for tp in asked]


def metadata_of(
    topic_id: str = TOPIC_ID, fingerprint: str = FINGERPRINT, cluster: str = CLUSTER, end: int = 7
) -> str:
    who = Identity(cluster, topic_id, fingerprint, "before")
    return encode(CommitMetadata(who, (Mark(end, 2, "0" * 16, 1),)))


async def test_a_committed_offset_is_where_it_begins_with_its_metadata() -> None:
    commit = Commit(5, encode(CommitMetadata(NEXT)))
    assert await begin(broker_of(commit=commit)) == [Beginning(ME, commit, LOG)]


async def test_a_foreign_or_empty_metadata_is_handed_on() -> None:
    for metadata in ("", "of another tool"):
        [found] = await begin(broker_of(commit=Commit(5, metadata)), start_from="fail")
        assert found == Beginning(ME, Commit(5, metadata), LOG)


@pytest.mark.parametrize(
    ("start_from", "has_objects", "expected"),
    [
        (None, False, 2),
        (None, None, 2),
        (None, True, "objects of it are in S3 already"),
        ("earliest", True, 2),
        ("latest", True, 10),
        ("latest", False, 10),
        ("fail", False, "kafka.start_from is fail"),
        ("fail", True, "kafka.start_from is fail"),
    ],
)
async def test_a_topic_that_the_group_does_not_know_begins_as_configured(
    start_from: StartFrom, *, has_objects: bool | None, expected: int | str
) -> None:
    [found] = await begin(broker_of(), start_from=start_from, has_objects=has_objects)
    if isinstance(expected, int):
        assert found == Beginning(ME, Commit(expected, ""), LOG)
    else:
        assert isinstance(found, str)
        assert expected in found


@pytest.mark.parametrize("start_from", [None, "earliest", "latest", "fail"])
async def test_a_topic_partition_added_to_a_topic_that_the_group_knows_begins_at_its_start(
    start_from: StartFrom,
) -> None:
    broker = broker_of(TP, OTHER, commit=Commit(5, ""))
    [found] = await begin(broker, OTHER, start_from=start_from, has_objects=True)
    assert found == Beginning(ME, Commit(2, ""), LOG)


async def test_the_objects_of_a_known_topic_are_not_asked_for() -> None:
    broker = broker_of(TP, OTHER, commit=Commit(5, ""))

    async def looked(topic: str) -> bool | None:
        raise AssertionError(topic)

    policy = StartPolicy(FINGERPRINT, "me", None, looked)
    assert len(await policy.beginnings(FakeGroup(broker), [TP, OTHER])) == 2


async def test_a_topic_that_does_not_exist_holds_only_itself() -> None:
    missing = TopicPartition("absent", 0)
    broker = broker_of(commit=Commit(5, ""))
    found = await begin(broker, missing, TP)
    assert found == ["the topic does not exist", Beginning(ME, Commit(5, ""), LOG)]


async def test_a_topic_created_anew_holds() -> None:
    [found] = await begin(broker_of(commit=Commit(5, metadata_of(topic_id="older"))))
    assert isinstance(found, str)
    assert found.startswith("the topic was created anew (id topic-id, committed for older)")


async def test_a_topic_id_that_is_not_known_is_no_reason_to_hold() -> None:
    [found] = await begin(broker_of(commit=Commit(5, metadata_of(topic_id=UNKNOWN_TOPIC_ID))))
    assert isinstance(found, Beginning)


async def test_a_topic_id_of_another_cluster_is_no_reason_to_hold() -> None:
    metadata = metadata_of(topic_id="older", cluster="mirrored")
    [found] = await begin(broker_of(commit=Commit(5, metadata)))
    assert isinstance(found, Beginning)


async def test_metadata_of_an_unknown_version_holds() -> None:
    [found] = await begin(broker_of(commit=Commit(5, "s9;future")))
    assert isinstance(found, str)
    assert "unknown version" in found


async def test_an_offset_above_the_logs_end_holds() -> None:
    [at_end] = await begin(broker_of(commit=Commit(10, "")))
    [above] = await begin(broker_of(commit=Commit(11, "")))
    assert isinstance(at_end, Beginning)
    assert above == "the committed offset 11 is above the log's end 10"


async def test_an_offset_below_the_logs_start_is_the_callers_question() -> None:
    assert await begin(broker_of(commit=Commit(0, ""))) == [Beginning(ME, Commit(0, ""), LOG)]


async def test_a_promise_that_the_log_does_not_reach_holds() -> None:
    [found] = await begin(broker_of(commit=Commit(5, metadata_of(end=11))))
    assert found == "a cut was promised to end at 11, above the log's end 10"
    [other] = await begin(broker_of(commit=Commit(5, metadata_of(fingerprint="changed", end=11))))
    assert isinstance(other, Beginning)


@pytest.mark.parametrize("question", ["topic_ids", "committed", "log_ranges"])
async def test_a_question_without_an_answer_is_no_decision(question: str) -> None:
    broker = broker_of()
    broker.silent.add(question)
    with pytest.raises(ConsumerError):
        await begin(broker)
