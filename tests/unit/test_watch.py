"""What is looked at beside the work."""

from collections.abc import Collection
from typing import NamedTuple

import pytest

from spoolsink.cut import Commit
from spoolsink.engine import Engine
from spoolsink.errors import ConsumerError, RetryableStoreError
from spoolsink.health import Health
from spoolsink.metrics import Metrics
from spoolsink.records import OffsetRange, TopicPartition
from spoolsink.watch import LogEnds, Watch, rows
from tests.unit.builders import TP, config_of, docs
from tests.unit.fake_kafka import FakeBroker
from tests.unit.fake_store import FakeStore
from tests.unit.process import Process


def engine_of(store: FakeStore) -> Engine:
    config = config_of(s3={"bucket": "demo-bucket", "conditional_writes": "off"})
    engine = Engine(config, metrics=Metrics(), health=Health(clock=lambda: 0.0))
    engine.store = store  # type: ignore[assignment]  # what is asked here is in both
    engine.delivery.create_only = False
    engine.health.fail("s3", "away")
    return engine


async def test_an_s3_that_is_back_is_noticed_also_with_nothing_to_upload() -> None:
    """Found by reading: what failed went to another member, and /readyz stayed 503 for ever."""
    engine = engine_of(FakeStore())
    await Watch(engine)._ask_store()
    assert engine.health.is_ready


async def test_an_s3_that_is_still_away_stays_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FakeStore()

    async def away(key: str) -> None:
        raise RetryableStoreError("HeadObject", "Timeout", "no answer", "demo-bucket", key)

    monkeypatch.setattr(store, "head", away)
    engine = engine_of(store)
    await Watch(engine)._ask_store()
    assert not engine.health.is_ready


async def test_with_work_at_hand_the_uploads_ask_themselves() -> None:
    engine = engine_of(FakeStore())
    broker = FakeBroker()
    broker.write(TP, docs("aa"))
    process = Process(broker, rotate={"records": 2})
    await process.join(TP)
    await process.turn(2)
    engine.appenders.update(process.appenders)
    await Watch(engine)._ask_store()
    assert not engine.health.is_ready


async def test_an_engine_that_has_ended_tells_of_no_topic_partition() -> None:
    """Stopped, its lag would be added to that of the member which has it now."""
    engine = engine_of(FakeStore())
    gauges = engine.metrics.gauges
    gauges["lag_records"].labels("orders", "0").set(7)
    gauges["open_partitions"].set(3)
    gauges["paused"].labels("operator").set(1)
    gauges["paused"].labels("spool").set(1)
    Watch(engine)._forget_gauges()
    found = {s.name: s.value for m in engine.metrics.registry.collect() for s in m.samples}
    assert "spoolsink_lag_records" not in found
    assert found["spoolsink_open_partitions"] == 0
    # What an operator asked for outlives the engine.
    assert gauges["paused"].labels("operator")._value.get() == 1
    assert gauges["paused"].labels("spool")._value.get() == 0


async def test_records_that_nobody_reads_wait_for_s3_too() -> None:
    """Found in review: a paused sink with records in Kafka told 0 s for hours."""
    broker = FakeBroker()
    broker.write(TP, docs("a"))
    process = Process(broker, start_from="latest")
    await process.join(TP)
    await process.turn()
    engine = engine_of(FakeStore())
    engine.appenders, engine.assignment = process.appenders, process.assignment
    engine.watch._look_at_ends()
    assert rows(engine)[0].unconfirmed_seconds == 0
    broker.write(TP, docs("aa"))
    process.assignment.logs.update(await process.group.log_ranges([TP]))
    engine.watch._look_at_ends()
    assert (rows(engine)[0].unconfirmed_seconds or 0) > 0


class Looking(NamedTuple):
    """An engine over a fake process, and its watch on the process's clock."""

    engine: Engine
    process: Process

    async def look(self, seconds: float = 10.0) -> None:
        """What the watch does when so much time has passed."""
        watch, process = self.engine.watch, self.process
        process.clock.advance(seconds)
        await watch._ask()
        watch._look_at_ends()
        watch._gauges()

    def samples(self) -> dict[str, dict[str, float]]:
        """Of what is shown for each topic partition: value by its number."""
        gauges = self.engine.metrics.gauges
        return {
            name: {
                s.labels["partition"]: s.value for m in gauges[name].collect() for s in m.samples
            }
            for name in ("lag_records", "unconfirmed_seconds")
        }


