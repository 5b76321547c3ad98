"""The loop from Kafka into the spool: room, repeats that wait, flush, failed writes."""

import pytest

from spoolsink.errors import ConsumerError
from spoolsink.records import TopicPartition
from spoolsink.rotation import RotationReason
from spoolsink.spool.files import CHUNK_BYTES
from spoolsink.spool_memory import MemorySpool
from tests.unit.builders import MIB, TP, FailingSpool, docs, memory_spool
from tests.unit.fake_kafka import BATCH_RECORDS, FakeBroker
from tests.unit.process import Process, broker_of, joined, promised

OTHER = TopicPartition("orders", 1)
ROW_BYTES = len(docs("a")[0]) + 1
BATCH_BYTES = CHUNK_BYTES + BATCH_RECORDS * ROW_BYTES
"""What the spool in memory takes for a batch of one S3 partition."""


class ShortSpool(MemorySpool):
    """Its disk has no room left for anybody."""

    shortage = "others have filled the disk"

    def __init__(self) -> None:
        super().__init__(max_bytes=64 * MIB, pause_at=0.9, resume_at=0.7)

    @property
    def must_pause(self) -> bool:
        return bool(self.shortage)

    @property
    def may_resume(self) -> bool:
        return not self.shortage


# -- room -----------------------------------------------------------------------------------------


async def test_at_the_mark_nothing_is_read_and_the_largest_cut_is_ended_for_room() -> None:
    spool = memory_spool(10 * BATCH_BYTES)
    process = await joined(Process(broker_of("a" * 36), spool=spool))
    await process.turn()
    assert spool.must_pause
    await process.turn()
    assert process.group.resumed == set()
    assert process.counted("cuts", "spool_full") == 1
    assert process.metrics.gauges["paused"].labels("spool")._value.get() == 1


async def test_reading_goes_on_once_there_is_room_again() -> None:
    spool = memory_spool(10 * BATCH_BYTES)
    process = await joined(Process(broker_of("a" * 36), spool=spool))
    await process.round(3)
    assert process.committed(TP) == 36
    await process.turn()
    assert process.group.resumed == {TP}
    assert process.metrics.gauges["paused"].labels("spool")._value.get() == 0


async def test_a_batch_without_room_is_read_again_when_there_is() -> None:
    spool = memory_spool(10 * BATCH_BYTES)
    process = await joined(Process(broker_of("a" * 60), spool=spool))
    for _ in range(12):
        await process.round()
    process.pipeline.flush()
    await process.round(4)
    assert process.committed(TP) == 60
    assert sum(b.count(b"\n") for b, _ in process.store.objects.values()) == 60


async def test_a_batch_that_never_fits_below_the_mark_ends_what_is_open() -> None:
    """The rest of the spool is below `resume_at`: waiting alone would never make room."""
    rows_bytes = BATCH_RECORDS * (ROW_BYTES + 100)
    spool = memory_spool(CHUNK_BYTES + 2 * rows_bytes - 1)
    process = Process(FakeBroker(), spool=spool)
    process.broker.write(TP, docs("a" * 8, size=100))
    await joined(process)
    await process.turn()
    assert spool.may_resume
    await process.round(6)
    assert process.counted("cuts", "spool_full") >= 1
    process.pipeline.flush()
    await process.round(3)
    assert process.committed(TP) == 8


async def test_a_batch_larger_than_the_spool_holds_and_says_so() -> None:
    process = await joined(Process(broker_of("aaaa"), spool=memory_spool(BATCH_BYTES - 1)))
    await process.turn(4)
    assert "raise spool.max_bytes" in process.held("spool")
    assert process.group.resumed == set()


async def one_repeat_waiting() -> Process:
    """Two topic partitions with a promise each, and room for one of the repeats: it has begun."""
    broker = broker_of("a" * 24, OTHER)
    await promised(broker, TP, OTHER)
    process = Process(broker, spool=memory_spool(8 * BATCH_BYTES), owner="next")
    process.group.batch_count = 2
    await joined(process, TP, OTHER)
    await process.turn(2)
    assert len(process.appenders) == 1
    return process


