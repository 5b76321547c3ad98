"""The promises, held by somebody who shares no code with the sink.

It sees what the broker accepted, what S3 stored and what was done to the world, and reads commit
metadata with a parser of its own. `reference` names in brackets are the invariants that it holds:

* [I1] a committed offset has every deliverable record below it in S3, and every bad one where
  `on_error` wants it, at every step: the stopping kind never lies below
* [I3] a record is in S3 once; where a promise was broken, the repeat may lie beside, and is counted
* [I4] an object holds what its metadata says, in offset order, in the S3 partition of its records,
  and dead letters alone where it is one of theirs
* [I5] the committed offset never goes back by itself
* [I6] no key ever gets other content
* [I7] the cuts of one topic partition lie side by side, as their objects' metadata say
* [I8] no commit of a superseded generation or by one who was not assigned the topic partition; no
  Put, upload or Complete above what its owner has on record
* [I9] no metadata above the limit; no spool above its quota; nothing is left in the spool, as an
  upload or promised when all is done, nothing promised after a clean stop
* [I11] what was lost or repeated is counted, and nothing is counted that did not happen

[I2] and [I10] are asked at the end (`ending`): a last owner gets everything through.

Relaxed, and only there:

* I3 and I7 in the range between the committed offset and the last promise, when a takeover finds
  promises of another configuration, or the log without a record that they covered (`exempt`);
  and from the new offset on, when an operator moves the group's offset.
* I1 below an offset to which an operator, `start_from: latest` or `on_offset_lost: continue` moved
  on (`excused`), counted in the last case; of bad records from when they are to be skipped.
* I6 in histories without conditional writes in which I3 is relaxed, or the topic was created anew:
  HEAD and Put are two requests.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from spoolsink.cut import Commit
from spoolsink.records import TopicPartition
from tests.simulation.history import Settings
from tests.simulation.models import CLUSTER, LETTERS_PREFIX, Log
from tests.simulation.store import Stored

_ALSO_FROM = {
    "other_records": {"moved", "offset_lost"},
    # Back over a bad record: a promise begins before it then, and nobody can get past it.
    "stopped_inside": {"moved"},
}
"""Acts that break promises for a reason of another name."""


class PromiseBrokenError(AssertionError):
    """An invariant does not hold: the history shows a bug."""


@dataclass(frozen=True)
class Promised:
    """What one commit's metadata says, as far as the checker needs it."""

    topic_id: str = ""
    fingerprint: str = ""
    owner: str = ""
    ends: tuple[int, ...] = ()
    floor: int = -1

    @property
    def horizon(self) -> int:
        return max((*self.ends, self.floor))


def read_metadata(text: str) -> Promised:
    """A parser of its own: seven fields and a checksum, numbers in base 36."""
    fields = text.split(";")
    if len(fields) != 8 or fields[1] != CLUSTER:
        return Promised()
    ends = tuple(int(mark.split(":")[0], 36) for mark in fields[5].split(",") if mark)
    floor = int(fields[6].split(":")[0], 36) if fields[6] else -1
    return Promised(fields[2], fields[3], fields[4], ends, floor)


def identities(body: bytes) -> list[tuple[str, int]]:
    """Log and offset of each record of an object."""
    found = []
    for line in body.splitlines():
        log, _, offset = line.decode().strip().partition(":")
        if not offset.isdigit():
            raise PromiseBrokenError(f"I4: no record: {line!r}")
        found.append((log, int(offset)))
    return found


