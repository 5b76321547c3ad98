"""Histories that once failed, shrunk, each with what was wrong; replayed by `test_delivery`.

`soak` and a failing `make test` print the history to be added here.
"""

from tests.simulation.history import Action as A  # noqa: N817 (as histories print themselves)
from tests.simulation.history import History, Settings

REGRESSIONS = {
    # An idle position was on its way to the broker when records came: their cut kept the older
    # start, and its objects said `spoolsink-cut: 0` where a repeat of it said 1.
    "a cut that begins under an idle commit": History(
        Settings(places=2, gap_percent=15),
        (
            A("move", 1, 0),
            A("produce", 0, 0),
            A("poll", 0, 0),
            A("produce", 47, 1),
            A("commit", 0, 0),
            A("poll", 0, 0),
            A("poll", 0, 1),
            A("deliver", 0, 0),
            A("commit", 0, 0),
            A("deliver", 0, 0),
            A("upload", 0, 0),
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
    # A drain was through before anything was committed: a floor below records that Kafka had lost,
    # and that nobody could keep, stayed in the metadata after a clean stop.
    "promises that cannot be kept leave with a drain": History(
        Settings(split_records=1, on_offset_lost="continue"),
        (
            A("produce", 0, 0),
            A("restart", 1, 1),
            A("poll", 1, 0),
            A("commit", 1, 0),
            A("deliver", 0, 0),
            A("retain", 0, 1),
            A("join", 0, 0),
            A("poll", 0, 0),
            A("drain", 0, 0),
            A("poll", 0, 0),
        ),
    ),
    # A broken promise was told a tick after it broke: a commit could take it off before, and a
    # kill then left a record in S3 twice and no word of why.
    "a broken promise is told before it is taken off": History(
        Settings(split_records=2),
        (
            A("produce", 0, 0),
            A("poll", 0, 0),
            A("compact", 0, 0),
            A("produce", 0, 0),
            A("poll", 0, 0),
            A("commit", 0, 0),
            A("deliver", 0, 0),
            A("upload", 0, 0),
            A("restart", 0, 0),
            A("join", 0, 0),
            A("poll", 0, 0),
            A("poll", 0, 0),
            A("commit", 0, 0),
        ),
    ),
    # A changed configuration: the old one's floor stayed in the metadata, under the new one's name,
    # where the new owner's own floor had no room; the next repeat found other records below it.
    "a floor of another configuration is not taken over": History(
        Settings(split_records=1, metadata_limit=180),
        (
            A("produce", 0, 0),
            A("produce", 2, 0),
            A("produce", 34, 0),
            A("poll", 0, 6),
            A("commit", 0, 0),
            A("deliver", 0, 0),
            A("configure", 0, 1),
            A("restart", 0, 1),
            A("poll", 0, 6),
            A("commit", 0, 0),
        ),
    ),
    # The checker was wrong: an operator moved the offset, with its floor, back over a bad record
    # that `latest` had passed, and a promise was given up there for a reason that it did not know.
    "an offset is moved back over a record that stops": History(
        Settings(
            split_records=1, gap_percent=15, bad_percent=4, on_error="stop", start_from="latest"
        ),
        (
            A("produce", 0, 0),
            A("produce", 0, 368),
            A("tick", 0, 0),
            A("produce", 0, 1),
            A("poll", 0, 0),
            A("commit", 0, 0),
            A("deliver", 0, 0),
            A("move", 0, 1),
        ),
    ),
    # A coordinator said no to a commit that it had done; the same was sent again, its answer late.
    # A read-back took the first for the second, which came behind the next one and took the offset
    # back.
    "a read-back behind a refusal proves nothing": History(
        Settings(bad_percent=10),
        (
            A("produce", 0, 0),
            A("poll", 0, 0),
            A("commit", 0, 1),
            A("fail", 0, 1),
            A("commit", 0, 1),
            A("late", 0, 0),
            A("deliver", 0, 0),
            A("commit", 0, 0),
            A("deliver", 0, 0),
        ),
    ),
    # Found by `make chaos`: the first records of a cut were a full split, whose file was being
    # closed when an idle offset was committed: the split said the older start, the rest another.
    "an idle commit while the first split of a cut is sealed": History(
        Settings(split_records=2, gap_percent=50, disk_stride=1),
        (
            A("produce", 7, 4),
            A("poll", 0, 0),
            A("deliver", 0, 0),
            A("deliver", 0, 0),
            A("poll", 0, 2),
            A("deliver", 0, 0),
            A("commit", 0, 0),
            A("deliver", 0, 0),
            A("deliver", 0, 0),
            A("commit", 0, 0),
            A("deliver", 0, 0),
            A("upload", 0, 0),
        ),
    ),
}
