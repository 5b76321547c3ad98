"""`spoolsink check --connect` where S3 refuses single rights: each by its name, nothing left."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pytest

from tests.integration.harness import ROOT, Bench, SinkProcess, all_of
from tests.integration.s3_faults import Refusal, S3Faults

REFUSED = Refusal(403, "AccessDenied")
OPERATIONS: Mapping[str, Sequence[str]] = {
    "PutObject": (
        "PutObject",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
    ),
    "GetObject": ("HeadObject",),
    "AbortMultipartUpload": ("AbortMultipartUpload",),
    "ListBucketMultipartUploads": ("ListMultipartUploads",),
    "ListBucket": ("ListObjectsV2",),
    "DeleteObject": ("DeleteObject",),
}
"""What each right of AWS's allows."""
NEEDED = tuple(OPERATIONS)[:4]
STAYS = ["topics/.spoolsink-probe"]
"""The contract's: where it may not be deleted it serves the next probe."""


class Checked(NamedTuple):
    """What the program said and left."""

    status: int | None
    lines: list[str]
    keys: list[str]
    uploads: list[str]

    def of(self, mark: str) -> list[str]:
        """Lines that begin with it."""
        return [line for line in self.lines if line.startswith(mark)]


async def check(sink: SinkProcess, bench: Bench) -> Checked:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "spoolsink", "check", "--connect", str(sink.config)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert b"Traceback" not in output, output.decode()
    found = bench.store.list_objects_v2(Bucket=bench.bucket).get("Contents", [])
    open_ = bench.store.list_multipart_uploads(Bucket=bench.bucket).get("Uploads", [])
    lines = [line.strip() for line in output.decode().splitlines()]
    keys, uploads = [o["Key"] for o in found], [u["Key"] for u in open_]
    return Checked(process.returncode, lines, keys, uploads)


async def checked_without(bench: Bench, *rights: str) -> Checked:
    """On a bucket of its own; with every right its topic is found by a pattern."""
    own = bench.sibling()
    await own.topic()
    async with S3Faults(own.s3).serving() as s3:
        for right in rights:
            s3.by_operation.update(dict.fromkeys(OPERATIONS[right], REFUSED))
        kafka = {} if rights else {"topics_pattern": f"{own.name}.*"}
        return await check(own.sink({"s3": {"endpoint_url": s3.endpoint_url}, "kafka": kafka}), own)


async def test_each_right_that_is_needed_and_missing_is_named_and_nothing_is_left(
    bench: Bench,
) -> None:
    async def scenario(right: str) -> None:
        found = await checked_without(bench, right)
        assert found.status == 1, found
        named = [line for line in found.of("FAIL") if f"{right} missing" in line]
        assert len(named) == 1, found
        # HEAD has no body, and so no code.
        assert ("403: Forbidden" if right == "GetObject" else "AccessDenied") in named[0]
        others = [name for name in OPERATIONS if name != right]
        assert [name for name in others if any(f"{name} granted" in t for t in found.of("ok"))] == (
            others
        )
        assert (found.keys, found.uploads) == ([], [])

    await all_of(**{right: scenario(right) for right in NEEDED})


async def test_a_right_that_is_used_where_it_is_granted_is_named_and_fails_nothing(
    bench: Bench,
) -> None:
    async def scenario(right: str, keys: list[str]) -> None:
        found = await checked_without(bench, right)
        assert (found.status, found.of("FAIL")) == (0, []), found
        assert any(f"{right} not granted (used where it is)" in line for line in found.of("ok"))
        assert (found.keys, found.uploads) == (keys, [])

    await all_of(list=scenario("ListBucket", []), delete=scenario("DeleteObject", STAYS))


async def test_all_missing_rights_are_named_at_once_and_a_granted_check_is_clean(
    bench: Bench,
) -> None:
    async def none() -> None:
        found = await checked_without(bench, *OPERATIONS)
        assert found.status == 1
        for right in NEEDED:
            assert any(f"{right} missing" in line for line in found.of("FAIL")), found
        assert (found.keys, found.uploads) == ([], [])

    async def every() -> None:
        found = await checked_without(bench)
        assert (found.status, found.of("FAIL"), found.keys, found.uploads) == (0, [], [], [])
        assert [" matches 1: t-" in line for line in found.of("ok")].count(True) == 1
        assert any("1 partitions, 0 offsets in the log" in line for line in found.of("ok"))

    await all_of(none=none(), every=every())


@pytest.mark.parametrize(
    "code", ["NoSuchBucket", "InvalidAccessKeyId", "ExpiredToken", "RequestTimeTooSkewed"]
)
async def test_what_is_no_right_is_named_by_its_code(bench: Bench, code: str) -> None:
    await bench.topic()
    async with S3Faults(bench.s3).serving() as s3:
        s3.fault = Refusal(403, code)
        found = await check(bench.sink({"s3": {"endpoint_url": s3.endpoint_url}}), bench)
    assert found.status == 1
    assert [code in line for line in found.of("FAIL")] == [True], found
