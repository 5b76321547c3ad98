"""A sink that does what it is told, for the tests of what an operator sees."""

import asyncio
from dataclasses import replace

from prometheus_client import CollectorRegistry

from spoolsink.config_model import Config
from spoolsink.errors import SpoolsinkError
from spoolsink.health import Health
from spoolsink.metrics import Metrics
from spoolsink.status import ConfirmedObject, Snapshot, State, TopicPartitionStatus

SECRET = "canary-5e1c"

ROW = TopicPartitionStatus(
    topic="orders",
    partition=0,
    committed=90,
    position=120,
    log_end=130,
    lag=40,
    open_records=20,
    open_segments=3,
    sealed_cuts=1,
    unconfirmed_seconds=12.5,
    state="running",
)

SNAPSHOT = Snapshot(
    state="RUNNING",
    holds=(),
    rows=(ROW, replace(ROW, topic="audit", partition=7, committed=None, lag=None)),
    spool_bytes=3 * 1024**2,
    spool_limit_bytes=10 * 1024**3,
    spool_open_segments=6,
    spool_sealed_segments=2,
    uploads_in_flight=4,
    records_total=12_345,
    objects_total=67,
    kafka_cluster_id="cluster-1",
    last_objects=(
        ConfirmedObject(1_000_000_000, "topics/orders/orders+0+0000000000+0000000089.json"),
    ),
    started=900_000.0,
)


def make_config(**sections: object) -> Config:
    data: dict[str, object] = {
        "name": "sink",
        "kafka": {"bootstrap_servers": ["localhost:9092"], "topics": ["orders", "audit"]},
        "s3": {"bucket": "demo-bucket"},
    }
    return Config.model_validate({**data, **sections})


class FakeSink:
    """Its fields are set by the test; `calls` says what it was asked to do."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or make_config()
        self.now = 1_000_000.0
        self.health = Health(clock=lambda: self.now)
        self.metrics = Metrics(CollectorRegistry())
        self.state: State = "RUNNING"
        self.shown = SNAPSHOT
        self.alive = True
        self.committed = asyncio.Event()
        self.flushes = 0
        self.calls: list[str] = []
        self.refusal: SpoolsinkError | None = None
        self.fault: str | None = None
        self.is_flushing = asyncio.Event()

    def is_alive(self) -> bool:
        return self.alive

    def is_ready(self) -> bool:
        return self.health.is_ready

    def reasons(self) -> list[str]:
        return self.health.reasons()

    def notes(self) -> list[str]:
        return self.health.notes()

    def trace(self) -> str | None:
        return self.fault

    def snapshot(self) -> Snapshot:
        return replace(self.shown, state=self.state, holds=self.health.holds)

    def begin_flush(self) -> asyncio.Event:
        self.flushes += 1
        self.is_flushing.set()
        return self.committed

    async def pause(self) -> None:
        self._do("pause", "PAUSED")

    async def resume(self) -> None:
        self._do("resume", "RUNNING")

    async def stop(self) -> None:
        self._do("stop", "STOPPED")

    async def restart(self) -> None:
        self._do("restart", "RUNNING")

    def _do(self, call: str, state: State) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.calls.append(call)
        self.state = state
