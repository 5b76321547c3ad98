# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Records of a Kafka batch to columns, as aiokafka's decoder reads them, without an object of each.

The compiled twin of `columns.columns_by_record` (tests/property/test_columns.py proves it).
Every length is compared with what is left of the data before anything of it is read; offsets and
timestamps wrap round as 64-bit numbers, which no broker has.

    record: | length | attributes | timestamp delta | offset delta | key length, key |
            | value length, value | header count, (name length, name, value length, value)* |

All numbers are zigzag varints of at most 10 bytes.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint64_t

from aiokafka.errors import CorruptRecordException

cdef Py_ssize_t _MIN_RECORD_BYTES = 7
cdef int _VARINT_BITS = 70


cdef class _Cursor:
    """Where the reader is; `left` bytes lie ahead."""

    cdef const unsigned char* at
    cdef Py_ssize_t left

    cdef int64_t number(self) except? -1:
        cdef uint64_t found = 0
        cdef unsigned char byte
        cdef int shift = 0
        while shift < _VARINT_BITS:
            if self.left < 1:
                raise CorruptRecordException("a record is cut off")
            byte = self.at[0]
            self.at += 1
            self.left -= 1
            found |= <uint64_t>(byte & 0x7F) << shift
            if byte < 0x80:
                return <int64_t>((found >> 1) ^ (~(found & 1) + 1))
            shift += 7
        raise CorruptRecordException("a number of more than 10 bytes")

    cdef const char* taken(self, int64_t size) except NULL:
        """Raises where fewer than `size` bytes, which is not negative, lie ahead."""
        if size > self.left:
            raise CorruptRecordException(f"{size} bytes of {self.left} that are left")
        cdef const char* found = <const char*>self.at
        self.at += size
        self.left -= size
        return found

    cdef object data(self):
        """Bytes, None where their length is negative."""
        cdef int64_t size = self.number()
        if size < 0:
            return None
        return PyBytes_FromStringAndSize(self.taken(size), size)

    cdef object headers(self):
        """A list of pairs, the empty tuple where there are none."""
        cdef int64_t size
        cdef int64_t count = self.number()
        if count == 0:
            return ()
        if count < 0:
            raise CorruptRecordException(f"{count} headers")
        found = []
        while count:
            size = self.number()
            if size < 0:
                raise CorruptRecordException(f"a header's name of {size} bytes")
            name = PyUnicode_DecodeUTF8(self.taken(size), size, NULL)
            found.append((name, self.data()))
            count -= 1
        return found


cdef class _Facts:
    """Of all values so far: what spares others a pass over them."""

    cdef Py_ssize_t value_bytes
    cdef bint has_nulls
    cdef unsigned char seen
    cdef unsigned char line_ends

    cdef void add(self, bytes value) noexcept:
        cdef const unsigned char* at = <const unsigned char*>PyBytes_AS_STRING(value)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
        cdef Py_ssize_t index
        cdef unsigned char seen = 0
        cdef unsigned char line_ends = 0
        for index in range(size):
            seen |= at[index]
            line_ends |= <unsigned char>(at[index] == 0x0A) | <unsigned char>(at[index] == 0x0D)
        self.seen |= seen
        self.line_ends |= line_ends
        self.value_bytes += size


def decode(
    const unsigned char[::1] data,
    Py_ssize_t count,
    int64_t base_offset,
    int64_t first_ms,
    object log_ms,
    bint is_dense,
):
    """`(offsets, timestamps, keys, values, headers, facts, times)` of `count` records.

    They are all of `data`. `times` are the least and the greatest timestamp, None without a record.
    `log_ms`: the time of all of them where the log sets it, else None. `is_dense`: offsets are not
    looked at but for the last one, which must be the one that is due.
    Raises CorruptRecordException, and UnicodeDecodeError for a header's name.
    """
    if count < 0 or count > data.shape[0] // _MIN_RECORD_BYTES:
        raise CorruptRecordException(f"{count} records in {data.shape[0]} bytes")
    cdef list offsets = [] if is_dense else [None] * count
    cdef list timestamps = [log_ms] * count
    cdef list keys = [None] * count
    cdef list values = [None] * count
    cdef list headers = None
    cdef bint has_own_times = log_ms is None
    cdef _Cursor cursor = _Cursor()
    cdef _Facts facts = _Facts()
    cdef Py_ssize_t index, before
    cdef int64_t length, delta, time_ms
    cdef int64_t earliest_ms = INT64_MAX
    cdef int64_t latest_ms = INT64_MIN
    cdef int64_t last = count - 1
    if count:
        cursor.at = &data[0]
    cursor.left = data.shape[0]
    for index in range(count):
        length = cursor.number()
        before = cursor.left
        cursor.number()  # attributes: none is in use
        delta = cursor.number()
        if has_own_times:
            time_ms = <int64_t>(<uint64_t>first_ms + <uint64_t>delta)
            timestamps[index] = time_ms
            earliest_ms = min(earliest_ms, time_ms)
            latest_ms = max(latest_ms, time_ms)
        last = cursor.number()
        if not is_dense:
            offsets[index] = <int64_t>(<uint64_t>base_offset + <uint64_t>last)
        key = cursor.data()
        if key is not None:
            keys[index] = key
        value = cursor.data()
        if value is None:
            facts.has_nulls = True
        else:
            facts.add(<bytes>value)
            values[index] = value
        found = cursor.headers()
        if found:
            if headers is None:
                headers = [()] * count
            headers[index] = found
        if before - cursor.left != length:
            raise CorruptRecordException(f"a record of {length} bytes takes {before - cursor.left}")
    if cursor.left:
        raise CorruptRecordException(f"{cursor.left} bytes behind {count} records")
    if is_dense and last != count - 1:
        raise CorruptRecordException(f"offset {base_offset + last} is not the one that is due")
    return (
        range(base_offset, base_offset + count) if is_dense else offsets,
        timestamps,
        keys,
        values,
        headers,
        (facts.value_bytes, bool(facts.has_nulls), facts.seen < 0x80, bool(facts.line_ends)),
        None if not count else (earliest_ms, latest_ms) if has_own_times else (log_ms, log_ms),
    )
