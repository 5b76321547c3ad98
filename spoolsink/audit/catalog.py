"""What the bucket holds, in a database on disk: memory does not grow with the number of objects.

SQLite's own temporary file (deleted by the system when the process ends, however it ends), with a
few megabytes of it in memory. It is nobody else's: no file name, no lock, no journal.

1. Objects come in any order and are read back by topic partition, cut, directory and offset.
2. Findings are kept beside them, so that they can be told in order, and as one document.
"""

import sqlite3
from collections.abc import Iterator
from typing import Self

from spoolsink.audit.finding import Finding
from spoolsink.audit.places import Stored
from spoolsink.records import TopicPartition

_SCHEMA = """
CREATE TABLE objects (
    key TEXT, topic TEXT, partition INTEGER, directory TEXT, first INTEGER, last INTEGER,
    records INTEGER, cut INTEGER, cut_end INTEGER, cut_records INTEGER, digest TEXT
);
CREATE TABLE findings (
    kind TEXT, key TEXT, topic TEXT, partition INTEGER, first INTEGER, last INTEGER,
    records INTEGER, detail TEXT
);
"""
_BY_CUT = "topic, partition, cut, directory, first, last, key"
_CACHE_KIB = 4096
_BATCH = 1000
_NEAREST = 64
_COLUMNS = 11


class Catalog:
    """Owned by one command; every call is short, and made on the event loop."""

    def __init__(self) -> None:
        self.count = 0
        self._pending: list[tuple[object, ...]] = []
        self._database = sqlite3.connect("", isolation_level=None)
        # A crash leaves nothing to be mended: neither journal nor fsync is of any use.
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        self._database.execute("PRAGMA temp_store=FILE")
        self._database.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        """Nothing: the database is there already."""
        return self

    def __exit__(self, *_: object) -> None:
        """The file is gone with it."""
        self._database.close()

    # -- objects -------------------------------------------------------------------------------

    def add(self, found: Stored) -> None:
        """One object."""
        self.count += 1
        self._pending.append((found.key, *found.tp, *found[2:]))
        if len(self._pending) >= _BATCH:
            self._flush()

    def close_objects(self) -> None:
        """No more objects come; they can be read now."""
        self._flush()
        self._database.execute(f"CREATE INDEX by_cut ON objects ({_BY_CUT})")
        self._database.execute(
            "CREATE INDEX by_place ON objects (topic, partition, directory, first)"
        )

    def topic_partitions(self) -> list[TopicPartition]:
        """Those that have an object, in order."""
        found = self._database.execute(
            "SELECT DISTINCT topic, partition FROM objects ORDER BY 1, 2"
        )
        return [TopicPartition(*row) for row in found]

    def by_cut(self, tp: TopicPartition) -> Iterator[Stored]:
        """A topic partition's objects: cut by cut, directory by directory, in offset order."""
        return self._objects(tp, _BY_CUT)

    def by_offset(self, tp: TopicPartition) -> Iterator[Stored]:
        """A topic partition's objects by the offset of their first record."""
        return self._objects(tp, "first, last, key")

    def covers(self, cut: Stored, directory: str | None, offset: int) -> Stored | None:
        """An object whose range holds an offset, in a directory or (None) anywhere in the cut."""
        if directory is not None:
            # Objects of a directory follow each other, but for those of several schemas.
            query = f"""SELECT * FROM (SELECT * FROM objects WHERE topic = ? AND partition = ?
                AND directory = ? AND first <= ? ORDER BY first DESC LIMIT {_NEAREST})
                WHERE last >= ? LIMIT 1"""  # noqa: S608 (constants)
            values: tuple[object, ...] = (*cut.tp, directory, offset, offset)
        else:
            query = """SELECT * FROM objects WHERE topic = ? AND partition = ? AND cut = ?
                AND first <= ? AND last >= ? LIMIT 1"""
            values = (*cut.tp, cut.cut, offset, offset)
        row = self._database.execute(query, values).fetchone()
        return None if row is None else _stored(row)

    def _objects(self, tp: TopicPartition, order: str) -> Iterator[Stored]:
        query = f"SELECT * FROM objects WHERE topic = ? AND partition = ? ORDER BY {order}"  # noqa: S608 (constants)
        return map(_stored, self._database.execute(query, tp))

    def _flush(self) -> None:
        marks = ", ".join("?" * _COLUMNS)
        self._database.executemany(f"INSERT INTO objects VALUES ({marks})", self._pending)  # noqa: S608 (marks)
        self._pending.clear()

    # -- findings ------------------------------------------------------------------------------

    def note(self, finding: Finding) -> None:
        """One finding."""
        row = (
            finding.kind,
            finding.key,
            finding.topic,
            finding.partition,
            finding.first,
            finding.last,
            finding.records,
            finding.detail,
        )
        self._database.execute("INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def findings(self) -> Iterator[Finding]:
        """By topic partition, in the order in which they were made."""
        order = "topic IS NULL, topic, partition, rowid"
        query = f"SELECT * FROM findings ORDER BY {order}"  # noqa: S608 (a constant)
        return (Finding(*row) for row in self._database.execute(query))


def _stored(row: tuple[object, ...]) -> Stored:
    key, topic, partition, *rest = row
    return Stored(key, TopicPartition(topic, partition), *rest)  # type: ignore[arg-type]
