"""The process around its engines: files that are bad, wishes that last, where it is found."""

import asyncio
import os
from pathlib import Path

import pytest

from spoolsink.errors import ConfigError, SpoolFullError
from spoolsink.service import EXIT_CLEAN, Service
from spoolsink.wishes import Wish

NOBODY = "127.0.0.1:1"


def service_of(tmp_path: Path, **records: str) -> Service:
    return Service(written(tmp_path, **records), {}, status=None)


def written(tmp_path: Path, **records: str) -> Path:
    path = tmp_path / "sink.yaml"
    path.write_text(
        "name: sink\n"
        f"kafka: {{bootstrap_servers: ['{NOBODY}'], topics: [orders]}}\n"
        f"records: {{{', '.join(f'{name}: {value}' for name, value in records.items())}}}\n"
        "s3: {bucket: demo-bucket, region: x, endpoint_url: 'http://127.0.0.1:1'}\n"
        f"spool: {{directory: '{tmp_path / 'spool'}', min_free_bytes: 0B}}\n"
        "admin: {listen: '127.0.0.1:0'}\n"
    )
    return path


class FoundService(Service):
    """Tells when its address is written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, {}, status=None)
        self.is_found = asyncio.Event()

    def _found(self) -> None:
        super()._found()
        self.is_found.set()


async def found(service: FoundService) -> "asyncio.Task[int]":
    running = asyncio.create_task(service.run())
    async with asyncio.timeout(20):
        await service.is_found.wait()
    return running


@pytest.mark.parametrize(
    ("key", "value"),
    [("value", "'nosuch.module:Class'"), ("value_options", "{schema_file: /nonexistent}")],
)
async def test_a_file_whose_parts_cannot_be_made_is_refused_and_changes_nothing(
    tmp_path: Path, key: str, value: str
) -> None:
    service = service_of(tmp_path)
    before = service.config
    written(tmp_path, **{"value": "avro", key: value})
    with pytest.raises(ConfigError):
        await service.restart()
    assert service.config is before
    assert not service._stopping.is_set()
    with pytest.raises(ConfigError):
        service_of(tmp_path, **{"value": "avro", key: value})


async def test_one_that_starts_stopped_is_found_by_its_address(tmp_path: Path) -> None:
    """Found by reading: with port 0 nobody could have told it to go on."""
    service = FoundService(written(tmp_path))
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "state").write_text("STOPPED")
    running = await found(service)
    assert (tmp_path / "spool" / "admin.address").read_text().startswith("127.0.0.1:")
    assert service.state == "STOPPED"
    service._end()
    assert await running == EXIT_CLEAN


@pytest.mark.parametrize("wish", ["RUNNING", "STOPPED"])
async def test_an_address_that_a_full_disk_refused_is_there_when_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: Wish
) -> None:
    monkeypatch.setattr("spoolsink.notices.AGAIN_SECONDS", 0.0)
    service = FoundService(written(tmp_path))
    address = tmp_path / "spool" / "admin.address"
    in_the_way = address.with_suffix(".new")
    in_the_way.mkdir(parents=True)
    (tmp_path / "spool" / "state").write_text(wish)
    running = await found(service)
    assert not address.exists()
    in_the_way.rmdir()
    async with asyncio.timeout(20):
        while not address.exists():  # noqa: ASYNC110 (a file tells nobody)
            await asyncio.sleep(0)
    assert address.read_text() == f"{service._admin.address}\n"
    service._end()
    assert await running == EXIT_CLEAN


def told_paused(service: Service) -> float | None:
    return service.metrics.registry.get_sample_value("spoolsink_paused", {"reason": "operator"})


@pytest.mark.parametrize(("wish", "paused"), [("PAUSED", 1.0), ("STOPPED", 1.0), ("RUNNING", 0.0)])
async def test_what_an_operator_asked_for_is_told_with_its_time_from_the_start_on(
    tmp_path: Path, wish: Wish, paused: float
) -> None:
    """Kafka is away here, and stopped there is no run at all."""
    service = FoundService(written(tmp_path))
    (tmp_path / "spool").mkdir()
    state = tmp_path / "spool" / "state"
    state.write_text(wish)
    os.utime(state, (1_000_000, 1_000_000))
    running = await found(service)
    shown = service.snapshot()
    assert told_paused(service) == paused
    assert (shown.wish, shown.wished_since) == (wish, 1_000_000.0)
    since = f"{wish.lower()} by an operator since 1970-01-12 13:46:40Z"
    assert (since in service.reasons()) == (wish == "STOPPED")
    assert (since in service.notes()) == (wish == "PAUSED")
    service._end()
    assert await running == EXIT_CLEAN


async def test_stopped_stays_told_when_the_run_has_ended(tmp_path: Path) -> None:
    service = FoundService(written(tmp_path))
    running = await found(service)
    assert told_paused(service) == 0
    service.is_found.clear()
    await service.stop()
    async with asyncio.timeout(20):
        await service.is_found.wait()
    assert (service.state, told_paused(service)) == ("STOPPED", 1)
    await service.resume()
    assert told_paused(service) == 0
    service._end()
    assert await running == EXIT_CLEAN


async def test_a_profile_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace("region: x", "region: x, profile: nosuch"))
    service = FoundService(path)
    running = await found(service)
    async with asyncio.timeout(20):
        while service.state != "FAILED":  # noqa: ASYNC110 (it tells nobody of a change)
            await asyncio.sleep(0)
    assert "nosuch" in (service.trace() or "")
    service._end()
    assert await running == EXIT_CLEAN


async def test_paused_is_told_also_while_kafka_is_away(tmp_path: Path) -> None:
    service = FoundService(written(tmp_path))
    running = await found(service)
    states = [service.state]
    await service.pause()
    states.append(service.state)
    await service.resume()
    states.append(service.state)
    service._end()
    assert await running == EXIT_CLEAN
    assert states == ["RUNNING", "PAUSED", "RUNNING"]


async def test_a_spool_that_holds_at_the_start_lives_and_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = FoundService(written(tmp_path))
    assert service._next is not None

    def no_room() -> None:
        raise SpoolFullError("No space left on device")

    monkeypatch.setattr(service._next.spool, "start", no_room)
    running = asyncio.create_task(service.run())
    async with asyncio.timeout(20):
        while not service.health.holds:  # noqa: ASYNC110 (it tells nobody of a change)
            await asyncio.sleep(0)
    assert (service.is_alive(), service.is_ready(), service.state) == (True, False, "FAILED")
    assert service.reasons() == ["spool: No space left on device"]
    service._end()
    assert await running == EXIT_CLEAN
