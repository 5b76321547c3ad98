"""A whole process without sockets: pipeline, assignment and delivery over fakes, step by step."""

import asyncio
from collections.abc import Sequence
from typing import Literal

from spoolsink import wiring
from spoolsink.appender import Appender
from spoolsink.assignment import Assignment
from spoolsink.backoff import Backoff
from spoolsink.cuts import PartitionCuts
from spoolsink.delivery import Delivery
from spoolsink.formats import make_format
from spoolsink.health import Health
from spoolsink.intent import Identity
from spoolsink.metrics import Metrics
from spoolsink.pipeline import Pipeline
from spoolsink.records import TopicPartition
from spoolsink.rotation import RotationReason
from spoolsink.spool import AnySpool, LocalCut
from spoolsink.takeover import StartPolicy
from spoolsink.uploader import Uploader
from tests.unit.builders import (
    FINGERPRINT,
    MIB,
    TP,
    Clock,
    config_of,
    counted,
    docs,
    memory_spool,
    policies_of,
)
from tests.unit.fake_kafka import FakeBroker, FakeGroup
from tests.unit.fake_store import FakeStore


class Process:
    """One member over a broker and a bucket that outlive it; the clock moves with each step."""

    def __init__(
        self,
        broker: FakeBroker,
        store: FakeStore | None = None,
        *,
        spool: AnySpool | None = None,
        local: Sequence[LocalCut] = (),
        clock: Clock | None = None,
        owner: str = "me",
        start_from: Literal["earliest", "latest", "fail"] | None = "earliest",
        on_offset_lost: Literal["stop", "continue"] = "stop",
        max_open: int = 50_000,
        has_objects: bool = False,
        **sections: object,
    ) -> None:
        self.broker, self.store = broker, store or FakeStore()
        self.group = FakeGroup(broker)
        self.clock = clock or Clock()
        self.spool: AnySpool = spool or memory_spool()
        self.metrics = Metrics()
        self.health = Health(clock=self.clock.monotonic)
        self.appenders: dict[TopicPartition, Appender] = {}
        self._policies = policies_of(self.clock, **sections)
        self.delivery = self._delivery(**sections)
        self.delivery.group, self.delivery.create_only = self.group, True

        async def looked(topic: str) -> bool:
            return has_objects

        self.assignment = Assignment(
            appenders=self.appenders,
            make_appender=self._appender,
            spool=self.spool,
            local=local,
            delivery=self.delivery,
            start=StartPolicy(FINGERPRINT, owner, start_from, looked),
            on_offset_lost=on_offset_lost,
            metrics=self.metrics,
            health=self.health,
            monotonic=self.clock.monotonic,
        )
        self.pipeline = Pipeline(
            assignment=self.assignment,
            spool=self.spool,
            delivery=self.delivery,
            max_open=max_open,
            metrics=self.metrics,
            health=self.health,
            monotonic=self.clock.monotonic,
        )

    def _delivery(self, **sections: object) -> Delivery:
        config = config_of(**sections)
        uploader = Uploader(
            self.store,
            part_bytes=8 * MIB,
            uploads=4,
            make_backoff=lambda: Backoff(0.1, 1.0, lambda: 0.5),
            sleep=self._sleep,
        )
        return Delivery(
            appenders=self.appenders,
            spool=self.spool,
            uploader=uploader,
            naming=wiring.make_naming(config, wiring.make_form(config)),
            content_type=wiring.make_form(config).content_type,
            body=make_format("jsonl", value="json").body,
            metrics=self.metrics,
            health=self.health,
            monotonic=self.clock.monotonic,
            sleep=self._sleep,
        )

    def _appender(self, tp: TopicPartition, who: Identity) -> Appender:
        cuts = PartitionCuts(tp, who)
        return Appender(
            tp, cuts=cuts, spool=self.spool, policies=self._policies, metrics=self.metrics
        )

    async def _sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    # -- steps ---------------------------------------------------------------------------------

    async def join(self, *tps: TopicPartition) -> None:
        """A rebalance that gives us these."""
        self.group.leave()
        await self.assignment.revoked()
        self.assignment.assigned(self.group.join(*tps))

    async def turn(self, times: int = 1) -> None:
        """The pipeline's loop, so many times."""
        for _ in range(times):
            self.clock.advance(0.1)
            await self.pipeline._turn(self.group)

    async def upload(self) -> None:
        """Whatever may go up."""
        self.delivery.collect()
        while self.delivery.waiting_uploads:
            await self.delivery._upload(*self.delivery._queue.get_nowait())

    async def commit(self) -> None:
        """Whatever is due; what it releases is queued."""
        while await self.delivery._commit_once():
            self.delivery.collect()

    async def round(self, times: int = 1) -> None:
        """Reading, uploading and committing in turn."""
        for _ in range(times):
            await self.turn()
            await self.commit()
            await self.upload()
            await self.commit()

    async def idle(self) -> None:
        """Long enough for the offset to follow the position."""
        self.clock.advance(2)
        await self.commit()

    # -- what came of it -----------------------------------------------------------------------

    def committed(self, tp: TopicPartition) -> int:
        """By the broker."""
        return self.broker.offsets[tp].offset

    def counted(self, name: str, *labels: str) -> float:
        return counted(self.metrics, name, *labels)

    def held(self, source: str) -> str:
        """Why a source holds, empty when it does not."""
        return next((hold.reason for hold in self.health.holds if hold.source == source), "")


def broker_of(places: str, *more: TopicPartition) -> FakeBroker:
    broker = FakeBroker()
    for tp in (TP, *more):
        broker.write(tp, docs(places))
    return broker


async def joined(process: Process, *tps: TopicPartition) -> Process:
    await process.join(*(tps or (TP,)))
    await process.turn()
    return process


async def promised(
    broker: FakeBroker, *tps: TopicPartition, reason: str = "seal", **sections: object
) -> None:
    """A process that read all, promised it and died with nothing in S3."""
    process = await joined(Process(broker, owner="before", **sections), *tps)  # type: ignore[arg-type]
    await process.turn(2)
    for appender in process.appenders.values():
        if reason == "seal":
            await appender.seal(RotationReason.MAX_AGE)
    await process.commit()
