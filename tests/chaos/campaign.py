"""One configuration on one bucket: rounds of faults, each with quiet and a verdict behind it."""

import asyncio
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError
from botocore.exceptions import BotoCoreError, ClientError

from tests.chaos.broker import ChaosKafka
from tests.chaos.faults import Scheduler
from tests.chaos.fleet import Fleet, Member, mount
from tests.chaos.links import Link
from tests.chaos.oracle import LETTERS, ChaosOracle
from tests.chaos.settings import Settings
from tests.chaos.store_proxy import StoreProxy
from tests.chaos.traffic import Traffic
from tests.chaos.witness import Witness
from tests.chaos.world import World
from tests.integration.harness import Bench, eventually, merged
from tests.integration.oracle import Oracle, StoredObject, promises
from tests.integration.producing import documents, produce
from tests.servers.processes import S3Server, free_port

CATCH_UP_SECONDS = 120.0
"""The sinks try again every 15 s what failed; and a loaded machine."""
_ASK_SECONDS = 0.4
_ORPHAN_SECONDS = 3.0
"""`abort_uploads_after` of every campaign."""


@dataclass
class Report:
    """Of one round."""

    faults: Counter[str]
    records: int
    objects: int
    catch_up_seconds: float


@dataclass
class Totals:
    """Of a whole run."""

    campaigns: Counter[str] = field(default_factory=Counter)
    """By what mattered of their configuration: each has some of these."""
    rounds: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    records: int = 0
    objects: int = 0
    aborted: int = 0
    recreated: int = 0
    starts: int = 0
    repeats: int = 0
    """Takeovers that found promises of an earlier owner."""
    longest_catch_up_seconds: float = 0.0
    peak_spool_bytes: int = 0
    peak_resident_bytes: int = 0


