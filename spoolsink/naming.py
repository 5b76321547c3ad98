"""How objects are called and what their metadata says (pure).

`range` names carry both offsets, `connect` names the first one only; a name that is taken by other
content is followed by the next of `keys`, so nothing is ever overwritten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spoolsink.encoder import DEAD_LETTERS, TAG_MARK
from spoolsink.layout import MAX_KEY_BYTES, directory_of, object_key
from spoolsink.records import Batch, TopicPartition
from spoolsink.segment import SegmentLabel, SegmentSummary

_DIGEST_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Naming:
    """The parts of `layout` and `format` that show in a key."""

    prefix: str
    topic_directory: bool
    extension: str
    file_name: Literal["range", "connect"]
    sink: str
    dead_letter_prefix: str = ""

    def key(self, tp: TopicPartition, place: str, first: int, last: int) -> str:
        """The first choice."""
        directory = self._directory(tp, place)
        shown_last = None if self.file_name == "connect" else last
        extension = self._extension(place == DEAD_LETTERS)
        return object_key(directory, tp.topic, tp.partition, first, shown_last, extension=extension)

    def keys(self, label: SegmentLabel, summary: SegmentSummary) -> Sequence[str]:
        """In the order in which they are tried when taken by other content."""
        directory = label.object_key.rpartition("/")[0]
        digest = summary.digest.partition(":")[2][:_DIGEST_DIGITS]
        ranged, marked = (
            object_key(
                directory,
                label.topic,
                label.partition,
                summary.first,
                summary.last,
                extension=self._extension(label.schema == DEAD_LETTERS),
                digest=shown,
            )
            for shown in ("", digest)
        )
        found = dict.fromkeys((label.object_key, ranged, marked))
        # The first one fits, or its records were refused; where no other does, the sink holds.
        return [key for key in found if len(key.encode()) <= MAX_KEY_BYTES]

    def metadata(self, label: SegmentLabel, summary: SegmentSummary) -> dict[str, str]:
        """User metadata of an object, without S3's `x-amz-meta-`."""
        found = {
            "topic": label.topic,
            "partition": label.partition,
            "first-offset": summary.first,
            "last-offset": summary.last,
            "records": summary.records,
            "cut": label.cut_start,
            "cut-end": label.cut_end,
            "cut-records": label.cut_records,
            "digest": summary.digest,
            "sink": self.sink,
        }
        return {f"spoolsink-{k}": str(v) for k, v in found.items() if v is not None}

    def key_bytes(self, batch: Batch, place: str, row: int) -> int:
        """UTF-8 length of the key of an object that holds the record at `row` alone."""
        offset = batch.offsets[row]
        return len(self.key(batch.tp, place, offset, offset).encode())

    def topic_prefix(self, topic: str) -> str:
        """What every key of a topic begins with."""
        directory = directory_of(self.prefix, topic if self.topic_directory else "", "")
        return f"{directory}/" if directory else ""

    def _extension(self, is_letter: bool) -> str:  # noqa: FBT001 (private)
        return ".json" if is_letter else self.extension

    def _directory(self, tp: TopicPartition, place: str) -> str:
        if place == DEAD_LETTERS:
            return f"{self.dead_letter_prefix}/{tp.topic}/partition={tp.partition}"
        s3_partition = place.partition(TAG_MARK)[0]
        return directory_of(self.prefix, tp.topic if self.topic_directory else "", s3_partition)
