"""One run with one configuration: every part joined, its tasks under one TaskGroup.

1. It ends by `stopping` (drained, within `shutdown_grace`), or by an exception: never half alive.
2. Kafka, S3 and the disk being away end nothing: the part that needs them holds and tries again.
3. After a clean drain with S3 answering no intent and no floor is left.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from spoolsink import allocator, wiring
from spoolsink.appender import Appender
from spoolsink.assignment import Assignment
from spoolsink.config import fingerprint, reveal
from spoolsink.config_model import Config
from spoolsink.consumer import GroupConsumer
from spoolsink.cuts import PartitionCuts
from spoolsink.delivery import Delivery
from spoolsink.errors import (
    ConsumerError,
    ObjectStoreError,
    OperatorStoreError,
    RetryableStoreError,
    SpoolError,
    SpoolFullError,
)
from spoolsink.health import Health
from spoolsink.holding import first, held, unless
from spoolsink.intent import Identity
from spoolsink.metrics import Metrics
from spoolsink.object_store import ObjectStore
from spoolsink.pipeline import Pipeline
from spoolsink.records import TopicPartition
from spoolsink.spool import LocalCut
from spoolsink.store_probe import probe_conditional_writes
from spoolsink.store_sweep import abort_abandoned
from spoolsink.takeover import StartPolicy
from spoolsink.uploader import Uploader
from spoolsink.watch import Watch

log = logging.getLogger(__name__)

RETRY_SECONDS = 15.0
_STOP_SECONDS = 5.0
_OWNER_BYTES = 4
_LOOK_SECONDS = 0.5
_END_SECONDS = 1.0
_SILENCE_SECONDS = 120.0
_OBJECTS_SECONDS = 5.0


class Engine:
    """Made for one run; the service makes the next one."""

    def __init__(self, config: Config, *, metrics: Metrics, health: Health) -> None:
        self.config = config
        self.metrics = metrics
        self.health = health
        self._form = wiring.make_form(config)
        self._registry = wiring.make_registry(config)
        self._letters = wiring.make_letters(config)
        self._policies = wiring.make_policies(config, self._form, self._registry, self._letters)
        self.spool = wiring.make_spool(config)
        self.appenders: dict[TopicPartition, Appender] = {}
        self.store = ObjectStore(config.s3, on_request=self._requested, reveal=reveal)
        self.delivery = Delivery(
            appenders=self.appenders,
            spool=self.spool,
            uploader=self._make_uploader(),
            naming=self._policies.naming,
            content_type=self._form.content_type,
            body=self._form.body,
            metrics=metrics,
            health=health,
        )
        self.is_hurried = False
        self._fingerprint = fingerprint(config)
        self.consumer: GroupConsumer | None = None
        self.assignment: Assignment | None = None
        self.pipeline: Pipeline | None = None
        self.watch = Watch(self)
        self._is_probed = asyncio.Event()

    def _make_uploader(self) -> Uploader:
        return Uploader(
            self.store,
            part_bytes=self.config.s3.part_size,
            uploads=self.config.s3.uploads,
            make_backoff=wiring.make_backoff,
            on_error=self._store_failed,
            on_success=self._store_answers,
            on_upload_started=lambda *upload: self._noted(self.spool.note_upload(*upload)),
            on_upload_ended=lambda *upload: self._noted(self.spool.clear_upload(*upload)),
        )

    @property
    def records_total(self) -> int:
        """Records appended by this process, over all topics."""
        samples = self.metrics.counters["records"].collect()
        found = (sample for metric in samples for sample in metric.samples)
        return int(sum(s.value for s in found if s.name.endswith("_total")))

    @property
    def cluster_id(self) -> str | None:
        """Kafka's, once it is known."""
        return None if self.assignment is None else self.assignment.cluster_id

    # -- the run -------------------------------------------------------------------------------

    async def run(
        self, stopping: asyncio.Event, *, is_paused: bool, on_spool: Callable[[], None]
    ) -> None:
        """Until `stopping` and drained; `on_spool` is called once the directory is ours.

        Raises SpoolError for a directory that cannot be used, AllStoppedError, and an
        ExceptionGroup for a bug.
        """
        hold = partial(held, health=self.health, stopping=stopping)
        local = await hold(self._opened_spool, SpoolFullError, source="spool")
        if local is None:
            return
        if local:
            log.info("%d sealed cuts of a former process are on disk", len(local))
        noted = self.spool.noted_uploads()
        on_spool()
        try:
            async with AsyncExitStack() as stack:
                # A profile's file may be mounted later.
                if await hold(self._opened_store, OperatorStoreError, source="s3") is None:
                    return
                stack.push_async_exit(self.store)
                self._join(local)
                assert self.pipeline is not None
                self.pipeline.is_paused = is_paused
                await self._run_tasks(stopping, noted)
        finally:
            if self._registry is not None:
                await self._registry.close()
            if self._letters is not None:
                await self._letters.close()
            await asyncio.to_thread(self.spool.close)

    async def _opened_spool(self) -> list[LocalCut]:
        opening = asyncio.create_task(asyncio.to_thread(self.spool.start), name="spool start")
        try:
            # Many segments may take longer to look through than a process may seem dead.
            while not opening.done():
                self.watch.beat = time.monotonic()
                await asyncio.wait({opening}, timeout=1)
            return opening.result()
        finally:
            opening.cancel()

    async def _opened_store(self) -> ObjectStore:
        self.watch.beat = time.monotonic()
        return await self.store.__aenter__()

    def _join(self, local: list[LocalCut]) -> None:
        config = self.config
        start = StartPolicy(
            fingerprint=self._fingerprint,
            owner=secrets.token_hex(_OWNER_BYTES),
            start_from=config.kafka.start_from,
            has_objects=self._has_objects,
        )
        self.assignment = Assignment(
            appenders=self.appenders,
            make_appender=self._make_appender,
            spool=self.spool,
            local=local,
            delivery=self.delivery,
            start=start,
            on_offset_lost=config.kafka.on_offset_lost,
            metrics=self.metrics,
            health=self.health,
        )
        self.pipeline = Pipeline(
            assignment=self.assignment,
            spool=self.spool,
            delivery=self.delivery,
            max_open=config.spool.max_open,
            metrics=self.metrics,
            health=self.health,
        )

    async def _run_tasks(self, stopping: asyncio.Event, noted: list[tuple[str, str]]) -> None:
        allocator.keep()
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(self._probe(), name="probe"),
                tasks.create_task(self._sweep(noted), name="sweep"),
                tasks.create_task(self.delivery.run(), name="delivery"),
                tasks.create_task(self.watch.run(), name="watch"),
                *(
                    tasks.create_task(self.delivery.upload_worker(), name=f"upload-{number}")
                    for number in range(self.config.s3.uploads)
                ),
            ]
            await self._consume(stopping)
            for task in background:
                task.cancel()

    def _make_appender(self, tp: TopicPartition, who: Identity) -> Appender:
        return Appender(
            tp,
            cuts=PartitionCuts(tp, who),
            spool=self.spool,
            policies=self._policies,
            metrics=self.metrics,
        )

    async def _noted(self, note: Awaitable[None]) -> None:
        """The ledger's notes only save a later sweep: a full disk must not stop an upload."""
        try:
            await note
        except SpoolError as error:
            log.warning("a multipart upload is not noted: %s", error)

    # -- Kafka ---------------------------------------------------------------------------------

    async def _consume(self, stopping: asyncio.Event) -> None:
        backoff = wiring.make_backoff()
        while not stopping.is_set():
            try:
                await self._member(stopping)
            except ConsumerError as error:
                assert self.assignment is not None
                self.assignment.failing("kafka", error)
                await first(stopping, backoff.next())
            else:
                backoff.reset()

    async def _member(self, stopping: asyncio.Event) -> None:
        """One membership, to its end; the drain is a part of it."""
        assert self.assignment is not None
        assert self.pipeline is not None
        consumer = GroupConsumer(
            self.config.kafka,
            self.config.group_id,
            client_id=f"spoolsink-{self.config.name}",
            on_revoked=self.assignment.revoked,
            on_assigned=self.assignment.assigned,
        )
        try:
            if not await unless(stopping, consumer.start()):
                return
            self.health.clear("kafka")
            self.consumer = self.delivery.group = consumer
            # In a task of its own: it blocks, whatever we wish, while the group is being joined.
            polling = asyncio.create_task(self.pipeline.run(consumer, stopping), name="pipeline")
            try:
                await self._watched(polling, consumer, stopping)
            finally:
                # Also when a fault elsewhere cancels us: it must not outlive its consumer.
                polling.cancel()
                await asyncio.wait({polling})
            if not self.is_hurried:
                await self.pipeline.drain(consumer, self.config.shutdown_grace)
        finally:
            self.consumer = self.delivery.group = None
            for appender in self.appenders.values():
                appender.cuts.revoked()
            await consumer.stop(_STOP_SECONDS)

    async def _watched(
        self, polling: asyncio.Task[None], consumer: GroupConsumer, stopping: asyncio.Event
    ) -> None:
        """Until the loop ends by itself, or has to be ended because it hangs in a join.

        Raises what the loop raises, and ConsumerError after a long silence: whole clusters have
        come back without aiokafka noticing (its issue 703), so a new consumer is made.
        """
        while not polling.done() and not stopping.is_set():
            await asyncio.wait({polling}, timeout=_LOOK_SECONDS)
            if consumer.silent_seconds > self._silence_seconds:
                polling.cancel()
                await asyncio.wait({polling})
                raise ConsumerError(
                    f"no word from the group's coordinator for {consumer.silent_seconds:.0f} s"
                )
        await asyncio.wait({polling}, timeout=_END_SECONDS)
        if not polling.done():
            polling.cancel()
        with suppress(asyncio.CancelledError):
            await polling

    @property
    def _silence_seconds(self) -> float:
        return max(_SILENCE_SECONDS, 2 * self.config.kafka.session_timeout)

    # -- S3 ------------------------------------------------------------------------------------

    async def _probe(self) -> None:
        """Whether conditional writes are honoured; nothing is uploaded before that is known."""
        settings = self.config.s3
        if settings.conditional_writes == "off":
            self.delivery.create_only = False
            self._is_probed.set()
            return
        while self.delivery.create_only is None:
            try:
                is_honoured = await probe_conditional_writes(self.store, self.config.layout.prefix)
            except ObjectStoreError as error:
                self._store_failed(error)
                await asyncio.sleep(RETRY_SECONDS / 3)
                continue
            self._store_answers()
            if is_honoured or self._may_do_without():
                self.delivery.create_only = is_honoured
                self.health.clear("s3 conditional writes")
                self._is_probed.set()
                self.delivery.wake.set()
                return
            await asyncio.sleep(RETRY_SECONDS)

    def _may_do_without(self) -> bool:
        settings, file_name = self.config.s3, self.config.layout.file_name
        text = "the store does not honour conditional writes (If-None-Match)"
        if settings.conditional_writes == "require" or file_name == "connect":
            if self.health.fail("s3 conditional writes", text, is_operator=True):
                log.error("%s: needed by the configuration, nothing is uploaded", text)
            return False
        log.warning("%s: every key is looked at before it is written", text)
        return True

    async def _sweep(self, noted: list[tuple[str, str]]) -> None:
        """Once, when S3 answers and the first assignment is known."""
        await self._is_probed.wait()
        assert self.assignment is not None
        await self.assignment.has_begun.wait()
        is_range = self.config.layout.file_name == "range"
        naming = self._policies.naming
        names = [
            (naming.topic_prefix(topic), f"{topic}+{number}+") for topic, number in self.appenders
        ]

        def is_ours(key: str) -> bool:
            file_name = key.rpartition("/")[2]
            return is_range and any(
                key.startswith(prefix) and file_name.startswith(name) for prefix, name in names
            )

        count = await abort_abandoned(
            self.store,
            prefix=self.config.layout.prefix,
            is_ours=is_ours,
            older_than=datetime.now(UTC) - timedelta(seconds=self.config.s3.abort_uploads_after),
            noted=noted,
        )
        for key, upload_id in noted:
            await self._noted(self.spool.clear_upload(key, upload_id))
        if count:
            log.info("%d abandoned multipart uploads aborted", count)

    async def _has_objects(self, topic: str) -> bool | None:
        """Asked in the pipeline's loop: an S3 that hangs may not stop it for long."""
        prefix = self._policies.naming.topic_prefix(topic)
        try:
            async with asyncio.timeout(_OBJECTS_SECONDS):
                return await self.store.has_objects(
                    prefix, lambda key: key.rpartition("/")[2].startswith(f"{topic}+")
                )
        except TimeoutError as error:
            told = ("ListObjectsV2", "Deadline", f"no answer in {_OBJECTS_SECONDS:.0f} s")
            raise RetryableStoreError(*told, self.store.bucket) from error

    def _requested(self, operation: str) -> None:
        self.metrics.counters["s3_requests"].labels(operation).inc()

    def _store_failed(self, error: ObjectStoreError) -> None:
        self.metrics.counters["s3_errors"].labels(error.operation, error.code).inc()
        is_operator = isinstance(error, OperatorStoreError)
        if self.health.fail("s3", str(error), is_operator=is_operator, kind=error.code):
            log.error("s3: %s", error)

    def _store_answers(self) -> None:
        if self.health.clear("s3"):
            log.info("s3 answers again")
