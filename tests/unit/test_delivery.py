"""Uploads and commits: what each answer of the broker and the store leads to."""

import asyncio
from pathlib import Path

import pytest

from spoolsink.appender import Appender
from spoolsink.cut import Commit, ObjectState
from spoolsink.cuts import PartitionCuts
from spoolsink.delivery import MAX_COMMIT_BYTES
from spoolsink.intent import Identity, decode
from spoolsink.records import TopicPartition
from spoolsink.spool.files import CHUNK_BYTES
from tests.unit.builders import CLUSTER, TOPIC_ID, TP, docs, memory_spool
from tests.unit.fake_kafka import FakeBroker
from tests.unit.fake_store import FakeStore
from tests.unit.process import Process
from tests.unit.spools import spool_of

OTHER = TopicPartition("orders", 1)
RECORDS = {"rotate": {"records": 2}}


def broker_of(places: str, *more: TopicPartition) -> FakeBroker:
    broker = FakeBroker()
    for tp in (TP, *more):
        broker.write(tp, docs(places))
    return broker


async def sealed(places: str = "ab", **changes: object) -> Process:
    """Joined, claimed, read; the intents of what is sealed are not committed yet."""
    process = Process(broker_of(places), **{**RECORDS, **changes})  # type: ignore[arg-type]
    await process.join(TP)
    await process.turn()
    return process


def intents(broker: FakeBroker, tp: TopicPartition = TP) -> list[int]:
    found = decode(broker.offsets[tp].metadata)
    assert found is not None
    return [mark.offset for mark in found.cuts]


# -- the way of a cut -----------------------------------------------------------------------------


async def test_a_cut_is_promised_uploaded_committed_and_deleted_in_this_order() -> None:
    process = await sealed()

    await process.upload()
    assert process.store.objects == {}
    await process.commit()
    assert (process.committed(TP), intents(process.broker)) == (0, [2])

    await process.upload()
    assert sorted(process.store.objects) == [
        "topics/orders/p=a/orders+0+0000000000+0000000000.json",
        "topics/orders/p=b/orders+0+0000000001+0000000001.json",
    ]
    assert process.spool.sealed_count == 2

    await process.commit()
    assert (process.committed(TP), intents(process.broker)) == (2, [])
    assert process.spool.sealed_count == 0
    assert process.counted("uploads", "created") == 2


async def test_an_object_tells_its_range_its_cut_and_its_sink() -> None:
    process = await sealed()
    await process.commit()
    await process.upload()
    body, metadata = process.store.objects["topics/orders/p=a/orders+0+0000000000+0000000000.json"]
    assert body == docs("a")[0] + b"\n"
    assert metadata["spoolsink-cut"] == "0"
    assert metadata["spoolsink-cut-end"] == "2"
    assert metadata["spoolsink-sink"] == "sink"


async def test_the_start_is_committed_at_once() -> None:
    process = Process(broker_of("a"))
    await process.join(TP)
    await process.turn()
    await process.commit()
    assert process.committed(TP) == 0


async def test_the_offset_follows_skipped_records_within_seconds() -> None:
    process = Process(FakeBroker(), records={"on_error": "skip"})
    process.broker.write(TP, [b"{bad", b"{bad"])
    await process.join(TP)
    await process.round()
    await process.idle()
    assert process.committed(TP) == 2


# -- answers of the broker ------------------------------------------------------------------------


@pytest.mark.parametrize("code", [22, 25, 27, 82])
async def test_a_refused_commit_closes_the_gate_until_the_next_assignment(code: int) -> None:
    process = await sealed()
    process.broker.codes = [code]
    await process.commit()
    await process.upload()
    await process.idle()
    assert len(process.broker.requests) == 1
    assert process.store.objects == {}
    assert process.counted("commits", "refused") == 1

    await process.join(TP)
    await process.round(2)
    assert process.committed(TP) == 2


@pytest.mark.parametrize("code", [14, 15, 16])
async def test_another_coordinator_is_looked_for_and_the_commit_sent_again(code: int) -> None:
    process = await sealed()
    process.broker.codes = [code]
    await process.commit()
    assert not process.group.has_coordinator
    assert len(process.broker.requests) == 1
    process.group.is_known = True
    await process.commit()
    assert intents(process.broker) == [2]


@pytest.mark.parametrize("code", [12, 28])
async def test_metadata_that_is_too_large_is_told_and_tried_again(code: int) -> None:
    process = await sealed()
    process.broker.codes = [code]
    await process.delivery._commit_once()
    assert "raise offset.metadata.max.bytes" in process.held("orders-0 commit")
    assert process.health.is_failed
    await process.commit()
    assert intents(process.broker) == [2]
    assert process.health.is_ready


