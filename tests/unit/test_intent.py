"""The commit metadata: exact round trips, and nothing foreign taken for ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolsink.errors import MetadataVersionError
from spoolsink.intent import CommitMetadata, Identity, Mark, decode, digest_of, encode

NAMES = st.text("abcXYZ019-_", min_size=1, max_size=22)
NUMBERS = st.integers(0, 2**63 - 1)
MARKS = st.builds(
    Mark, NUMBERS, NUMBERS, st.text("0123456789abcdef", min_size=16, max_size=16), NUMBERS
)
IDENTITY = st.builds(Identity, NAMES, NAMES, NAMES, NAMES)


def _metadata(identity: Identity, marks: list[Mark], *, has_floor: bool) -> CommitMetadata:
    in_order = sorted(marks)
    floor = in_order.pop() if has_floor and in_order else None
    return CommitMetadata(identity, tuple(in_order), floor)


METADATA = st.builds(
    _metadata,
    IDENTITY,
    st.lists(MARKS, max_size=6, unique_by=lambda mark: mark.offset),
    has_floor=st.booleans(),
)


@given(METADATA)
def test_what_is_encoded_is_decoded(metadata: CommitMetadata) -> None:
    text = encode(metadata)
    assert text.isascii()
    assert decode(text) == metadata


@given(METADATA, st.data())
def test_a_changed_character_makes_it_foreign(
    metadata: CommitMetadata, data: st.DataObject
) -> None:
    text = encode(metadata)
    place = data.draw(st.integers(3, len(text) - 1))
    changed = text[:place] + ("#" if text[place] != "#" else "!") + text[place + 1 :]
    assert decode(changed) is None


@pytest.mark.parametrize("text", ["", "MirrorMaker", "s1;", "s1;a;b;c;d;;;00000000", "é;s1"])
def test_foreign_text_is_none(text: str) -> None:
    assert decode(text) is None


def test_another_version_of_ours_is_refused() -> None:
    with pytest.raises(MetadataVersionError, match="unknown version: 's2;"):
        decode("s2;whatever")


def test_a_digest_does_not_depend_on_the_order_of_objects() -> None:
    assert digest_of([("b", "1"), ("a", "2")]) == digest_of([("a", "2"), ("b", "1")])


def test_a_digest_tells_a_key_from_a_digest() -> None:
    assert digest_of([("ab", "c")]) != digest_of([("a", "bc")])
