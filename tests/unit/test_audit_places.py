"""Which keys are whose, and what metadata must say."""

from typing import Any

import pytest

from spoolsink.audit.places import Named, Places, Stored, Unknown, read
from spoolsink.records import TopicPartition

TP = TopicPartition("orders", 3)
KEY = "topics/orders/dt=2026-01-31/orders+3+0000000010+0000000019.json"
NAMED = Named(TP, "topics/orders/dt=2026-01-31", 10, 19)
SAID = {
    "spoolsink-topic": "orders",
    "spoolsink-partition": "3",
    "spoolsink-first-offset": "10",
    "spoolsink-last-offset": "19",
    "spoolsink-records": "4",
    "spoolsink-cut": "10",
    "spoolsink-cut-end": "20",
    "spoolsink-cut-records": "9",
    "spoolsink-digest": "d:ab",
}


def places(**changes: Any) -> Places:
    settings: dict[str, Any] = {
        "prefix": "topics",
        "topic_directory": True,
        "dead_letter_prefix": "",
        "topics": ("orders", "carts"),
        "has_topic": {"orders", "carts"}.__contains__,
    }
    return Places(**(settings | changes))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (KEY, NAMED),
        (KEY.replace("+0000000019", ""), NAMED._replace(last=None)),
        (KEY.replace(".json", "+0a1b2c3d.json.gz"), NAMED),
        (KEY.replace(".json", ""), NAMED),
        (
            "topics/orders/orders+3+0000000010+0000000019.json",
            NAMED._replace(directory="topics/orders"),
        ),
        ("topics/others/a/others+0+0000000010.json", None),
        ("topics/.spoolsink-probe", None),
        ("topics/orders/a.txt", Unknown),
        ("topics/orders/dt=1/", Unknown),
        ("topics/orders/carts+0+0000000010.json", Unknown),
        ("topics/orders/orders+3+10+19.json", Unknown),
    ],
)
def test_a_key_is_ours_unknown_or_nobody_s_business(key: str, expected: Any) -> None:
    found = places().judge(key)
    assert found == expected if not isinstance(expected, type) else isinstance(found, expected)


def test_without_topic_directories_the_name_tells_the_topic() -> None:
    shared = places(topic_directory=False)
    assert shared.roots() == ["topics/"]
    assert shared.judge("topics/x/others+0+0000000010.json") is None
    assert isinstance(shared.judge("topics/x/notes.txt"), Unknown)
    assert shared.judge("topics/x/orders+3+0000000010+0000000019.json") == Named(
        TP, "topics/x", 10, 19
    )


def test_dead_letters_belong_to_it_and_nothing_is_listed_twice() -> None:
    beside = places(dead_letter_prefix="letters")
    assert beside.roots() == [
        "letters/carts/",
        "letters/orders/",
        "topics/carts/",
        "topics/orders/",
    ]
    key = "letters/orders/partition=3/orders+3+0000000010+0000000019.json"
    assert beside.judge(key) == Named(TP, "letters/orders/partition=3", 10, 19)
    within = places(topic_directory=False, dead_letter_prefix="topics/letters")
    assert within.roots() == ["topics/"]
    assert within.judge(f"topics/{key}") == Named(TP, "topics/letters/orders/partition=3", 10, 19)
    everything = places(prefix="", topics=None, dead_letter_prefix="letters")
    assert everything.roots() == [""]


def test_metadata_that_agrees_makes_an_object_ours() -> None:
    assert read(KEY, NAMED, {**SAID, "mine": "x"}) == Stored(
        KEY, TP, NAMED.directory, 10, 19, 4, 10, 20, 9, "d:ab"
    )
    split = {
        k: v for k, v in SAID.items() if k not in {"spoolsink-cut-end", "spoolsink-cut-records"}
    }
    found = read(KEY, NAMED, split)
    assert isinstance(found, Stored)
    assert (found.cut_end, found.cut_records) == (None, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"topic": "carts"}, "other offsets"),
        ({"partition": "4"}, "other offsets"),
        ({"last-offset": "20"}, "other offsets"),
        ({"cut": "11"}, "other offsets"),
        ({"records": "many"}, "without records"),
        ({"cut": "9" * 30}, "without cut"),
        ({"first-offset": "-1"}, "without first-offset"),
    ],
)
def test_metadata_that_does_not_agree_makes_it_unknown(changes: dict[str, str], words: str) -> None:
    said = SAID | {f"spoolsink-{name}": text for name, text in changes.items()}
    found = read(KEY, NAMED, said)
    assert isinstance(found, Unknown)
    assert words in found.why
    bare = read(KEY, NAMED, {"made-by": "connect"})
    assert bare == Unknown(KEY, "has no metadata of spoolsink", NAMED)
