"""Taking topic partitions over, holding them, going on after a rebalance, giving them up."""

from pathlib import Path

import pytest

from spoolsink.cut import Commit
from spoolsink.intent import CommitMetadata, Mark, decode, encode
from spoolsink.records import TopicPartition
from spoolsink.spool import AnySpool
from tests.unit.builders import NEXT, TP, docs, memory_spool
from tests.unit.fake_kafka import FakeBroker
from tests.unit.process import Process
from tests.unit.spools import restarted, spool_of

OTHER = TopicPartition("orders", 1)


def broker_of(places: str, *more: TopicPartition) -> FakeBroker:
    broker = FakeBroker()
    for tp in (TP, *more):
        broker.write(tp, docs(places))
    return broker


async def joined(broker: FakeBroker, *tps: TopicPartition, **changes: object) -> Process:
    process = Process(broker, **changes)  # type: ignore[arg-type]
    await process.join(*(tps or (TP,)))
    await process.turn()
    return process


def keys(process: Process) -> list[str]:
    return sorted(key.rpartition("/")[2] for key in process.store.objects)


# -- beginning ------------------------------------------------------------------------------------


async def test_it_reads_from_where_the_policy_says() -> None:
    process = await joined(broker_of("aaa"), start_from="latest")
    await process.commit()
    assert process.committed(TP) == 3
    process.broker.write(TP, docs("b"))
    await process.turn(2)
    assert process.appenders[TP].cuts.open.records == 1


async def test_what_holds_is_told_and_asked_again_after_15_seconds() -> None:
    process = await joined(broker_of("a"), start_from="fail")
    assert "start_from is fail" in process.held("orders-0")
    assert TP not in process.appenders

    process.broker.offsets[TP] = Commit(0, "")
    await process.turn()
    assert TP not in process.appenders
    process.clock.advance(15)
    await process.turn(2)
    assert process.appenders[TP].cuts.open.records == 1
    assert process.health.is_ready


async def test_one_that_holds_does_not_hold_the_others() -> None:
    broker = broker_of("aa", OTHER)
    broker.offsets = {TP: Commit(9, ""), OTHER: Commit(0, "")}
    process = await joined(broker, TP, OTHER)
    await process.turn()
    assert "above the log's end" in process.held("orders-0")
    assert process.appenders[OTHER].cuts.open.records == 2


async def test_a_broker_that_does_not_answer_is_asked_again_and_told() -> None:
    process = Process(broker_of("a"))
    process.broker.silent.add("log_ranges")
    await process.join(TP)
    await process.turn()
    assert process.held("start") == "no answer"
    process.broker.silent.clear()
    process.clock.advance(1)
    await process.turn(2)
    assert process.appenders[TP].cuts.open.records == 1
    assert process.health.is_ready


async def test_a_question_without_an_answer_is_forgotten_with_its_topic_partition() -> None:
    """Found by reading: what went to another member meanwhile kept us unready for ever."""
    process = Process(broker_of("a"))
    process.broker.silent.add("log_ranges")
    await process.join(TP)
    await process.turn()
    assert process.held("start") == "no answer"
    await process.join()
    await process.turn()
    assert process.health.is_ready


async def test_nothing_is_read_before_the_beginning_is_known() -> None:
    process = Process(broker_of("a"))
    process.broker.silent.add("committed")
    await process.join(TP)
    await process.turn()
    assert process.group.resumed == set()


# -- after a rebalance ----------------------------------------------------------------------------


async def test_what_is_open_goes_on_after_a_rebalance_that_changes_nothing() -> None:
    process = await joined(broker_of("ab"))
    await process.round(2)
    appender, used = process.appenders[TP], process.spool.used_bytes
    process.broker.write(TP, docs("c"))
    await process.join(TP)
    await process.turn(2)
    assert process.appenders[TP] is appender
    assert process.spool.used_bytes > used
    assert appender.cuts.open.records == 3


async def test_nothing_is_readable_between_a_revocation_and_the_next_assignment() -> None:
    """Found by reading: what was due, and never began, was read from aiokafka's position."""
    process = Process(broker_of("ab"))
    await process.join(TP)
    await process.turn()
    process.assignment.assigned(process.group.join(TP))
    process.group.leave()
    await process.assignment.revoked()
    assert not process.assignment.is_readable(TP)
    await process.join(TP)
    await process.turn()
    assert process.assignment.is_readable(TP)


async def test_what_is_sealed_goes_on_too_and_is_uploaded_once() -> None:
    process = await joined(broker_of("aabb"), rotate={"records": 2})
    await process.turn()
    await process.commit()
    await process.join(TP)
    await process.round(2)
    assert process.committed(TP) == 4
    assert process.counted("uploads", "created") == 2
    assert process.counted("uploads", "existed") == 0


