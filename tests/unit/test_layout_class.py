"""A partitioner class of the user: what it is told, and what its answers may be."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import pytest

from spoolsink.errors import ConfigError, LayoutError
from spoolsink.layout import Placed
from spoolsink.layout_class import ClassLayout
from spoolsink.records import NO_TIMESTAMP, Batch, Headers, TimestampType, TopicPartition


class Told:
    """Puts everything that it is told into the path."""

    def __init__(self, options: Mapping[str, object]) -> None:
        self.options = options

    def __call__(self, *record: object) -> str:
        return f"{self.options['word']}={record}"


class Field:
    """One field of the value; raises as such classes do."""

    def __init__(self, options: Mapping[str, object]) -> None:
        self.name = options["name"]

    def __call__(  # noqa: PLR0917  # the contract's order
        self,
        topic: str,
        partition: int,
        offset: int,
        timestamp: int,
        key: object,
        value: dict[object, object],
        headers: Sequence[tuple[str, bytes | None]],
    ) -> object:
        return value[self.name]


class Town(StrEnum):
    SEOUL = "town=seoul"


class NotCallable:
    def __init__(self, options: Mapping[str, object]) -> None:
        pass


def batch_of(count: int, headers: Sequence[Headers] | None = None) -> Batch:
    times = [NO_TIMESTAMP, *range(1_001, 1_000 + count)]
    return Batch(
        TopicPartition("orders", 3), 5, 5 + count, range(5, 5 + count), times[:count],
        TimestampType.CREATE, [None] * count, [None] * count, headers,
    )  # fmt: skip


def field() -> ClassLayout:
    return ClassLayout(f"{__name__}:Field", {"name": "f"})


def placed(*answers: object) -> Placed:
    values: list[object] = [{"f": answer} for answer in answers]
    return field().place(batch_of(len(answers)), {(): values}, {(): [None] * len(answers)}, 0)


def test_it_is_told_all_of_the_record_and_its_options() -> None:
    layout = ClassLayout(f"{__name__}:Told", {"word": "w"})
    headers: Headers = [("h", None)]
    found = layout.place(
        batch_of(2, [(), headers]), {(): [{"a": [1]}, None]}, {(): ["k", b"k"]}, 99
    )
    assert found == [
        "w=('orders', 3, 5, -1, 'k', {'a': [1]}, ())",
        "w=('orders', 3, 6, 1001, b'k', None, [('h', None)])",
    ]


def test_it_needs_whole_keys_and_values_and_never_the_clock() -> None:
    layout = field()
    assert (layout.value_paths, layout.key_paths) == (((),), ((),))
    assert layout.uses_wallclock is False
    assert layout.now(0) == layout.now(10**12)


@pytest.mark.parametrize("answer", ["", "a", "a/b=c", "é/한", "...", "a b", "%2F", "{x}"])
def test_what_a_template_could_write_may_be_answered(answer: str) -> None:
    assert placed(answer, answer) == [answer, answer]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("/a", "may not begin or end with '/'"), ("a/", "may not begin or end with '/'"),
        ("a//b", "may not contain '//'"), ("a\nb", "may not contain control characters"),
        ("a\x7f", "may not contain control characters"), ("../a", "may not contain '.' or '..'"),
        ("a/./b", "may not contain '.' or '..'"), ("\ud800", "may not contain lone surrogates"),
        (None, "returned NoneType, not str"), (b"a", "returned bytes, not str"),
        (["a"], "returned list, not str"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_directory_is_an_error_of_its_record_alone(
    answer: object, problem: str
) -> None:
    before, bad, behind, again = placed("a", answer, "b", answer)
    assert (before, behind) == ("a", "b")
    for found in (bad, again):
        assert isinstance(found, LayoutError)
        assert problem in found.message
        assert f"{__name__}:Field" in found.message
        assert found.message.isascii()
        assert found.message.isprintable()


def test_what_it_raises_is_an_error_of_its_record_alone() -> None:
    values: list[object] = [{"f": "a"}, {}, 7]
    found = field().place(batch_of(3), {(): values}, {(): [None] * 3}, 0)
    assert found[0] == "a"
    assert [str(error) for error in found[1:]] == [
        f"layout: {__name__}:Field: KeyError: 'f'",
        f"layout: {__name__}:Field: TypeError: 'int' object is not subscriptable",
    ]


def test_a_member_of_an_enumeration_is_its_text() -> None:
    (found,) = placed(Town.SEOUL)
    assert found == "town=seoul"
    assert type(found) is str


def test_answers_beyond_what_is_remembered_are_checked_alike() -> None:
    answers = [f"id={number}" for number in range(40_000)]
    assert placed(*answers) == answers
    assert placed(*answers, "a" * 2_000)[-1] == "a" * 2_000


def test_times_for_rotation_come_as_with_a_template() -> None:
    batch = batch_of(3, [[("at", b"7")], [("at", b"soon")], ()])
    values: list[object] = [{"t": {"at": 2}}, {"t": "1970-01-01T01:00:00"}, None]

    def times(time: str, **settings: str) -> list[object]:
        layout = ClassLayout(f"{__name__}:Field", {"name": "f"}, time=time, **settings)
        found = layout.times_ms(batch, {(): values}, 99)
        return [str(cell) if isinstance(cell, LayoutError) else cell for cell in found]

    assert times("record") == [None, 1_001, 1_002]
    assert times("wallclock") == [99, 99, 99]
    assert times("value.t.at", time_unit="s") == [2_000, None, None]
    assert times("value.t", timezone="+01:00")[1:] == [0, None]
    assert times("header.at") == [
        7, "layout: header.at: cannot be read as a time: 'soon'", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no.such.module:Class", "partitioner: cannot load 'no.such.module:Class': No module"),
        (f"{__name__}:Absent", "cannot load"), (f"{__name__}:batch_of.nothing", "cannot load"),
        (f"{__name__}:__doc__", "not a class"), (f"{__name__}:Field", "KeyError: 'name'"),
        (f"{__name__}:NotCallable", "makes cannot be called"),
    ],
)  # fmt: skip
def test_a_class_that_cannot_be_made_is_a_problem_of_the_configuration(
    name: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        ClassLayout(name, {})
    (line,) = caught.value.problems
    assert line.startswith("layout.partitioner: ")
    assert problem in line
