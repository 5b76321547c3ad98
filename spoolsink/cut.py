"""One cut of a topic partition, its objects, and the words for what happens to them."""

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import NamedTuple

from spoolsink.intent import CommitMetadata, Mark


class ObjectState(Enum):
    """Where one object of a cut is on its way to S3."""

    WAITING = "waiting"
    UPLOADING = "uploading"
    CONFIRMED = "confirmed"


@dataclass(eq=False, slots=True)
class CutObject:
    """One object to be: the sealed segment behind it is opaque to this module.

    `key` is the first choice of key: what the cut's digest covers, whatever key S3 has in the end.
    """

    segment: object
    key: str
    digest: str
    first: int
    last: int
    records: int
    is_split: bool = False
    state: ObjectState = ObjectState.WAITING


@dataclass(eq=False, slots=True)
class Cut:
    """A sealed cut `[start, mark.offset)`."""

    start: int
    mark: Mark
    objects: list[CutObject]
    floor: Mark | None = None
    _confirmed: int = 0

    @property
    def is_confirmed(self) -> bool:
        """Every object is in S3 (true of a cut without objects)."""
        objects = self.objects
        # Confirmed stays confirmed: asked again and again, a cut of many objects is walked once.
        while self._confirmed < len(objects):
            if objects[self._confirmed].state is not ObjectState.CONFIRMED:
                return False
            self._confirmed += 1
        return True


@dataclass(eq=False, slots=True)
class OpenCut:
    """The cut that records are appended to; `[start, position)` is read so far."""

    start: int
    position: int
    instant_ms: int | None = None
    records: int = 0
    splits: list[CutObject] = field(default_factory=list)
    floor: Mark | None = None

    @property
    def has_begun(self) -> bool:
        """Also while its first records are on their way to segments, whose labels tell `start`."""
        return bool(self.records) or self.instant_ms is not None


class Commit(NamedTuple):
    """An OffsetCommit to be sent: `metadata` is the encoded string."""

    offset: int
    metadata: str


@dataclass(slots=True)
class Commits:
    """What is known of the broker's side, and the one commit that may be under way."""

    offset: int = -1
    metadata: CommitMetadata | None = None
    text: str | None = None
    sent: tuple[Commit, CommitMetadata] | None = None
    is_unknown: bool = False
    is_doubtful: bool = False
    """One was answered with a no since the last that was done; it may be in effect all the same."""

    def accept(self, commit: Commit, metadata: CommitMetadata) -> None:
        self.offset, self.text = commit
        self.metadata = metadata
        self.sent, self.is_unknown, self.is_doubtful = None, False, False


class TakeoverKind(StrEnum):
    """What the committed metadata said at assignment."""

    CONTINUED = "continued"
    FRESH = "fresh"
    REPEAT = "repeat"
    FOREIGN = "foreign_metadata"
    OTHER_CLUSTER = "other_cluster"
    OTHER_TOPIC = "other_topic"
    OTHER_CONFIGURATION = "other_configuration"


class Takeover(NamedTuple):
    """How an assignment begins: where to seek, and cuts that turned out to be committed."""

    kind: TakeoverKind
    seek: int
    finished: list[Cut]


class RepeatLoss(StrEnum):
    """Why an intent or a floor could not be kept (a closed list, a metric's label)."""

    OTHER_CLUSTER = "other_cluster"
    OTHER_TOPIC = "other_topic"
    OTHER_CONFIGURATION = "other_configuration"
    OTHER_RECORDS = "other_records"
    STOPPED_INSIDE = "stopped_inside"
