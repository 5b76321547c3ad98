"""Rules of one topic partition's cuts that are easier to read one by one than in a simulation."""

import pytest

from spoolsink.cut import Cut, CutObject, ObjectState, RepeatLoss, TakeoverKind
from spoolsink.cuts import PartitionCuts
from spoolsink.errors import MetadataVersionError
from spoolsink.intent import CommitMetadata, Identity, Mark, decode, digest_of, encode
from spoolsink.records import TopicPartition

TP = TopicPartition("orders", 3)
ME = Identity("cluster", "topic-id", "f00dcafe", "me")
OTHER = Identity("cluster", "topic-id", "f00dcafe", "other")


def make(metadata: str = "", offset: int = 10, limit: int = 4096) -> PartitionCuts:
    cuts = PartitionCuts(TP, ME, limit)
    cuts.assigned(offset, metadata)
    return cuts


def commit(cuts: PartitionCuts, *, is_idle: bool = False) -> CommitMetadata:
    sent = cuts.next_commit(is_idle=is_idle)
    assert sent is not None
    cuts.commit_done()
    found = decode(sent.metadata)
    assert found is not None
    return found


def thing(first: int, last: int, digest: str = "d") -> CutObject:
    return CutObject(None, f"k/{first}-{last}", digest, first, last, last - first + 1)


def append(cuts: PartitionCuts, to: int, now_ms: int = 500) -> None:
    cuts.begin(now_ms)
    cuts.appended(to, to - cuts.open.position)


def test_a_new_owner_claims_the_offset_before_anything_else() -> None:
    cuts = make()
    assert commit(cuts).identity == ME
    assert cuts.next_commit() is None


def test_nothing_is_uploaded_before_the_intent_is_committed() -> None:
    cuts = make()
    commit(cuts)
    append(cuts, 20)
    cuts.seal([thing(10, 19)])
    assert cuts.uploads() == []
    assert commit(cuts).cuts[0].offset == 20
    assert [o.first for o in cuts.uploads()] == [10]


def test_the_offset_moves_when_every_object_is_confirmed_together_with_the_next_intent() -> None:
    cuts = make()
    append(cuts, 20)
    first = cuts.seal([thing(10, 14), thing(15, 19)])
    commit(cuts)
    append(cuts, 30)
    cuts.seal([thing(20, 29)])
    first.objects[0].state = ObjectState.CONFIRMED
    assert commit(cuts).cuts[-1].offset == 30
    assert cuts.committed == 10
    first.objects[1].state = ObjectState.CONFIRMED
    assert [mark.offset for mark in commit(cuts).cuts] == [30]
    assert cuts.committed == 20


def test_an_idle_position_behind_markers_is_committed() -> None:
    cuts = make()
    commit(cuts)
    cuts.appended(17, 0)
    assert cuts.next_commit() is None
    commit(cuts, is_idle=True)
    assert cuts.committed == 17
    assert cuts.is_finished


def test_a_split_waits_for_its_floor() -> None:
    cuts = make()
    commit(cuts)
    append(cuts, 14)
    cuts.split_sealed(thing(10, 13), 4)
    assert cuts.uploads() == []
    assert commit(cuts).floor == Mark(14, 4, cuts.open.floor.digest, 500)  # type: ignore[union-attr]
    assert [o.first for o in cuts.uploads()] == [10]


def test_a_floor_does_not_release_what_is_no_split() -> None:
    """Found by the simulation (seed 80): the rest of a cut grows with a later end."""
    cuts = make()
    commit(cuts)
    append(cuts, 14)
    cuts.split_sealed(thing(11, 13), 4)
    commit(cuts)
    cuts.seal([thing(10, 10)])
    assert [o.first for o in cuts.uploads()] == [11]


def test_a_repeat_ends_where_the_intent_says() -> None:
    found = CommitMetadata(OTHER, (Mark(15, 5, "0" * 16, 77),))
    cuts = make(encode(found))
    assert cuts.append_limit == 15
    assert cuts.begin(now_ms=900) == 77
    append(cuts, 12)
    assert not cuts.may_end_at(12)
    with pytest.raises(RuntimeError, match="beyond 15"):
        cuts.appended(16, 1)
    append(cuts, 15)
    assert cuts.must_seal


def test_a_repeat_with_other_records_is_reported_and_gets_its_own_intent() -> None:
    cuts = make(encode(CommitMetadata(OTHER, (Mark(15, 5, "0" * 16, 77),))))
    commit(cuts)
    append(cuts, 15)
    cut = cuts.seal([thing(10, 14)])
    assert cuts.lost_repeats == [RepeatLoss.OTHER_RECORDS]
    assert cuts.uploads() == []
    assert commit(cuts).cuts == (cut.mark,)


def test_a_cut_may_not_end_below_a_floor_that_was_found() -> None:
    cuts = make(encode(CommitMetadata(OTHER, (), Mark(15, 5, "0" * 16, 77))))
    append(cuts, 12)
    assert not cuts.may_end_at(12)
    assert commit(cuts).floor == Mark(15, 5, "0" * 16, 77)


def test_a_bad_record_inside_a_repeat_breaks_the_promise_aloud() -> None:
    cuts = make(encode(CommitMetadata(OTHER, (Mark(15, 5, "0" * 16, 77),))))
    append(cuts, 12)
    cuts.seal([thing(10, 11)], stopped=True)
    assert cuts.lost_repeats == [RepeatLoss.STOPPED_INSIDE]
    assert not cuts.is_repeating


