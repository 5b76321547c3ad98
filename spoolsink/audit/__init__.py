"""`spoolsink audit`: whether S3 holds what the group has committed, and nothing else.

It writes nothing, and may run beside the sink. Memory does not grow with the number of objects.
"""

import asyncio
import logging
from contextlib import AsyncExitStack
from random import SystemRandom
from typing import TextIO

from spoolsink import wiring
from spoolsink.audit.auditor import Auditor
from spoolsink.audit.catalog import Catalog
from spoolsink.audit.finding import KINDS, Finding, Tally, as_json, as_text
from spoolsink.audit.group import Group, Standing, is_same_topic
from spoolsink.audit.log_judge import LogJudge
from spoolsink.audit.places import Places
from spoolsink.audit.rulings import Rulings
from spoolsink.audit.scan import Scan
from spoolsink.config_model import Config
from spoolsink.converters.registry import SchemaRegistry
from spoolsink.errors import ConsumerError, ObjectStoreError, RegistryAwayError
from spoolsink.formats import Format
from spoolsink.object_reader import ObjectReader
from spoolsink.progress import Progress
from spoolsink.records import OffsetRange, TopicPartition

log = logging.getLogger(__name__)

EXIT_CLEAN, EXIT_FAULT, EXIT_FOUND = 0, 1, 3


def run_audit(config: Config, *, as_document: bool, out: TextIO, progress: Progress) -> int:
    """The exit status: 3 when something was found, 1 when Kafka or S3 does not answer.

    Raises ConfigError for what shows only when things are made (classes, files, libraries).
    """
    form, registry = wiring.make_form(config), wiring.make_registry(config)
    with Catalog() as catalog:
        audit = _Audit(config, catalog, form=form, registry=registry, progress=progress)
        if not as_document:
            audit.on_finding = lambda finding: _say(finding, config, out, progress)
        try:
            asyncio.run(audit.run())
        except (ConsumerError, ObjectStoreError, RegistryAwayError) as error:
            progress.clear()
            log.error("the audit has no result: %s", error)
            return EXIT_FAULT
        progress.clear()
        if as_document:
            document = as_json(catalog.findings(), audit.summary(), config.s3.bucket)
            out.writelines(document)
        else:
            out.write(f"{audit.told()}\n")
    return EXIT_FOUND if audit.tally.has_faults else EXIT_CLEAN


def _say(finding: Finding, config: Config, out: TextIO, progress: Progress) -> None:
    progress.clear()
    out.write(f"{as_text(finding, config.s3.bucket)}\n")


class _Audit:
    """One run of the command."""

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        *,
        form: Format,
        registry: SchemaRegistry | None,
        progress: Progress,
    ) -> None:
        self.tally = Tally()
        self.on_finding = catalog.note
        self._config = config
        self._catalog = catalog
        self._form = form
        self._registry = registry
        self._policies = wiring.make_policies(config, form, registry)
        self._progress = progress
        self._partitions = 0
        self._read = 0
        self._scan: Scan | None = None

    async def run(self) -> None:
        """Raises ConsumerError, ObjectStoreError and RegistryAwayError."""
        async with AsyncExitStack() as stack:
            if self._registry is not None:
                stack.push_async_callback(self._registry.close)
            store = ObjectReader(self._config.s3, random=SystemRandom().random)
            await stack.enter_async_context(store)
            # Of its own loop: hence not made before.
            group = Group(self._config, command="audit")
            stack.push_async_callback(group.stop)
            await group.start()
            await self._compare(store, group)

    async def _compare(self, store: ObjectReader, group: Group) -> None:
        config = self._config
        topics = await group.topics()
        ids = await group.ids(topics)
        tps = await group.topic_partitions(ids.ids)
        before = await group.standings(tps)
        auditor = Auditor(
            self._catalog,
            starts_at_log=config.kafka.start_from in {None, "earliest"},
            has_schemas=self._form.tags is not None,
            note=self._noted,
        )
        places = make_places(config, topics)
        scan = self._scan = Scan(
            store,
            places,
            on_object=self._catalog.add,
            on_unknown=auditor.unknown,
            on_step=self._step,
        )
        await scan.objects()
        await auditor.uploads(scan, group, before)
        self._catalog.close_objects()
        everything = sorted({*tps, *self._catalog.topic_partitions()})
        after = await group.standings(everything)
        logs = await group.logs(tps)
        for tp in everything:
            if tp not in before:
                # Where Kafka has not the topic nobody is at work; a new one has only begun.
                before[tp] = Standing(None, -1) if tp.topic in ids.ids else after[tp]
            elif not is_same_topic(after[tp], tp, ids):
                log.warning("%s was created anew since the group's offset was committed", tp)
                del logs[tp]
        self._partitions = len(everything)
        rulings = self._rulings(group, logs)
        for tp in everything:
            await auditor.judge(tp, rulings, before=before[tp], after=after, log=logs.get(tp))

    def _rulings(self, group: Group, logs: dict[TopicPartition, OffsetRange]) -> Rulings:
        config, policies = self._config, self._policies
        judge = LogJudge(
            group.reader,
            encoder=policies.encoder,
            naming=policies.naming,
            logs=logs,
            stops=policies.bad_records.stops,
            on_read=self._records_read,
        )
        is_raw = config.format.type in {"text", "bytes", "csv"}
        return Rulings(
            judge,
            self._catalog,
            knows_places=not policies.encoder.layout.uses_wallclock,
            writes_all=not (is_raw and config.records.on_null_value == "write"),
        )

    # -- what is told --------------------------------------------------------------------------

    def _noted(self, finding: Finding) -> None:
        self.tally.count(finding)
        self.on_finding(finding)

    def _records_read(self, count: int) -> None:
        self._read += count
        self._step()

    def _step(self) -> None:
        self._progress.show(self._described)

    def _described(self) -> str:
        scan = self._scan
        assert scan is not None
        found = sum(self.tally.counts.values())
        return (
            f"audit: {scan.listed:,} keys listed, {scan.asked:,} objects asked, "
            f"{self._read:,} records read from Kafka, {found:,} findings"
        )

    def summary(self) -> dict[str, object]:
        """The head of the JSON document."""
        return {
            "bucket": self._config.s3.bucket,
            "group": self._config.group_id,
            "topic_partitions": self._partitions,
            "objects": self._catalog.count,
            "records_read": self._read,
            "counts": dict(self.tally.counts),
        }

    def told(self) -> str:
        """The last line."""
        counts = [f"{self.tally.counts[kind]} {kind}" for kind in KINDS if self.tally.counts[kind]]
        return (
            f"s3://{self._config.s3.bucket}: {self._catalog.count} objects of "
            f"{self._partitions} topic partitions, group {self._config.group_id}: "
            f"{', '.join(counts) or 'nothing found'}"
        )


def make_places(config: Config, topics: tuple[str, ...]) -> Places:
    """Where the objects of these topics lie."""
    has_pattern = config.kafka.topics is None
    return Places(
        prefix=config.layout.prefix,
        topic_directory=config.layout.topic_directory,
        dead_letter_prefix=config.records.dead_letter.prefix or "",
        topics=None if has_pattern else topics,
        has_topic=frozenset(topics).__contains__,
    )