async def test_one_topic_partitions_success_does_not_hide_anothers_failure() -> None:
    process = Process(broker_of("ab", OTHER), **RECORDS)  # type: ignore[arg-type]
    await process.join(TP, OTHER)
    await process.turn()
    process.broker.codes = [12]
    await process.delivery._commit_once()
    refused = process.appenders.pop(OTHER)
    await process.commit()
    process.appenders[OTHER] = refused
    assert process.held("orders-0 commit") == ""
    assert process.held("orders-1 commit") != ""


@pytest.mark.parametrize("loss", ["reply", "request", "late"])
async def test_a_commit_without_an_answer_is_read_back_before_anything_else(loss: str) -> None:
    process = await sealed()
    process.broker.losses = [loss]
    await process.delivery._commit_once()
    if loss == "reply":
        assert process.group.rejoins == 0
        await process.upload()
        assert len(process.store.objects) == 2
        return
    assert process.group.rejoins == 1
    assert process.group.questions.count("committed") >= 3
    process.group.join(TP)
    await process.commit()
    assert len(process.broker.requests) == 1


async def test_a_code_that_says_nothing_is_taken_for_a_lost_answer() -> None:
    process = await sealed()
    process.broker.codes = [7]
    await process.delivery._commit_once()
    assert process.group.rejoins == 1
    assert process.counted("commits", "unknown") == 1


async def test_a_late_commit_is_recognised_after_joining_anew() -> None:
    process = await sealed()
    process.broker.losses = ["late"]
    await process.commit()
    process.broker.deliver()
    await process.join(TP)
    await process.round()
    assert process.committed(TP) == 2
    assert [len(cut) for cut in process.broker.requests] == [1, 1]


async def test_offsets_that_cannot_be_read_back_end_in_joining_anew() -> None:
    process = await sealed()
    process.broker.losses = ["reply"]
    process.broker.silent.add("committed")
    await process.commit()
    assert process.group.rejoins == 1


async def test_nothing_is_sent_without_a_membership_or_a_coordinator() -> None:
    process = await sealed()
    process.group.is_known = False
    assert not await process.delivery._commit_once()
    process.group.is_known, process.group.membership = True, None
    assert not await process.delivery._commit_once()
    assert process.broker.requests == []


async def test_a_request_carries_at_most_512_kib() -> None:
    tps = [TopicPartition("t" * 249, number) for number in range(400)]
    process = Process(FakeBroker())
    for tp in tps:
        who = Identity(CLUSTER, TOPIC_ID, "f" * 3900, "me")
        cuts = PartitionCuts(tp, who)
        cuts.assigned(0, "")
        process.appenders[tp] = Appender(
            tp,
            cuts=cuts,
            spool=process.spool,
            policies=process._policies,
            metrics=process.metrics,
        )
    process.group.join(*tps)
    await process.commit()
    sizes = [sum(map(_commit_bytes, r, r.values())) for r in process.broker.requests]
    assert len(sizes) > 3
    assert max(sizes) <= MAX_COMMIT_BYTES
    assert set(process.broker.offsets) == set(tps)


def _commit_bytes(tp: TopicPartition, commit: Commit) -> int:
    # Each under its own topic would be the worst case: name, number, offset, lengths.
    return len(tp.topic) + len(commit.metadata) + 32


# -- what holds uploads ---------------------------------------------------------------------------


async def test_nothing_is_uploaded_while_the_last_heartbeat_is_too_old() -> None:
    process = await sealed()
    await process.commit()
    process.group.has_lease = False
    await process.upload()
    assert process.store.objects == {}
    process.group.has_lease = True
    await process.upload()
    assert len(process.store.objects) == 2


async def test_what_is_queued_already_waits_too_when_the_heartbeat_grows_old() -> None:
    process = await sealed()
    await process.commit()
    process.delivery.collect()
    process.group.has_lease = False
    await process.delivery._upload(*process.delivery._queue.get_nowait())
    assert process.store.objects == {}
    [cut] = process.appenders[TP].cuts.sealed
    assert cut.objects[0].state is ObjectState.WAITING


async def test_nothing_is_uploaded_before_the_probe_has_told() -> None:
    process = await sealed()
    process.delivery.create_only = None
    await process.commit()
    await process.upload()
    assert process.store.objects == {}


