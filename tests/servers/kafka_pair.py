"""Two brokers of one cluster, each in a rack of its own: leaders move, followers are read."""

import subprocess
from pathlib import Path

from tests.servers.processes import LOG4J, SERVER_PROPERTIES, START_SECONDS, KafkaServer, free_port

RACKS = ("rack-1", "rack-2")

_PAIRED = """\
broker.rack={rack}
replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector
replica.fetch.wait.max.ms=100
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
controlled.shutdown.enable=false
"""


class _Node(KafkaServer):
    """One of the two; the first is the controller, too."""

    def __init__(self, directory: Path, number: int, controller: int) -> None:
        super().__init__(directory)
        self._number, self._controller = number, controller
        self.clients_port, self.advertised_port = free_port(), free_port()

    def command(self) -> list[str]:
        properties = self.directory / "server.properties"
        if not properties.exists():
            (self.directory / "log4j2.xml").write_text(LOG4J)
            properties.write_text(self._properties())
            tool = self._java("kafka.tools.StorageTool", "format", "-t", "A" * 21 + "Q")
            tool += ["-c", str(properties), *(["--standalone"] if self._number == 1 else [])]
            subprocess.run(tool, check=True, capture_output=True, timeout=START_SECONDS)
        return self._java("kafka.Kafka", str(properties))

    def _properties(self) -> str:
        logs = self.directory / "logs"
        text = SERVER_PROPERTIES.format(port=self.port, controller=self._controller, logs=logs)
        if self._number > 1:
            text = text.replace("roles=broker,controller", "roles=broker")
            text = text.replace(f",CONTROLLER://127.0.0.1:{self._controller}", "")
        text = text.replace("node.id=1", f"node.id={self._number}")
        ports = {"listeners": self.clients_port, "advertised.listeners": self.advertised_port}
        for key, port in ports.items():
            text = text.replace(f"\n{key}=", f"\n{key}=CLIENTS://127.0.0.1:{port},")
        text = text.replace("protocol.map=", "protocol.map=CLIENTS:PLAINTEXT,")
        text = text.replace("replication.factor=1", "replication.factor=2")
        return text + _PAIRED.format(rack=RACKS[self._number - 1])


class KafkaPair:
    """Broker 2 may be killed and started again; topics that keep two replicas live on.

    Beside the tests' own listener each has CLIENTS, on `clients_port`, which is advertised at
    `advertised_port`: a relay belongs there.
    """

    def __init__(self, directory: Path) -> None:
        controller = free_port()
        self.nodes = []
        for number in (1, 2):
            place = directory / f"broker-{number}"
            place.mkdir()
            self.nodes.append(_Node(place, number, controller))

    @property
    def bootstrap_servers(self) -> str:
        """Both."""
        return ",".join(node.bootstrap_servers for node in self.nodes)

    def start(self) -> None:
        """Returns when both answer."""
        for node in self.nodes:
            node.start()

    def stop(self) -> None:
        """The controller last."""
        for node in reversed(self.nodes):
            node.stop()
