"""The status page of a real sink in a real browser: Debian's Chromium, without a window."""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.integration.harness import Bench, SinkProcess
from tests.integration.producing import documents, produce

TOPIC_PARTITIONS = 200
PHONE = {"width": 360, "height": 640}
NET_MS = 20_000


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A missing one is an error, never a skip."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "no Chromium: run `make servers`"
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        await chromium.close()


class Seen:
    """What a page asked for and complained of, since it was opened."""

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text))


@asynccontextmanager
async def opened(browser: Browser, sink: SinkProcess) -> AsyncIterator[tuple[Page, Seen, str]]:
    """A page of the sink, what it is seen to do, and its origin."""
    origin = f"http://{(sink.spool / 'admin.address').read_text().strip()}/"
    page = await browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.set_default_timeout(NET_MS)
    expect.set_options(timeout=NET_MS)
    seen = Seen(page)
    await page.goto(origin)
    yield page, seen, origin
    await page.close()


async def brightness(page: Page) -> int:
    """Of the background, 0 to 255."""
    colour = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    return int(re.findall(r"\d+", colour)[0])


async def columns(page: Page) -> int:
    """Of the topic partitions, as far as they are shown."""
    return await page.locator("#topic-partitions th:visible").count()


async def is_wider_than_its_window(page: Page) -> bool:
    """The page itself, or the columns that a window of this width shows of a table."""
    boxes = "[document.documentElement, ...document.querySelectorAll('section div')]"
    return bool(await page.evaluate(f"{boxes}.some((box) => box.scrollWidth > box.clientWidth)"))


async def filled_sink(bench: Bench) -> SinkProcess:
    """With 200 topic partitions, each with an open segment."""
    topic = await bench.topic(TOPIC_PARTITIONS)
    records = documents(2 * TOPIC_PARTITIONS, partitions=TOPIC_PARTITIONS)
    await produce(bench.kafka.bootstrap_servers, topic, records)
    sink = bench.sink()
    sink.start()
    await sink.until_metric("records_total", len(records))
    return sink


async def test_a_page_of_200_topic_partitions_lives_without_being_loaded_again(
    bench: Bench, browser: Browser
) -> None:
    sink = await filled_sink(bench)
    async with opened(browser, sink) as (page, seen, origin):
        await page.evaluate("window.isTheSame = true")
        await expect(page.locator("#state")).to_have_text("RUNNING")
        await expect(page.locator("#topic-partitions tbody tr")).to_have_count(TOPIC_PARTITIONS)
        await expect(page.locator("#verdict")).to_contain_text("not in S3 yet has waited")
        await expect(page.locator("#facts")).to_contain_text("Open S3 partitions200 of 50,000")
        await expect(page.locator("#counted")).to_have_text("200 running")
        await expect(page.locator("#objects")).to_be_hidden()
        await sink.flushed()
        await expect(page.locator("#verdict")).to_contain_text("Everything that was read is in S3")
        await expect(page.locator("#objects tbody tr").first).to_contain_text(
            f"topics/{bench.name}"
        )
        await choosing(page, bench.name)
        await asked_in_the_dark_and_on_a_phone(page)
        assert await page.evaluate("window.isTheSame")
        assert seen.requests[0] == origin
        assert {url for url in seen.requests[1:] if url != "data:,"} == {f"{origin}status.json"}
        assert seen.complaints == []
        # Last, for the browser itself complains of it.
        await sink.stopped()
        await expect(page.locator("#fault")).to_contain_text("No answer since")


async def choosing(page: Page, topic: str) -> None:
    rows = page.locator("#topic-partitions tbody tr")
    await page.locator("#filter").fill(f"{topic}-199")
    await expect(rows).to_have_count(1)
    await expect(page.locator("#shown")).to_have_text("1 of 200")
    await page.locator("#filter").fill("")
    await page.locator("#order").select_option("name")
    await expect(rows.nth(10).locator("td").first).to_have_text(f"{topic}-10")
    await expect(rows).to_have_count(TOPIC_PARTITIONS)


async def asked_in_the_dark_and_on_a_phone(page: Page) -> None:
    assert await brightness(page) > 200
    await page.emulate_media(color_scheme="dark")
    assert await brightness(page) < 50
    assert await columns(page) == 9
    assert not await is_wider_than_its_window(page)
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert await columns(page) == 4
    assert not await is_wider_than_its_window(page)


async def test_what_holds_the_sink_stands_first_with_what_to_do(
    bench: Bench, browser: Browser
) -> None:
    other = bench.sibling(has_bucket=False)
    await other.topic()
    sink = other.sink()
    sink.start()
    await sink.until_failed("NoSuchBucket")
    async with opened(browser, sink) as (page, seen, _):
        await expect(page.locator("#state")).to_have_text("FAILED")
        first = page.locator("section:visible").first
        await expect(first).to_contain_text("NoSuchBucket")
        await expect(first).to_contain_text("Make the bucket")
        assert await page.title() == f"FAILED {other.name} - spoolsink"
        await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        assert not await is_wider_than_its_window(page)
        other.make_bucket()
        await expect(first).not_to_contain_text("NoSuchBucket")
        await expect(page.locator("#state")).to_have_text("RUNNING")
        await expect(page.locator("#errors")).to_contain_text("Make the bucket")
        assert seen.complaints == []
    await sink.stopped()
