"""A Kafka Connect worker with the S3 sink connector of a directory that the user supplies.

Nothing of a connector comes with the project: `DIR` holds its jars. Its settings are the usual
ones, with the smallest parts that S3 takes (5 MiB; the connector's default is five times as much).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import DataSet
from tests.servers.connect_worker import CONNECT_JARS, SINK_PROPERTIES, WORKER_PROPERTIES
from tests.servers.processes import LOG4J, S3Server, ServerProcess

OUT_OF_MEMORY_STATUS = 3
"""Of a JVM with `-XX:+ExitOnOutOfMemoryError`."""

PART_BYTES = 5 * 1024 * 1024
_COMMITS = 4
_CONVERTERS = {
    "json": "org.apache.kafka.connect.json.JsonConverter",
    "bytes": "org.apache.kafka.connect.converters.ByteArrayConverter",
}
_FORMATS = {
    "json": "io.confluent.connect.s3.format.json.JsonFormat",
    "bytes": "io.confluent.connect.s3.format.bytearray.ByteArrayFormat",
}
_S3_SINK = """\
connector.class=io.confluent.connect.s3.S3SinkConnector
storage.class=io.confluent.connect.s3.storage.S3Storage
tasks.max=1
s3.part.size={part_bytes}
partitioner.class=io.confluent.connect.storage.partitioner.TimeBasedPartitioner
partition.duration.ms=3600000
path.format='year'=YYYY/'month'=MM/'day'=dd/'hour'=HH
timestamp.extractor=Record
locale=en-US
timezone=UTC
"""


@dataclass(frozen=True, slots=True)
class Connector:
    """`value` is `json` or `bytes`; without `plugin` the file sink that comes with Connect.

    `flush_records` of each topic partition end an object, and are committed after it.
    """

    plugin: Path | None
    value: str
    heap_mib: int
    flush_records: int


def flush_records(data: DataSet, commits: int = _COMMITS) -> int:
    """So that the last record of every topic partition ends an object; else it waits for ever.

    Raises ValueError where the data set's records cannot be shared out so.
    """
    found, left = divmod(data.records, data.partitions * commits)
    if left:
        raise ValueError(f"records have to be a multiple of {data.partitions * commits}")
    return found


class Worker(ServerProcess):
    """Standalone; its group is `connect-<name>`. What it writes to a file is in `written`."""

    name = "Kafka Connect"

    def __init__(
        self,
        directory: Path,
        servers: str,
        s3: S3Server,
        *,
        topic: str,
        name: str,
        sink: Connector,
    ) -> None:
        super().__init__(directory)
        self._sink = sink
        self._files = {
            "worker.properties": self._worker(servers),
            "sink.properties": self._connector(s3, topic, name),
            "log4j2.xml": LOG4J,
        }

    @property
    def pid(self) -> int:
        """Of the JVM."""
        assert self._process is not None
        return self._process.pid

    @property
    def written(self) -> Path:
        """Of the file sink."""
        return self.directory / "records.txt"

    def status(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    def command(self) -> list[str]:
        """Writes its files."""
        if not (CONNECT_JARS / ".complete").exists():
            raise RuntimeError("Kafka Connect is not in the cache: run `make servers`")
        if self._sink.plugin is not None:
            # The worker takes each entry of the path for a plugin: this one only.
            plugins = self.directory / "plugins"
            plugins.mkdir(exist_ok=True)
            (plugins / "sink").symlink_to(self._sink.plugin.resolve())
        for name, text in self._files.items():
            (self.directory / name).write_text(text)
        return [
            "java",
            f"-Xmx{self._sink.heap_mib}m",
            "-XX:+ExitOnOutOfMemoryError",
            f"-Dlog4j2.configurationFile={self.directory / 'log4j2.xml'}",
            "-cp",
            f"{CONNECT_JARS}/*",
            "org.apache.kafka.connect.cli.ConnectStandalone",
            str(self.directory / "worker.properties"),
            str(self.directory / "sink.properties"),
        ]

    def _wait_for_port(self) -> None:
        """Not awaited: the commits tell when it is up, and looking for plugins takes its time."""

    def _worker(self, servers: str) -> str:
        text = WORKER_PROPERTIES.format(
            bootstrap_servers=servers, port=self.port, directory=self.directory
        )
        if self._sink.plugin is None:
            return text
        over = {
            "key.converter": _CONVERTERS["bytes"],
            "value.converter": _CONVERTERS[self._sink.value],
            "value.converter.schemas.enable": "false",
            "plugin.path": str(self.directory / "plugins"),
            "plugin.discovery": "hybrid_warn",
        }
        if self._sink.value == "bytes":
            del over["value.converter.schemas.enable"]
        return text + _properties(over)

    def _connector(self, s3: S3Server, topic: str, name: str) -> str:
        if self._sink.plugin is None:
            return SINK_PROPERTIES.format(name=name, topic=topic, directory=self.directory)
        settings = {
            "name": name,
            "topics": topic,
            "format.class": _FORMATS[self._sink.value],
            "flush.size": str(self._sink.flush_records),
            "s3.bucket.name": name,
            "s3.region": s3.region,
            "store.url": s3.endpoint_url,
            "aws.access.key.id": s3.access_key_id,
            "aws.secret.access.key": s3.secret_access_key,
        }
        return _S3_SINK.format(part_bytes=PART_BYTES) + _properties(settings)


def _properties(settings: Mapping[str, str]) -> str:
    # A key that stands twice has its last value.
    return "".join(f"{key}={value}\n" for key, value in settings.items())
