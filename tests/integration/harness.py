"""What an integration test stands on: names of its own, topics, and configuration files."""

import asyncio
import functools
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import botocore.session
import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from botocore.config import Config

from tests.integration.sink_process import ROOT, Overrides, SinkProcess, eventually, merged
from tests.servers.processes import KafkaServer, S3Server, ServerProcess

__all__ = ["ROOT", "Bench", "SinkProcess", "all_of", "eventually", "merged", "on_own_servers"]


async def all_of(**works: Awaitable[object]) -> None:
    """Several scenarios at once, for their waiting is long and their work short."""
    results = await asyncio.gather(*works.values(), return_exceptions=True)
    failed = []
    for name, result in zip(works, results, strict=True):
        if isinstance(result, BaseException):
            result.add_note(f"scenario: {name}")
            failed.append(result)
    if failed:
        raise BaseExceptionGroup(f"{len(failed)} of {len(works)} scenarios", failed)


@functools.cache  # half a second of a core each
def _store(endpoint_url: str, access_key_id: str, secret_access_key: str) -> Any:
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=S3Server.region,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        config=Config(s3={"addressing_style": "path"}, read_timeout=5, connect_timeout=5),
    )


@dataclass
class Bench:
    """One test's own names on shared servers: a bucket, topics, a group, sinks."""

    kafka: KafkaServer
    s3: S3Server
    directory: Path
    name: str = field(default_factory=lambda: f"t-{uuid.uuid4().hex[:8]}")
    sinks: list[SinkProcess] = field(default_factory=list)
    partition_counts: dict[str, int] = field(default_factory=dict)
    siblings: list["Bench"] = field(default_factory=list)
    servers: list[ServerProcess] = field(default_factory=list)
    expects_faults: bool = False

    @property
    def bucket(self) -> str:
        """The test's."""
        return f"bucket-{self.name}"

    @property
    def group(self) -> str:
        """The consumer group of every sink of this test."""
        return f"spoolsink-{self.name}"

    @property
    def store(self) -> Any:
        """A plain S3 client that signs like any other program."""
        return _store(self.s3.endpoint_url, self.s3.access_key_id, self.s3.secret_access_key)

    def make_bucket(self) -> None:
        """Of this test alone."""
        self.store.create_bucket(Bucket=self.bucket)

    async def topic(self, partitions: int = 1, *, name: str | None = None, **config: str) -> str:
        """A new topic; `config` as Kafka spells it, with underscores for dots."""
        name = self.name if name is None else name
        settings = {key.replace("_", "."): value for key, value in config.items()}
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
        finally:
            await admin.close()
        self.partition_counts[name] = partitions
        return name

    def configuration(self, overrides: Overrides) -> dict[str, Any]:
        """Small limits and short times, and what the test wants."""
        base = {
            "name": self.name,
            "kafka": {
                "bootstrap_servers": [self.kafka.bootstrap_servers],
                "session_timeout": "2s",
            },
            "rotate": {"max_age": None},
            "spool": {"max_bytes": "64MiB", "min_free_bytes": "0B", "write_buffer": "1MiB"},
            "s3": {
                "bucket": self.bucket,
                "endpoint_url": self.s3.endpoint_url,
                "region": self.s3.region,
                "addressing_style": "path",
                "access_key_id": self.s3.access_key_id,
                "secret_access_key": self.s3.secret_access_key,
                "request_timeout": "3s",
            },
            "shutdown_grace": "10s",
            "admin": {"listen": "127.0.0.1:0"},
        }
        if "topics_pattern" not in overrides.get("kafka", {}):
            base = merged(base, {"kafka": {"topics": [self.name]}})
        return merged(base, overrides)

    def sink(self, overrides: Overrides | None = None, *, spool: Path | None = None) -> SinkProcess:
        """Not started. `spool`: another sink's, where they are to meet."""
        number = len(self.sinks)
        spool = spool or self.directory / f"spool-{number}"
        found = self.configuration(overrides or {})
        found["spool"]["directory"] = str(spool)
        path = self.directory / f"sink-{number}.yaml"
        path.write_text(yaml.safe_dump(found))
        process = SinkProcess(path, spool, self.directory / f"sink-{number}.log")
        self.sinks.append(process)
        return process

    def sibling(self, *, has_bucket: bool = True) -> "Bench":
        """Another one beside it, with a bucket of its own; closed with this one."""
        found = Bench(self.kafka, self.s3, self.directory / f"sibling-{len(self.siblings)}")
        found.directory.mkdir()
        if has_bucket:
            found.make_bucket()
        self.siblings.append(found)
        return found

    def own_s3(self) -> "Bench":
        """The same names on a store of its own, which a test may suspend and stop."""
        directory = self.directory / f"own-{len(self.siblings)}"
        server = S3Server(directory)
        directory.mkdir()
        server.start()
        self.servers.append(server)
        found = replace(self, s3=server, directory=directory, sinks=[], siblings=[], servers=[])
        found.make_bucket()
        self.siblings.append(found)
        return found

    def close(self) -> None:
        """End what still runs; a log that only a bug could have written fails the test."""
        for sink in self.sinks:
            sink.kill()
        for server in self.servers:
            server.stop()
        for sibling in self.siblings:
            sibling.close()
        for sink in self.sinks:
            assert self.s3.secret_access_key not in sink.text(), "a secret is in the log"
            assert self.expects_faults or not sink.faults(), sink.tail()


@asynccontextmanager
async def on_own_servers(directory: Path) -> AsyncIterator[Bench]:
    """A bench on a Kafka and an S3 server in `directory`, which end with the block."""
    kafka, s3 = KafkaServer(directory / "kafka"), S3Server(directory / "s3")
    for server in (kafka, s3):
        server.directory.mkdir()
    bench = Bench(kafka, s3, directory)
    try:
        await asyncio.gather(asyncio.to_thread(kafka.start), asyncio.to_thread(s3.start))
        yield bench
        bench.close()
    finally:
        for sink in bench.sinks:
            sink.kill()
        s3.stop()
        kafka.stop()
