"""S3 refuses, is in trouble or says nothing: the sink holds, says so, tries again and goes on.

Each row is a run of its own, held at its start and once more in its middle.
"""

import asyncio
import itertools
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from tests.integration.harness import Bench, SinkProcess, all_of
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce
from tests.integration.s3_faults import Fault, Refusal, S3Faults, Silence

FROM_THE_START = {"kafka": {"start_from": "earliest"}}
AGAIN_SECONDS = 15.0
"""The contract's: what holds is tried again at least so often."""


class Row(NamedTuple):
    """`told` stands in `/readyz`, in the log and, FAILED, in the status; `code` in the metric."""

    fault: Fault
    code: str
    is_failed: bool = False

    @property
    def told(self) -> tuple[str, ...]:
        return ("s3:", f"{self.code}:")


def refused(status: int, code: str) -> Row:
    """For an operator to mend."""
    return Row(Refusal(status, code), code, is_failed=True)


def troubled(status: int, code: str) -> Row:
    """It goes away by itself, or nobody knows what it is."""
    return Row(Refusal(status, code), code)


ROWS: Mapping[str, Mapping[str, Row]] = {
    "rights": {
        "bucket missing": refused(404, "NoSuchBucket"),
        "key refused": refused(403, "InvalidAccessKeyId"),
        "secret refused": refused(403, "SignatureDoesNotMatch"),
        "right missing": refused(403, "AccessDenied"),
        "token expired": refused(400, "ExpiredToken"),
    },
    "settings": {
        "KMS key disabled": refused(400, "KMS.DisabledException"),
        "KMS key refused": refused(403, "KMS.AccessDeniedException"),
        "clock skewed": refused(403, "RequestTimeTooSkewed"),
        "quota reached": refused(403, "QuotaExceeded"),
        "unknown code": troubled(418, "NeverHeardOf"),
    },
    "trouble": {
        "throttles": troubled(503, "SlowDown"),
        "slow": Row(Silence.SLOW, "Deadline"),
        "silent": Row(Silence.MUTE, "Deadline"),
        "half-closed": Row(Silence.HALF_CLOSED, "ConnectionClosedError"),
        "reset": Row(Silence.RESET, "ConnectionClosedError"),
    },
}


@pytest.mark.timeout(240)  # where others leave little of the machine
@pytest.mark.parametrize("group", ROWS)
async def test_the_sink_holds_says_why_and_goes_on_with_nothing_lost(
    bench: Bench, group: str
) -> None:
    turn = asyncio.Semaphore(1)
    rows = ROWS[group].items()
    await all_of(**{name: held_twice(bench.sibling(), row, turn) for name, row in rows})


async def held_twice(own: Bench, row: Row, turn: asyncio.Semaphore) -> None:
    """At the start, mended; in the middle, mended; then the verdict."""
    topic, oracle = await own.topic(), Oracle(own)
    servers = own.kafka.bootstrap_servers
    await produce(servers, topic, documents(5))
    async with S3Faults(own.s3).serving() as s3:
        sink = own.sink(
            {
                **FROM_THE_START,
                "rotate": {"records": 5},
                "s3": {"endpoint_url": s3.endpoint_url, "request_timeout": "1s"},
            }
        )
        for start in (0, 5):
            s3.fault = row.fault
            if start == 0:
                await sink.started(turn)
            else:
                await produce(servers, topic, documents(5, start=start))
            await holds(sink, s3, row)
            s3.mend()
            await oracle.until_committed(sink)
            await sink.ready()
        await sink.stopped()
    objects = await oracle.verify()
    assert [(o.first, o.last) for o in objects] == [(0, 4), (5, 9)]


async def holds(sink: SinkProcess, s3: S3Faults, row: Row) -> None:
    """Everything that an operator would look at says so, and it is tried again."""
    before = len(sink.text())
    await sink.not_ready(*row.told)
    if row.is_failed:
        await sink.until_failed(*row.told)
    else:
        assert (await sink.status())["connector"]["state"] == "RUNNING"
    assert (await sink.ask("/healthz"))[0] == 200
    assert await sink.metric("s3_errors_total", code=row.code) >= 1
    assert await sink.metric("holds", kind="s3") >= 1
    asked = len(s3.asked)

    async def is_tried_again() -> bool:
        return len(s3.asked) > asked

    await sink.until("it is tried again", is_tried_again)
    pauses = [later - earlier for earlier, later in itertools.pairwise(s3.asked)]
    assert max(pauses) < AGAIN_SECONDS
    lines = [line for line in sink.text()[before:].splitlines() if row.code in line]
    assert len(lines) <= 1, lines


async def test_a_key_that_is_refused_by_itself_holds_nothing_but_its_own_topic_partition(
    bench: Bench,
) -> None:
    """There is one worker, and it must not stay with what cannot be written."""
    topic, oracle = await bench.topic(partitions=2), Oracle(bench)
    servers = bench.kafka.bootstrap_servers
    async with S3Faults(bench.s3).serving() as s3:
        store = {"endpoint_url": s3.endpoint_url, "uploads": 1}
        sink = bench.sink({**FROM_THE_START, "rotate": {"records": 5}, "s3": store})
        s3.by_key["/partition=0/"] = Refusal(403, "AccessDenied")
        sink.start()
        await sink.ready()
        await produce(servers, topic, documents(10, partitions=2))
        await sink.until_failed("s3:", "partition=0/", "AccessDenied")
        await produce(servers, topic, documents(20, start=10, partitions=2))

        async def is_committed() -> bool:
            return (await oracle.committed(topic)).get(1, (0, ""))[0] == 15

        await sink.until("the other one goes on", is_committed)
        await sink.until_failed(f"{topic}-0 key:", "AccessDenied")
        s3.mend()
        await oracle.until_committed(sink)
        await sink.ready()
        await sink.stopped()
    await oracle.verify()
