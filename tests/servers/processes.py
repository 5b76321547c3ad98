"""Real servers as child processes: Apache Kafka (one KRaft node), versitygw, Apicurio Registry.

Each runs in a process group of its own, on free loopback ports, and is ended by its own pid.
Data stays in the directory over a stop, so that a restart is a test; `suspend` is a server that
hangs.
"""

import os
import random
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

CACHE = Path(os.environ.get("SPOOLSINK_CACHE", Path.home() / ".cache" / "spoolsink"))
KAFKA_JARS = CACHE / "kafka-4.1.0"
VERSITYGW = CACHE / "versitygw-1.7.0" / "versitygw"
APICURIO = CACHE / "apicurio-3.0.9"
PROMTOOL = CACHE / "promtool" / "usr" / "bin" / "promtool"

_PORTS = range(12_000, 32_000)
"""Below those that a system lends to clients: a server that is away must find its own again, and
a client that asks for one of them must not happen to talk to itself."""

START_SECONDS = 60.0
STOP_SECONDS = 20.0

SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
log.retention.ms=-1
"""

LOG4J = """\
<Configuration status="ERROR"><Appenders><Console name="C"><PatternLayout pattern="%d %p %m%n"/>
</Console></Appenders><Loggers><Root level="WARN"><AppenderRef ref="C"/></Root></Loggers>
</Configuration>
"""


def free_port() -> int:
    """A port that nothing listens on at this moment, and that no client is lent."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


class ServerProcess:
    """One server: start, stop, kill, suspend, resume."""

    name = "server"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What is run; also prepares the directory."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Beside this process's own."""
        return {}

    def start(self) -> None:
        """Returns when the port answers; raises RuntimeError with the log's end otherwise."""
        command = self.command()
        with (self.directory / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment()},
                start_new_session=True,
            )
        self._wait_for_port()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL when it does not end in time."""
        if self._process is None:
            return
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, as a power failure would."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(STOP_SECONDS)
            self._process = None

    def suspend(self) -> None:
        """From here on the server accepts connections and says nothing."""
        self._signal(signal.SIGSTOP)
        if self._process is not None and self._process.poll() is None:
            # The signal is on its way: until every thread has stopped it may still answer.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Go on after `suspend`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _wait_for_port(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return
            except OSError:
                time.sleep(0.05)
        tail = (self.directory / "output.log").read_text(errors="replace")[-2000:]
        self.kill()
        raise RuntimeError(f"{self.name} did not start:\n{tail}")


class KafkaServer(ServerProcess):
    """Apache Kafka 4.1.0, broker and controller in one."""

    name = "Kafka"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._controller = free_port()

    @property
    def bootstrap_servers(self) -> str:
        """For any client."""
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Formats the storage the first time."""
        properties = self.directory / "server.properties"
        if not properties.exists():
            logs = self.directory / "logs"
            text = SERVER_PROPERTIES.format(port=self.port, controller=self._controller, logs=logs)
            properties.write_text(text)
            (self.directory / "log4j2.xml").write_text(LOG4J)
            cluster = ["-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", str(properties), "--standalone"]
            tool = self._java("kafka.tools.StorageTool", "format", *cluster)
            subprocess.run(tool, check=True, capture_output=True, timeout=START_SECONDS)
        return self._java("kafka.Kafka", str(properties))

    def _java(self, *arguments: str) -> list[str]:
        if not (KAFKA_JARS / ".complete").exists():
            raise RuntimeError("Kafka is not in the cache: run `make servers`")
        log4j = self.directory / "log4j2.xml"
        options = ["-Xmx512m", f"-Dlog4j2.configurationFile={log4j}"]
        return ["java", *options, "-cp", f"{KAFKA_JARS}/*", *arguments]


class S3Server(ServerProcess):
    """versitygw 1.7.0; objects are plain files under `root/<bucket>`."""

    name = "versitygw"
    access_key_id = "spoolsink-test"
    secret_access_key = "spoolsink-test-secret"
    region = "us-east-1"

    @property
    def endpoint_url(self) -> str:
        """Path style, plain HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def root(self) -> Path:
        """Where the buckets are directories."""
        return self.directory / "root"

    def command(self) -> list[str]:
        """Makes the root directory."""
        if not VERSITYGW.exists():
            raise RuntimeError("versitygw is not in the cache: run `make servers`")
        self.root.mkdir(exist_ok=True)
        address = ["--port", f"127.0.0.1:{self.port}", "--region", self.region, "--quiet"]
        address.append("--keep-alive")  # as every other store does
        return [str(VERSITYGW), *address, "posix", str(self.root)]

    def environment(self) -> dict[str, str]:
        """The one account."""
        return {
            "ROOT_ACCESS_KEY": self.access_key_id,
            "ROOT_SECRET_KEY": self.secret_access_key,
        }


class RegistryServer(ServerProcess):
    """Apicurio Registry 3.0.9, in memory: a stop forgets every schema."""

    name = "Apicurio"

    @property
    def url(self) -> str:
        """Confluent's API."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def command(self) -> list[str]:
        """Answers about 5 s after it was started."""
        if not (APICURIO / ".complete").exists():
            raise RuntimeError("Apicurio is not in the cache: run `make servers`")
        return [
            "java",
            "-Xmx512m",
            "-jar",
            str(APICURIO / "apicurio-registry-app-3.0.9-runner.jar"),
        ]

    def environment(self) -> dict[str, str]:
        """Its address."""
        return {"QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(self.port)}
