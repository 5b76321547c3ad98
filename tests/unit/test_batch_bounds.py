"""Batches that are damaged, lie or are too large, as bytes: by way of the tap, without a broker."""

import gzip
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable
from itertools import pairwise

import cramjam
import pytest
import zstandard
from aiokafka import TopicPartition as ClientTopicPartition
from aiokafka.codec import lz4_encode, snappy_encode, zstd_encode
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from spoolsink.batch_tap import Tap, install
from spoolsink.batch_tap.bounds import _most_bytes
from spoolsink.records import Batch, Refusal, TimestampType, TopicPartition

MIB = 1 << 20
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
CODECS = (GZIP, SNAPPY, LZ4, ZSTD)
ENCODE: dict[int, Callable[[bytes], bytes]] = {
    GZIP: gzip.compress,
    SNAPPY: snappy_encode,
    LZ4: lz4_encode,
    ZSTD: zstd_encode,
}
HEADER = struct.Struct(">qiibIhiqqqhii")


def batch_of(  # noqa: PLR0917  # the header's fields
    payload: bytes,
    attributes: int = 0,
    base: int = 0,
    count: int = 1,
    span: int | None = None,
    producer: int = -1,
) -> bytes:
    """A record batch around any payload, with its right checksum."""
    last = (count if span is None else span) - 1
    tail = HEADER.pack(0, 0, 0, 2, 0, attributes, last, 1000, 1000, producer, -1, -1, count)[21:]
    body = tail + payload
    return struct.pack(">qiibI", base, len(body) + 9, 0, 2, calc_crc32c(body)) + body


