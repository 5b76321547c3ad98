"""`spoolsink restore`: backed-up records back to Kafka, each once, whenever it is killed.

Same partition, order, key, headers and create time. Objects come from S3 one after the other, the
position is kept in Kafka (`target`): a run that is begun again goes on where the last one was.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import SystemRandom
from typing import TextIO

from spoolsink.audit import make_places
from spoolsink.audit.catalog import Catalog
from spoolsink.audit.group import Group
from spoolsink.audit.places import Named, Stored
from spoolsink.audit.scan import Scan
from spoolsink.config_model import Config
from spoolsink.errors import BackupError, ConfigError, ConsumerError, ObjectStoreError
from spoolsink.object_reader import ObjectReader
from spoolsink.progress import Progress, bar
from spoolsink.records import TopicPartition
from spoolsink.restore.merge import in_order
from spoolsink.restore.objects import Decode, make_decoder, records_of
from spoolsink.restore.pace import Pace
from spoolsink.restore.record import Restored
from spoolsink.restore.selection import Selection, obstacles
from spoolsink.restore.target import Target

log = logging.getLogger(__name__)

EXIT_CLEAN, EXIT_FAULT = 0, 1


@dataclass(slots=True)
class _Count:
    """What was done so far, in this run."""

    sent: int = 0
    passed: int = 0
    objects: int = 0
    log_append: int = 0


def run_restore(
    config: Config, selection: Selection, *, rate: float | None, out: TextIO, progress: Progress
) -> int:
    """The exit status; `rate` is in records a second.

    Raises ConfigError for a configuration whose objects cannot be restored, and for a target that
    is not there or has too few partitions.
    """
    problems = list(obstacles(config))
    if problems:
        raise ConfigError(problems)
    with Catalog() as catalog:
        restore = _Restore(config, selection, catalog, rate=rate, progress=progress)
        try:
            asyncio.run(restore.run())
        except (ConsumerError, ObjectStoreError, BackupError) as error:
            progress.clear()
            log.error("the restore has stopped: %s", error)
            if restore.has_sent:
                log.error("what was sent is known: the same command goes on behind it")
            return EXIT_FAULT
        progress.clear()
        out.writelines(f"{line}\n" for line in restore.told())
    return EXIT_CLEAN


class _Restore:
    """One run of the command."""

    def __init__(
        self,
        config: Config,
        selection: Selection,
        catalog: Catalog,
        *,
        rate: float | None,
        progress: Progress,
    ) -> None:
        self._config = config
        self._selection = selection
        self._catalog = catalog
        self._progress = progress
        self._decode: Decode = make_decoder(config)
        self._pace = Pace(rate, monotonic=time.monotonic, sleep=asyncio.sleep)
        self._count = _Count()
        self._now = ""

    async def run(self) -> None:
        """Raises ConfigError, ConsumerError, ObjectStoreError and BackupError."""
        async with AsyncExitStack() as stack:
            store = ObjectReader(self._config.s3, random=SystemRandom().random)
            await stack.enter_async_context(store)
            group = Group(self._config, command="restore")
            stack.push_async_callback(group.stop)
            await group.start()
            identity, partitions = await self._target_of(group)
            await self._list(store)
            self._check_partitions(partitions)
            target = Target(self._config.kafka, self._selection.target, identity=identity)
            stack.push_async_callback(target.stop)
            await target.start()
            done = await target.progress(range(partitions))
            for tp in self._catalog.topic_partitions():
                await self._topic_partition(store, target, tp, done.get(tp.partition, 0))

    # -- before anything is sent ---------------------------------------------------------------

    async def _target_of(self, group: Group) -> tuple[str, int]:
        """Identity of the restore, and the number of the target's partitions."""
        source, target = self._selection.topic, self._selection.target
        ids = await group.ids({source, target})
        if target not in ids.ids:
            raise ConfigError([f"--to-topic: the topic {target} does not exist"])
        if source == target:
            log.warning("%s is sent back into itself: a sink that reads it writes it again", source)
        count = len(await group.topic_partitions([target]))
        if self._selection.partition is not None:
            self._demand(count, self._selection.partition + 1)
        elif source in ids.ids:
            needed = len(await group.topic_partitions([source]))
            self._demand(count, needed)
        return self._selection.identity(self._config, ids.ids[target]), count

    def _check_partitions(self, count: int) -> None:
        tps = self._catalog.topic_partitions()
        self._demand(count, max((tp.partition + 1 for tp in tps), default=0))

    def _demand(self, count: int, needed: int) -> None:
        if count < needed:
            text = f"--to-topic: {self._selection.target} has {count} partitions; needed: {needed}"
            raise ConfigError([text])

    async def _list(self, store: ObjectReader) -> None:
        selection = self._selection

        def wanted(named: Named) -> bool:
            return (
                named.tp.topic == selection.topic
                and selection.partition in {None, named.tp.partition}
                and (named.last is None or named.last >= selection.from_offset)
                and (selection.until_offset is None or named.first < selection.until_offset)
                and not self._is_letter(named)
            )

        scan = Scan(
            store,
            make_places(self._config, (selection.topic,)),
            on_object=self._catalog.add,
            on_unknown=lambda found: log.warning("passed by: %s %s", found.key, found.why),
            on_step=lambda: self._progress.show(
                lambda: f"restore: {scan.listed:,} keys listed, {scan.asked:,} objects asked"
            ),
        )
        await scan.objects(wanted)
        self._catalog.close_objects()

    def _is_letter(self, named: Named) -> bool:
        """Dead letters were no good records then, and are not now."""
        prefix = self._config.records.dead_letter.prefix
        return prefix is not None and named.directory.startswith(f"{prefix}/")

    # -- one topic partition -------------------------------------------------------------------

    async def _topic_partition(
        self, store: ObjectReader, target: Target, tp: TopicPartition, done: int
    ) -> None:
        """`done` is the offset below which it is restored already."""
        objects = (found for found in self._catalog.by_offset(tp) if found.last >= done)
        committed = position = done
        async for piece in in_order(objects, lambda found: self._open(store, found)):
            chosen = [r for r in piece if r.offset >= done and self._selection.takes(r)]
            self._count.passed += len(piece) - len(chosen)
            for some in self._pace.pieces(chosen):
                await target.send(tp.partition, some)
                position = some[-1].offset + 1
                self._sent(tp, some)
                if target.is_due:
                    await target.commit(tp.partition, position)
                    committed = position
                await self._pace.wait(len(some))
            position = piece[-1].offset + 1
        if position > committed:
            await target.commit(tp.partition, position)

    async def _open(self, store: ObjectReader, found: Stored) -> AsyncIterator[list[Restored]]:
        self._count.objects += 1
        async for piece in records_of(store, found.key, self._decode):
            yield piece

    def _sent(self, tp: TopicPartition, records: Sequence[Restored]) -> None:
        self._count.sent += len(records)
        self._count.log_append += sum(record.is_log_append for record in records)
        self._now = f"{tp} offset {records[-1].offset}"
        self._progress.show(self._described)

    # -- what is told --------------------------------------------------------------------------

    @property
    def has_sent(self) -> bool:
        """In this run."""
        return self._count.sent > 0

    def _described(self) -> str:
        count = self._count
        # An object is counted when it is opened.
        how_far = bar(count.objects - 1, self._catalog.count)
        of = f"{count.objects:,} of {self._catalog.count:,} objects"
        return f"restore {how_far} {count.sent:,} records sent, {of}, {self._now}"

    def told(self) -> list[str]:
        """The last lines."""
        count, selection = self._count, self._selection
        where = f"{count.objects} objects of s3://{self._config.s3.bucket}"
        lines = [f"{count.sent} records of {selection.topic} sent to {selection.target}: {where}"]
        if count.log_append:
            lines.append(
                f"{count.log_append} of them had their time from the log (log_append): a producer "
                "can set no such time, they have it as their create time"
            )
        return lines