@dataclass
class Checker:
    """One world's; logs go by their names."""

    settings: Settings
    offsets_lost: Mapping[tuple[str, ...], float]
    """What the sink counts itself, for I1: what retention took is excused when it is told."""
    logs: dict[str, Log] = field(default_factory=dict)
    stored: dict[tuple[str, int], int] = field(default_factory=dict)
    letters: set[str] = field(default_factory=set)
    skips_bad: bool = False
    exempt: set[tuple[str, int]] = field(default_factory=set)
    excused: dict[str, int] = field(default_factory=dict)
    causes: set[str] = field(default_factory=set)
    horizons: dict[tuple[str, str], int] = field(default_factory=dict)
    intervals: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    beginnings: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)

    # -- what was done to the world --------------------------------------------------------------

    def excuse(self, log: Log, offset: int, cause: str) -> None:
        """Whoever moved the group there answers for the records below."""
        self.causes.add(cause)
        self.excused[log.name] = max(offset, self.excused.get(log.name, 0))

    def exempt_from(self, log: Log, start: int, end: int, cause: str) -> None:
        """Records of the range may come to be in S3 twice."""
        self.causes.add(cause)
        self.exempt.update((log.name, offset) for offset in range(start, end))

    def moved(self, tp: TopicPartition) -> None:
        """An operator's act: the committed offset may be anywhere now."""
        self.committed.pop(tp, None)

    def taken_over(self, commit: Commit, log: Log, fingerprint: str) -> None:
        """An owner reads where to begin, and may find promises that it cannot keep."""
        found = read_metadata(commit.metadata)
        if not found.topic_id:
            self.excuse(log, commit.offset, "moved")  # none of ours: whoever wrote it
        if found.topic_id != log.topic_id or found.horizon <= commit.offset:
            return
        if found.fingerprint != fingerprint:
            self.exempt_from(log, commit.offset, found.horizon, "other_configuration")
        self.vanished(commit, log)

    def vanished(self, commit: Commit | None, log: Log) -> None:
        """Kafka has lost records: where promises cover them, they cannot be kept."""
        found = read_metadata(commit.metadata) if commit is not None else Promised()
        if commit is None or found.topic_id != log.topic_id:
            return
        if any(offset in log.gone for offset in range(commit.offset, found.horizon)):
            self.exempt_from(log, commit.offset, found.horizon, "other_records")

    # -- what the sink did -----------------------------------------------------------------------

    def commit_accepted(self, tp: TopicPartition, commit: Commit, *, is_owner: bool) -> None:
        found = read_metadata(commit.metadata)
        if not is_owner:
            raise PromiseBrokenError(
                f"I8: a commit of {tp} was accepted from another than its owner"
            )
        if commit.offset < self.committed.get(tp, -1):
            raise PromiseBrokenError(f"I5: committed {commit.offset} after {self.committed[tp]}")
        if len(commit.metadata) > self.settings.metadata_limit:
            raise PromiseBrokenError(f"I9: {len(commit.metadata)} characters of metadata")
        log = self.logs.get(f"{found.topic_id}.{tp.partition}")
        if log is None:
            raise PromiseBrokenError(f"metadata of no known topic: {found.topic_id!r}")
        who = (log.name, found.owner)
        self.horizons[who] = max(found.horizon, self.horizons.get(who, -1))
        self._check_durable(log, commit.offset)
        self.committed[tp] = commit.offset

    def _check_durable(self, log: Log, offset: int) -> None:
        missing = [
            o
            for o in range(self.excused.get(log.name, 0), offset)
            if o in log.records
            and not self._is_safe(log, o)
            and o not in log.compacted
            and not (o < log.start and self.offsets_lost)
        ]
        if missing:
            raise PromiseBrokenError(f"I1: committed {offset}, not where it belongs: {missing}")

    def _is_safe(self, log: Log, offset: int) -> bool:
        """In S3; a bad record where `on_error` wants it."""
        record, is_stored = log.records[offset], (log.name, offset) in self.stored
        if not record.is_bad or self.settings.on_error == "prefix":
            return is_stored
        if self.settings.on_error == "topic":
            return record.identity in self.letters
        return self.skips_bad

    def going_up(self, owner: str, key: str, log_name: str, last: int) -> None:
        """A Put or an upload leaves a process; its range must be on record."""
        if last >= self.horizons.get((log_name, owner), -1):
            raise PromiseBrokenError(f"I8: {key} goes up without an intent or a floor")

    def object_done(self, key: str, stored: Stored) -> None:
        """An object has come to be, or to be written over."""
        before = self.contents.get(key)
        if before == stored.body:
            return
        is_race = self.exempt or "recreated" in self.causes
        if before is not None and (self.settings.is_conditional or not is_race):
            raise PromiseBrokenError(f"I6: {key} was written over")
        self.contents[key] = stored.body
        records = identities(stored.body)
        self._check_whole(key, stored, records)
        self._check_once(key, records)
        self._note_cut(stored, records)

    def _check_whole(self, key: str, stored: Stored, records: list[tuple[str, int]]) -> None:
        if not records:
            raise PromiseBrokenError(f"I4: {key} is empty")
        offsets = [offset for _, offset in records]
        told = {name.removeprefix("spoolsink-"): v for name, v in stored.metadata.items()}
        expected = (str(offsets[0]), str(offsets[-1]), str(len(offsets)))
        if (told["first-offset"], told["last-offset"], told["records"]) != expected:
            raise PromiseBrokenError(f"I4: {key} is not what its metadata says")
        if offsets != sorted(set(offsets)):
            raise PromiseBrokenError(f"I4: {key} is not in offset order")
        directories = key.split("/")
        are_letters = directories[0] == LETTERS_PREFIX
        for log, offset in records:
            record = self.logs[log].records[offset]
            if record.row not in stored.body or record.is_bad != are_letters:
                raise PromiseBrokenError(f"I4: {key} holds {offset} otherwise than produced")
        if not are_letters and not _is_one_place(directories[-2].removeprefix("p="), offsets):
            raise PromiseBrokenError(f"I4: {key} holds records of several S3 partitions")

    def _check_once(self, key: str, records: list[tuple[str, int]]) -> None:
        for record in records:
            count = self.stored[record] = self.stored.get(record, 0) + 1
            if count > 1 and record not in self.exempt:
                raise PromiseBrokenError(f"I3: {record[1]} is in S3 again, in {key}")

    def _note_cut(self, stored: Stored, records: list[tuple[str, int]]) -> None:
        log = records[0][0]
        start = int(stored.metadata["spoolsink-cut"])
        self.beginnings.setdefault(log, set()).add((start, records[0][1]))
        end = stored.metadata.get("spoolsink-cut-end")
        if end is not None:
            self.intervals.setdefault(log, set()).add((start, int(end)))

    def drained(self, tp: TopicPartition, commit: Commit | None) -> None:
        """A clean stop of its owner: nothing is left to a repeat."""
        found = Promised() if commit is None else read_metadata(commit.metadata)
        if commit is not None and found.horizon > commit.offset:
            raise PromiseBrokenError(f"I9: {tp} is promised to {found.horizon} after a clean stop")

    # -- at the end ------------------------------------------------------------------------------

    def check_tiles(self, log: Log) -> None:
        """I7; only where nothing was exempt."""
        if self.exempt:
            return
        position = 0
        for start, end in sorted(self.intervals.get(log.name, ())):
            if start < position:
                raise PromiseBrokenError(f"I7: the cut from {start} lies over one to {position}")
            position = end
        for start, first in self.beginnings.get(log.name, ()):
            for low, high in self.intervals.get(log.name, ()):
                if low < start < high or (low <= first < high and low != start):
                    raise PromiseBrokenError(f"I7: a split of a cut from {start} in one from {low}")

    def check_repeats(self, repeats: Mapping[tuple[str, ...], float]) -> None:
        """I11: every reason that was counted has a cause, and duplicates were counted."""
        for (reason,) in repeats:
            if reason not in self.causes and not self.causes & _ALSO_FROM.get(reason, set()):
                raise PromiseBrokenError(f"I11: {reason} is counted and did not happen")
        again = [record for record, count in self.stored.items() if count > 1]
        if again and not repeats and "moved" not in self.causes:
            raise PromiseBrokenError(f"I11: in S3 twice and counted nowhere: {again}")

    def check_bad(self, counted: float, logs: Mapping[TopicPartition, Log]) -> None:
        """I11: bad records that were passed are counted, at least once each."""
        passed = sum(
            record.is_bad and record.offset not in log.gone
            for log in logs.values()
            for record in log.records.values()
            if record.offset >= self.excused.get(log.name, 0)
        )
        if counted < passed:
            raise PromiseBrokenError(f"I11: {passed} bad records were passed, {counted} counted")


def _is_one_place(place: str, offsets: list[int]) -> bool:
    # The number of places is the configuration's: all of an object's records agree on one.
    return any(all(str(o * 7 % places) == place for o in offsets) for places in range(1, 8))
