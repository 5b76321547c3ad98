"""Bounds that no other test meets, and the page that lists all of them."""

import ast
import importlib
import json
import logging
import re
from pathlib import Path

import pytest

from spoolsink import delivery, layout, layout_time, logs, pipeline
from spoolsink.config_model import Kafka
from spoolsink.connect_import import import_connector
from spoolsink.consumer import _client_settings
from spoolsink.errors import ConfigError
from spoolsink.status import ConfirmedObject
from tests.unit.builders import batch_of
from tests.unit.fake_kafka import FakeBroker
from tests.unit.process import Process

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "limits.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| -")]
GREATEST = re.compile(r"_?MAX_\w+|_?\w+_ENTRIES|CACHED_\w+|KEPT_\w+")


def constants() -> set[str]:
    """Names that say of themselves that they are a bound, with their module's."""
    found = set()
    for path in sorted((ROOT / "spoolsink").rglob("*.py")):
        parts = path.relative_to(ROOT / "spoolsink").with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                if isinstance(target, ast.Name) and GREATEST.fullmatch(target.id):
                    found.add(f"{module}.{target.id}")
    return found


def test_every_greatest_value_is_on_the_page() -> None:
    assert constants()
    assert [name for name in sorted(constants()) if f"`{name}`" not in PAGE] == []


def test_every_bound_and_test_of_the_page_exists() -> None:
    for row in ROWS:
        if row.startswith("| what"):
            continue
        path, _, name = (re.findall(r"`(tests/[^`]+)`", row) or [""])[0].partition("::")
        assert (ROOT / path).is_file(), row
        tree = ast.parse((ROOT / path).read_text())
        assert not name or name in {getattr(node, "name", "") for node in tree.body}, row
        for module, constant in re.findall(r"`([a-z_.]+)\.(_?[A-Z][A-Z_]+)`", row):
            assert hasattr(importlib.import_module(f"spoolsink.{module}"), constant), row


def test_rendered_fields_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_RENDER_CACHE_ENTRIES", 10)
    renderer = layout.FieldRenderer("none", missing_is_error=False)
    values = [f"v{number % 25}" for number in range(100)]
    assert list(renderer.column(values, "f")) == values
    assert len(renderer._cache) <= 10


def test_rendered_times_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_time, "_CACHE_ENTRIES", 10)
    found = layout_time.TimeFormat("%M", layout_time.zone_of("UTC"), None)
    assert [found.render(minute * 60_000) for minute in range(100)][59:61] == ["59", "00"]
    assert len(found._cache) <= 10


def test_repeated_lines_of_libraries_are_bounded() -> None:
    sparing = logs._Sparing(lambda: 0.0)
    for number in range(3 * logs._SPARING_ENTRIES):
        record = logging.LogRecord("aiokafka", logging.ERROR, "", 0, f"{number}", (), None)
        assert sparing.filter(record)
    assert len(sparing._told) <= logs._SPARING_ENTRIES


async def test_flushes_that_are_waited_for_are_bounded() -> None:
    process = Process(FakeBroker())
    process.broker.write(batch_of([]).tp, [b'{"p":"a"}'])
    await process.join(batch_of([]).tp)
    await process.turn(2)
    waited = [process.pipeline.flush() for _ in range(pipeline._FLUSHES + 20)]
    assert len(process.pipeline._flushes) == pipeline._FLUSHES
    await process.round(3)
    assert all(done.is_set() for done in waited[20:])


def test_the_last_objects_are_bounded() -> None:
    process = Process(FakeBroker())
    process.delivery.last_objects.extend(ConfirmedObject(1, str(n)) for n in range(1000))
    assert len(process.delivery.last_objects) == delivery._LAST_OBJECTS


@pytest.mark.parametrize("session", ["6s", "30s", "300s"])
def test_heartbeats_are_never_further_apart_than_a_tenth_of_the_session(session: str) -> None:
    kafka = Kafka.model_validate(
        {"bootstrap_servers": "b:1", "topics": "t", "session_timeout": session}
    )
    found = _client_settings(kafka, "g", "c")
    assert found["heartbeat_interval_ms"] <= min(3000, found["session_timeout_ms"] / 10)


def test_a_connector_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "connector.json"
    path.write_text(json.dumps({"name": "x" * 1024 * 1024}))
    with pytest.raises(ConfigError, match=r"1 MiB|large"):
        import_connector(path)
