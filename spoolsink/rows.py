"""Columns that are cheaper than a list with an object for each record (pure).

Each is a sequence like any other; what knows them asks the whole column at once.
"""

from collections.abc import Iterator, Sequence
from typing import overload


class Repeated(Sequence[str]):
    """One text for every row: the S3 partition of most batches."""

    __slots__ = ("_count", "text")

    def __init__(self, text: str, count: int) -> None:
        self.text = text
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        """The text; a slice of it is one like it."""
        if isinstance(index, slice):
            return Repeated(self.text, len(range(self._count)[index]))
        range(self._count)[index]  # raises IndexError
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as a list

    def __repr__(self) -> str:
        return f"Repeated({self.text!r}, {self._count})"


class RowColumn(Sequence[bytes]):
    """Encoded rows: each of `texts` with `end` behind it, put together when they are asked for.

    `total_bytes` counts all of them, ends included.
    """

    __slots__ = ("_total_bytes", "end", "texts")

    def __init__(
        self, texts: Sequence[bytes], end: bytes = b"", text_bytes: int | None = None
    ) -> None:
        self.texts = texts
        self.end = end
        self._total_bytes = None if text_bytes is None else text_bytes + len(end) * len(texts)

    @property
    def total_bytes(self) -> int:
        if self._total_bytes is None:
            self._total_bytes = sum(map(len, self.texts)) + len(self.end) * len(self.texts)
        return self._total_bytes

    def joined(self, picked: Sequence[int] | None = None) -> bytes:
        """All of them, or the picked ones, in a row."""
        texts = self.texts if picked is None else [self.texts[row] for row in picked]
        if not self.end:
            return b"".join(texts)
        return self.end.join((*texts, b""))

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> "RowColumn": ...
    def __getitem__(self, index: int | slice) -> "bytes | RowColumn":
        """A row with its end; a slice of them is one like it."""
        if isinstance(index, slice):
            return RowColumn(self.texts[index], self.end)
        return self.texts[index] + self.end

    def __iter__(self) -> Iterator[bytes]:
        return (text + self.end for text in self.texts)


class Sizes(Sequence[int]):
    """How many bytes each row has; counted one by one only where somebody asks for one."""

    __slots__ = ("_counted", "_rows")

    def __init__(self, rows: RowColumn) -> None:
        self._rows = rows
        self._counted: list[int] | None = None

    @property
    def total(self) -> int:
        return self._rows.total_bytes

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequence[int]": ...
    def __getitem__(self, index: int | slice) -> "int | Sequence[int]":
        """A size; a slice of them."""
        if isinstance(index, slice) and range(len(self))[index] == range(len(self)):
            return self
        return self._all()[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._all())

    def _all(self) -> list[int]:
        if self._counted is None:
            more = len(self._rows.end)
            sizes = map(len, self._rows.texts)
            self._counted = [size + more for size in sizes] if more else list(sizes)
        return self._counted


def total_of(sizes: Sequence[int]) -> int:
    """The sum of them."""
    return sizes.total if isinstance(sizes, Sizes) else sum(sizes)


def joined(rows: Sequence[bytes], picked: Sequence[int] | None = None) -> bytes:
    """Rows in a row: all, or the picked ones."""
    if isinstance(rows, RowColumn):
        return rows.joined(picked)
    return b"".join(rows if picked is None else [rows[row] for row in picked])
