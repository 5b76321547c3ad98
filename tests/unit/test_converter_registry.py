"""The schema registry's client: what it finds and remembers, and what is no answer to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from spoolsink.converters import registry as module
from spoolsink.converters.registry import (
    UNKNOWN_AFTER_SECONDS,
    RegisteredSchema,
    SchemaReference,
    SchemaRegistry,
)
from spoolsink.errors import RegistryAwayError
from tests.servers.certificates import Authority
from tests.unit.schema_registries import SmallRegistry, small_registry

AVRO = '"string"'


class Hand:
    """A monotonic clock, and a sleep that only moves it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@asynccontextmanager
async def client_of(
    small: SmallRegistry, hand: Hand | None = None, **options: Any
) -> AsyncIterator[SchemaRegistry]:
    hand = hand or Hand()
    url = options.pop("url", small.url)
    client = SchemaRegistry(
        str(url),
        monotonic=hand.monotonic,
        sleep=hand.sleep,
        **options,
    )
    try:
        yield client
    finally:
        await client.close()


async def test_an_id_is_asked_for_once_and_then_remembered() -> None:
    async with small_registry() as small, client_of(small) as client:
        small.answers["/schemas/ids/7"] = (200, {"schema": AVRO})
        for _ in range(3):
            assert await client.fetch(7) == RegisteredSchema("AVRO", AVRO)
        assert small.asked == ["/schemas/ids/7"]


async def test_many_who_want_one_id_make_one_request() -> None:
    async with small_registry() as small, client_of(small) as client:
        small.answers["/schemas/ids/7"] = (200, {"schema": AVRO, "schemaType": "JSON"})
        small.hold = asyncio.Event()
        wanting = [asyncio.create_task(client.fetch(7)) for _ in range(20)]
        await small.arrived.wait()
        small.hold.set()
        assert {found.schema_type for found in await asyncio.gather(*wanting) if found} == {"JSON"}
        assert len(small.asked) == 1


async def test_who_waits_goes_on_when_the_first_was_cancelled() -> None:
    async with small_registry() as small, client_of(small) as client:
        small.answers["/schemas/ids/7"] = (200, {"schema": AVRO})
        small.hold = asyncio.Event()
        first = asyncio.create_task(client.fetch(7))
        second = asyncio.create_task(client.fetch(7))
        await small.arrived.wait()
        first.cancel()
        small.hold.set()
        assert await second == RegisteredSchema("AVRO", AVRO)
        assert first.cancelled()


async def test_those_who_wait_share_the_failure_without_asking_again() -> None:
    async with small_registry() as small, client_of(small) as client:
        small.answers["/schemas/ids/7"] = (500, {"error_code": 50001})
        small.hold = asyncio.Event()
        wanting = [asyncio.create_task(client.fetch(7)) for _ in range(5)]
        await small.arrived.wait()
        small.hold.set()
        failures = await asyncio.gather(*wanting, return_exceptions=True)
        assert [type(failure) for failure in failures] == [RegistryAwayError] * 5
        assert len(small.asked) == 3


async def test_the_least_recently_used_id_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHED_IDS", 2)
    async with small_registry() as small, client_of(small) as client:
        for number in (1, 2, 3):
            small.answers[f"/schemas/ids/{number}"] = (200, {"schema": AVRO})
        for number in (1, 2, 1, 3, 1, 2):
            await client.fetch(number)
        assert [path[-1] for path in small.asked] == ["1", "2", "3", "2"]


async def test_an_unknown_id_is_asked_for_again_for_a_minute() -> None:
    hand = Hand()
    async with small_registry() as small, client_of(small, hand) as client:
        for seconds in (0.0, 30.0, UNKNOWN_AFTER_SECONDS - 0.1):
            hand.now = 100.0 + seconds
            with pytest.raises(RegistryAwayError, match=r"schema id 9 is not there \(yet\)"):
                await client.fetch(9)
        hand.now = 100.0 + UNKNOWN_AFTER_SECONDS
        assert await client.fetch(9) is None
        asked = len(small.asked)
        assert await client.fetch(9) is None
        assert len(small.asked) == asked


async def test_an_id_that_appears_within_the_minute_is_found() -> None:
    async with small_registry() as small, client_of(small) as client:
        with pytest.raises(RegistryAwayError):
            await client.fetch(9)
        small.answers["/schemas/ids/9"] = (200, {"schema": AVRO})
        assert await client.fetch(9) == RegisteredSchema("AVRO", AVRO)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "<html>no such page</html>"),
        (404, {"error_code": 404, "message": "HTTP 404 Not Found"}),
        (401, {"error_code": 40101}),
        (403, ""),
        (301, "moved"),
        (429, ""),
        (500, {"error_code": 50001}),
        (503, "<html>"),
        (200, "not JSON"),
        (200, ["a list"]),
        (200, {"no": "schema"}),
        (200, {"schema": 5}),
        (200, {"schema": AVRO, "references": [{"name": "x"}]}),
        (200, {"schema": AVRO, "references": 5}),
    ],
    ids=str,
)
async def test_every_other_answer_holds_and_is_mended_later(status: int, body: object) -> None:
    hand = Hand()
    async with small_registry() as small, client_of(small, hand) as client:
        small.answers["/schemas/ids/7"] = (status, body)
        for _ in range(2):
            with pytest.raises(RegistryAwayError):
                await client.fetch(7)
            hand.now += 2 * UNKNOWN_AFTER_SECONDS
        small.answers["/schemas/ids/7"] = (200, {"schema": AVRO})
        assert await client.fetch(7) == RegisteredSchema("AVRO", AVRO)


