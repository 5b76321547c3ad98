"""One sink process: the real appender, cuts, takeover, assignment and delivery."""

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
from spoolsink.records import Batch, TimestampType, TopicPartition
from spoolsink.rotation import Rotation, RotationReason, SplitRule
from spoolsink.takeover import StartPolicy
from spoolsink.uploader import Uploader
from tests.simulation.models import (
    TP,
    Log,
    ModelSpool,
)
from tests.simulation.network import (
    ReadCommitted,
    SendCommit,
    at_once,
)
from tests.simulation.stand_ins import (
    DeliveryGroup,
    ModelDelivery,
    ModelEncoder,
    ModelGroup,
    ModelLayout,
    Shape,
    Surroundings,
)

ROTATIONS = (
    Rotation(UTC),
    Rotation(UTC, records=5),
    Rotation(UTC, max_bytes=60),
    Rotation(UTC, interval_seconds=3),
    Rotation(UTC, schedule_seconds=4),
    Rotation(UTC, max_age_seconds=5),
    Rotation(UTC, records=7, interval_seconds=2, schedule_seconds=6),
)
"""Every mode; with `MAX_OPEN`, which any process may have beside them."""

MAX_OPEN = 2


class Process:
    """A sink from its start to its death; `spool` outlives it."""

    def __init__(self, world: Surroundings, owner: str, spool: ModelSpool, shape: Shape) -> None:
        self.is_alive = True
        self.must_check = False
        self.owner, self.spool, self.shape = owner, spool, shape
        self.world = world
        self.group = ModelGroup(world, self)
        self.health = Health(clock=world.monotonic)
        self.appenders: dict[TopicPartition, Appender] = {}
        self.policies = self._policies()
        self.delivery = self._make_delivery()
        self.assignment = self._make_assignment()

    # -- how it is put together ------------------------------------------------------------------

    def _policies(self) -> Policies:
        settings, world = self.world.settings, self.world
        layout = ModelLayout(settings, self.shape)
        return Policies(
            encoder=cast(Encoder, ModelEncoder(layout)),
            schema_text=lambda _: "",
            naming=Naming("", True, ".json", settings.file_name, "sim"),
            boundaries=world.parts.boundaries(
                ROTATIONS[self.shape.rotation],
                SplitRule(settings.split_records, settings.split_bytes),
                MAX_OPEN if self.shape.has_max_open else None,
            ),
            bad_records=BadRecordPolicy(stops=False),
            monotonic=world.monotonic,
            wall_ms=world.wall_ms,
        )

    def _make_delivery(self) -> ModelDelivery:
        delivery = self.world.parts.delivery(
            appenders=self.appenders,
            spool=self.spool,
            uploader=cast(Uploader, self.world.parts.uploader(self.world)),
            naming=self.policies.naming,
            content_type="text/plain",
            body=lambda rows, _schema, _seed: rows,
            metrics=cast(Metrics, self.world.counts),
            health=self.health,
            monotonic=self.world.monotonic,
            sleep=_no_sleep,
        )
        delivery.damaged_numbers = self.spool.damaged
        delivery.group = DeliveryGroup(self.world, self)
        delivery.create_only = self.world.settings.is_conditional
        return delivery

    def _make_assignment(self) -> Assignment:
        settings, bucket = self.world.settings, self.world.bucket

        async def has_objects(_topic: str) -> bool:
            return bool(bucket.objects)

        return self.world.parts.assignment(
            appenders=self.appenders,
            make_appender=self._make_appender,
            spool=self.spool,
            local=self.spool.restart(),
            delivery=self.delivery,
            start=StartPolicy(self.shape.fingerprint, self.owner, settings.start_from, has_objects),
            on_offset_lost=settings.on_offset_lost,
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
        for appender in self.appenders.values():
            appender.cuts.revoked()
        self.assignment.due.clear()
        self.group.membership = Membership(generation, self.owner)
        self.group.assigned = frozenset(assigned)
        self.assignment.assigned(self.group.assigned)

    # -- what the pipeline's loop does -----------------------------------------------------------

    def take_over(self) -> None:
        consumer = cast(GroupConsumer, self.group)
        if self.must_check:
            self.must_check = False
            at_once(self.assignment.check_topics(consumer))
        at_once(self.assignment.take_over_due(consumer))

    def poll(self, count: int) -> None:
        """Read up to `count` offsets, and append what came."""
        self.take_over()
        appender = self.appenders.get(TP)
        if appender is None or not self.assignment.is_readable(TP):
            return
        position, log = self.group.position, self.world.log
        if not log.start <= position <= log.end:
            self.assignment.out_of_range(cast(GroupConsumer, self.group), TP)
            return
        end = min(position + count, log.end)
        if end == position:
            return
        at_once(appender.append(_batch(log, position, end)))
        self.group.position = end
        self.assignment.tell_losses(appender)

    def tick(self) -> None:
        for tp, appender in list(self.appenders.items()):
            if tp not in self.delivery.damaged:
                at_once(appender.tick())
                self.assignment.tell_losses(appender)
        for tp in list(self.delivery.damaged):
            at_once(self.assignment.read_again(tp))

    def flush(self, *, is_forced: bool) -> None:
        """An operator's flush, or a spool that wants room."""
        appender = self.appenders.get(TP)
        if appender is None or TP in self.delivery.damaged:
            return
        if not is_forced:
            appender.flush()
        elif appender.may_seal:
            at_once(appender.seal(RotationReason.SPOOL_FULL))
            self.assignment.tell_losses(appender)

    # -- what the delivery's loop does -----------------------------------------------------------

    def commit(self) -> None:
        if not self.world.network.is_busy(self, SendCommit) and not self.world.network.is_busy(
            self, ReadCommitted
        ):
            self.world.network.start(self, self.delivery.commit())

    def upload(self) -> None:
        self.delivery.collect()
        found = self.delivery.take_queued()
        if found is not None:
            self.world.network.start(self, self.delivery.upload_queued(*found))


def _batch(log: Log, start: int, end: int) -> Batch:
    records = log.read(start, end)
    return Batch(
        tp=TP,
        start=start,
        next_offset=end,
        offsets=[record.offset for record in records],
        timestamps=[record.time_ms for record in records],
        timestamp_type=TimestampType.CREATE,
        keys=[b"bad" if record.is_skipped else None for record in records],
        values=[record.row for record in records],
        headers=None,
    )


async def _no_sleep(_seconds: float) -> None:
    """Time passes by the history's actions only."""