async def test_a_commit_of_another_owner_drops_what_is_held() -> None:
    process = await joined(broker_of("aabb"), rotate={"records": 3})
    await process.turn()
    await process.commit()
    process.broker.offsets[TP] = Commit(3, encode(CommitMetadata(NEXT)))
    await process.join(TP)
    await process.turn(2)
    cuts = process.appenders[TP].cuts
    assert (len(cuts.sealed), cuts.open.start, cuts.open.position) == (0, 3, 4)
    assert process.spool.snapshot() == {"open": 1, "sealed": 0}


async def test_a_stop_at_a_bad_record_ends_where_another_owner_passed_it() -> None:
    process = Process(FakeBroker())
    process.broker.write(TP, [*docs("a"), b"{bad", *docs("a")])
    await process.join(TP)
    await process.round(2)
    assert "not JSON" in process.held("orders-0")

    process.broker.offsets[TP] = Commit(2, encode(CommitMetadata(NEXT)))
    await process.join(TP)
    await process.turn(2)
    assert process.appenders[TP].cuts.open.records == 1
    assert process.health.is_ready


async def test_a_stop_stays_over_a_rebalance_that_changes_nothing() -> None:
    process = Process(FakeBroker())
    process.broker.write(TP, [*docs("a"), b"{bad", *docs("a")])
    await process.join(TP)
    await process.round(2)
    await process.join(TP)
    await process.round(2)
    assert process.appenders[TP].stopped is not None
    assert "not JSON" in process.held("orders-0")
    assert process.committed(TP) == 1


async def test_what_is_given_up_is_deleted() -> None:
    process = await joined(broker_of("aab", OTHER), TP, OTHER, rotate={"records": 2})
    await process.turn()
    await process.join(OTHER)
    await process.turn()
    assert list(process.appenders) == [OTHER]
    assert process.spool.open_bytes(TP) == 0
    assert process.spool.snapshot() == {"open": 1, "sealed": 1}


async def test_no_takeover_while_a_commit_of_this_membership_is_under_way() -> None:
    process = await joined(broker_of("aa"))
    assert process.appenders[TP].cuts.next_commit() is not None
    process.assignment.due.add(TP)
    process.group.questions.clear()
    await process.turn()
    assert process.group.questions == []

    await process.join(TP)
    await process.turn()
    assert "committed" in process.group.questions


class MeddledSpool:
    """A rebalance comes while files are deleted."""

    def __init__(self, spool: AnySpool) -> None:
        self.spool = spool
        self.meddle: list[object] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.spool, name)

    async def drop_open(self, tp: TopicPartition) -> int:
        if self.meddle:
            await self.meddle.pop()()  # type: ignore[operator]
        return await self.spool.drop_open(tp)


async def test_offsets_of_an_older_membership_are_not_used_in_the_next() -> None:
    spool = MeddledSpool(memory_spool())
    process = Process(broker_of("aaaa", OTHER), spool=spool)  # type: ignore[arg-type]

    async def rebalance() -> None:
        # Between the two generations another owner went on.
        process.broker.offsets = {tp: Commit(3, "") for tp in (TP, OTHER)}
        await process.join(TP, OTHER)

    spool.meddle.append(rebalance)
    await process.join(TP, OTHER)
    await process.turn(3)
    await process.commit()
    assert {tp: a.cuts.open.start for tp, a in process.appenders.items()} == {TP: 3, OTHER: 3}
    assert (process.committed(TP), process.committed(OTHER)) == (3, 3)


# -- cuts of a former process ---------------------------------------------------------------------


async def former(tmp_path: Path, broker: FakeBroker, **rotate: object) -> Process:
    """A process that sealed and promised, uploaded nothing, and died."""
    process = await joined(broker, spool=spool_of(tmp_path), rotate=rotate)
    await process.turn()
    await process.commit()
    return process


async def test_a_sealed_cut_on_disk_that_was_promised_is_not_read_again(tmp_path: Path) -> None:
    first = await former(tmp_path, broker_of("abc"), records=2)
    spool, local = restarted(first.spool)  # type: ignore[arg-type]
    second = Process(first.broker, spool=spool, local=local, owner="next", rotate={"records": 2})
    await second.join(TP)
    await second.turn()
    assert [(c.start, c.mark.offset) for c in second.appenders[TP].cuts.sealed] == [(0, 2)]
    assert second.appenders[TP].cuts.open.start == 2
    await second.round(2)
    assert second.committed(TP) == 2
    assert len(second.store.objects) == 2
    spool.close()


async def test_a_sealed_cut_on_disk_that_was_not_promised_is_deleted(tmp_path: Path) -> None:
    first = await former(tmp_path, broker_of("abc"), records=2)
    spool, local = restarted(first.spool)  # type: ignore[arg-type]
    first.broker.offsets[TP] = Commit(1, encode(CommitMetadata(NEXT)))
    second = Process(first.broker, spool=spool, local=local, owner="next")
    await second.join(TP)
    await second.turn(2)
    assert second.appenders[TP].cuts.open.start == 1
    assert spool.sealed_count == 0
    spool.close()