async def test_repeats_that_do_not_fit_beside_each_other_wait_and_go_on_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    process = await one_repeat_waiting()
    assert "its repeat waits for room" in caplog.text

    await process.round(12)
    assert (process.committed(TP), process.committed(OTHER)) == (24, 24)
    assert len(process.store.objects) == 2
    assert process.counted("repeats", "other_records") == 0


async def test_a_repeat_with_a_commit_under_way_is_not_dropped_for_room() -> None:
    broker = broker_of("a" * 24, OTHER)
    await promised(broker, TP, OTHER)
    # A chunk is kept free for the other's open segment.
    spool = memory_spool(8 * BATCH_BYTES + CHUNK_BYTES)
    process = Process(broker, spool=spool, owner="next")
    process.group.batch_count = 2
    await joined(process, TP, OTHER)
    before = list(process.appenders.values())
    for appender in before:
        appender.cuts.next_commit()
    await process.turn(4)
    assert process.spool.must_pause
    assert list(process.appenders.values()) == before


async def test_a_single_repeat_that_is_too_large_holds_with_its_size() -> None:
    broker = broker_of("a" * 48)
    await promised(broker)
    process = Process(broker, spool=memory_spool(8 * BATCH_BYTES), owner="next")
    await joined(process)
    await process.turn(4)
    assert "the cut from 0 must be repeated to 48" in process.held("spool")
    assert f"{8 * BATCH_BYTES} bytes" in process.held("spool")
    assert process.health.is_failed


async def test_a_repeat_does_not_hold_splits_that_are_in_s3_already() -> None:
    broker = broker_of("a" * 48)
    split = {"rotate": {"object_records": 4}}
    first = Process(broker, owner="before", **split)  # type: ignore[arg-type]
    await joined(first)
    await first.turn(2)
    await first.appenders[TP].seal(RotationReason.MAX_AGE)
    await first.commit()
    await first.upload()
    # The spool of the next one holds 8 of the 12 splits.
    spool = memory_spool(8 * BATCH_BYTES)
    process = Process(broker, first.store, spool=spool, owner="next", **split)  # type: ignore[arg-type]
    await joined(process)
    await process.round(12)
    assert process.committed(TP) == 48
    assert process.counted("uploads", "existed") == 12


async def test_more_open_segments_than_the_process_may_have_end_the_widest_cut() -> None:
    broker = FakeBroker()
    broker.write(TP, docs("abc"))
    broker.write(OTHER, docs("ab"))
    process = await joined(Process(broker, max_open=4), TP, OTHER)
    await process.turn(2)
    assert process.counted("cuts", "max_open") == 1
    assert {tp: len(a.cuts.sealed) for tp, a in process.appenders.items()} == {TP: 1, OTHER: 0}


# -- pause, poll ----------------------------------------------------------------------------------


async def test_paused_by_an_operator_nothing_is_read_and_what_is_read_goes_up() -> None:
    process = await joined(Process(broker_of("ab"), rotate={"max_age": "10s"}))
    await process.turn()
    process.pipeline.is_paused = True
    process.broker.write(TP, docs("c"))
    await process.turn()
    assert process.pipeline.has_paused
    assert process.group.resumed == set()
    process.clock.advance(10)
    await process.round(2)
    assert process.committed(TP) == 2


async def test_a_broker_that_is_away_is_told_and_only_a_dead_consumer_raises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spoolsink.pipeline._RETRY_SECONDS", 0)
    process = await joined(Process(broker_of("a")))

    async def away(timeout_seconds: float, max_batches: int) -> None:
        raise ConsumerError("no broker")

    monkeypatch.setattr(process.group, "poll", away)
    await process.turn()
    assert process.held("kafka") == "no broker"
    process.group.is_alive = False
    with pytest.raises(ConsumerError):
        await process.turn()


