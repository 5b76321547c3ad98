"""A batch of records to encoded rows with their places: convert, place, encode, by column.

1. What is wrong with one record costs that record only: it is taken out and told in `rejected`.
2. The answer depends on the batch, the configuration and the cut's instant, never on how records
   were batched.
3. Converters are called where the layout or the format needs what they return; `json` is checked
   always and decoded only where a field is wanted.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Literal, NamedTuple, Protocol, TypeGuard

from spoolsink.converters import Converter
from spoolsink.converters.json import FieldDecoder, JsonConverter, check, decode, find_bad
from spoolsink.converters.schema import SchemaConverter
from spoolsink.errors import ConversionError, FormatError, LayoutError, RecordError
from spoolsink.formats import Format
from spoolsink.formats.columns import SCHEMAS
from spoolsink.layout import MAX_KEY_BYTES, walk
from spoolsink.layout_template import WHOLE, Path
from spoolsink.records import Batch, facts_of
from spoolsink.rows import Repeated, RowColumn, Sizes

DEAD_LETTERS = "\0dead letters"
"""The place of records that are written under `dead_letter.prefix`; no S3 partition has a NUL."""

TAG_MARK = "\0"
"""Between an S3 partition and what tells rows of different schemas in it apart."""

Column = Sequence[object]
Columns = Mapping[Path, Column]


class Placing(Protocol):
    """What is used of `Layout`, and of a user's partitioner class."""

    @property
    def value_paths(self) -> tuple[Path, ...]: ...
    @property
    def key_paths(self) -> tuple[Path, ...]: ...
    @property
    def uses_wallclock(self) -> bool: ...
    @property
    def zone(self) -> tzinfo: ...
    def now(self, instant_ms: int) -> str: ...
    def times_ms(
        self, batch: Batch, values: Columns, instant_ms: int
    ) -> Sequence[int | LayoutError | None]: ...
    def place(
        self, batch: Batch, values: Columns, keys: Columns, instant_ms: int
    ) -> Sequence[str | LayoutError]: ...


class Rejected(NamedTuple):
    """A record that is not written; the error knows topic partition, offset and stage."""

    offset: int
    error: RecordError
    must_stop: bool = False


@dataclass(slots=True, frozen=True)
class Encoded:
    """Rows of one topic partition, ready for the spool; columns of equal length.

    `next_offset` is the end of what the batch accounts for. `times_ms` is None where no rotation
    asks for times.
    """

    batch: Batch
    next_offset: int
    offsets: Sequence[int]
    rows: Sequence[bytes]
    places: Sequence[str]
    sizes: Sequence[int]
    times_ms: Sequence[int | None] | None
    rejected: tuple[Rejected, ...] = ()
    nulls_skipped: int = 0

    def row_of(self, offset: int) -> int:
        """The first row at or above an offset."""
        return bisect_left(self.offsets, offset)

    def since(self, row: int) -> "Encoded":
        """The rows from `row` on; rejections were told already."""
        if not row:
            return self
        rows = self.rows[row:]
        return Encoded(
            batch=self.batch,
            next_offset=self.next_offset,
            offsets=self.offsets[row:],
            rows=rows,
            places=self.places[row:],
            sizes=Sizes(rows) if isinstance(rows, RowColumn) else self.sizes[row:],
            times_ms=None if self.times_ms is None else self.times_ms[row:],
        )


