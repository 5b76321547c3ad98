"""What is looked at beside the work."""

import pytest

from spoolsink.engine import Engine
from spoolsink.errors import RetryableStoreError
from spoolsink.health import Health
from spoolsink.metrics import Metrics
from spoolsink.watch import LogEnds, Watch, rows
from tests.unit.builders import TP, config_of, docs
from tests.unit.fake_kafka import FakeBroker
from tests.unit.process import Process
from tests.unit.test_uploader import FakeStore


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
    Watch(engine)._forget_gauges()
    found = {s.name: s.value for m in engine.metrics.registry.collect() for s in m.samples}
    assert "spoolsink_lag_records" not in found
    assert found["spoolsink_open_partitions"] == 0


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
    assert rows(engine)[0].unconfirmed_seconds > 0


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