def records_of(values: Iterable[bytes], offsets: Iterable[int] | None = None) -> bytes:
    """Plain records, as in a batch without codec."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 30)
    values = list(values)
    for offset, value in zip(offsets or range(len(values)), values, strict=True):
        builder.append(offset, 1000 + offset, b"k", value, [])
    return bytes(builder.build()[61:])


def abort_marker() -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    builder.append(0, 1000, struct.pack(">hh", 0, 0), struct.pack(">hi", 0, 0), [])
    return bytes(builder.build()[61:])


def good(base: int, value: bytes = b"good") -> bytes:
    return batch_of(records_of([value]), base=base)


def tapped(
    data: bytes,
    limit: int = MIB,
    *,
    start: int = 0,
    aborted: list[tuple[int, int]] | None = None,
) -> list[Batch]:
    """What a poll would return of fetched bytes."""
    install()
    return list(
        fetcher.PartitionRecords(
            ClientTopicPartition("t", 0), fetcher.MemoryRecords(data), aborted, start,
            Tap(limit), None, True, fetcher.READ_COMMITTED,
        )
    )  # fmt: skip


def reasons(batches: list[Batch]) -> list[str | None]:
    return [batch.refusal.reason if batch.refusal else None for batch in batches]


def ranges(batches: list[Batch]) -> list[tuple[int, int]]:
    return [(batch.start, batch.next_offset) for batch in batches]


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_of_exactly_the_limit_passes_and_a_byte_more_is_refused(codec: int) -> None:
    values = [b"%d" % i * 40 for i in range(5_000)]
    plain = records_of(values)
    data = batch_of(ENCODE[codec](plain), codec, count=len(values)) + good(5_000)
    passed = tapped(data, len(plain))
    assert reasons(passed) == [None, None]
    assert passed == tapped(data, 1 << 40)
    assert passed[0].values == values
    refused, behind = tapped(data, len(plain) - 1)
    assert refused.refusal is not None
    assert refused.refusal.reason == "too_large"
    assert (refused.refusal.records, len(refused), refused.headers) == (5_000, 0, None)
    assert ranges([refused, behind]) == [(0, 5_000), (5_000, 5_001)]
    assert behind.values == [b"good"]


def zstd_frame(blocks: bytes, declared: int | None) -> bytes:
    """Single segment where a content size is declared, else a window of 1 MiB."""
    flags = struct.pack("<BB", 0, 10 << 3) if declared is None else b"\xe0"
    return b"\x28\xb5\x2f\xfd" + flags + (b"" if declared is None else struct.pack("<Q", declared))\
        + blocks  # fmt: skip


def zstd_zeros(size_bytes: int) -> bytes:
    """Run-length blocks: four bytes for each 128 KiB."""
    block = struct.pack("<I", (1 << 17) << 3 | 1 << 1)[:3] + b"\0"
    return block * (size_bytes >> 17) + b"\1\0\0"


def zstd_small_blocks(size_bytes: int) -> bytes:
    """So many blocks that nobody walks over them."""
    return (struct.pack("<I", 1024 << 3 | 1 << 1)[:3] + b"\0") * (size_bytes >> 10) + b"\1\0\0"


BOMB_BYTES = 96 * MIB
BOMBS: dict[str, tuple[int, Callable[[], bytes]]] = {
    "gzip": (GZIP, lambda: gzip.compress(bytes(BOMB_BYTES), 6)),
    "gzip of many members": (GZIP, lambda: gzip.compress(bytes(MIB)) * 96),
    "snappy": (SNAPPY, lambda: snappy_encode(bytes(BOMB_BYTES))),
    "snappy in one block": (SNAPPY, lambda: bytes(cramjam.snappy.compress_raw(bytes(BOMB_BYTES)))),
    "snappy that only declares": (SNAPPY, lambda: b"\xff\xff\xff\xff\x0f" + b"\0x" * 3_000),
    "lz4": (LZ4, lambda: lz4_encode(bytes(BOMB_BYTES))),
    "lz4 of many frames": (LZ4, lambda: lz4_encode(bytes(MIB)) * 96),
    "zstd": (ZSTD, lambda: zstd_frame(zstd_zeros(BOMB_BYTES), None)),
    "zstd of many frames": (ZSTD, lambda: zstd_frame(zstd_zeros(MIB), None) * 96),
    "zstd of many blocks": (ZSTD, lambda: zstd_frame(zstd_small_blocks(BOMB_BYTES), None)),
}

CHILD = """
import sys
from tests.unit.test_batch_bounds import MIB, reasons, tapped
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
data = sys.stdin.buffer.read()
tapped(data[-100:])
before = peak()
found = reasons(tapped(data, 8 * MIB))
print(found[0], found[1], len(found), peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc; Linux runs it")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_within_the_memory_of_the_limit(name: str) -> None:
    codec, make = BOMBS[name]
    data = batch_of(make(), codec) + good(1)
    child = subprocess.run(
        [sys.executable, "-c", CHILD], input=data, capture_output=True, timeout=60, check=True
    )
    reason, behind, count, grown = child.stdout.decode().split()
    assert (reason, behind, count) == ("too_large", "None", "2")
    assert int(grown) < 8 * MIB + 4 * MIB


@pytest.mark.parametrize(
    ("codec", "payload"),
    [
        (GZIP, gzip.compress(b"x" * 3_000)[:-9]),
        (GZIP, gzip.compress(b"x" * 3_000)[:-8] + bytes(8)),
        (SNAPPY, snappy_encode(b"x" * 3_000)[:16] + struct.pack(">i", -4)),
        (SNAPPY, snappy_encode(b"x" * 3_000)[:16] + struct.pack(">i", 1 << 30) + b"\4abcd"),
        (SNAPPY, b"\x05"),
        (LZ4, lz4_encode(b"x" * 3_000)[:-5]),
        (ZSTD, zstd_frame(zstd_zeros(MIB), 10)),
        (ZSTD, zstd_frame(b"\1\0\0", 1 << 60)),
        (ZSTD, b"\x50\x2a\x4d\x18" + b"\xff" * 4),
        *((codec, b"no compressed data at all") for codec in CODECS),
        *((codec, b"") for codec in CODECS),
        *((codec, ENCODE[codec](b"no records inside")) for codec in CODECS),
        *((codec, ENCODE[codec](records_of([b"one of two"]))) for codec in CODECS),
        (0, b"no records"), (5, b"a codec that does not exist"),
    ],
    # gzip's bytes tell the time: they are no name of a test.
    ids=lambda value: "" if isinstance(value, bytes) else str(value),
)  # fmt: skip
@pytest.mark.parametrize("limit", [100, 1 << 40], ids=["checked", "trusted"])
def test_a_batch_that_cannot_be_decoded_is_refused_at_its_offsets(
    codec: int, payload: bytes, limit: int
) -> None:
    data = good(0) + batch_of(payload, codec, base=1, count=2) + good(3)
    batches = tapped(data, limit)
    assert ranges(batches) == [(0, 1), (1, 3), (3, 4)]
    refusal = batches[1].refusal
    assert refusal is not None
    assert refusal.records == 2
    assert refusal.reason == "corrupt" or (limit == 100 and refusal.reason == "too_large")
    assert [b.values for b in batches] == [[b"good"], (), [b"good"]]


@settings(deadline=None)
@given(st.sampled_from([0, *CODECS]), st.data())
def test_no_damage_behind_a_right_checksum_ever_raises(codec: int, data: st.DataObject) -> None:
    plain = records_of([b"value" * 30] * 20)
    payload = bytearray(ENCODE[codec](plain) if codec else plain)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at] = data.draw(st.integers(0, 255))
    limit = data.draw(st.sampled_from([10, 3_000, 1 << 40]))
    batches = tapped(batch_of(bytes(payload), codec, count=20) + good(20), limit)
    assert ranges(batches) == [(0, 20), (20, 21)]
    assert len(batches[0]) == (0 if batches[0].refusal else 20)
    assert batches[1].values == [b"good"]


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_damage_of_a_header_ends_the_records_where_it_is(noise: bytes, at: int) -> None:
    """Whatever it is, the batch before is kept and nothing raises or goes on for ever."""
    data = bytearray(good(0) + good(1) + good(2))
    size = len(good(0))
    data[size + at % size : size + at % size + len(noise)] = noise
    batches = tapped(bytes(data))
    assert batches[0].values == [b"good"]
    for before, after in pairwise(batches):
        assert before.refusal is None or before.next_offset > before.start
        assert after.start == before.next_offset


