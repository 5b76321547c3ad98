"""A body as parts: of one size, of few copies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolsink.body_parts import MAX_PARTS, part_bytes_for, split_body


def test_large_chunks_are_not_copied_and_small_ones_come_together() -> None:
    large, small = bytes(2**17), b"x" * 1000
    ((part, is_last),) = split_body(iter([small, small, large, *[small] * 600]), 2**21)
    first, second, *rest = part
    assert first == small * 2
    assert isinstance(second, memoryview)
    assert second.obj is large
    assert [len(piece) for piece in rest] == [263_000, 263_000, 74_000]
    assert is_last


@given(st.lists(st.binary(max_size=9)), st.integers(1, 7))
def test_parts_are_of_exactly_the_size_but_the_last(chunks: list[bytes], size: int) -> None:
    parts = list(split_body(iter(chunks), size))
    bodies = [b"".join(part) for part, _ in parts]
    assert b"".join(bodies) == b"".join(chunks)
    assert [is_last for _, is_last in parts] == [False] * (len(parts) - 1) + [True]
    assert all(len(body) == size for body in bodies[:-1])
    assert len(bodies[-1]) <= size


@pytest.mark.parametrize("size", [0, 10**9, 10**11, 5 * 10**13])
def test_the_part_size_grows_where_ten_thousand_would_not_do(size: int) -> None:
    part = part_bytes_for(size, 8 * 2**20)
    assert part >= 8 * 2**20
    assert size / part <= MAX_PARTS
