"""Every exception that crosses a module boundary, as one tree.

SpoolsinkError
├── ConfigError                    the configuration file (all problems at once)
├── RecordError                    one record; knows topic partition, offset and stage
│   ├── ConversionError
│   ├── LayoutError
│   └── FormatError
├── SpoolError
│   ├── SegmentCorruptError        dropped, counted and read again from Kafka
│   ├── SpoolFullError             the disk takes nothing to start with: hold, start again
│   └── SpoolLockedError
├── ObjectStoreError
│   ├── RetryableStoreError        the same call may succeed later
│   ├── UploadGoneError            the multipart upload vanished: HEAD decides
│   ├── ObjectConflictError        the key is taken
│   └── OperatorStoreError         somebody must mend something; nothing is dropped
├── ConsumerError                  Kafka is away or did not answer: tried again
│   ├── BrokerRefusedError         somebody must mend something; nothing is dropped
│   ├── MetadataVersionError       commit metadata of a version that we do not know
│   └── OffsetsGoneError           the log no longer has a range that is read
├── RegistryAwayError              the schema registry is away or refuses: hold, ask again
├── SchemaNeeded                   a record needs a schema that is not here yet: fetch, encode again
├── DeadLetterAwayError            the dead letter topic does not answer: hold, send again
├── BackupError                    an object is not what a restore can read
├── AdminError                     the admin port cannot be opened
└── AllStoppedError                every topic partition stopped at a bad record

A full spool is a wait, not an exception. A broken invariant of ours is a `RuntimeError`.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spoolsink.records import TopicPartition


class SpoolsinkError(Exception):
    """Root of everything that spoolsink raises on purpose."""


class ConfigError(SpoolsinkError):
    """The configuration cannot be used; `problems` lists every finding, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RecordError(SpoolsinkError):
    """One record cannot be converted, placed or encoded.

    Converters, layouts and formats raise it without a place (they see values, not offsets);
    the pipeline fills in `topic_partition` and `offset`.
    """

    stage = "record"

    def __init__(
        self,
        message: str,
        topic_partition: "TopicPartition | None" = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.topic_partition = topic_partition
        self.offset = offset

    def __str__(self) -> str:
        if self.topic_partition is None:
            return f"{self.stage}: {self.message}"
        topic, number = self.topic_partition
        return f"{topic}-{number} offset {self.offset}: {self.stage}: {self.message}"


class ConversionError(RecordError):
    """The bytes of a key or value are not what the converter reads."""

    stage = "convert"


class LayoutError(RecordError):
    """The record has no S3 partition."""

    stage = "layout"


class FormatError(RecordError):
    """The value cannot be written in the configured format."""

    stage = "format"


class SpoolError(SpoolsinkError):
    """The spool directory cannot be used as it should."""


class SpoolFullError(SpoolError):
    """The disk has no room for a spool to be opened, or is read-only; nothing is held open."""


class SegmentCorruptError(SpoolError):
    """A segment's bytes are not what was written; carries the place."""

    def __init__(self, path: str, position_bytes: int, what: str) -> None:
        super().__init__(f"{path}: at byte {position_bytes}: {what}")
        self.path = path
        self.position_bytes = position_bytes
        self.what = what


class SpoolLockedError(SpoolError):
    """Another process owns the spool directory."""


class ObjectStoreError(SpoolsinkError):
    """An S3 call failed; `operation` and `code` are S3's own names.

    `message` becomes one line: botocore begins a new one for each parameter that it refuses.
    """

    def __init__(self, operation: str, code: str, message: str, bucket: str, key: str = "") -> None:
        message = " ".join(message.split())
        super().__init__(f"{operation} s3://{bucket}/{key}: {code}: {message}")
        self.operation = operation
        self.code = code
        self.message = message
        self.bucket = bucket
        self.key = key


class RetryableStoreError(ObjectStoreError):
    """Timeouts, 5xx, throttling, connections, and every code that is not known."""


class UploadGoneError(ObjectStoreError):
    """NoSuchUpload: aborted, or completed by an attempt whose reply was lost."""


class ObjectConflictError(ObjectStoreError):
    """412 Precondition Failed: the key is taken, perhaps by our own earlier attempt."""


class OperatorStoreError(ObjectStoreError):
    """Refused key, missing bucket, expired credential: hold, say so, try again."""


class ConsumerError(SpoolsinkError):
    """Kafka refused or could not answer."""


class BrokerRefusedError(ConsumerError):
    """Not authorised, or a group that cannot be joined: hold, say so, try again."""


class MetadataVersionError(ConsumerError):
    """Commit metadata was written by another version of spoolsink: not touched."""


class OffsetsGoneError(ConsumerError):
    """Retention has deleted what was about to be read."""


class RegistryAwayError(SpoolsinkError):
    """The schema registry did not answer, refused, or does not know the id (yet).

    Never an error of a record: the sink holds and asks again.
    """


class SchemaNeeded(SpoolsinkError):  # noqa: N818 (an instruction to the pipeline, not a failure)
    """A converter met a schema id that it has not fetched; `await fetch()`, then convert again.

    Converters are called on the event loop and cannot wait. `fetch` raises RegistryAwayError.
    """

    def __init__(self, schema_id: int, fetch: Callable[[], Awaitable[None]]) -> None:
        super().__init__(f"schema id {schema_id} is not fetched yet")
        self.schema_id = schema_id
        self.fetch = fetch


class DeadLetterAwayError(SpoolsinkError):
    """A dead letter was not acknowledged: the record it is about is not passed."""


class BackupError(SpoolsinkError):
    """An object, or a line of one, is no backup that could be sent back as it was."""


class AdminError(SpoolsinkError):
    """The admin port cannot be opened at `address` (host:port)."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"admin.listen {address}: {reason}")
        self.address = address
        self.reason = reason


class AllStoppedError(SpoolsinkError):
    """Every topic partition of the process has stopped at a bad record: nothing is left to do."""


def shown(value: object, characters: int) -> str:
    """The beginning of a value, for an error's text.

    Python refuses to print integers of thousands of digits, which a class of the user may return.
    """
    try:
        return repr(value)[:characters]
    except ValueError:
        return f"{type(value).__name__} that cannot be printed"
