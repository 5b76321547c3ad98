"""Waits between two tries."""

from itertools import pairwise

from spoolsink.backoff import Backoff


def test_waits_grow_up_to_their_cap_and_begin_anew() -> None:
    backoff = Backoff(0.5, 15, lambda: 1.0)
    waits = [backoff.next() for _ in range(8)]
    assert all(a <= b for a, b in pairwise(waits))
    assert (waits[0], waits[-1]) == (0.5, 15)
    backoff.reset()
    assert backoff.next() == 0.5
    assert Backoff(10, 15, lambda: 0.0).next() == 1.0