@pytest.mark.parametrize("at", [17, 30, 61, -1])
def test_a_wrong_checksum_is_refused_at_its_start_and_ends_the_records(at: int) -> None:
    bad = bytearray(good(1))
    bad[at] ^= 1
    batches = tapped(good(0) + bytes(bad) + good(2))
    assert ranges(batches) == [(0, 1), (1, 1)]
    refusal = batches[1].refusal
    assert refusal == Refusal("corrupt", "checksum of the batch at 1", 0)


@pytest.mark.parametrize("length", [-50, 0, 10, 40, 48])
def test_a_length_that_no_batch_has_is_damage(length: int) -> None:
    bad = bytearray(good(1))
    bad[8:12] = struct.pack(">i", length)
    batches = tapped(good(0) + bytes(bad) + good(2))
    assert ranges(batches) == [(0, 1), (1, 1)]
    assert reasons(batches) == [None, "corrupt"]


@pytest.mark.parametrize("is_linked", [False, True])
@pytest.mark.parametrize("has_checksum", [False, True])
@settings(deadline=None)
@given(parts=st.lists(st.binary(max_size=70_000) | st.integers(0, 300_000).map(bytes), max_size=4))
def test_the_most_that_lz4_can_become_is_never_less_than_what_it_becomes(
    parts: list[bytes], *, is_linked: bool, has_checksum: bool
) -> None:
    payload = b""
    for part in parts:
        compressor = cramjam.lz4.Compressor(
            level=1, content_checksum=has_checksum, block_linked=is_linked
        )
        compressor.compress(part)
        payload += bytes(compressor.finish())
    most = _most_bytes(LZ4, memoryview(payload))
    real = sum(map(len, parts))
    assert most is not None
    assert real <= most <= real + (1 << 18) * len(parts)


@pytest.mark.parametrize("has_size", [False, True])
@pytest.mark.parametrize("has_checksum", [False, True])
@settings(deadline=None)
@given(parts=st.lists(st.binary(max_size=70_000) | st.integers(0, 300_000).map(bytes), max_size=4))
def test_the_most_that_zstd_can_become_is_never_less_than_what_it_becomes(
    parts: list[bytes], *, has_size: bool, has_checksum: bool
) -> None:
    compressor = zstandard.ZstdCompressor(
        write_content_size=has_size, write_checksum=has_checksum, level=1
    )
    payload = b""
    for part in parts:
        stream = compressor.compressobj(size=len(part) if has_size else -1)
        half = len(part) // 2
        payload += stream.compress(part[:half])
        payload += stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        payload += stream.compress(part[half:]) + stream.flush()
    most = _most_bytes(ZSTD, memoryview(payload))
    real = sum(map(len, parts))
    assert most is not None
    assert real <= most <= real + (1 << 18) * len(parts)