class Side:
    """Keys or values of a batch: which columns are wanted of them, and how they are read."""

    def __init__(
        self,
        name: str,
        converter: Converter,
        *,
        paths: Sequence[Path],
        is_checked: bool,
        needs_schemas: bool = False,
        keeps_digits: bool = False,
    ) -> None:
        self._is_json = isinstance(converter, JsonConverter)
        self._is_bytes = name == "bytes"
        self._converter = converter
        self._paths = tuple(path for path in paths if path)
        self._needs_whole = WHOLE in paths
        self._schemas = converter if needs_schemas and _has_schemas(converter) else None
        self._is_checked = is_checked
        self._keeps_digits = keeps_digits
        self._decoder = None
        if self._is_json and self._paths:
            self._decoder = FieldDecoder(self._paths, keeps_digits=keeps_digits)

    def read(
        self, data: Sequence[bytes | None], batch: Batch
    ) -> tuple[Columns, dict[int, ConversionError]]:
        """Columns by path, and what is wrong by row (the columns are of no use then)."""
        if self._is_json:
            return self._read_json(data, batch)
        if self._is_bytes and not self._paths:
            return {WHOLE: data}, {}
        if not (self._needs_whole or self._paths or self._is_checked):
            return {}, {}
        return self._converted(data, batch)

    def _read_json(
        self, data: Sequence[bytes | None], batch: Batch
    ) -> tuple[Columns, dict[int, ConversionError]]:
        if not (self._needs_whole or self._paths or self._is_checked):
            return {}, {}
        facts = batch.about_values if data is batch.values else facts_of(data)
        there = [value for value in data if value is not None] if facts.has_nulls else data
        try:
            check(there, is_ascii=facts.is_ascii)  # type: ignore[arg-type]
        except ConversionError:
            return {}, dict(find_bad(data))
        try:
            return self._json_columns(data), {}
        except ConversionError:
            # The check accepts what the reader does not: none is known, and none may end us.
            return {}, self._unreadable(data)

    def _json_columns(self, data: Sequence[bytes | None]) -> Columns:
        columns: dict[Path, Column] = {}
        if self._decoder is not None:
            columns.update(self._decoder.columns(data, walk))
        if self._needs_whole:
            keeps = self._keeps_digits
            columns[WHOLE] = [v if v is None else decode(v, keeps_digits=keeps) for v in data]
        return columns

    def _unreadable(self, data: Sequence[bytes | None]) -> dict[int, ConversionError]:
        bad: dict[int, ConversionError] = {}
        for index, value in enumerate(data):
            try:
                self._json_columns([value])
            except ConversionError as error:
                bad[index] = error
        return bad

    def _converted(
        self, data: Sequence[bytes | None], batch: Batch
    ) -> tuple[Columns, dict[int, ConversionError]]:
        whole: list[object] = [None] * len(data)
        schemas: list[object] = [None] * len(data)
        bad: dict[int, ConversionError] = {}
        topic, with_schema = batch.tp.topic, self._schemas
        for index, value in enumerate(data):
            if value is None:
                continue
            given = (value, topic, batch.headers_at(index))
            try:
                if with_schema is None:
                    whole[index] = self._converter(*given)
                else:
                    whole[index], schemas[index] = with_schema.convert_with_schema(*given)
            except ConversionError as error:
                bad[index] = error
        columns: dict[Path, Column] = {WHOLE: whole, SCHEMAS: schemas}
        for path in self._paths:
            columns[path] = [walk(value, path) for value in whole]
        return columns, bad


class Encoder:
    """Converter, layout and format of one configuration; used by one pipeline."""

    def __init__(
        self,
        *,
        values: Side,
        keys: Side,
        layout: Placing,
        form: Format,
        null_values: Literal["write", "skip", "stop"],
        needs_times: bool,
        key_bytes: Callable[[Batch, str, int], int],
        unwrap: Callable[[bytes], bytes] | None = None,
        dead_letter: Callable[[Batch, int, RecordError], bytes] | None = None,
    ) -> None:
        """`unwrap` takes the frame or envelope off a value; what is within is read by `values`.

        `dead_letter` makes a row of a record that is written under the prefix of dead letters.
        """
        self._unwrap = unwrap
        self._dead_letter = dead_letter
        self._values = values
        self._keys = keys
        self.layout = layout
        self._form = form
        self._null_values = null_values
        self._needs_times = needs_times
        self._key_bytes = key_bytes

    def encode(self, batch: Batch, instant_ms: int) -> Encoded:
        """Every record of the batch is in the columns, rejected, or a skipped null."""
        rejected: list[Rejected] = []
        nulls = 0
        kept = batch
        if self._null_values != "write" and batch.about_values.has_nulls:
            kept, nulls = self._without_nulls(batch, rejected)
        if self._unwrap is not None:
            kept = self._unwrapped(kept, self._unwrap, rejected)
        while True:
            values, bad_values = self._values.read(kept.values, kept)
            keys, bad_keys = self._keys.read(kept.keys, kept)
            if not bad_values and not bad_keys:
                places, rows, bad = self._written(kept, values, keys, instant_ms)
                if not bad:
                    break
            else:
                bad = {**_of_keys(bad_keys), **bad_values}
            rejected += (Rejected(kept.offsets[i], _at(kept, i, e)) for i, e in bad.items())
            kept = _without(kept, bad)
        times = self._times(kept, values, instant_ms) if self._needs_times else None
        encoded = Encoded(
            batch=kept,
            next_offset=batch.next_offset,
            offsets=kept.offsets,
            rows=rows,
            places=places,
            sizes=Sizes(rows),
            times_ms=times,
            rejected=tuple(sorted(rejected, key=lambda r: r.offset)),
            nulls_skipped=nulls,
        )
        if rejected and self._dead_letter is not None:
            return _with_letters(batch, encoded, self._dead_letter)
        return encoded

    def _unwrapped(
        self, batch: Batch, unwrap: Callable[[bytes], bytes], rejected: list[Rejected]
    ) -> Batch:
        values = list(batch.values)
        bad: dict[int, RecordError] = {}
        for index, value in enumerate(values):
            try:
                values[index] = None if value is None else unwrap(value)
            except ConversionError as error:
                bad[index] = error
        rejected += (Rejected(batch.offsets[i], _at(batch, i, e)) for i, e in bad.items())
        unwrapped = replace(batch, values=values, facts=None)
        return _without(unwrapped, bad) if bad else unwrapped

    def _without_nulls(self, batch: Batch, rejected: list[Rejected]) -> tuple[Batch, int]:
        nulls = {i: FormatError("null value") for i, v in enumerate(batch.values) if v is None}
        if self._null_values == "skip":
            return _without(batch, nulls), len(nulls)
        # `on_null_value: stop` stops, whatever `on_error` says.
        found = ((batch.offsets[i], _at(batch, i, error)) for i, error in nulls.items())
        rejected += (Rejected(offset, error, must_stop=True) for offset, error in found)
        return _without(batch, nulls), 0

    def _written(
        self, batch: Batch, values: Columns, keys: Columns, instant_ms: int
    ) -> tuple[Sequence[str], RowColumn, dict[int, RecordError]]:
        places = self.layout.place(batch, values, keys, instant_ms)
        rows = self._form.rows(batch, keys, values)
        # Of a row that a format could not write there would be an error in its place.
        bad = _errors_in(rows, bytes) | _errors_in(places, str)
        if not bad:
            bad.update(self._too_long(batch, places))  # type: ignore[arg-type]
        if not bad and self._form.tags is not None:
            # Rows of different schemas never share a segment.
            tags = self._form.tags(values, len(batch))
            places = [f"{p}{TAG_MARK}{t}" for p, t in zip(places, tags, strict=True)]
        rows = rows if isinstance(rows, RowColumn) else RowColumn(rows)  # type: ignore[arg-type]
        return places, rows, bad  # type: ignore[return-value]

    def _too_long(self, batch: Batch, places: Sequence[str]) -> dict[int, RecordError]:
        if not places:
            return {}
        # Offsets only grow, so the last one makes the longest name; a slash, and four bytes for a
        # character, are the most that a place adds to it.
        safe = (MAX_KEY_BYTES - 1 - self._key_bytes(batch, "", -1)) // 4
        different = {places.text} if isinstance(places, Repeated) else set(places)
        long = (place for place in different if len(place) > safe)
        longest = {place for place in long if self._key_bytes(batch, place, -1) > MAX_KEY_BYTES}
        if not longest:
            return {}
        return {
            index: LayoutError(f"the object's key would be longer than {MAX_KEY_BYTES} bytes")
            for index, place in enumerate(places)
            if place in longest and self._key_bytes(batch, place, index) > MAX_KEY_BYTES
        }

    def _times(self, batch: Batch, values: Columns, instant_ms: int) -> list[int | None]:
        times = self.layout.times_ms(batch, values, instant_ms)
        # A time that cannot be read fires nothing; where the layout needs it, it is an error.
        return [None if isinstance(time, LayoutError) else time for time in times]


