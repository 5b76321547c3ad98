"""The status page and its JSON, asked of the admin port with a real client on loopback."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from spoolsink.admin import page
from spoolsink.status import ConfirmedObject, State
from tests.unit.admin_port import KIB, Open, ports
from tests.unit.fake_sink import ROW, SNAPSHOT, FakeSink


@pytest.fixture
async def open_port() -> AsyncIterator[Open]:
    async with ports() as begin:
        yield begin


async def test_the_page_shows_state_lag_spool_holds_and_errors_at_first_sight(
    open_port: Open,
) -> None:
    port = await open_port()
    port.sink.health.fail("s3", "NoSuchBucket", is_operator=True)
    port.sink.health.fail("kafka", "broker away")
    port.sink.health.clear("kafka")
    _, text = await port.ask("GET /")
    for cells in (
        "<td>State</td><td>RUNNING</td>",
        "<td>Lag</td><td>40 or more records</td>",
        "The oldest record that is not in S3 yet has waited 12 s (orders-0)",
        "<td>Open S3 partitions</td><td>6 of 50,000</td>",
        "stops at 9.0 GiB, goes on at 7.0 GiB, leaves 1.0 GiB free",
        'max="10737418240" high="9663676416" value="3145728"',
        "<td>NoSuchBucket</td><td>Make the bucket; the sink never does.</td>",
        "<td>Spool</td><td>3.0 MiB of 10.0 GiB</td>",
        "<td>Uploads in flight</td><td>4 of 4</td>",
        "<td>orders-0</td><td>running</td><td>12 s</td><td>40</td><td>90</td><td>130</td>",
        "<td>1970-01-12 13:46:40Z</td><td>s3</td><td>NoSuchBucket</td>",
        "<td>kafka</td><td>broker away</td>",
        "<td>1970-01-12 13:46:40Z</td><td>topics/orders/orders+0+0000000000+0000000089.json</td>",
        "40 or more records are not committed yet. Of 1 topic partitions the lag is not known.",
    ):
        assert cells in text


async def test_the_page_loads_nothing_from_elsewhere_and_follows_the_colour_scheme(
    open_port: Open,
) -> None:
    port = await open_port()
    _, text = await port.ask("GET /")
    assert "prefers-color-scheme: dark" in text
    text = text.replace('<link rel="icon" href="data:,">', "")
    assert not re.search(r"(?:src|href)=|@import|url\(|https?:", text)
    assert port.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'sha")


async def test_odd_names_are_escaped_in_the_page_and_exact_in_its_json(open_port: Open) -> None:
    port = await open_port()
    odd = "</script><script>alert(1)</script>&\"'"
    last = [ConfirmedObject(1, odd)]
    port.sink.shown = replace(SNAPSHOT, rows=[replace(ROW, topic=odd)], last_objects=last)
    port.sink.health.fail(odd, odd)
    _, text = await port.ask("GET /")
    assert "<script>alert" not in text
    assert text.count("</script>") == 1
    _, content = await port.json("GET /status.json")
    assert isinstance(content, dict)
    assert content["rows"][0]["topic"] == odd
    assert content["tables"]["topic-partitions"][0][0] == f"{odd}-0"


async def test_the_script_finds_a_table_for_all_that_the_json_has(open_port: Open) -> None:
    port = await open_port()
    _, text = await port.ask("GET /")
    _, content = await port.json("GET /status.json")
    assert isinstance(content, dict)
    for name in content["tables"]:
        assert re.search(f'<section id="{name}"[^>]*>.*<tbody>', text)
    assert 'fetch("status.json"' in text
    assert (await port.json("GET /status.json"))[0] == 200


async def test_the_json_has_the_numbers_for_scripts(open_port: Open) -> None:
    port = await open_port()
    port.sink.health.fail("s3", "away")
    _, content = await port.json("GET /status.json")
    assert isinstance(content, dict)
    assert content["state"] == "RUNNING"
    assert content["is_ready"] is False
    assert (content["spool_bytes"], content["uploads_in_flight"]) == (3 * KIB**2, 4)
    assert content["rows"][0]["lag"] == 40
    assert content["rows"][1]["committed"] is None
    key = "topics/orders/orders+0+0000000000+0000000089.json"
    assert content["last_objects"] == [{"time_ms": 1_000_000_000, "key": key}]
    hold = {"source": "s3", "reason": "away", "since": 1_000_000.0, "is_operator": False}
    assert content["holds"] == [hold | {"is_partial": False}]
    assert content["last_errors"] == [{"time_ms": 1_000_000_000, "source": "s3", "reason": "away"}]


def test_a_page_of_very_many_topic_partitions_is_cut() -> None:
    sink = FakeSink()
    rows = [replace(ROW, partition=number) for number in range(page.MAX_ROWS + 5)]
    shown = page.tables(sink, replace(SNAPSHOT, rows=rows))["topic-partitions"]
    assert len(shown) == page.MAX_ROWS + 1
    assert list(shown[-1]) == ["and 5 more"]


@pytest.mark.parametrize(
    ("state", "wish", "words"),
    [
        (
            "STOPPED",
            "STOPPED",
            "left. 40 records were not committed then. To go on: PUT /connectors/sink/resume.",
        ),
        (
            "STOPPED",
            "STOPPED",
            "Stopped by an operator since 1970-01-12 13:46:40Z: nothing is read",
        ),
        ("PAUSED", "PAUSED", "Paused by an operator since 1970-01-12 13:46:40Z: nothing more is"),
        ("FAILED", "PAUSED", "resume. The oldest record that is not in S3 yet has waited"),
    ],
)
async def test_what_an_operator_asked_for_stands_first_with_its_time_and_how_it_ends(
    open_port: Open, state: State, wish: State, words: str
) -> None:
    port = await open_port()
    port.sink.state = state
    port.sink.shown = replace(
        SNAPSHOT, wish=wish, wished_since=1_000_000.0, former_rows=SNAPSHOT.rows
    )
    _, text = await port.ask("GET /")
    assert words in text
    _, content = await port.json("GET /status.json")
    assert isinstance(content, dict)
    assert (content["wish"], content["wished_since"]) == (wish, 1_000_000.0)


def test_of_what_nothing_is_known_no_number_is_shown() -> None:
    unknown = replace(ROW, lag=None, log_end=None, unconfirmed_seconds=None, state="starting")
    shown = page.tables(FakeSink(), replace(SNAPSHOT, rows=[unknown]))["topic-partitions"]
    assert list(shown[0][1:6]) == ["starting", "?", "?", "90", "?"]
