"""A name is not resolved, a topic is missing: told by its name, waited for, found when it is there.

The sink lives in a mount namespace of its own, where /etc/hosts is a file that the test writes.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.harness import Bench, SinkProcess, all_of
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce
from tests.integration.s3_faults import S3Faults, Silence

needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts its own /etc/hosts: root on Linux"
)
FROM_THE_START = {"kafka": {"start_from": "earliest"}, "rotate": {"records": 5}}
_ENTER = """\
mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/nsswitch.conf && shift 2 && exec "$@"
"""


class Names:
    """What one sink can resolve: `name` for as long as it is known, and nothing by DNS."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self._hosts, self._order = directory / "hosts", directory / "nsswitch.conf"
        self._order.write_text("hosts: files\n")
        self.forget()

    @property
    def within(self) -> list[str]:
        """The namespace, as a command that becomes the sink."""
        own = ["unshare", "--mount", "sh", "-c", _ENTER, "sh"]
        return [*own, str(self._hosts), str(self._order)]

    def know(self) -> None:
        """From here on it is this machine's."""
        self._hosts.write_text(f"127.0.0.1 localhost {self.name}\n")

    def forget(self) -> None:
        """Written in place: a new file would not be the one that is mounted."""
        self._hosts.write_text("127.0.0.1 localhost\n")


async def holds(sink: SinkProcess, source: str, names: Names, words: str) -> None:
    """One line with the name; nobody has to mend anything but the name."""
    before = len(sink.text())
    told = await sink.not_ready(f"{source}:", names.name, words)
    assert "Traceback" not in told
    assert (await sink.status())["connector"]["state"] == "RUNNING"
    assert (await sink.ask("/healthz"))[0] == 200
    assert await sink.metric("holds", kind=source) >= 1
    lines = [line for line in sink.text()[before:].splitlines() if words in line]
    assert len(lines) <= 1, lines


def port_of(address: str) -> str:
    return address.rsplit(":", 1)[1]


@needs_root
async def test_the_name_of_a_broker_or_a_store_that_is_not_resolved_is_waited_for(
    bench: Bench,
) -> None:
    async def scenario(source: str, section: Mapping[str, Any], names: Names, own: Bench) -> None:
        topic, oracle = await own.topic(), Oracle(own)
        await produce(own.kafka.bootstrap_servers, topic, documents(10))
        words = "name not resolved" if source == "kafka" else "Name or service not known"
        sink = own.sink({**FROM_THE_START, **section})
        sink.start(within=names.within)
        await holds(sink, source, names, words)
        assert sink.text().count(words) == 1
        names.know()
        await oracle.until_committed(sink)
        await sink.ready()
        await sink.stopped()
        await oracle.verify()

    async def of_kafka(own: Bench) -> None:
        names = Names(own.directory, "kafka.sink.invalid")
        servers = f"{names.name}:{port_of(own.kafka.bootstrap_servers)}"
        section = {"kafka": {"start_from": "earliest", "bootstrap_servers": servers}}
        await scenario("kafka", section, names, own)

    async def of_s3(own: Bench) -> None:
        names = Names(own.directory, "s3.sink.invalid")
        url = f"http://{names.name}:{port_of(own.s3.endpoint_url)}"
        await scenario("s3", {"s3": {"endpoint_url": url}}, names, own)

    await all_of(kafka=of_kafka(bench.sibling()), s3=of_s3(bench.sibling()))


@needs_root
async def test_the_name_of_a_store_that_is_lost_in_the_middle_is_waited_for(bench: Bench) -> None:
    """A connection that lives needs no name, and a name is kept for 10 s: so S3 cuts them first."""
    topic, oracle, servers = await bench.topic(), Oracle(bench), bench.kafka.bootstrap_servers
    names = Names(bench.directory, "s3.sink.invalid")
    names.know()
    await produce(servers, topic, documents(5))
    async with S3Faults(bench.s3).serving() as s3:
        url = f"http://{names.name}:{port_of(s3.endpoint_url)}"
        sink = bench.sink({**FROM_THE_START, "s3": {"endpoint_url": url}})
        sink.start(within=names.within)
        await oracle.until_committed(sink)
        s3.fault = Silence.RESET
        names.forget()
        await produce(servers, topic, documents(5, start=5))
        await holds(sink, "s3", names, "Name or service not known")
        assert sink.text().count("Name or service not known") == 1
        s3.mend()
        names.know()
        await oracle.until_committed(sink)
        await sink.ready()
        await sink.stopped()
    await oracle.verify()


async def test_a_topic_that_is_missing_is_a_note_and_holds_back_only_itself(bench: Bench) -> None:
    topic, later = await bench.topic(), f"{bench.name}.later"
    oracle, servers = Oracle(bench), bench.kafka.bootstrap_servers
    overrides = {"kafka": {"topics": [topic, later], "start_from": "earliest"}}
    sink = bench.sink({"rotate": {"records": 5}, **overrides})
    sink.start()
    note = f"topic {later}: the topic does not exist; it is read once it does"
    await says(sink, note)
    assert (await sink.status())["connector"]["state"] == "RUNNING"
    assert await sink.metric("holds", kind="topic") == 1
    assert sink.text().count("the topic does not exist") == 1
    await produce(servers, topic, documents(5))
    await oracle.until_committed(sink)
    assert await notes_of(sink) == (200, [note])
    await produce(servers, await bench.topic(name=later), documents(5))
    await oracle.until_committed(sink, topic=later)
    await says(sink)
    assert await sink.metric("holds", kind="topic") == 0
    await sink.stopped()
    await oracle.verify(topic, later)


async def notes_of(sink: SinkProcess) -> tuple[int, list[str]]:
    """Status and notes of `/readyz`."""
    status, body = await sink.ask("/readyz")
    return status, json.loads(body).get("notes", []) if status == 200 else []


async def says(sink: SinkProcess, *notes: str) -> None:
    """Ready, with these notes and no others."""

    async def is_so() -> bool:
        return await notes_of(sink) == (200, list(notes))

    await sink.until(f"ready with the notes {notes}", is_so)