def _with_letters(
    batch: Batch, encoded: Encoded, write: Callable[[Batch, int, RecordError], bytes]
) -> Encoded:
    """The same with the rejected records as rows of the dead letters, in offset order."""
    letters = {r.offset: r.error for r in encoded.rejected if not r.must_stop}
    rows = dict(zip(encoded.offsets, zip(encoded.rows, encoded.places, strict=True), strict=True))
    times = dict(zip(encoded.offsets, encoded.times_ms or (), strict=False))
    kept: list[int] = []
    passed: dict[int, None] = {}
    for index, offset in enumerate(batch.offsets):
        if offset in rows or offset in letters:
            kept.append(index)
        else:
            passed[index] = None
    for index in kept:
        offset = batch.offsets[index]
        if offset in letters:
            rows[offset] = (write(batch, index, letters[offset]), DEAD_LETTERS)
    offsets = [batch.offsets[index] for index in kept]
    return replace(
        encoded,
        batch=_without(batch, passed),
        offsets=offsets,
        rows=[rows[offset][0] for offset in offsets],
        places=[rows[offset][1] for offset in offsets],
        sizes=[len(rows[offset][0]) for offset in offsets],
        times_ms=None if encoded.times_ms is None else [times.get(o) for o in offsets],
    )


def _errors_in(column: Column, kind: type) -> dict[int, RecordError]:
    """By row; what the column is usually of tells at C speed that there is none."""
    if isinstance(column, RowColumn | Repeated) or set(map(type, column)) <= {kind}:
        return {}
    return {row: cell for row, cell in enumerate(column) if isinstance(cell, RecordError)}


def _has_schemas(converter: Converter) -> TypeGuard[SchemaConverter]:
    return isinstance(converter, SchemaConverter)


def _of_keys(bad: Mapping[int, ConversionError]) -> dict[int, RecordError]:
    return {index: ConversionError(f"key: {error.message}") for index, error in bad.items()}


def _at(batch: Batch, index: int, error: RecordError) -> RecordError:
    """The same error with its place; what is shared by many records is not written to."""
    return type(error)(error.message, batch.tp, batch.offsets[index])


def _without(batch: Batch, rows: Mapping[int, object]) -> Batch:
    kept = [index for index in range(len(batch)) if index not in rows]
    headers = batch.headers
    return replace(
        batch,
        offsets=[batch.offsets[i] for i in kept],
        timestamps=[batch.timestamps[i] for i in kept],
        keys=[batch.keys[i] for i in kept],
        values=[batch.values[i] for i in kept],
        headers=None if headers is None else [headers[i] for i in kept],
        facts=None,
        times=None,
    )
