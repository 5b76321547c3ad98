"""What the whole program asks of S3: conditional writes, requests and their number, keys."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from tests.contract.recording_s3 import ROLE, RecordingS3, signer_of
from tests.contract.small_s3 import Answer
from tests.contract.small_sts import SmallSts
from tests.integration.harness import Bench, SinkProcess, all_of
from tests.integration.oracle import Oracle
from tests.integration.producing import documents, produce
from tests.integration.s3_faults import WRITING, S3Faults
from tests.servers.processes import free_port

FROM_THE_START = {"kafka": {"start_from": "earliest"}, "rotate": {"records": 5}}
WRITES = frozenset({"PutObject", "CompleteMultipartUpload"})
PROBE = ".spoolsink-probe"
MIB = 2**20


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """The endpoint of a store that is one handler."""
    app = web.Application(client_max_size=64 * MIB)
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


# -- conditional writes ----------------------------------------------------------------------------


class Seen(NamedTuple):
    """Of objects (the probe's key left out): operations, and writes under a condition."""

    operations: Counter[str]
    conditional: int
    probes: int


def seen_by(server: RecordingS3) -> Seen:
    told = list(zip(server.requests, server.calls, strict=True))
    objects = [(request, name) for request, name in told if "+" in request.path]
    return Seen(
        Counter(name for _, name in objects),
        sum("If-None-Match" in request.headers for request, _ in objects),
        sum(PROBE in request.path for request, _ in told),
    )


async def two_objects(
    own: Bench, server: RecordingS3, mode: str, turn: asyncio.Semaphore, *, mended: bool = False
) -> tuple[Seen, str]:
    """A life with ten records; `mended`: held until the store honours what it did not."""
    topic, oracle = await own.topic(), Oracle(own)
    await produce(own.kafka.bootstrap_servers, topic, documents(10))
    async with serving(server.answer) as endpoint:
        s3 = {"endpoint_url": endpoint, "conditional_writes": mode}
        sink = own.sink({**FROM_THE_START, "s3": s3})
        await sink.started(turn)
        if mended:
            await sink.until_failed("s3 conditional writes:", "If-None-Match")
            await sink.not_ready("s3 conditional writes:")
            await sink.until_metric("cuts_total", 2)
            assert not seen_by(server).operations
            server.honour()
        await oracle.until_committed(sink)
        await sink.ready()
        await sink.stopped()
    rows = [body for path, body in sorted(server.objects.items()) if "+" in path]
    assert b"".join(rows).count(b"\n") == 10
    return seen_by(server), sink.text()


@pytest.mark.timeout(240)  # where others leave little of the machine
async def test_conditional_writes_are_used_where_they_are_honoured_and_where_not_as_configured(
    bench: Bench,
) -> None:
    two, looked = {"PutObject": 2}, {"HeadObject": 2, "PutObject": 2}
    turn = asyncio.Semaphore(1)
    not_honoured = "does not honour conditional writes"

    async def honours() -> None:
        seen, _ = await two_objects(bench.sibling(), RecordingS3(), "auto", turn)
        assert (seen.operations, seen.conditional) == (two, 2)

    async def ignores() -> None:
        server = RecordingS3(ignores=WRITES)
        seen, text = await two_objects(bench.sibling(), server, "auto", turn)
        assert (seen.operations, seen.conditional) == (looked, 0)
        assert text.count(not_honoured) == 1

    async def rejects() -> None:
        server = RecordingS3(rejects=dict.fromkeys(WRITES, (501, "NotImplemented")))
        seen, text = await two_objects(bench.sibling(), server, "auto", turn)
        assert (seen.operations, seen.conditional) == (looked, 0)
        assert text.count(not_honoured) == 1

    async def off() -> None:
        seen, _ = await two_objects(bench.sibling(), RecordingS3(), "off", turn)
        assert (seen.operations, seen.conditional, seen.probes) == (looked, 0, 0)

    async def require() -> None:
        server = RecordingS3(ignores=WRITES)
        seen, _ = await two_objects(bench.sibling(), server, "require", turn, mended=True)
        assert (seen.operations, seen.conditional) == (two, 2)

    await all_of(
        honours=honours(), ignores=ignores(), rejects=rejects(), off=off(), require=require()
    )


# -- requests --------------------------------------------------------------------------------------


async def counted(sink: SinkProcess) -> Mapping[str, float]:
    """By the metric."""
    found = {}
    for name in (*WRITING, "HeadObject", "ListObjectsV2", "ListMultipartUploads"):
        found[name] = await sink.metric("s3_requests_total", operation=name)
    return found


async def test_a_small_object_is_one_request_a_large_one_two_and_its_parts_and_nothing_is_listed(
    bench: Bench,
) -> None:
    """By the metric and by the server's own count; never more than `uploads` at a time."""
    topic, oracle = await bench.topic(), Oracle(bench)
    servers = bench.kafka.bootstrap_servers
    async with S3Faults(bench.s3).serving() as s3:
        store = {"endpoint_url": s3.endpoint_url, "part_size": "5MiB", "uploads": 2}
        overrides = {"rotate": {"records": 10}, "s3": {**store, "request_timeout": "20s"}}
        sink = bench.sink({**FROM_THE_START, **overrides})
        sink.start()
        await produce(servers, topic, documents(10))
        await oracle.until_committed(sink)
        await sink.until_metric("s3_requests_total", 1, operation="ListMultipartUploads")
        before, told_before = await counted(sink), Counter(s3.handed_on)
        await produce(servers, topic, documents(100, start=10))
        await produce(servers, topic, documents(30, start=110, padding=800_000))
        await oracle.until_committed(sink)
        after, told = await counted(sink), s3.handed_on - told_before
        grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        assert grown == {
            "PutObject": 10,
            "CreateMultipartUpload": 3,
            "UploadPart": 6,
            "CompleteMultipartUpload": 3,
        }
        assert told == grown
        assert 1 <= s3.in_flight_peak <= 2
        await sink.stopped()
    await oracle.verify()


# -- keys that end ---------------------------------------------------------------------------------


async def test_keys_that_end_are_renewed_under_load_and_waited_for_where_they_are_refused(
    bench: Bench,
) -> None:
    topic, oracle = await bench.topic(), Oracle(bench)
    servers = bench.kafka.bootstrap_servers
    server, sts = RecordingS3(), SmallSts(lifetime_seconds=4)
    used: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        used.append(signer_of(request))
        if not sts.is_valid(used[-1]):
            text = "<Error><Code>ExpiredToken</Code></Error>"
            return web.Response(status=400, text=text, content_type="application/xml")
        return await server.answer(request)

    sent = 0

    async def send() -> None:
        nonlocal sent
        await produce(servers, topic, documents(5, start=sent))
        sent += 5

    async with sts.serving(), serving(answer) as endpoint:
        s3: Mapping[str, Any] = {"endpoint_url": endpoint, "assume_role": {"role_arn": ROLE}}
        sink = bench.sink({**FROM_THE_START, "s3": s3})
        sink.start({"AWS_ENDPOINT_URL_STS": sts.url})
        while len(set(used)) < 4:
            await send()
            await oracle.until_committed(sink)
        assert await sink.metric("s3_errors_total") == 0
        sts.refusal = (403, "AccessDenied")

        async def is_held() -> bool:
            await send()
            return bool((await sink.status())["connector"]["state"] == "FAILED")

        await sink.until("it holds when the last keys have ended", is_held)
        await sink.until_failed("s3:", "AssumeRole: AccessDenied")
        await sink.not_ready("s3:", "AssumeRole: AccessDenied")
        sts.refusal = None
        await oracle.until_committed(sink)
        await sink.ready()
        await sink.stopped()
    rows = [body for path, body in server.objects.items() if "+" in path]
    assert b"".join(rows).count(b"\n") == sent
