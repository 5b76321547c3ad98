"""The dashboards and rules, asked of a real Prometheus that scrapes a real sink at work."""

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.integration.harness import ROOT, Bench, SinkProcess, eventually
from tests.integration.producing import documents, producer_on, send
from tests.servers.prometheus import Prometheus, PrometheusServer, scraping

GRAFANA = ROOT / "deploy" / "grafana"
RULES = ROOT / "deploy" / "prometheus" / "spoolsink.rules.yaml"
SUBSTITUTES = {"$job": ".*", "$instance": ".*", "$topic": ".*", "$__rate_interval": "10s"}
"""What Grafana would put in."""


def dashboards_source() -> Any:
    """The program that writes them; it is in no package."""
    spec = importlib.util.spec_from_file_location("dashboards", GRAFANA / "dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in sorted(GRAFANA.glob("*.json"))}


def test_the_dashboards_are_those_of_their_source() -> None:
    written = {path.name: path.read_text() for path in GRAFANA.glob("*.json")}
    assert written == dashboards_source().files(), "stale: make dashboards"


def test_the_panels_of_a_dashboard_have_places_and_words_of_their_own() -> None:
    for found in dashboards().values():
        panels = found["panels"]
        for key in ("id", "title", "description"):
            assert len({panel[key] for panel in panels}) == len(panels)
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert max(x for x, _ in cells) < 24
            assert not cells & taken
            taken |= cells


def queries() -> Iterator[tuple[str, str]]:
    """Of every panel: where it stands, and PromQL as Prometheus reads it."""
    for name, found in dashboards().items():
        for panel in found["panels"]:
            for target in panel["targets"]:
                text = target["expr"]
                for word, value in SUBSTITUTES.items():
                    text = text.replace(word, value)
                yield f"{name}: {panel['title']} {target['refId']}", text


@pytest.fixture
async def sink(bench: Bench) -> AsyncIterator[SinkProcess]:
    """At work for as long as the test takes: records, open cuts, uploads and commits."""
    topic = await bench.topic(2)
    found = bench.sink({"rotate": {"records": 10}})
    found.start()
    await found.ready()

    is_over = asyncio.Event()

    async def work() -> None:
        start = 0
        async with producer_on(bench.kafka.bootstrap_servers) as producer:
            while not is_over.is_set():
                await send(producer, topic, documents(25, start=start, partitions=2))
                start += 25
                with suppress(TimeoutError):
                    await asyncio.wait_for(is_over.wait(), 0.5)

    working = asyncio.create_task(work())
    await found.until_metric("uploads_total", 2)
    yield found
    is_over.set()
    await working
    await found.stopped()


@pytest.fixture
async def prometheus(sink: SinkProcess, tmp_path: Path) -> AsyncIterator[Prometheus]:
    """Scrapes the sink every second, with the rules of deploy/."""
    directory = tmp_path / "prometheus"
    directory.mkdir()
    address = (sink.spool / "admin.address").read_text().strip()
    server = PrometheusServer(directory, scraping([address], RULES))
    server.start()
    async with aiohttp.ClientSession() as client:
        found = Prometheus(server.url, client)
        await eventually("Prometheus is ready", found.is_ready)
        yield found
    server.stop()


async def test_every_panel_and_rule_has_data_and_no_alert_stirs(
    prometheus: Prometheus, sink: SinkProcess
) -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    recorded = [rule["record"] for group in groups for rule in group["rules"] if "record" in rule]
    waiting = {**dict(queries()), **{name: name for name in recorded}}

    async def all_have_data() -> bool:
        for place, query in list(waiting.items()):
            if await prometheus.has_data(query):
                del waiting[place]
        return not waiting

    await eventually("every panel and rule has data", all_have_data, more=lambda: str(waiting))
    groups = (await prometheus.ask("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
    assert len([rule for rule in rules if rule["type"] == "alerting"]) > 10
    # Not even pending.
    assert (await prometheus.ask("alerts"))["alerts"] == []
    await one_stirs_when_the_sink_hangs(prometheus, sink)


async def one_stirs_when_the_sink_hangs(prometheus: Prometheus, sink: SinkProcess) -> None:
    """Or the silence of the others would prove nothing."""

    async def stirs() -> bool:
        alerts = (await prometheus.ask("alerts"))["alerts"]
        return any(alert["labels"]["alertname"] == "SpoolsinkGone" for alert in alerts)

    sink.suspend()
    try:
        await eventually("SpoolsinkGone is pending", stirs)
    finally:
        sink.resume()