def test_the_same_owner_goes_on_after_a_rebalance() -> None:
    cuts = make()
    sent = cuts.next_commit()
    assert sent is not None
    cuts.commit_done()
    append(cuts, 14)
    cuts.revoked()
    assert cuts.uploads() == []
    assert cuts.next_commit() is None
    assert cuts.assigned(*sent) == (TakeoverKind.CONTINUED, 14, [])
    assert cuts.open.records == 4


def test_a_lost_reply_that_took_effect_is_recognised_after_a_rebalance() -> None:
    cuts = make()
    commit(cuts)
    append(cuts, 14)
    cuts.seal([])
    sent = cuts.next_commit()
    assert sent is not None
    cuts.commit_unknown()
    assert cuts.next_commit() is None
    takeover = cuts.assigned(*sent)
    assert takeover.kind is TakeoverKind.CONTINUED
    assert [cut.mark.offset for cut in takeover.finished] == [14]


def test_a_read_back_of_the_older_state_proves_nothing() -> None:
    cuts = make()
    before = cuts.next_commit()
    assert before is not None
    cuts.commit_done()
    append(cuts, 14)
    cuts.seal([thing(10, 13)])
    cuts.next_commit()
    cuts.commit_unknown()
    assert cuts.read_back(*before) is None
    assert cuts.is_commit_unknown


def test_a_read_back_proves_nothing_where_a_refused_commit_may_have_put_it_there() -> None:
    """Found by the simulation: the one in doubt came later, and took the offset back."""
    cuts = make()
    refused = cuts.next_commit()
    assert refused is not None
    cuts.commit_failed()
    assert cuts.next_commit() == refused
    cuts.commit_unknown()
    assert cuts.read_back(*refused) is None
    assert cuts.is_commit_unknown

    cuts.assigned(*refused)
    append(cuts, 14)
    cuts.seal([thing(10, 13)])
    lost = cuts.next_commit()
    assert lost is not None
    cuts.commit_unknown()
    assert cuts.read_back(*lost) == []


@pytest.mark.parametrize(
    ("identity", "kind"),
    [
        (Identity("elsewhere", "topic-id", "f00dcafe", "x"), TakeoverKind.OTHER_CLUSTER),
        (Identity("cluster", "new-id", "f00dcafe", "x"), TakeoverKind.OTHER_TOPIC),
        (Identity("cluster", "topic-id", "changed", "x"), TakeoverKind.OTHER_CONFIGURATION),
    ],
)
def test_marks_of_another_world_are_reported_and_not_repeated(
    identity: Identity, kind: TakeoverKind
) -> None:
    cuts = PartitionCuts(TP, ME)
    takeover = cuts.assigned(10, encode(CommitMetadata(identity, (Mark(15, 5, "0" * 16, 7),))))
    assert takeover.kind is kind
    assert [loss.value for loss in cuts.lost_repeats] == [kind.value]
    assert cuts.append_limit is None


def test_a_floor_of_another_configuration_stays_out_where_our_own_has_no_room() -> None:
    """Found by the simulation (seed 3045403): it went on in our name, with records not ours."""
    theirs = Mark(17, 7, "0" * 16, 77)
    changed = Identity("cluster", "topic-id", "changed", "x")
    cuts = make(encode(CommitMetadata(changed, (), theirs)), limit=160)
    for end in (13, 16):
        append(cuts, end)
        cuts.seal([thing(end - 3, end - 1)])
    append(cuts, 17)
    cuts.split_sealed(thing(16, 16), 1)
    recorded = commit(cuts)
    assert [mark.offset for mark in recorded.cuts] == [13, 16]
    assert recorded.floor is None
    assert [o.first for o in cuts.uploads()] == [10, 13]


def test_a_floor_that_binds_stays_where_a_higher_one_has_no_room() -> None:
    theirs = CommitMetadata(OTHER, (), Mark(12, 2, digest_of([("k/10-11", "d")]), 77))
    cuts = make(encode(theirs), limit=90)
    cuts.split_sealed(thing(10, 11), 2)
    append(cuts, 12)
    append(cuts, 14)
    cuts.split_sealed(thing(12, 13), 4)
    assert cuts.open.floor is not None
    assert cuts.open.floor.offset == 14
    assert commit(cuts).floor == theirs.floor


def test_metadata_of_another_version_changes_nothing() -> None:
    cuts = PartitionCuts(TP, ME)
    with pytest.raises(MetadataVersionError):
        cuts.assigned(10, "s9;future")
    assert not cuts.is_gate_open


def test_intents_that_do_not_fit_wait_their_turn() -> None:
    cuts = make(limit=200)
    for end in (20, 30, 40, 50, 60):
        append(cuts, end)
        cuts.seal([thing(end - 10, end - 1)])
    recorded = commit(cuts)
    assert 0 < len(recorded.cuts) < 5
    assert {o.last + 1 for o in cuts.uploads()} == {mark.offset for mark in recorded.cuts}


def test_a_sealed_cut_of_the_spool_that_equals_an_intent_is_adopted() -> None:
    mark = Mark(15, 5, "0" * 16, 77)
    local = Cut(10, mark, [thing(10, 14)])
    cuts = PartitionCuts(TP, ME)
    takeover = cuts.assigned(10, encode(CommitMetadata(OTHER, (mark,))), [local])
    assert takeover.seek == 15
    commit(cuts)
    assert [o.first for o in cuts.uploads()] == [10]
