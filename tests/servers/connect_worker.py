"""Kafka Connect 4.1.0, a standalone worker with one file sink, as a child process."""

from pathlib import Path

from tests.servers.processes import CACHE, LOG4J, ServerProcess

CONNECT_JARS = CACHE / "connect-4.1.0"

WORKER_PROPERTIES = """\
bootstrap.servers={bootstrap_servers}
listeners=http://127.0.0.1:{port}
rest.advertised.host.name=127.0.0.1
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.file.filename={directory}/connect.offsets
offset.flush.interval.ms=500
plugin.discovery=service_load
consumer.auto.offset.reset=earliest
"""

SINK_PROPERTIES = """\
name={name}
connector.class=org.apache.kafka.connect.file.FileStreamSinkConnector
tasks.max=1
topics={topic}
file={directory}/records.txt
"""


class ConnectWorker(ServerProcess):
    """Its REST answers on `url`; the connector `sink` reads `topic` with one task."""

    name = "Kafka Connect"

    def __init__(self, directory: Path, bootstrap_servers: str, *, sink: str, topic: str) -> None:
        super().__init__(directory)
        self.sink = sink
        self._files = {
            "worker.properties": WORKER_PROPERTIES.format(
                bootstrap_servers=bootstrap_servers, port=self.port, directory=directory
            ),
            "sink.properties": SINK_PROPERTIES.format(name=sink, topic=topic, directory=directory),
            "log4j2.xml": LOG4J,
        }

    @property
    def url(self) -> str:
        """Of its REST."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The port answers 404 for the connector for a moment after it is open."""
        if not (CONNECT_JARS / ".complete").exists():
            raise RuntimeError("Kafka Connect is not in the cache: run `make servers`")
        for name, text in self._files.items():
            (self.directory / name).write_text(text)
        return [
            "java",
            "-Xmx256m",
            "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={self.directory / 'log4j2.xml'}",
            "-cp",
            f"{CONNECT_JARS}/*",
            "org.apache.kafka.connect.cli.ConnectStandalone",
            str(self.directory / "worker.properties"),
            str(self.directory / "sink.properties"),
        ]
