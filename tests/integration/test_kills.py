"""kill -9 at every step of the delivery protocol, and what the next process makes of it.

Each in three ways of ending a cut: by records (a repeat would end it there anyway), by age (only
the promise makes a repeat end where the first try did), and by splits inside an open cut. Each
with the spool kept, so that sealed cuts on disk are used, and with the spool lost. Steps at which
nothing is promised yet, or nothing left to do, have one of these; `tests.crash.kill_matrix` has
every step with every way and every layout.
"""

import json
import shutil
from typing import Any, get_args

import pytest

from spoolsink.fault_points import Point
from tests.integration.harness import Bench, all_of
from tests.integration.oracle import Expected, Oracle, places_of
from tests.integration.producing import documents, produce

MODES: dict[str, dict[str, Any]] = {
    "records": {"records": 12, "max_age": "2s"},
    "max_age": {"max_age": "400ms"},
    "splits": {"object_records": 4, "max_age": "2s"},
}
LARGE_MODES: dict[str, dict[str, Any]] = {
    "records": {"records": 60, "max_age": "2s"},
    "max_age": {"max_age": "1s"},
    "splits": {"object_bytes": "6MiB", "max_age": "2s"},
}
LARGE_S3 = {"part_size": "5MiB", "abort_uploads_after": "1s"}
FATES = (
    ("records", "lost"),
    ("max_age", "kept"),
    ("max_age", "lost"),
    ("splits", "kept"),
)
"""Modes, and what becomes of the spool between the two processes."""

WHICH = ("kept", "lost")

PROMISED = ("intent.after", "complete.after", "advance.after")
FLOORS = ("floor.after", "complete.after:2")
PARTS = {
    "create.after": (("records", "lost"),),
    "part.after": (("records", "kept"), ("max_age", "lost"), ("splits", "kept")),
    "complete.before": (("splits", "lost"),),
}
STEPS = {
    "reading": {
        "start.after": ("records", "kept"),
        "poll.after": ("splits", "lost"),
        "write.after:2": ("max_age", "kept"),
        "append.after": ("max_age", "lost"),
    },
    "sealing": {
        "seal.before": ("max_age", "kept"),
        "footer.after": ("splits", "kept"),
        "rename.after:2": ("records", "kept"),
        "seal.after": ("max_age", "kept"),
    },
    "ending": {
        "upload.before": ("max_age", "lost"),
        "advance.before": ("max_age", "lost"),
        "forget.after": ("records", "kept"),
        "delete.after": ("splits", "kept"),
    },
}

BY_USER = {"partition": "user={value.user.id}"}


def by_user(record: Any) -> str:
    return f"user={json.loads(record.value)['user']['id']}"


async def killed_at(
    point: str,
    own: Bench,
    overrides: dict[str, Any],
    *,
    fate: str,
    padding: int = 0,
    then: dict[str, Any] | None = None,
) -> Oracle:
    """Kill at the point, lose or keep the spool, produce more, restart, deliver everything.

    `then`: what is configured otherwise for the second process. The verdict is the caller's.
    """
    topic, servers, oracle = await own.topic(), own.kafka.bootstrap_servers, Oracle(own)
    count = 70 if padding else 25
    await produce(servers, topic, documents(count, padding=padding))
    sink = own.sink(overrides)
    sink.start({"SPOOLSINK_FAULT_POINT": point})
    assert await sink.ended() == -9, sink.tail()
    if fate == "lost":
        shutil.rmtree(sink.spool)
    # More than there was: a repeat that is not held to its promise would end elsewhere.
    await produce(servers, topic, documents(count, start=count, padding=padding))
    sink.reconfigure(then or {})
    sink.start()
    await oracle.until_committed(sink)
    assert await sink.metric("repeats_total") == 0
    assert await sink.metric("key_conflicts_total") == 0
    await sink.stopped()
    return oracle


@pytest.mark.parametrize("point", PROMISED)
async def test_a_kill_loses_and_doubles_nothing(bench: Bench, point: str) -> None:
    async def scenario(mode: str, fate: str) -> None:
        own = bench.sibling()
        await killed_at(point, own, {"rotate": MODES[mode], "layout": BY_USER}, fate=fate)
        await Oracle(own, Expected(by_user)).verify()

    await all_of(**{f"{point} {mode} {fate}": scenario(mode, fate) for mode, fate in FATES})


@pytest.mark.parametrize("steps", STEPS)
async def test_a_kill_at_every_other_step_loses_and_doubles_nothing(
    bench: Bench, steps: str
) -> None:
    async def scenario(point: str, mode: str, fate: str) -> None:
        own = bench.sibling()
        await killed_at(point, own, {"rotate": MODES[mode], "layout": BY_USER}, fate=fate)
        await Oracle(own, Expected(by_user)).verify()

    found = STEPS[steps].items()
    await all_of(**{f"{point} {way}": scenario(point, *way) for point, way in found})


def test_every_point_is_one_at_which_a_test_kills() -> None:
    others = [point for steps in STEPS.values() for point in steps]
    killed = {point.partition(":")[0] for point in (*PROMISED, *FLOORS, *PARTS, *others)}
    assert killed == set(get_args(Point))


async def test_a_repeat_ends_above_the_floor_whatever_it_is_configured_to(bench: Bench) -> None:
    """Splits of the open cut are in S3; the second process would end a cut at each record."""

    async def scenario(point: str, fate: str) -> None:
        own = bench.sibling()
        overrides = {"rotate": MODES["splits"], "layout": BY_USER}
        then = {"rotate": {"records": 1}}
        await killed_at(point, own, overrides, fate=fate, then=then)
        await Oracle(own, Expected(by_user)).verify()

    fates = [(point, fate) for point in FLOORS for fate in WHICH]
    await all_of(**{f"{point} {fate}": scenario(point, fate) for point, fate in fates})


async def test_a_repeat_writes_into_the_directory_of_the_first_try(bench: Bench) -> None:
    """The wall clock went on meanwhile, by seconds; the cut's instant is part of its promise."""

    async def scenario(fate: str) -> None:
        own = bench.sibling()
        layout = {"time": "wallclock", "partition": "at={time:%H-%M-%S}"}
        overrides = {"layout": layout, "rotate": {"max_age": "400ms"}}
        oracle = await killed_at("complete.after", own, overrides, fate=fate)
        places = places_of(oracle.objects(), f"topics/{own.name}")
        await Oracle(own, Expected(places)).verify()

    await all_of(**{fate: scenario(fate) for fate in WHICH})


async def test_a_kill_within_an_upload_leaves_no_upload_behind(bench: Bench) -> None:
    """The next process finds its note of the upload; where that is lost, the sweep its age."""

    async def scenario(point: str, mode: str, fate: str) -> None:
        own = bench.sibling()
        overrides = {"rotate": LARGE_MODES[mode], "s3": LARGE_S3}
        oracle = await killed_at(point, own, overrides, fate=fate, padding=100_000)
        await oracle.verify()

    found = [(point, *way) for point, ways in PARTS.items() for way in ways]
    await all_of(**{" ".join(names): scenario(*names) for names in found})