async def test_records_of_a_topic_partition_that_is_due_are_left_alone() -> None:
    process = await joined(Process(broker_of("aa")))
    polled = await process.group.poll(0, 16)
    process.assignment.due.add(TP)
    before = process.appenders[TP].cuts.open.position
    await process.pipeline._append(process.group, polled)
    assert process.appenders[TP].cuts.open.position == before


# -- failed writes --------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["append", "seal"])
async def test_what_a_failed_write_lost_is_read_again(call: str) -> None:
    spool = FailingSpool()
    spool.failures[call] = 1
    process = await joined(Process(broker_of("aabb"), spool=spool, rotate={"records": 2}))
    await process.turn()
    assert "no space left" in process.held("spool")
    assert process.group.resumed == set()

    process.clock.advance(5)
    await process.round(3)
    assert process.committed(TP) == 4
    assert len(process.store.objects) == 2
    assert process.health.is_ready
    assert process.counted("segments_dropped", "write_failed") >= 1


async def test_a_failed_seal_is_not_tried_again_while_a_commit_is_under_way() -> None:
    """Found by reading: its segments are gone, and a second seal would miss them."""
    spool = FailingSpool()
    process = await joined(Process(broker_of("ab"), spool=spool, rotate={"max_age": "1s"}))
    await process.turn()
    assert process.appenders[TP].cuts.next_commit() is not None
    spool.failures["seal"] = 1
    process.clock.advance(1)
    await process.turn(3)
    assert TP in process.delivery.damaged
    process.appenders[TP].cuts.commit_failed()
    process.clock.advance(5)
    await process.round(3)
    process.clock.advance(1)
    await process.round(2)
    assert process.committed(TP) == 2


async def test_a_disk_that_refuses_to_delete_ends_nothing() -> None:
    """What is dropped then stays until the next start; what it held is read again."""
    spool = FailingSpool()
    spool.failures = {"seal": 1, "drop_open": 1, "drop": 2, "forget": 2}
    process = await joined(Process(broker_of("aabb"), spool=spool, rotate={"records": 2}))
    await process.turn()
    process.clock.advance(5)
    await process.round(4)
    assert process.committed(TP) == 4
    assert process.health.is_ready


async def test_a_disk_that_others_have_filled_is_told() -> None:
    spool = ShortSpool()
    process = await joined(Process(broker_of("aa"), spool=spool))
    await process.round(2)
    assert process.held("spool") == "others have filled the disk"
    assert process.health.is_failed
    spool.shortage = ""
    await process.round(3)
    assert process.health.is_ready
    assert process.appenders[TP].cuts.open.records == 2


# -- flush ----------------------------------------------------------------------------------------


async def test_a_flush_is_done_at_once_when_nothing_is_open() -> None:
    process = await joined(Process(broker_of("")))
    assert process.pipeline.flush().is_set()


async def test_a_flush_is_done_when_what_was_open_is_committed() -> None:
    process = await joined(Process(broker_of("ab")))
    await process.turn()
    done = process.pipeline.flush()
    await process.turn()
    assert not done.is_set()
    await process.round(2)
    assert done.is_set()
    assert process.committed(TP) == 2


async def test_a_flush_waits_for_what_is_sealed_already() -> None:
    process = await joined(Process(broker_of("aa"), rotate={"records": 2}))
    await process.turn()
    done = process.pipeline.flush()
    assert not done.is_set()
    await process.round(2)
    assert done.is_set()


async def test_a_flush_waits_for_what_is_read_again() -> None:
    """Found by reading: dropped for its damaged segment, it looked as if it were another's."""
    process = await joined(Process(broker_of("ab")))
    await process.turn()
    done = process.pipeline.flush()
    process.delivery.damaged[TP] = "a flipped bit"
    await process.turn()
    assert TP not in process.appenders
    assert not done.is_set()
    await process.round(6)
    assert done.is_set()
    assert process.committed(TP) == 2


async def test_a_flush_does_not_wait_for_what_went_to_others() -> None:
    process = await joined(Process(broker_of("ab")))
    await process.turn()
    done = process.pipeline.flush()
    await process.join()
    await process.turn()
    assert done.is_set()
