"""How much of a batch goes into the open cut before something has to end (pure).

Forced ends and floors of an earlier owner come before every limit of ours; splits depend on the
records alone, so they are cut at the same places in a repeat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spoolsink.encoder import Encoded
from spoolsink.rotation import CutEnd, CutProgress, Rotation, RotationReason, SplitRule
from spoolsink.rows import Repeated, total_of


@dataclass(slots=True)
class OpenObject:
    """What is known of an open segment: enough to name its object and to see that it is full.

    `split` counts the objects of its S3 partition in the cut; `schema` is that of its rows.
    """

    split: int
    first: int
    last: int = -1
    schema: str = ""
    records: int = 0
    encoded_bytes: int = 0


class Promise(NamedTuple):
    """An offset that an earlier owner promised: the end of a cut (`is_end`), or a floor."""

    offset: int
    is_end: bool


class Piece(NamedTuple):
    """The rows to take next, where the position is then, and what ends there.

    `full` is the S3 partition whose split is complete with the last row, `reason` why the cut
    ends behind the rows.
    """

    rows: int
    next_offset: int
    full: str | None = None
    reason: RotationReason | None = None


@dataclass(frozen=True, slots=True)
class Boundaries:
    """The limits of `rotate`."""

    rotation: Rotation
    splits: SplitRule
    max_open: int | None

    def next_piece(
        self,
        encoded: Encoded,
        bounds: tuple[int, int],
        *,
        promise: Promise | None,
        progress: CutProgress,
        held: Mapping[str, OpenObject],
    ) -> Piece:
        """As many rows as go in without anything having to end within them.

        `bounds`: the position, and the end of what may be taken of the batch; `held`: the open
        segments by S3 partition.
        """
        position, end = bounds
        bound = end if promise is None else min(end, promise.offset)
        rows = encoded.row_of(bound) if bound < encoded.next_offset else len(encoded.offsets)
        piece = Piece(rows, bound)
        if promise is None:
            piece = self._rotated(encoded, piece, position, progress, held)
        elif promise.is_end and bound == promise.offset:
            piece = piece._replace(reason=RotationReason.REPEAT)
        return self._split(encoded, piece, held)

    def _rotated(
        self,
        encoded: Encoded,
        piece: Piece,
        position: int,
        progress: CutProgress,
        held: Mapping[str, OpenObject],
    ) -> Piece:
        sizes = encoded.sizes[: piece.rows]
        times = None if encoded.times_ms is None else encoded.times_ms[: piece.rows]
        ends = (
            self.rotation.end_within(progress, sizes, times),
            self._max_open_end(encoded.places[: piece.rows], held),
        )
        found = min((end for end in ends if end), key=lambda end: end.row, default=None)
        if found is None:
            return piece
        next_offset = encoded.offsets[found.row - 1] + 1 if found.row else position
        return Piece(found.row, next_offset, reason=found.reason)

    def _max_open_end(self, places: Sequence[str], held: Mapping[str, OpenObject]) -> CutEnd | None:
        if self.max_open is None or len(held) + len(places) <= self.max_open:
            return None
        seen = set(held)
        different = (places.text,) if isinstance(places, Repeated) else places
        if len(seen.union(different)) <= self.max_open:
            return None
        for row, place in enumerate(places):
            if place not in seen and len(seen) >= self.max_open:
                return CutEnd(row, RotationReason.MAX_OPEN)
            seen.add(place)
        return None  # a promise of an owner with a higher limit had more opened

    def _split(self, encoded: Encoded, piece: Piece, held: Mapping[str, OpenObject]) -> Piece:
        """The same, ended behind the first record that fills a split."""
        rule = self.splits
        if rule.records is None and rule.max_bytes is None:
            return piece
        first, full = piece.rows + 1, None
        total_bytes = total_of(encoded.sizes[: piece.rows])
        for place, rows in grouped(encoded.places[: piece.rows]):
            found = held.get(place)
            records, size = (found.records, found.encoded_bytes) if found else (0, 0)
            if not rule.is_full(records + len(rows), size + total_bytes):
                continue  # not even if all rows were as large as all of them together
            sizes = [encoded.sizes[row] for row in rows]
            if rule.is_full(records + len(rows), size + sum(sizes)):
                row = rows[rule.taken(records, size, sizes) - 1] + 1
                first, full = min((first, full), (row, place), key=lambda pair: pair[0])
        if full is None:
            return piece
        if first == piece.rows:
            # A full split makes room for the S3 partition before which the cut was to end.
            makes_room = piece.reason is RotationReason.MAX_OPEN
            return piece._replace(full=full, reason=None if makes_room else piece.reason)
        return Piece(first, encoded.offsets[first - 1] + 1, full)


def grouped(places: Sequence[str]) -> list[tuple[str, Sequence[int]]]:
    """Row numbers by S3 partition; one S3 partition, the usual case, costs one comparison each."""
    if not places:
        return []
    if isinstance(places, Repeated):
        return [(places.text, range(len(places)))]
    if places.count(places[0]) == len(places):
        return [(places[0], range(len(places)))]
    groups: dict[str, list[int]] = {}
    for row, place in enumerate(places):
        found = groups.get(place)
        if found is None:
            groups[place] = [row]
        else:
            found.append(row)
    return list(groups.items())