async def test_what_is_there_already_is_recognised() -> None:
    process = await sealed()
    await process.commit()
    await process.upload()
    again = Process(process.broker, process.store, owner="next", **RECORDS)  # type: ignore[arg-type]
    await again.join(TP)
    await again.round(2)
    assert again.counted("uploads", "existed") == 2
    assert again.committed(TP) == 2


async def test_a_key_that_is_taken_gets_the_digest_and_is_counted() -> None:
    process = await sealed("aa")
    key = "topics/orders/p=a/orders+0+0000000000+0000000001.json"
    process.store.objects[key] = (b"other", {})
    await process.round()
    [added] = set(process.store.objects) - {key}
    assert added.startswith("topics/orders/p=a/orders+0+0000000000+0000000001+")
    assert process.counted("key_conflicts", "orders") == 1
    assert process.committed(TP) == 2


async def meet_taken_keys(process: Process) -> None:
    """Every name of the one object is taken by other content when it goes up."""
    await process.commit()
    [cut] = process.appenders[TP].cuts.sealed
    segment = cut.objects[0].segment
    keys = process.delivery._naming.keys(segment.label, segment.summary)  # type: ignore[attr-defined]
    process.store.objects = {key: (b"other", {}) for key in keys}
    await process.upload()


async def test_where_every_key_is_taken_it_holds_and_tries_again() -> None:
    process = await sealed("aa")
    await meet_taken_keys(process)
    assert "holds other content" in process.held("orders-0 key")
    # No worker waits for it: what others have goes up meanwhile.
    assert process.clock.seconds < 1015
    await asyncio.wait(process.delivery._resting)
    assert process.clock.seconds >= 1015

    process.store.objects.clear()
    await process.round()
    assert process.committed(TP) == 2
    assert process.health.is_ready


async def test_what_holds_a_topic_partition_is_forgotten_when_it_is_given_up() -> None:
    process = await sealed("aa")
    await meet_taken_keys(process)
    process.broker.codes = [12]
    await process.join()
    await process.turn()
    assert process.health.is_ready


# -- segments -------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["gone", "flipped"])
async def test_a_damaged_segment_is_read_again_from_kafka(tmp_path: Path, damage: str) -> None:
    process = await sealed(spool=spool_of(tmp_path))
    await process.commit()
    for path in (tmp_path / "spool" / "segments").iterdir():
        if damage == "gone":
            path.unlink()
        else:
            data = bytearray(path.read_bytes())
            data[40] ^= 1
            path.write_bytes(data)
    await process.upload()
    assert process.store.objects == {}
    assert process.counted("segments_dropped", "damaged") >= 1

    await process.round(4)
    assert process.committed(TP) == 2
    assert len(process.store.objects) == 2
    assert process.counted("repeats", "other_records") == 0
    process.spool.close()


async def test_damage_of_what_was_dropped_meanwhile_does_not_touch_what_came_after(
    tmp_path: Path,
) -> None:
    process = await sealed(spool=spool_of(tmp_path))
    await process.commit()
    process.delivery.collect()
    appender, target = process.delivery._queue.get_nowait()
    await process.assignment.drop(TP)
    process.delivery._damaged(appender, target, "segment 1 is gone")
    assert process.delivery.damaged == {}
    process.spool.close()


async def test_full_splits_are_dropped_early_when_the_spool_is_short_of_room() -> None:
    size = len(docs("a")[0]) + 1
    spool = memory_spool(2 * CHUNK_BYTES + 3 * size)
    process = await sealed("aab", spool=spool, rotate={"object_records": 2})
    await process.commit()
    held = spool.used_bytes
    assert spool.must_pause
    await process.upload()
    assert spool.used_bytes < held
    assert process.appenders[TP].open_segments == 1


async def test_objects_that_s3_has_not_got_keep_their_files() -> None:
    process = await sealed()
    await process.commit()
    await process.idle()
    assert process.spool.sealed_count == 2
    assert process.committed(TP) == 0


async def test_it_runs_by_itself_from_one_wake_to_the_next() -> None:
    process = await sealed("abab")
    store: FakeStore = process.store
    running = [
        asyncio.create_task(process.delivery.run()),
        asyncio.create_task(process.delivery.upload_worker()),
    ]
    process.delivery.wake.set()
    async with asyncio.timeout(10):
        while process.broker.offsets.get(TP, Commit(0, "")).offset < 4:
            await process.broker.heard.wait()
            process.broker.heard.clear()
    for task in running:
        task.cancel()
    assert len(store.objects) == 4
