"""The end of a membership: what a drain finishes, reads for that, and leaves."""

import asyncio

import pytest

from spoolsink.cut import Commit
from spoolsink.intent import decode
from spoolsink.records import TopicPartition
from tests.unit.builders import TP, docs
from tests.unit.fake_kafka import FakeBroker
from tests.unit.process import Process, broker_of, joined, promised
from tests.unit.test_pipeline import OTHER, one_repeat_waiting


def is_clean(broker: FakeBroker, tp: TopicPartition = TP) -> bool:
    """No intent and no floor is left."""
    found = decode(broker.offsets[tp].metadata)
    return found is not None and not found.cuts and found.floor is None


async def drained(process: Process) -> None:
    """Delivery goes on beside it, as it does in the engine."""
    running = [
        asyncio.create_task(process.delivery.run()),
        asyncio.create_task(process.delivery.upload_worker()),
        asyncio.create_task(_clock(process)),
    ]
    await process.pipeline.drain(process.group, 5)
    for task in running:
        task.cancel()


async def _clock(process: Process) -> None:
    while True:
        process.clock.advance(0.1)
        process.delivery.wake.set()
        await asyncio.sleep(0)


async def test_a_drain_finishes_what_is_sealed_and_leaves_what_is_only_open() -> None:
    process = await joined(Process(broker_of("aab"), rotate={"records": 2}))
    await process.turn()
    process.broker.write(TP, docs("b"))
    await drained(process)
    assert process.committed(TP) == 2
    assert is_clean(process.broker)
    assert len(process.store.objects) == 1


async def test_a_drain_seals_and_finishes_what_has_a_floor() -> None:
    process = await joined(Process(broker_of("aab"), rotate={"object_records": 2}))
    await process.turn()
    await process.commit()
    assert not is_clean(process.broker)
    await drained(process)
    assert process.committed(TP) == 3
    assert is_clean(process.broker)
    assert process.counted("cuts", "drain") == 1


@pytest.mark.parametrize("is_paused", [False, True])
async def test_a_drain_reads_what_was_promised_by_an_earlier_owner(*, is_paused: bool) -> None:
    broker = broker_of("aab")
    await promised(broker)
    broker.write(TP, docs("c"))
    process = Process(broker, owner="next")
    process.pipeline.is_paused = is_paused
    await joined(process)
    await drained(process)
    assert process.committed(TP) == 3
    assert is_clean(broker)
    assert len(process.store.objects) == 2


async def test_a_drain_reads_what_was_promised_and_had_not_begun() -> None:
    """Found by reading: assigned right before the signal, its intents were left."""
    broker = broker_of("aab")
    await promised(broker)
    process = Process(broker, owner="next")
    await process.join(TP)
    await drained(process)
    assert process.committed(TP) == 3
    assert is_clean(broker)


async def test_a_drain_does_not_leave_repeats_that_wait_for_room() -> None:
    process = await one_repeat_waiting()
    await drained(process)
    assert (process.committed(TP), process.committed(OTHER)) == (24, 24)
    assert is_clean(process.broker, TP)
    assert is_clean(process.broker, OTHER)


async def test_a_drain_ends_when_its_time_is_over(caplog: pytest.LogCaptureFixture) -> None:
    process = await joined(Process(broker_of("aa"), rotate={"records": 2}))
    await process.turn()
    await process.pipeline.drain(process.group, 0.01)
    assert "1 sealed cuts are left to a repeat" in caplog.text
    assert process.broker.offsets.get(TP, Commit(0, "")).offset == 0
