"""A topic partition's objects in the order of its offsets, with bounded memory.

The S3 partitions of a cut have interleaved offsets. Objects whose ranges do not meet are passed on
as they are; those that do are sorted on disk first, together: at most what the rows of one cut
take, in a temporary file of SQLite's (the system deletes it, however the process ends).

1. Offsets only grow, and each comes once, also where two objects hold it.
"""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from spoolsink.audit.places import Stored
from spoolsink.restore.record import Restored

Open = Callable[[Stored], AsyncIterator[list[Restored]]]

_ROWS = 500
_CACHE_KIB = 4096
_INSERT = "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?)"


async def in_order(objects: Iterable[Stored], open_: Open) -> AsyncIterator[list[Restored]]:
    """All records of one topic partition; `objects` come by the offset of their first record."""
    for together in _meeting(objects):
        if len(together) == 1:
            async for piece in open_(together[0]):
                yield piece
        else:
            async for piece in _sorted(together, open_):
                yield piece


def _meeting(objects: Iterable[Stored]) -> Iterator[list[Stored]]:
    """Objects whose ranges meet, directly or by way of others."""
    group: list[Stored] = []
    last = -1
    for found in objects:
        if group and found.first > last:
            yield group
            group = []
        group.append(found)
        last = max(last, found.last)
    if group:
        yield group


async def _sorted(together: list[Stored], open_: Open) -> AsyncIterator[list[Restored]]:
    database = sqlite3.connect("", isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode=OFF")
        database.execute("PRAGMA synchronous=OFF")
        database.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        database.execute(
            "CREATE TABLE records (offset INTEGER PRIMARY KEY, timestamp INTEGER, "
            "is_log_append INTEGER, key BLOB, headers BLOB, value BLOB)"
        )
        for found in together:
            async for piece in open_(found):
                database.executemany(_INSERT, map(_row, piece))
        rows = database.execute("SELECT * FROM records ORDER BY offset")
        while piece := [_record(row) for row in rows.fetchmany(_ROWS)]:
            yield piece
    finally:
        database.close()


def _row(record: Restored) -> tuple[object, ...]:
    # Header values are bytes of any kind: each byte as the character of its number.
    headers = [(name, None if v is None else v.decode("latin-1")) for name, v in record.headers]
    return (*record[:4], json.dumps(headers) if headers else None, record.value)


def _record(row: Any) -> Restored:
    offset, timestamp, is_log_append, key, headers, value = row
    found = [
        (name, None if text is None else text.encode("latin-1"))
        for name, text in (json.loads(headers) if headers else ())
    ]
    return Restored(offset, timestamp, bool(is_log_append), key, found, value)
