"""What `check --connect` says of a pattern's topics; the rest of it is asked of real servers."""

from collections.abc import Collection

from spoolsink.config_model import Config
from spoolsink.connect_check import Finding, _topics
from spoolsink.errors import BrokerRefusedError
from spoolsink.records import TopicPartition
from tests.unit.builders import docs
from tests.unit.fake_kafka import FakeBroker, FakeGroup


class AskedGroup(FakeGroup):
    """One that is only asked; `refused` topics may be seen and not read."""

    refused: Collection[str] = ()

    async def topics(self) -> frozenset[str]:
        return frozenset(tp.topic for tp in self.broker.logs)

    async def all_of(self, topic: str) -> list[TopicPartition]:
        return self.partitions_of(topic)

    async def try_topic(self, topic: str) -> None:
        if topic in self.refused:
            raise BrokerRefusedError(f"not authorised: needs READ on the topic {topic}")

    async def try_group(self) -> None:
        """Nobody is refused."""


async def found(pattern: str, *topics: str, refused: Collection[str] = ()) -> list[Finding]:
    broker = FakeBroker()
    for topic in topics:
        broker.write(TopicPartition(topic, 0), docs("aa"))
    group = AskedGroup(broker)
    group.refused = refused
    config = Config.model_validate(
        {
            "name": "sink",
            "kafka": {"bootstrap_servers": "k:9092", "topics_pattern": pattern},
            "s3": {"bucket": "b"},
        }
    )
    return [finding async for finding in _topics(config, group)]


async def test_topics_that_match_the_pattern_are_counted_named_and_looked_at() -> None:
    findings = await found("orders-.*", "orders-eu", "orders-us", "my-orders-eu")
    assert [(one.mark, one.text) for one in findings[1:]] == [
        ("ok", "kafka: topics_pattern orders-.* matches 2: orders-eu, orders-us"),
        ("ok", "kafka: topic orders-eu: 1 partitions, 2 offsets in the log"),
        ("ok", "kafka: topic orders-us: 1 partitions, 2 offsets in the log"),
        ("ok", "kafka: group spoolsink-sink: has offsets for 0 of 2 partitions"),
    ]


async def test_of_many_topics_the_first_are_shown_and_every_one_that_is_refused() -> None:
    findings = await found("t.", *(f"t{n}" for n in range(8)), refused=["t2", "t7"])
    assert [(one.mark, one.text) for one in findings[1:]] == [
        ("ok", "kafka: topics_pattern t. matches 8: t0, t1, t2, t3, t4, ..."),
        ("ok", "kafka: topic t0: 1 partitions, 2 offsets in the log"),
        ("ok", "kafka: topic t1: 1 partitions, 2 offsets in the log"),
        ("FAIL", "kafka: not authorised: needs READ on the topic t2"),
        ("ok", "kafka: topic t3: 1 partitions, 2 offsets in the log"),
        ("ok", "kafka: topic t4: 1 partitions, 2 offsets in the log"),
        ("FAIL", "kafka: not authorised: needs READ on the topic t7"),
        ("ok", "kafka: group spoolsink-sink: has offsets for 0 of 6 partitions"),
    ]


async def test_a_pattern_without_a_topic_is_a_warning_and_no_fault() -> None:
    findings = await found("ordres-.*", "orders-eu")
    assert [(one.mark, one.is_fine) for one in findings] == [
        ("ok", True),
        ("warn", True),
        ("ok", True),
    ]
    assert findings[1].text.startswith("kafka: topics_pattern ordres-.* matches no topic yet")
