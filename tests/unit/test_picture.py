"""The tool that draws the status page waits for what the page and the demo really say.

The drawing itself takes a minute of a demo and a browser: `make picture`.
"""

import inspect
from dataclasses import replace
from pathlib import Path

import pytest

from spoolsink import demo
from spoolsink.admin import page
from tests.unit.fake_sink import ROW, SNAPSHOT, FakeSink
from tools import picture


def test_without_a_browser_it_says_what_to_do_and_draws_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="run `make servers`"):
        picture.draw(tmp_path / "page.png")
    assert list(tmp_path.iterdir()) == []


def test_the_page_says_what_is_waited_for() -> None:
    sink = FakeSink()
    sink.shown = replace(SNAPSHOT, rows=[replace(ROW, unconfirmed_seconds=2.0)])
    text = page.document(sink)
    assert picture._WAITING in text
    assert f'id="{picture._OBJECTS}"' in text


def test_the_demo_tells_its_address_as_it_is_looked_for() -> None:
    assert picture._ADDRESS.search(inspect.getsource(demo))
