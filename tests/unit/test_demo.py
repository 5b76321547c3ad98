"""What the demo shows and how it counts, without its servers."""

import random
from io import StringIO

import pytest

from spoolsink.cli import run
from spoolsink.demo import Show, listing
from spoolsink.demo_records import Tally, sample


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def tally_of(produced: int, *found: int) -> Tally:
    tally = Tally(produced)
    tally.add(found)
    return tally


def test_all_records_once_are_good_in_any_order() -> None:
    assert tally_of(3, 2, 0, 1).is_good


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ((0, 2), "3 records produced, 2 in S3, 1 missing, 0 too many"),
        ((0, 1, 1, 2), "3 records produced, 4 in S3, 0 missing, 1 too many"),
        ((0, 1, 1), "3 records produced, 3 in S3, 1 missing, 1 too many"),
        ((0, 1, 2, 3), "3 records produced, 4 in S3, 0 missing, 1 too many"),
        ((0, 1, -1), "3 records produced, 3 in S3, 1 missing, 1 too many"),
    ],
)
def test_a_record_that_is_missing_or_too_many_is_wrong(found: tuple[int, ...], told: str) -> None:
    tally = tally_of(3, *found)
    assert not tally.is_good
    assert tally.verdict() == f"WRONG: {told}."


def test_a_sample_has_what_the_layout_asks_for() -> None:
    record = sample(7, random.Random(1))
    assert record["number"] == 7
    assert str(record["ts"]).endswith("Z")
    assert isinstance(record["user"], dict)
    assert len(record["user"]["country"]) == 2


def test_progress_is_rewritten_on_a_terminal_and_kept_above_other_text() -> None:
    out = Terminal()
    show = Show(out)
    show.progress("one", is_due=False)
    show.progress("two", is_due=False)
    show.say("text")
    assert out.getvalue() == "\r\x1b[Kone\r\x1b[Ktwo\ntext\n"


def test_progress_that_is_erased_leaves_no_line() -> None:
    out = Terminal()
    show = Show(out)
    show.progress("one", is_due=False)
    show.erase()
    show.say("text")
    assert out.getvalue() == "\r\x1b[Kone\r\x1b[Ktext\n"


def test_without_a_terminal_progress_is_a_plain_line_now_and_then() -> None:
    out = StringIO()
    show = Show(out)
    for line in ("first", "too soon"):
        show.progress(line, is_due=False)
    show.progress("last", is_due=True)
    show.erase()
    assert out.getvalue() == "first\nlast\n"


def test_a_listing_shows_some_objects_of_each_s3_partition_and_counts_the_rest() -> None:
    stored = [(f"t/c={country}/{n}.json", 1024) for country in "AB" for n in range(3)]
    assert listing(stored).splitlines() == [
        "  t/c=A/",
        "       1.0 KiB  0.json",
        "       1.0 KiB  1.json",
        "  t/c=B/",
        "       1.0 KiB  0.json",
        "       1.0 KiB  1.json",
        "  ... and 2 more",
        "",
        "  6 objects, 6.0 KiB",
    ]


def test_a_listing_names_at_most_twenty_objects() -> None:
    stored = [(f"t/c={n:02}/x.json", 1) for n in range(23)]
    shown = listing(stored)
    assert shown.count("x.json") == shown.count("c=") == 20
    assert "... and 3 more" in shown


@pytest.mark.parametrize("seconds", ["0", "-1", "1.5", "3601", "long", "²"])
def test_a_length_that_is_none_is_status_2(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["demo", "--seconds", seconds], {})
    assert ended.value.code == 2
    assert "allowed: 1 to 3600" in capsys.readouterr().err
