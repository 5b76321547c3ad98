"""What is looked at beside the work."""

import pytest

from spoolsink.engine import Engine
from spoolsink.errors import RetryableStoreError
from spoolsink.health import Health
from spoolsink.metrics import Metrics
from spoolsink.watch import Watch
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
