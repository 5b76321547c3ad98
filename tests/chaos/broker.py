"""Kafka with one more listener for each sink, whose advertised address is that sink's link."""

from pathlib import Path

from tests.servers.processes import KafkaServer, free_port

MEMBERS = 3


class ChaosKafka(KafkaServer):
    """Real clients of the harness use the plain port; sinks are sent through their links."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.port, self._controller = free_port(), free_port()
        self.listener_ports = [free_port() for _ in range(MEMBERS)]
        self.link_ports = [free_port() for _ in range(MEMBERS)]

    def command(self) -> list[str]:
        """Adds the listeners to the file that was written for the first start."""
        found = super().command()
        properties = self.directory / "server.properties"
        text = properties.read_text()
        if "LINK0" not in text:
            properties.write_text("\n".join(map(self._extended, text.splitlines())) + "\n")
        return found

    def _extended(self, line: str) -> str:
        ports = {
            "listeners=": self.listener_ports,
            "advertised.listeners=": self.link_ports,
        }
        for start, numbers in ports.items():
            if line.startswith(start):
                more = (f"LINK{n}://127.0.0.1:{port}" for n, port in enumerate(numbers))
                return ",".join([line, *more])
        if line.startswith("listener.security.protocol.map="):
            return ",".join([line, *(f"LINK{n}:PLAINTEXT" for n in range(MEMBERS))])
        return line
