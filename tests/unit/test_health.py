"""Health: what holds, what is news, what is remembered."""

from spoolsink.health import HOLD_KINDS, KEPT_ERRORS, Health, HealthError, Hold


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nothing_holds_at_first() -> None:
    health = Health(clock=Clock())
    assert health.is_ready
    assert not health.is_failed
    assert (health.holds, health.reasons(), health.last_errors()) == ([], [], [])


def test_only_a_new_source_or_another_reason_is_news() -> None:
    health = Health(clock=Clock())
    assert health.fail("s3", "timeout")
    assert not health.fail("s3", "timeout")
    assert health.fail("s3", "NoSuchBucket")
    assert health.fail("kafka", "timeout")
    assert not health.fail("s3", "NoSuchBucket")


def test_it_is_news_when_an_operator_is_needed_for_the_same_reason() -> None:
    health = Health(clock=Clock())
    health.fail("s3", "denied")
    assert health.fail("s3", "denied", is_operator=True)
    assert health.is_failed


def test_a_hold_began_when_its_source_began_to_fail_whatever_the_reason_is_now() -> None:
    clock = Clock()
    health = Health(clock=clock)
    health.fail("s3", "timeout")
    clock.now = 160.0
    health.fail("s3", "NoSuchBucket", is_operator=True)
    assert health.holds == [Hold("s3", "NoSuchBucket", 100.0, is_operator=True)]


def test_a_source_that_was_cleared_begins_anew() -> None:
    clock = Clock()
    health = Health(clock=clock)
    health.fail("s3", "timeout")
    assert health.clear("s3")
    assert not health.clear("s3")
    assert health.is_ready
    clock.now = 200.0
    assert health.fail("s3", "timeout")
    assert health.holds[0].since == 200.0


def test_clearing_one_source_leaves_the_others() -> None:
    health = Health(clock=Clock())
    health.fail("s3", "away")
    health.fail("kafka", "away", is_operator=True)
    health.clear("s3")
    assert health.reasons() == ["kafka: away"]
    assert health.is_failed
    health.clear("kafka")
    assert not health.is_failed


def test_a_new_run_begins_without_holds_and_remembers_the_errors() -> None:
    health = Health(clock=Clock())
    health.fail("s3", "away")
    health.fail("kafka", "away")
    health.clear_all()
    assert health.is_ready
    assert len(health.last_errors()) == 2
    assert health.fail("s3", "away")


def test_holds_and_reasons_are_in_the_order_of_their_sources() -> None:
    health = Health(clock=Clock())
    for source in ("spool", "kafka", "s3"):
        health.fail(source, "away")
    assert [hold.source for hold in health.holds] == ["kafka", "s3", "spool"]
    assert health.reasons() == ["kafka: away", "s3: away", "spool: away"]


def test_the_last_errors_are_bounded_and_outlive_their_mending() -> None:
    clock = Clock()
    health = Health(clock=clock)
    for number in range(KEPT_ERRORS + 5):
        clock.now = number / 10
        health.fail("s3", f"reason {number}")
    health.clear("s3")
    errors = health.last_errors()
    assert len(errors) == KEPT_ERRORS
    assert errors[0] == HealthError(500, "s3", "reason 5")
    assert errors[-1] == HealthError(2400, "s3", "reason 24")


def test_an_error_that_goes_on_is_remembered_once() -> None:
    health = Health(clock=Clock())
    for _ in range(3):
        health.fail("s3", "timeout")
    assert len(health.last_errors()) == 1


def test_a_reason_as_long_as_a_page_is_cut_and_still_no_news_again() -> None:
    health = Health(clock=Clock())
    assert health.fail("s3", "x" * 100_000)
    assert not health.fail("s3", "x" * 100_000)
    assert len(health.holds[0].reason) == 2000


def test_what_holds_back_only_itself_is_shown_and_keeps_nobody_from_being_ready() -> None:
    health = Health(clock=lambda: 5.0)
    assert health.fail("topic orders", "it does not exist", is_partial=True)
    assert not health.fail("topic orders", "it does not exist", is_partial=True)
    assert health.is_ready
    assert not health.is_failed
    assert (health.reasons(), health.notes()) == ([], ["topic orders: it does not exist"])
    assert [hold.source for hold in health.holds] == ["topic orders"]
    health.fail("s3", "away")
    assert (health.reasons(), health.is_ready) == (["s3: away"], False)


def test_holds_are_counted_by_kinds_of_a_closed_list() -> None:
    health = Health(clock=lambda: 5.0)
    for source in ("s3", "s3 conditional writes", "kafka group", "spool", "orders-0", "start"):
        health.fail(source, "away")
    counts = {kind: health.count_of(kind) for kind in HOLD_KINDS}
    assert counts == {"kafka": 1, "s3": 2, "spool": 1, "start": 1, "topic": 1}
    health.clear("s3")
    assert health.count_of("s3") == 1


def test_reasons_of_one_kind_are_news_once_and_the_last_one_is_shown() -> None:
    """Found by a run: several uploads that failed alike were logged at every try, in turn."""
    health = Health(clock=lambda: 5.0)
    assert health.fail("s3", "key a: 500", kind="500")
    assert not health.fail("s3", "key b: 500", kind="500")
    assert health.reasons() == ["s3: key b: 500"]
    assert len(health.last_errors()) == 1
    assert health.fail("s3", "key a: 403", kind="403")
    health.clear("s3")
    assert health.fail("s3", "key a: 403", kind="403")


def test_what_every_start_has_holds_and_is_no_error() -> None:
    health = Health(clock=lambda: 5.0)
    assert health.fail("kafka group", "the group is being joined", is_usual=True)
    assert (health.is_ready, health.last_errors()) == (False, [])