def test_members_and_padding_of_gzip_are_read_as_gzip_reads_them() -> None:
    plain = records_of([b"x" * 50_000, b"y" * 50_000])
    middle = len(plain) // 2
    payload = gzip.compress(plain[:middle]) + gzip.compress(plain[middle:]) + bytes(70_000)
    assert gzip.decompress(payload) == plain
    assert reasons(tapped(batch_of(payload, GZIP, count=2), len(plain))) == [None]
    assert reasons(tapped(batch_of(payload + b"x", GZIP, count=2), len(plain))) == ["corrupt"]


def test_an_aborted_batch_is_left_out_and_not_refused() -> None:
    bomb = batch_of(zlib.compress(bytes(8 * MIB), 9, 31), GZIP | 16, base=0, producer=7)
    marker = batch_of(abort_marker(), 16 | 32, base=1, producer=7)
    committed = batch_of(records_of([b"good"]), 16, base=2, producer=7)
    batches = tapped(bomb + marker + committed, 1000, aborted=[(7, 0)])
    assert reasons(batches) == [None, None, None]
    assert [list(b.values) for b in batches] == [[], [], [b"good"]]
    assert reasons(tapped(bomb + good(1), 1000)) == ["too_large", None]


def test_a_marker_that_the_log_cleaner_emptied_is_passed_by() -> None:
    """It lies in the log for its producer's sequence: a batch of no record."""
    emptied = batch_of(b"", 16 | 32, base=1, count=0, span=1, producer=7)
    batches = tapped(good(0) + emptied + good(2), aborted=[(7, 0)])
    assert ranges(batches) == [(0, 1), (1, 2), (2, 3)]
    assert reasons(batches) == [None, None, None]
    assert [list(b.values) for b in batches] == [[b"good"], [], [b"good"]]


def test_a_compacted_batch_keeps_the_offsets_that_its_records_have() -> None:
    data = batch_of(records_of([b"a", b"b", b"c"], [1, 4, 6]), base=10, count=3, span=9)
    (batch,) = tapped(data, start=12)
    assert (list(batch.offsets), batch.values) == ([14, 16], [b"b", b"c"])
    assert (batch.start, batch.next_offset, batch.timestamps) == (12, 19, [1003, 1005])


def test_offsets_that_contradict_the_header_are_damage() -> None:
    data = batch_of(records_of([b"a", b"b"], [0, 5]), count=2)
    assert reasons(tapped(data)) == ["corrupt"]


@pytest.mark.parametrize("codec", [0, GZIP, SNAPPY, LZ4])
@pytest.mark.parametrize("magic", [0, 1])
def test_messages_of_before_kafka_0_11_come_as_they_are(magic: int, codec: int) -> None:
    if (magic, codec) == (0, LZ4):
        return  # aiokafka does not build it
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
    for offset in range(3):
        builder.append(offset, timestamp=1000 + offset, key=b"k", value=b"v" * 5_000)
    data = bytes(builder.build())
    batches = tapped(data)
    assert [o for b in batches for o in b.offsets] == [0, 1, 2]
    assert [v for b in batches for v in b.values] == [b"v" * 5_000] * 3
    assert [t for b in batches for t in b.timestamps] == (
        [1000, 1001, 1002] if magic else [-1, -1, -1]
    )
    assert {b.timestamp_type for b in batches} == {TimestampType.CREATE}
    if codec:
        assert reasons(tapped(data, 15_000)) == ["too_large"]
        assert tapped(data, 15_300) == batches


def test_a_slice_of_a_refused_batch_is_refused_and_what_lies_beside_it_is_not() -> None:
    refusal = Refusal("too_large", "why", 5)
    kind = TimestampType.CREATE
    batch = Batch(TopicPartition("t", 0), 10, 15, (), (), kind, (), (), None, refusal)
    assert batch.before(11).refusal is refusal
    assert batch.before(10).refusal is None
    assert batch.since(14).refusal is refusal
    assert batch.since(15).refusal is None
    stuck = Batch(TopicPartition("t", 0), 10, 10, (), (), kind, (), (), None, refusal)
    assert stuck.since(10).refusal is refusal
    assert stuck.since(11).refusal is None
    assert stuck.before(10).refusal is None
