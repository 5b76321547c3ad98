"""The picture of the status page that README.md shows: `spoolsink demo` at work, in a browser.

Chromium is the one that the tests of the page use (`make servers`).
"""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

_DEMO_SECONDS = 60
_PATIENCE_MS = 40_000
_SIZE = {"width": 1200, "height": 900}
_WAITING = "in S3 yet has waited 2 s"
_OBJECTS = "objects"
_ADDRESS = re.compile(r"status page while the demo runs: (\S+)")


def draw(file: Path) -> None:
    """Write the PNG; raises RuntimeError where the demo or Chromium does not come."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise RuntimeError("no Chromium: run `make servers`")
    command = [sys.executable, "-m", "spoolsink", "demo", "--seconds", str(_DEMO_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:  # noqa: S603 (our own program)
        assert demo.stdout is not None
        try:
            found = next(filter(None, map(_ADDRESS.search, demo.stdout)), None)
            if found is None:
                raise RuntimeError("the demo tells no address")
            with sync_playwright() as playwright:
                chromium = playwright.chromium.launch(
                    executable_path=browser, args=["--no-sandbox", "--disable-gpu"]
                )
                _shoot(chromium.new_page(viewport=_SIZE), found[1], file)  # type: ignore[arg-type]
                chromium.close()
        finally:
            demo.send_signal(signal.SIGINT)
            demo.stdout.read()


def _shoot(page: Page, address: str, file: Path) -> None:
    """From the top to some of its objects, at a moment with records that wait."""
    page.set_default_timeout(_PATIENCE_MS)
    page.goto(address)
    page.get_by_text(_WAITING).wait_for()
    last = page.locator(f"#{_OBJECTS} tbody tr").nth(5).bounding_box()
    assert last is not None
    height = last["y"] + last["height"]
    clip = {"x": 0, "y": 0, "width": _SIZE["width"], "height": height}
    page.screenshot(path=file, full_page=True, clip=clip)  # type: ignore[arg-type]