class Campaign:
    """Opened, some rounds, closed; the servers outlive it."""

    def __init__(
        self,
        directory: Path,
        kafka: ChaosKafka,
        s3: S3Server,
        settings: Settings,
        rng: random.Random,
    ) -> None:
        directory.mkdir(parents=True)
        self.settings = settings
        self._rng = rng
        self._kafka = kafka
        self._bench = Bench(kafka, s3, directory)
        self.bucket = s3.root / self._bench.bucket
        self._witness = Witness(self.bucket)
        self.proxy = StoreProxy(
            server_port=s3.port, rng=rng, abort=self._abort, witness=self._witness
        )
        self.fleet = Fleet([])
        self._links: list[Link] = []
        self._topics: dict[str, int] = {}
        self._recreated: dict[str, list[str]] = {}
        """Topics that are others than they were, and the keys that there may be of them."""
        self._letters_topic: str | None = None
        self._watch: asyncio.Task[None] | None = None
        self.traffic: Traffic | None = None
        self._objects: list[StoredObject] = []

    def _abort(self, key: str, upload_id: str) -> None:
        store = self._bench.store
        with suppress(ClientError, BotoCoreError):  # it is gone, or the server is
            store.abort_multipart_upload(Bucket=self._bench.bucket, Key=key, UploadId=upload_id)

    # -- its life ------------------------------------------------------------------------------

    async def open(self) -> None:
        """Bucket, topics, network, sinks."""
        self._bench.make_bucket()
        for number, count in enumerate(self.settings.partition_counts):
            name = f"{self._bench.name}.{number}"
            self._topics[await self._bench.topic(count, name=name)] = count
        if self.settings.errors == "topic":
            self._letters_topic = await self._bench.topic(name=f"{self._bench.name}.{LETTERS}")
        for number in range(self.settings.members):
            link = Link(self._kafka.link_ports[number], self._kafka.listener_ports[number])
            await link.start()
            self._links.append(link)
            store_port = free_port()
            await self.proxy.listen(number, store_port)
            self.fleet.members.append(self._member(number, store_port))
        self.traffic = Traffic(
            self._kafka.bootstrap_servers, self._topics, self.settings, self._rng
        )
        for member in self.fleet.members:
            member.start()
        await self.traffic.begin()
        await asyncio.gather(*map(self._ready, self.fleet.members))
        self._watch = asyncio.create_task(self.fleet.watch(), name="fleet watch")

    async def _ready(self, member: Member) -> None:
        async def is_so() -> bool:
            return (await member.process.ask("/readyz"))[0] == HTTPStatus.OK

        await member.process.until("/readyz answers 200", is_so, seconds=CATCH_UP_SECONDS)

    def _member(self, number: int, store_port: int) -> Member:
        overrides = merged(
            self.settings.sections,
            {
                "kafka": {
                    "bootstrap_servers": [f"127.0.0.1:{self._kafka.link_ports[number]}"],
                    "topics": list(self._topics),
                    "group_instance_id": f"sink-{number}" if self.settings.is_static else None,
                },
                "s3": {"endpoint_url": f"http://127.0.0.1:{store_port}"},
                "records": {"dead_letter": self._dead_letter()},
            },
        )
        disk = self._bench.directory / f"disk-{number}"
        mount(disk)
        process = self._bench.sink(overrides, spool=disk / "spool")
        return Member(number, process, self.settings.spool_bytes)

    def _dead_letter(self) -> dict[str, str]:
        if self.settings.errors == "prefix":
            return {"prefix": LETTERS}
        return {"topic": self._letters_topic} if self._letters_topic else {}

    async def close(self) -> None:
        """End everything of it; what lies in the bucket stays."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        self.fleet.close()
        if self.traffic is not None:
            await self.traffic.close()
        for link in self._links:
            await link.close()
        await self.proxy.close()

    def add_to(self, totals: Totals) -> None:
        """What it has done."""
        fleet = self.fleet
        totals.campaigns += Counter(self.settings.traits)
        totals.requests += self.proxy.requests
        totals.answers += self.proxy.caused
        totals.records += sum(found.number("records") for found in self._objects)
        totals.objects += len(self._objects)
        totals.aborted += self.traffic.aborted if self.traffic else 0
        totals.starts += sum(member.starts for member in fleet.members)
        logs = (member.process.text() for member in fleet.members)
        totals.repeats += sum(text.count("(repeat)") for text in logs)
        totals.peak_spool_bytes = max(totals.peak_spool_bytes, fleet.peak_spool_bytes)
        totals.peak_resident_bytes = max(totals.peak_resident_bytes, fleet.peak_resident_bytes)

    # -- rounds --------------------------------------------------------------------------------

    async def round(self, scheduler: Scheduler, seconds: float) -> Report:
        """Faults, quiet, verdict. AssertionError for whatever is broken."""
        assert self.traffic is not None
        world = World(
            kafka=self._kafka,
            s3=self._bench.s3,
            links=self._links,
            proxy=self.proxy,
            fleet=self.fleet,
            rng=self._rng,
            connector=self._bench.name,
            has_splits="object_bytes" in self.settings.sections["rotate"]
            or "object_records" in self.settings.sections["rotate"],
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.traffic.run(seconds), name="traffic")
                tasks.create_task(scheduler.run(world, seconds), name="faults")
            await world.calm()
            self.fleet.verify()
            await self.traffic.finish()
            started = time.monotonic()
            await self._back_at_work()
            catch_up_seconds = time.monotonic() - started
            self._objects = await self._verdict()
        except AssertionError as error:
            error.add_note(f"faults of this round: {dict(world.done)}")
            raise
        records = sum(found.number("records") for found in self._objects)
        return Report(world.done, records, len(self._objects), catch_up_seconds)

    async def _back_at_work(self) -> None:
        try:
            await self._resumed()
            await self._caught_up()
        except AssertionError:
            await self._post_mortem()
            raise

    async def _post_mortem(self) -> None:
        for member in self.fleet.members:
            found = await member.post_mortem()
            (self._bench.directory / f"post-mortem-{member.number}").write_text(found)

    async def _resumed(self) -> None:
        """An operator's stop outlives everything else."""
        path = f"/connectors/{self._bench.name}/resume"
        for member in self.fleet.members:
            said: list[tuple[int, str]] = []

            async def is_so(member: Member = member, said: Any = said) -> bool:
                said.append(await member.process.ask(path, "PUT"))
                return bool(said[-1][0] == HTTPStatus.ACCEPTED)

            try:
                await member.process.until("it was resumed", is_so, seconds=CATCH_UP_SECONDS)
            except AssertionError as error:
                error.add_note(f"its answers: {dict(Counter(said))}")
                raise

    async def _caught_up(self) -> None:
        """Liveness: the committed offsets are the log's ends, with nothing promised beyond."""
        oracle = Oracle(self._bench)
        until = time.monotonic() + CATCH_UP_SECONDS
        while True:
            left = [line for topic in self._topics for line in await self._lag(oracle, topic)]
            if not left:
                return
            if time.monotonic() > until:
                tails = [member.process.tail() for member in self.fleet.members]
                lines = "\n".join([*left, *self.fleet.broken, *tails])
                raise AssertionError(f"not caught up in {CATCH_UP_SECONDS:.0f} s:\n{lines}")
            if self.settings.is_flushed:
                for member in self.fleet.members:
                    await member.process.ask("/flush", "POST")
            await asyncio.sleep(_ASK_SECONDS)

    async def _lag(self, oracle: Oracle, topic: str) -> list[str]:
        """What is missing, a line each."""
        ends, committed = await oracle.ends(topic), await oracle.committed(topic)
        found = {number: committed.get(number, (-1, "")) for number in ends}
        return [
            f"{topic}-{number}: committed {offset} of {ends[number]}, metadata {metadata}"
            for number, (offset, metadata) in found.items()
            if offset != ends[number] or promises(metadata)
        ]

    def _oracle(self) -> ChaosOracle:
        return ChaosOracle(
            self._bench,
            self.settings,
            recreated=tuple(self._recreated),
            letters_topic=self._letters_topic,
        )

    async def _verdict(self, *, is_final: bool = False) -> list[StoredObject]:
        oracle = self._oracle()
        oracle.is_final = is_final
        keys = oracle.object_keys()
        self._witness.verify(keys)
        found = await oracle.verify(*self._topics)
        for topic, allowed in self._recreated.items():
            more = set(keys_of(topic, keys)) - set(allowed)
            assert not more, f"{topic} was created anew, and yet: {more}"
        self.fleet.verify()
        return found

    async def recreate_a_topic(self) -> str | None:
        """Everything is delivered: one topic is deleted and made anew, with some records in it.

        Its topic partitions hold from here on, whatever happens, and nobody asks for its lag. Told
        is its name; None where there is no such topic: one without objects may start anew.
        """
        keys = self._oracle().object_keys()
        able = [topic for topic in self._topics if keys_of(topic, keys)]
        if not able or len(self._topics) == 1:
            return None
        topic = self._rng.choice(able)
        ends = await Oracle(self._bench).ends(topic)
        is_between_runs = self._rng.random() < 0.5
        if is_between_runs:
            await self._stopped()
        count = self._topics.pop(topic)
        self._recreated[topic] = keys_of(topic, keys)
        await recreated(self._kafka.bootstrap_servers, topic, count)
        # Fewer than were read of the old one: a sink finds a topic out within a minute only.
        records = [
            one._replace(partition=number)
            for number, end in ends.items()
            for one in documents(min(20, end // 2))
        ]
        await produce(self._kafka.bootstrap_servers, topic, records)
        if is_between_runs:
            for member in self.fleet.members:
                member.start()
        return topic

    async def finish(self) -> None:
        """Every sink stops cleanly, and no unfinished upload outlives the next start."""
        await self._stopped()
        oracle = self._oracle()
        oracle.is_final = True
        if oracle.unfinished_uploads():
            await self._until_orphans_are_old()
            for member in self.fleet.members:
                member.start()
            await self._until_swept(oracle)
            await self._stopped()
        await self._verdict(is_final=True)

    async def _stopped(self) -> None:
        await asyncio.gather(*(member.stopped() for member in self.fleet.members))

    async def _until_orphans_are_old(self) -> None:
        found = self._bench.store.list_multipart_uploads(Bucket=self._bench.bucket)
        youngest = max(upload["Initiated"] for upload in found["Uploads"])
        old = youngest + timedelta(seconds=_ORPHAN_SECONDS + 2)
        await asyncio.sleep(max(0.0, (old - datetime.now(UTC)).total_seconds()))

    async def _until_swept(self, oracle: ChaosOracle) -> None:
        until = time.monotonic() + CATCH_UP_SECONDS
        while left := oracle.unfinished_uploads():
            assert time.monotonic() < until, f"unfinished uploads stay: {left}"
            await asyncio.sleep(_ASK_SECONDS)


def keys_of(topic: str, keys: list[str]) -> list[str]:
    """Those of a topic's own objects, and of its dead letters."""
    starts = (f"topics/{topic}/", f"{LETTERS}/{topic}/")
    return [key for key in keys if key.startswith(starts)]


async def recreated(bootstrap_servers: str, topic: str, partitions: int) -> None:
    """Deleted, and made again once its name is free."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_topics([topic])

        async def is_made() -> bool:
            try:
                await admin.create_topics([NewTopic(topic, partitions, 1)])
            except TopicAlreadyExistsError:
                return False
            return True

        await eventually(f"{topic} is made anew", is_made)
    finally:
        await admin.close()
