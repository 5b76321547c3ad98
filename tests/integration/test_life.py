"""Beginning and ending: signals, the spool's owner, directories that cannot be used."""

import signal
from pathlib import Path

from tests.integration.harness import Bench, all_of
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce


async def test_a_stop_in_mid_cut_leaves_the_rest_to_the_next_run(bench: Bench) -> None:
    topic, oracle = await bench.topic(), Oracle(bench)
    await produce(bench.kafka.bootstrap_servers, topic, documents(25))
    sink = bench.sink({"rotate": {"records": 10}})
    sink.start()
    await sink.until_metric("records_total", 25)
    await sink.stopped()
    offset, metadata = (await oracle.committed(topic))[0]
    assert offset == 20
    assert metadata.split(";")[5:7] == ["", ""]
    await oracle.run(sink, 5)
    assert [o.first for o in await oracle.verify()] == [0, 10, 20]


async def test_a_stop_finishes_a_cut_that_has_a_floor(bench: Bench) -> None:
    """A split of it is in S3, so the cut is sealed, and no floor is left."""
    topic, oracle = await bench.topic(), Oracle(bench)
    await produce(bench.kafka.bootstrap_servers, topic, documents(25))
    sink = bench.sink({"rotate": {"object_records": 10}})
    sink.start()
    await sink.until_metric("uploads_total", 2)
    await sink.stopped()
    objects = await oracle.verify()
    assert [(o.first, o.last) for o in objects] == [(0, 9), (10, 19), (20, 24)]


async def test_a_second_signal_ends_the_process_at_once(bench: Bench) -> None:
    """While S3 hangs, a first one would wait for the whole grace."""
    topic, oracle = await bench.topic(), Oracle(bench)
    await produce(bench.kafka.bootstrap_servers, topic, documents(20))
    own = bench.own_s3()
    overrides = {"kafka": {"start_from": "earliest"}, "rotate": {"records": 5}}
    sink = own.sink({**overrides, "shutdown_grace": "60s"})
    own.s3.suspend()
    sink.start()
    await sink.until_metric("records_total", 20)
    sink.terminate()
    await sink.until_logged("stopping")
    assert sink.is_running
    sink.send(signal.SIGINT)
    assert await sink.ended(seconds=3) == 1
    own.s3.resume()
    await Oracle(own).run(own.sink(overrides, spool=sink.spool), 0)
    assert oracle.object_keys() == []


async def test_a_stop_while_s3_hangs_ends_well_within_its_grace(bench: Bench) -> None:
    topic = await bench.topic()
    await produce(bench.kafka.bootstrap_servers, topic, documents(20))
    own = bench.own_s3()
    sink = own.sink({"rotate": {"records": 5}, "shutdown_grace": "2s"})
    sink.start()
    await sink.until_metric("uploads_total", 4)
    own.s3.suspend()
    await produce(bench.kafka.bootstrap_servers, topic, documents(20, start=20))
    await sink.until_metric("records_total", 40)
    sink.terminate()
    # Two seconds of grace, five at most for what closes connections, and a loaded machine.
    assert await sink.ended(seconds=15) == 0
    assert "left to a repeat" in sink.text()
    own.s3.resume()
    await Oracle(own).run(sink, 0)


async def test_a_spool_that_cannot_be_owned_ends_with_one_and_a_reason(bench: Bench) -> None:
    topic, oracle = await bench.topic(), Oracle(bench)
    owner = bench.sink({"rotate": {"records": 5}})
    owner.start()
    await owner.ready()

    async def locked() -> None:
        other = bench.sink(spool=owner.spool)
        other.start(keeps_address=True)
        assert await other.ended() == 1
        assert "owned by another process" in other.text()

    async def unwritable(directory: Path, reason: str) -> None:
        other = bench.sink(spool=directory)
        other.start()
        assert await other.ended() == 1
        assert reason in other.text().lower(), other.text()

    file = bench.directory / "file"
    file.write_text("not a directory")
    link = bench.directory / "link"
    link.symlink_to(bench.directory)
    await all_of(
        locked=locked(),
        under_a_file=unwritable(file / "spool", "not a directory"),
        in_sysfs=unwritable(Path("/proc/spoolsink"), str(Path("/proc/spoolsink"))),
        a_link=unwritable(link, "symbolic link"),
    )
    # The owner is not disturbed, and is still found where it said.
    await produce(bench.kafka.bootstrap_servers, topic, documents(10))
    await owner.until_metric("records_total", 10)
    await oracle.until_committed(owner)
    await owner.stopped()
    await oracle.verify()


async def test_a_port_in_use_and_a_bad_file_end_with_their_own_status(bench: Bench) -> None:
    port = bench.sink({"admin": {"listen": f"127.0.0.1:{bench.s3.port}"}})
    bad = bench.sink({"rotate": {"recrods": 5}})
    for sink in (port, bad):
        sink.start()
    assert await port.ended() == 1
    assert str(bench.s3.port) in port.text()
    assert await bad.ended() == 2
    assert "did you mean" in bad.text()