async def test_cuts_on_disk_of_what_is_not_ours_any_more_are_deleted(tmp_path: Path) -> None:
    first = await former(tmp_path, broker_of("abc", OTHER), records=2)
    spool, local = restarted(first.spool)  # type: ignore[arg-type]
    second = Process(first.broker, spool=spool, local=local, owner="next")
    await second.join(OTHER)
    await second.turn(2)
    assert spool.sealed_count == 0
    spool.close()


# -- lost offsets, other topics -------------------------------------------------------------------


async def test_offsets_that_the_log_has_lost_stop_the_topic_partition() -> None:
    broker = broker_of("aaaa")
    broker.offsets[TP], broker.starts[TP] = Commit(1, ""), 3
    process = await joined(broker)
    process.clock.advance(15)
    await process.turn()
    assert process.held("orders-0") == (
        "offsets 1 to 2 are gone from the log: see kafka.on_offset_lost"
    )
    assert process.group.resumed == set()
    assert process.counted("offsets_lost", "orders", "0") == 0


async def test_offsets_that_the_log_has_lost_are_counted_and_passed() -> None:
    broker = broker_of("aaaa")
    broker.offsets[TP], broker.starts[TP] = Commit(1, ""), 3
    process = await joined(broker, on_offset_lost="continue")
    await process.turn()
    assert process.appenders[TP].cuts.open.records == 1
    assert process.counted("offsets_lost", "orders", "0") == 2


@pytest.mark.parametrize(("log_start", "ranges"), [(2, [(0, 3)]), (5, [(0, 3)])])
async def test_a_promised_cut_that_the_log_has_lost_a_part_of_is_ended_where_promised(
    log_start: int, ranges: list[tuple[int, int]]
) -> None:
    broker = broker_of("aaaaaaa")
    mark = Mark(3, 3, "0" * 16, 1)
    broker.offsets[TP] = Commit(0, encode(CommitMetadata(NEXT, (mark,))))
    broker.starts[TP] = log_start
    process = await joined(broker, on_offset_lost="continue")
    await process.turn()
    cuts = process.appenders[TP].cuts
    assert [(cut.start, cut.mark.offset) for cut in cuts.sealed] == ranges
    assert cuts.open.position == 7
    assert process.counted("repeats", "other_records") == 1


async def test_a_position_that_the_leader_has_is_read_on_from() -> None:
    process = await joined(broker_of("aa"))
    await process.round()
    process.group.resumed.add(TP)
    process.group.out_of_range.add(TP)
    process.broker.write(TP, docs("a"))
    await process.turn(3)
    assert process.appenders[TP].cuts.open.records == 3


async def test_a_topic_that_is_created_anew_while_it_is_read_holds() -> None:
    process = await joined(broker_of("aa"))
    await process.round()
    process.broker.topic_ids["orders"] = "anew"
    await process.assignment.check_topics(process.group)
    await process.round(2)
    assert "the topic was created anew" in process.held("orders-0")
    assert not process.appenders[TP].cuts.is_gate_open


async def test_a_topic_that_a_broker_lacks_for_a_moment_is_read_on() -> None:
    process = await joined(broker_of("aa"))
    found = process.broker.topic_ids.pop("orders")
    await process.assignment.check_topics(process.group)
    assert process.assignment.due == set()
    await process.assignment.check_topics(process.group)
    assert process.assignment.due == {TP}
    process.broker.topic_ids["orders"] = found
    await process.turn()
    assert process.appenders[TP].cuts.is_gate_open


async def test_a_topic_that_gets_an_id_for_the_first_time_is_begun_anew_at_the_next_join() -> None:
    """A cluster that is upgraded."""
    broker = broker_of("aa")
    broker.topic_ids["orders"] = "0"
    process = await joined(broker)
    await process.round()
    broker.topic_ids["orders"] = "first"
    await process.assignment.check_topics(process.group)
    await process.turn()
    assert process.appenders[TP].cuts.identity.topic_id == "0"
    await process.join(TP)
    await process.round(4)
    assert process.appenders[TP].cuts.identity.topic_id == "first"
    assert process.appenders[TP].cuts.open.records == 2


async def test_a_topic_that_is_not_created_anew_is_left_alone() -> None:
    process = await joined(broker_of("aa"))
    await process.assignment.check_topics(process.group)
    assert process.assignment.due == set()


async def test_promises_of_another_configuration_are_told_and_counted() -> None:
    broker = broker_of("aa")
    who = decode(encode(CommitMetadata(NEXT)))
    assert who is not None
    changed = CommitMetadata(
        type(NEXT)(NEXT.cluster_id, NEXT.topic_id, "changed", "before"),
        (Mark(2, 2, "0" * 16, 1),),
    )
    broker.offsets[TP] = Commit(0, encode(changed))
    process = await joined(broker)
    assert process.counted("repeats", "other_configuration") == 1
    assert process.appenders[TP].cuts.append_limit is None
