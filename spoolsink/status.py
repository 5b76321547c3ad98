"""What the sink shows of itself: plain values, taken between two awaits, and who gives them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from spoolsink.config_model import Config
from spoolsink.health import Health, Hold
from spoolsink.metrics import Metrics

State = Literal["RUNNING", "PAUSED", "STOPPED", "FAILED"]
"""Kafka Connect's words."""


@dataclass(slots=True, frozen=True)
class TopicPartitionStatus:
    """One assigned topic partition. What is not known, or not for long enough, is None.

    `lag` is at most 30 s old, `log_end` likewise. `state` is running, repeating, starting (its
    beginning is being asked for), held or stopped.
    """

    topic: str
    partition: int
    committed: int | None
    position: int | None
    log_end: int | None
    lag: int | None
    open_records: int
    open_segments: int
    sealed_cuts: int
    unconfirmed_seconds: float | None
    state: str

    @property
    def labels(self) -> tuple[str, str]:
        """Of its metrics."""
        return self.topic, str(self.partition)


class ConfirmedObject(NamedTuple):
    """An object that S3 has confirmed; `time_ms` since the epoch, when its answer came."""

    time_ms: int
    key: str


@dataclass(slots=True, frozen=True)
class Snapshot:
    """The whole process at one moment. `last_objects`: newest last.

    `former_rows` are those of the run before this one: of a stopped sink, what it left. `wish` is
    what an operator last asked for (never FAILED), since `wished_since` (seconds since the epoch).
    """

    state: State
    holds: Sequence[Hold]
    rows: Sequence[TopicPartitionStatus]
    spool_bytes: int
    spool_limit_bytes: int
    spool_open_segments: int
    spool_sealed_segments: int
    uploads_in_flight: int
    records_total: int
    objects_total: int
    kafka_cluster_id: str | None
    last_objects: Sequence[ConfirmedObject]
    started: float
    former_rows: Sequence[TopicPartitionStatus] = ()
    wish: State = "RUNNING"
    wished_since: float | None = None

    @property
    def lag(self) -> int:
        """Records not yet committed, over the topic partitions whose lag is known."""
        return sum(row.lag for row in self.rows if row.lag is not None)

    @property
    def lag_unknown_count(self) -> int:
        """Topic partitions whose lag is not known."""
        return sum(row.lag is None for row in self.rows)


class Operated(Protocol):
    """The sink as its operator handles it; implemented by the service, one event loop."""

    @property
    def config(self) -> Config:
        """The one in force; another object after a restart."""

    @property
    def health(self) -> Health: ...

    @property
    def metrics(self) -> Metrics: ...

    @property
    def state(self) -> State: ...

    def is_alive(self) -> bool:
        """Its event loop and its tasks live; also true while Kafka or S3 is away."""

    def is_ready(self) -> bool:
        """It has joined the group, and neither Kafka nor S3 is failing."""

    def reasons(self) -> list[str]:
        """Why it is not ready, one line each."""

    def notes(self) -> list[str]:
        """What an operator may want to know of a sink that is ready, likewise."""

    def trace(self) -> str | None:
        """Of the state FAILED."""

    def snapshot(self) -> Snapshot:
        """Taken between two awaits; nothing of it changes afterwards."""

    def begin_flush(self) -> asyncio.Event:
        """End all open cuts. Set when they are committed; already set when nothing is open."""

    async def pause(self) -> None:
        """Stop polling; what was read goes on to S3."""

    async def resume(self) -> None:
        """Out of PAUSED and STOPPED."""

    async def stop(self) -> None:
        """Leave the group."""

    async def restart(self) -> None:
        """Read the file anew and try again at once; ConfigError leaves everything as it was."""
