"""A hold stands until it has been looked at anew, and is told once."""

import logging

import pytest

from spoolsink.cut import Commit
from tests.unit.builders import TP, docs
from tests.unit.fake_kafka import FakeBroker
from tests.unit.process import Process


async def holding() -> Process:
    """Its topic partition has lost offsets that were not read."""
    broker = FakeBroker()
    broker.write(TP, docs("aaaa"))
    broker.offsets[TP], broker.starts[TP] = Commit(1, ""), 3
    process = Process(broker)
    await process.join(TP)
    await process.turn()
    assert "are gone from the log" in process.held("orders-0")
    return process


async def test_a_hold_stands_over_a_rebalance_until_it_is_looked_at() -> None:
    """Found by reading: `/readyz` was 200 until then."""
    process = await holding()
    await process.join(TP)
    assert "are gone from the log" in process.held("orders-0")
    process.broker.silent.add("committed")
    await process.turn()
    assert "are gone from the log" in process.held("orders-0")
    process.broker.silent.clear()
    process.broker.starts[TP] = 0
    process.clock.advance(1)
    await process.turn(2)
    assert process.health.is_ready
    assert process.assignment.held == {}
    assert process.appenders[TP].cuts.open.records == 3


async def test_what_went_to_another_owner_holds_us_no_longer() -> None:
    process = await holding()
    await process.join()
    assert process.held("orders-0") == ""
    assert process.assignment.held == {}


async def test_a_hold_that_stays_is_told_once_and_never_looks_mended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Found by reading: every look cleared it first, and told it again."""
    caplog.set_level(logging.INFO, "spoolsink.assignment")
    process = await holding()
    since = process.health.holds[0].since
    for _ in range(3):
        process.clock.advance(15)
        await process.turn()
    lines = [record.message for record in caplog.records]
    assert sum("holds" in line for line in lines) == 1
    assert not [line for line in lines if "goes on" in line or "no longer" in line]
    assert process.health.holds[0].since == since
    process.broker.starts[TP] = 0
    process.clock.advance(15)
    await process.turn(2)
    lines = [record.message for record in caplog.records]
    assert lines[-2:] == ["orders-0: holds no longer", "orders-0: goes on at 1 (fresh)"]
