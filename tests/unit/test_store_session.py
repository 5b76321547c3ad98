"""An assumed role on a clock of the test: when it is renewed, and what a silent STS does."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import CredentialRetrievalError, EndpointConnectionError

from spoolsink.store_session import Assumed, RoleCredentials

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Sts:
    """Hands out `key1`, `key2`, ... for an hour each; may be away, or slow."""

    def __init__(self) -> None:
        self.now = START
        self.asked_count = 0
        self.is_away = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def assume(self) -> Assumed:
        self.asked_count += 1
        await self.may_answer.wait()
        if self.is_away:
            raise EndpointConnectionError(endpoint_url="sts")
        keys = ReadOnlyCredentials(f"key{self.asked_count}", "secret", "token")
        return Assumed(keys, self.now + HOUR)


@pytest.fixture
def sts() -> Sts:
    return Sts()


@pytest.fixture
def role(sts: Sts) -> RoleCredentials:
    return RoleCredentials(sts.assume, deadline_seconds=0.05, now=lambda: sts.now)


async def key_of(role: RoleCredentials) -> str:
    return str((await role.get_frozen_credentials()).access_key)


async def test_keys_are_kept_for_three_quarters_of_their_life(
    sts: Sts, role: RoleCredentials
) -> None:
    assert await asyncio.gather(*(key_of(role) for _ in range(5))) == ["key1"] * 5
    sts.now = START + HOUR * 0.74
    assert await key_of(role) == "key1"
    sts.now = START + HOUR * 0.76
    assert await key_of(role) == "key2"
    assert sts.asked_count == 2


async def test_while_one_call_renews_the_others_use_the_old_keys(
    sts: Sts, role: RoleCredentials
) -> None:
    await key_of(role)
    sts.now = START + HOUR * 0.8
    sts.may_answer.clear()
    renewing = asyncio.create_task(key_of(role))
    await asyncio.sleep(0)
    assert await key_of(role) == "key1"
    sts.may_answer.set()
    assert await renewing == "key2"


@pytest.mark.parametrize("is_silent", [False, True])
async def test_old_keys_serve_while_sts_is_away_and_it_is_asked_again_every_15_s(
    sts: Sts, role: RoleCredentials, *, is_silent: bool
) -> None:
    await key_of(role)
    sts.now = START + HOUR * 0.8
    sts.is_away = not is_silent
    if is_silent:
        sts.may_answer.clear()
    for _ in range(3):
        assert await key_of(role) == "key1"
    assert sts.asked_count == 2
    sts.is_away = False
    sts.may_answer.set()
    sts.now += timedelta(seconds=16)
    assert await key_of(role) == "key3"


async def test_keys_about_to_end_are_not_shown(sts: Sts, role: RoleCredentials) -> None:
    await key_of(role)
    sts.now = START + HOUR * 0.96
    sts.is_away = True
    with pytest.raises(EndpointConnectionError):
        await key_of(role)


async def test_keys_that_have_ended_already_are_refused(sts: Sts) -> None:
    role = RoleCredentials(sts.assume, deadline_seconds=1, now=lambda: START + timedelta(hours=2))
    with pytest.raises(CredentialRetrievalError, match="clock"):
        await key_of(role)
