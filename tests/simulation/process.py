"""One sink process: the real pipeline, appender, cuts, takeover, assignment, delivery, uploader."""

from collections.abc import Collection
from datetime import UTC
from typing import cast

from spoolsink.appender import Appender, Policies
from spoolsink.assignment import Assignment
from spoolsink.bad_records import BadRecordPolicy
from spoolsink.consumer import GroupConsumer, Membership
from spoolsink.encoder import Encoder
from spoolsink.health import Health
from spoolsink.intent import Identity
from spoolsink.metrics import Metrics
from spoolsink.naming import Naming
from spoolsink.records import TopicPartition
from spoolsink.rotation import Rotation, SplitRule
from spoolsink.takeover import StartPolicy
from tests.simulation.group import DeliveryGroup, ModelGroup
from tests.simulation.models import LETTERS_PREFIX, NO_QUOTA, ModelSpool
from tests.simulation.network import ReadCommitted, SendCommit, at_once
from tests.simulation.stand_ins import (
    ModelDelivery,
    ModelEncoder,
    ModelLayout,
    ModelPipeline,
    no_sleep,
)
from tests.simulation.surroundings import Shape, Surroundings

ROTATIONS = (
    Rotation(UTC),
    Rotation(UTC, records=3),
    Rotation(UTC, max_bytes=60),
    Rotation(UTC, interval_seconds=3),
    Rotation(UTC, schedule_seconds=4),
    Rotation(UTC, max_age_seconds=5),
    Rotation(UTC, records=7, interval_seconds=2, schedule_seconds=6),
)
"""Every mode; with `MAX_OPEN`, which any process may have beside them."""

MAX_OPEN = 2
MAX_OPEN_OF_ALL = 3
"""Of the process; more than one topic partition's."""

GRACE_SECONDS = 10.0


class Process:
    """A sink from its start to its death; `spool` outlives it."""

    def __init__(self, world: Surroundings, owner: str, spool: ModelSpool, shape: Shape) -> None:
        self.is_alive = True
        self.must_check = False
        self.is_through = False
        """A drain has ended: there was nothing left to do."""
        self.owner, self.spool, self.shape = owner, spool, shape
        self.world = world
        self.group = ModelGroup(world, self)
        self.health = Health(clock=world.monotonic)
        self.appenders: dict[TopicPartition, Appender] = {}
        self.policies = self._policies()
        self.delivery = self._make_delivery()
        self.assignment = self._make_assignment()
        self.pipeline = self._make_pipeline()
        self._drain_until = 0.0
        self._is_turning = False

    # -- how it is put together ------------------------------------------------------------------

    def _policies(self) -> Policies:
        settings, world, shape = self.world.settings, self.world, self.shape
        layout = ModelLayout(settings, shape)
        return Policies(
            encoder=cast(Encoder, ModelEncoder(layout, shape.on_error)),
            schema_text=lambda _: "",
            naming=Naming("", True, ".json", settings.file_name, "sim", LETTERS_PREFIX),
            boundaries=world.parts.boundaries(
                ROTATIONS[shape.rotation],
                SplitRule(settings.split_records, settings.split_bytes),
                MAX_OPEN if shape.has_max_open else None,
            ),
            bad_records=BadRecordPolicy(
                stops=shape.on_error == "stop",
                are_letters=shape.on_error in ("topic", "prefix"),
                topic=world.parts.letters(self) if shape.on_error == "topic" else None,
            ),
            monotonic=world.monotonic,
            wall_ms=world.wall_ms,
        )

    def _make_delivery(self) -> ModelDelivery:
        world = self.world
        delivery = world.parts.delivery(
            appenders=self.appenders,
            spool=self.spool,
            uploader=world.parts.uploader(world.parts.store(), self),
            naming=self.policies.naming,
            content_type="text/plain",
            body=lambda rows, _schema, _seed: rows,
            metrics=cast(Metrics, world.counts),
            health=self.health,
            monotonic=world.monotonic,
            sleep=no_sleep,
        )
        delivery.damaged_numbers = self.spool.damaged
        delivery.resting = []
        delivery.group = DeliveryGroup(self.group, lambda: world.rejoin(self))
        delivery.create_only = world.settings.is_conditional
        return delivery

    def _make_assignment(self) -> Assignment:
        settings, bucket = self.world.settings, self.world.bucket

        async def has_objects(_topic: str) -> bool:
            return bool(bucket.objects)

        return self.world.parts.assignment(
            appenders=self.appenders,
            make_appender=self._make_appender,
            spool=self.spool,
            local=self.spool.restart(self.shape.quota_bytes or NO_QUOTA),
            delivery=self.delivery,
            start=StartPolicy(self.shape.fingerprint, self.owner, settings.start_from, has_objects),
            on_offset_lost=settings.on_offset_lost,
            metrics=cast(Metrics, self.world.counts),
            health=self.health,
            monotonic=self.world.monotonic,
        )

    def _make_pipeline(self) -> ModelPipeline:
        return self.world.parts.pipeline(
            assignment=self.assignment,
            spool=self.spool,
            delivery=self.delivery,
            max_open=MAX_OPEN_OF_ALL if self.shape.has_max_open else 1 << 30,
            metrics=cast(Metrics, self.world.counts),
            health=self.health,
            monotonic=self.world.monotonic,
        )

    def _make_appender(self, tp: TopicPartition, who: Identity) -> Appender:
        return self.world.parts.appender(
            tp,
            cuts=self.world.parts.cuts(tp, who, self.world.settings.metadata_limit),
            spool=self.spool,
            policies=self.policies,
            metrics=cast(Metrics, self.world.counts),
        )

    # -- the group's calls -----------------------------------------------------------------------

    def joined(self, generation: int, assigned: Collection[TopicPartition]) -> None:
        """A rebalance, told by the group: first the gates, then who owns what."""
        at_once(self.assignment.revoked())
        self.group.joined(Membership(generation, self.owner), frozenset(assigned))
        self.assignment.assigned(self.group.assigned)

    # -- what the pipeline's loop does -----------------------------------------------------------

    def turn(self, offsets: int) -> None:
        """Once around, reading up to so many offsets; nothing while the last turn still waits."""
        if not self._is_turning:
            self.group.offsets_of_a_poll = offsets
            self.world.network.start(self, self._turn())

    async def _turn(self) -> None:
        consumer = cast(GroupConsumer, self.group)
        self._is_turning = True
        if self.must_check:
            self.must_check = False
            await self.assignment.check_topics(consumer)
        self.is_through = not await self.pipeline.turn(consumer)
        self._is_turning = False

    def flush(self) -> None:
        """An operator's."""
        self.pipeline.flush()

    def drain(self) -> None:
        """SIGTERM."""
        if not self.pipeline.is_draining:
            self.pipeline.begin_drain()
            self._drain_until = self.world.monotonic() + GRACE_SECONDS

    @property
    def must_end(self) -> bool:
        """Drained, or out of time."""
        is_late = self.world.monotonic() >= self._drain_until
        return self.pipeline.is_draining and (self.is_through or is_late)

    # -- what the delivery's loop does -----------------------------------------------------------

    def commit(self) -> None:
        if not self.world.network.is_busy(self, SendCommit, ReadCommitted):
            self.world.network.start(self, self.delivery.commit())

    def upload(self, most: int) -> None:
        """Begin with so many of the objects that may go up."""
        self.delivery.wake_rested()
        self.delivery.collect()
        for _ in range(most):
            found = self.delivery.take_queued()
            if found is None:
                return
            self.world.network.start(self, self.delivery.upload_queued(*found))
