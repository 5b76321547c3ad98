"""Columns that stand for a list: they are what the list would be."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolsink.rows import Repeated, RowColumn, Sizes, joined, total_of

TEXTS = st.lists(st.binary(max_size=5), max_size=8)
ENDS = st.sampled_from([b"", b"\n", b"--"])
CUTS = st.none() | st.integers(-9, 9)


@given(TEXTS, ENDS, CUTS, CUTS, st.booleans())
def test_rows_are_the_texts_with_their_ends(
    texts: list[bytes],
    end: bytes,
    low: int | None,
    high: int | None,
    is_counted: bool,  # noqa: FBT001
) -> None:
    rows = RowColumn(texts, end, sum(map(len, texts)) if is_counted else None)
    plain = [text + end for text in texts]
    assert (list(rows), len(rows), rows.joined()) == (plain, len(plain), b"".join(plain))
    assert [rows[index] for index in range(len(rows))] == plain
    part, cut = rows[low:high], plain[low:high]
    assert (list(part), part.total_bytes, part.joined()) == (cut, len(b"".join(cut)), b"".join(cut))
    picked = range(0, len(plain), 2)
    assert joined(rows, picked) == joined(plain, picked) == b"".join(plain[::2])


@given(TEXTS, ENDS, CUTS, CUTS)
def test_sizes_are_those_of_the_rows(
    texts: list[bytes], end: bytes, low: int | None, high: int | None
) -> None:
    sizes = Sizes(RowColumn(texts, end))
    plain = [len(text + end) for text in texts]
    assert (list(sizes), len(sizes), total_of(sizes)) == (plain, len(plain), sum(plain))
    assert [sizes[index] for index in range(len(sizes))] == plain
    assert list(sizes[low:high]) == plain[low:high]
    assert total_of(sizes[low:high]) == sum(plain[low:high])


@given(st.integers(0, 8), CUTS, CUTS)
def test_a_repeated_text_is_a_list_of_it(count: int, low: int | None, high: int | None) -> None:
    texts: Sequence[str] = Repeated("a", count)
    assert texts == ["a"] * count
    assert texts != ["b"] * (count + 1)
    assert (len(texts), texts.count("a")) == (count, count)
    assert texts[low:high] == (["a"] * count)[low:high]
    with pytest.raises(IndexError):
        texts[count]
