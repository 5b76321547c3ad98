"""Histories that once failed, shrunk, each with what was wrong; replayed by `test_delivery`.

`soak` and a failing `make test` print the history to be added here.
"""

from tests.simulation.history import Action as A  # noqa: N817 (as histories print themselves)
from tests.simulation.history import History, Settings

REGRESSIONS = {
    # An idle position was on its way to the broker when records came: their cut kept the older
    # start, and its objects said `spoolsink-cut: 0` where a repeat of it said 7.
    "a cut that begins under an idle commit": History(
        Settings(gap_percent=15),
        (
            A("produce", 46, 0),
            A("produce", 21, 1),
            A("configure", 0, 1),
            A("restart", 1, 1),
            A("poll", 1, 6),
            A("commit", 1, 0),
            A("late", 0, 0),
            A("deliver", 0, 0),
            A("poll", 1, 4),
            A("deliver", 0, 0),
            A("commit", 1, 0),
            A("deliver", 0, 0),
            A("upload", 1, 0),
        ),
    ),
    # An operator moved the offset over everything that was promised, and the next owner, with
    # another configuration, counted a repeat that there was none of.
    "promises that were passed are no loss": History(
        Settings(split_records=1),
        (
            A("produce", 0, 0),
            A("poll", 0, 0),
            A("commit", 0, 0),
            A("deliver", 0, 0),
            A("configure", 0, 1),
            A("move", 0, 1),
        ),
    ),
}