async def test_a_failed_request_is_tried_again_with_growing_waits() -> None:
    hand = Hand()
    async with small_registry() as small, client_of(small, hand) as client:
        small.answers["/schemas/ids/7"] = (500, "")
        with pytest.raises(RegistryAwayError, match=r"/schemas/ids/7: answers 500$"):
            await client.fetch(7)
        assert len(small.asked) == 3
        assert len(hand.slept) == 2
        assert 0.02 <= hand.slept[0] <= 0.2


async def test_a_registry_that_says_nothing_is_left_after_the_deadline() -> None:
    async with small_registry() as small, client_of(small, request_seconds=0.05) as client:
        small.hold = asyncio.Event()
        with pytest.raises(RegistryAwayError, match=r"TimeoutError"):
            await client.fetch(7)


async def test_a_registry_that_is_not_there_is_away() -> None:
    async with small_registry() as small:
        url = small.url
    async with client_of(small, url=url) as client:
        with pytest.raises(RegistryAwayError, match=r"schema registry http://127.0.0.1:\d+/"):
            await client.fetch(7)


async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ANSWER_BYTES", 1000)
    async with small_registry() as small, client_of(small) as client:
        small.answers["/schemas/ids/7"] = (200, {"schema": "x" * 1000})
        with pytest.raises(RegistryAwayError, match=r"answers more than 1000 bytes"):
            await client.fetch(7)


async def test_the_second_address_is_asked_when_the_first_is_away() -> None:
    async with small_registry() as gone:
        url = gone.url
    async with small_registry() as small:
        small.answers["/schemas/ids/7"] = (200, {"schema": AVRO})
        async with client_of(small, url=f"{url}, {small.url}/") as client:
            assert await client.fetch(7) == RegisteredSchema("AVRO", AVRO)


def _answer(name: str, *references: str) -> tuple[int, object]:
    found = [{"name": f"n.{r}", "subject": f"s/{r}", "version": 1} for r in references]
    return 200, {"schema": name, "references": found}


async def test_references_come_each_after_what_it_needs_and_once() -> None:
    async with small_registry() as small, client_of(small) as client:
        small.answers["/schemas/ids/1"] = _answer("top", "a", "b")
        small.answers["/subjects/s%2Fa/versions/1"] = _answer("A", "c")
        small.answers["/subjects/s%2Fb/versions/1"] = _answer("B", "c", "a")
        small.answers["/subjects/s%2Fc/versions/1"] = _answer("C")
        found = await client.fetch(1)
        assert found is not None
        assert found.references == (
            SchemaReference("n.c", "C"),
            SchemaReference("n.a", "A"),
            SchemaReference("n.b", "B"),
        )
        assert len(small.asked) == 4


async def test_references_in_a_circle_end() -> None:
    async with small_registry() as small, client_of(small) as client:
        small.answers["/schemas/ids/1"] = _answer("top", "a")
        small.answers["/subjects/s%2Fa/versions/1"] = _answer("A", "b")
        small.answers["/subjects/s%2Fb/versions/1"] = _answer("B", "a")
        found = await client.fetch(1)
        assert found is not None
        assert [reference.text for reference in found.references] == ["B", "A"]


async def test_a_missing_reference_holds_whatever_the_time() -> None:
    hand = Hand()
    async with small_registry() as small, client_of(small, hand) as client:
        small.answers["/schemas/ids/1"] = _answer("top", "a")
        for _ in range(3):
            with pytest.raises(RegistryAwayError, match=r"no version 1 of 's/a'"):
                await client.fetch(1)
            hand.now += UNKNOWN_AFTER_SECONDS


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"username": "ann", "password": "pw:é"}, "Basic YW5uOnB3OsOp"),
        ({"username": "ann"}, "Basic YW5uOg=="),
        ({"token": "t0k"}, "Bearer t0k"),
        ({}, None),
    ],
)
async def test_credentials_are_sent(options: dict[str, Any], header: str | None) -> None:
    async with small_registry() as small, client_of(small, **options) as client:
        small.answers["/schemas/ids/7"] = (200, {"schema": AVRO})
        await client.fetch(7)
        assert small.headers[0].get("Authorization") == header


async def test_a_redirect_is_not_followed_with_credentials() -> None:
    async with small_registry() as small, client_of(small, token="t0k") as client:
        small.answers["/schemas/ids/7"] = (307, "")
        small.answers["/elsewhere"] = (200, {"schema": AVRO})
        with pytest.raises(RegistryAwayError, match=r"answers 307"):
            await client.fetch(7)
        assert "/elsewhere" not in small.asked


async def test_a_registry_behind_an_own_authority_is_trusted_by_its_file(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with small_registry(authority.issue("server")) as small:
        small.answers["/schemas/ids/7"] = (200, {"schema": AVRO})
        async with client_of(small, ca_file=str(authority.file)) as client:
            assert await client.fetch(7) == RegisteredSchema("AVRO", AVRO)
        async with client_of(small) as client:
            with pytest.raises(RegistryAwayError, match=r"certificate verify failed"):
                await client.fetch(7)


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("registry:8081", {}, "http://"),
        ("ftp://registry", {}, "http://"),
        ("http://ann:secret-word@registry", {}, "use username and password"),
        ("http://r", {"username": "ann", "token": "t"}, "either token or username"),
        ("http://r", {"password": "secret-word"}, "password without username"),
        ("https://r", {"ca_file": "absent.pem"}, r"ca_file absent\.pem: .*No such file"),
    ],
)
def test_what_cannot_work_is_refused_without_showing_secrets(
    url: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        SchemaRegistry(url, **options)  # type: ignore[arg-type]
    assert "secret-word" not in str(raised.value)


def test_a_ca_file_without_certificates_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(ValueError, match=r"schema_registry.ca_file"):
        SchemaRegistry("https://r", ca_file=str(path))