async def looking(process: Process, *tps: TopicPartition) -> Looking:
    """It has joined, and taken over what may begin."""
    await process.join(*tps)
    await process.turn()
    engine = Engine(config_of(), metrics=Metrics(), health=Health(clock=lambda: 0.0))
    engine.appenders, engine.assignment = process.appenders, process.assignment
    engine.consumer = process.group
    engine.watch = Watch(engine, monotonic=process.clock.monotonic)
    return Looking(engine, process)


UNKNOWN_VERSION = "s99;"


async def test_what_is_held_from_the_start_has_a_row_and_the_age_of_what_waits() -> None:
    """Found in review: it had no sample and no row, and so no alert for as long as it was held."""
    broker = FakeBroker()
    broker.write(TP, docs("aaa"))
    found = await looking(Process(broker, start_from="fail"), TP)
    await found.look()
    await found.look(5)
    (row,) = rows(found.engine)
    assert (row.state, row.committed, row.log_end, row.lag) == ("held", None, 3, None)
    assert found.samples() == {"lag_records": {}, "unconfirmed_seconds": {"0": 5.0}}


@pytest.mark.parametrize(("committed", "lag"), [(1, 2.0), (99, None)])
async def test_the_lag_of_what_is_held_is_that_of_the_offset_which_its_log_knows(
    committed: int, lag: float | None
) -> None:
    broker = FakeBroker(offsets={TP: Commit(committed, UNKNOWN_VERSION)})
    broker.write(TP, docs("aaa"))
    found = await looking(Process(broker), TP)
    await found.look()
    (row,) = rows(found.engine)
    assert (row.state, row.committed, row.lag) == ("held", committed, lag)
    assert found.samples()["lag_records"] == ({} if lag is None else {"0": lag})
    assert found.samples()["unconfirmed_seconds"] == {"0": 0.0}


async def test_a_lag_that_kafka_has_not_confirmed_for_30_s_is_not_told() -> None:
    """Found in review: with Kafka away its last value stood there for ever."""
    broker = FakeBroker()
    broker.write(TP, docs("aaa"))
    found = await looking(Process(broker), TP)
    await found.look()
    assert found.samples()["lag_records"] == {"0": 3.0}
    broker.silent = {"log_ranges"}
    await found.look(29)
    assert found.samples()["lag_records"] == {"0": 3.0}
    await found.look(2)
    assert found.samples()["lag_records"] == {}
    assert found.samples()["unconfirmed_seconds"]["0"] > 0
    assert (rows(found.engine)[0].lag, rows(found.engine)[0].log_end) == (None, None)
    broker.silent = set()
    await found.look()
    assert found.samples()["lag_records"] == {"0": 3.0}


async def test_one_topic_without_an_answer_hides_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, other = FakeBroker(), TopicPartition("a-other", 0)
    broker.write(TP, docs("aaa"))
    broker.write(other, docs("a"))
    found = await looking(Process(broker), TP, other)
    ask = found.process.group.log_ranges

    async def asked(tps: Collection[TopicPartition]) -> dict[TopicPartition, OffsetRange]:
        if other in tps:
            raise ConsumerError("no leader")
        return await ask(tps)

    monkeypatch.setattr(found.process.group, "log_ranges", asked)
    await found.look()
    await found.look(31)
    assert {row.topic: row.lag for row in rows(found.engine)} == {TP.topic: 3, "a-other": None}


def test_a_record_waits_from_the_first_end_above_it_until_it_is_committed() -> None:
    ends = LogEnds()
    for end, now in ((10, 1.0), (10, 2.0), (20, 3.0)):
        ends.saw(TP, end, 0, now)
    assert [ends.waiting_since(TP, at) for at in (0, 9, 10, 19, 20)] == [1.0, 1.0, 3.0, 3.0, None]


def test_a_log_that_was_cut_off_has_nothing_waiting_above_its_end() -> None:
    ends = LogEnds()
    ends.saw(TP, 10, 5, 1.0)
    ends.saw(TP, 5, 5, 2.0)
    assert ends.waiting_since(TP, 5) is None


def test_of_very_many_ends_few_are_kept_and_the_oldest_among_them() -> None:
    ends = LogEnds()
    for number in range(1, 10_000):
        ends.saw(TP, number, 0, float(number))
    assert ends.waiting_since(TP, 0) == 1.0
    assert len(ends._seen[TP]) <= 100
