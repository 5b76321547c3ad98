"""A row of the matrix, and the tests that many rows name."""

from typing import NamedTuple


class Row(NamedTuple):
    """One fault; tests are `folder/file::name` below `tests/`, without suffix and `test_`."""

    number: int
    fault: str
    outcome: str
    tests: tuple[str, ...] = ()
    reason: str = ""

    def node_ids(self) -> list[str]:
        """As pytest names them."""
        return [node_id_of(test) for test in self.tests]


def node_id_of(test: str) -> str:
    """`unit/spool::a_b` to `tests/unit/test_spool.py::test_a_b`."""
    place, _, name = test.partition("::")
    folder, _, file = place.rpartition("/")
    return f"tests/{folder}/test_{file}.py::test_{name}"


KILLS = "integration/kills::a_kill_at_every_other_step_loses_and_doubles_nothing"
PROMISED = "integration/kills::a_kill_loses_and_doubles_nothing"
PARTS = "integration/kills::a_kill_within_an_upload_leaves_no_upload_behind"
HOLDS = "integration/holds::the_sink_holds_says_why_and_goes_on_with_nothing_lost"
SLEEPER = "integration/outages::a_sleeper_that_wakes_after_its_session_writes_nothing_twice"
SIMULATION = "simulation/delivery::no_history_loses_doubles_or_overwrites_a_record"
LOST = "unit/uploader::a_lost_request_or_reply_ends_in_exactly_one_object"
BAD_FILE = "unit/config::a_bad_file_is_refused_with_its_exact_problems"
