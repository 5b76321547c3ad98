"""Segments: what was written is read, and no damage is read as if it were data."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolsink.digest import Digest
from spoolsink.errors import SegmentCorruptError
from spoolsink.records import TopicPartition
from spoolsink.segment import (
    BLOCK_BYTES,
    FOOTER_BYTES,
    HEADER_BYTES,
    Compress,
    SegmentKey,
    SegmentLabel,
    SegmentSummary,
    SegmentWriter,
    encode_label,
    find_sealed,
    read_footer,
    read_rows,
    read_summary,
    zstd_blocks,
)

ROWS = [b'{"a":1}\n', b"null\n", b"[1,2,3]\n"]
KEY = SegmentKey(TopicPartition("orders", 3), "dt=ü/hour=%22", 2)
LABEL = SegmentLabel("orders", 3, 7, "topics/orders/ü.json", False, 12, 3, 1_700_000_000_000)


def write(
    path: Path,
    sizes: tuple[int, ...] = (1, 2),
    label: bytes = b"",
    compress: Compress | None = None,
) -> SegmentSummary:
    writer = SegmentWriter(path.with_suffix(".open"), compress)
    offset = 0
    for size in sizes:
        offsets = range(offset, offset + size)
        writer.append(offsets, b"".join(ROWS[o % 3] for o in offsets))
        offset += size
    return writer.seal(path, label)


def test_a_sealed_segment_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "1.sealed"
    summary = write(path)
    assert list(read_rows(path)) == [ROWS[0], ROWS[1] + ROWS[2]]
    assert read_summary(path) == summary
    assert summary[:4] == (3, 21, 0, 2)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not path.with_suffix(".open").exists()


def test_the_accounting_equals_the_file(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "1.open")
    grown = writer.append([5, 9], b"ab") + writer.append([10], b"c")
    assert grown == writer.file_bytes == (tmp_path / "1.open").stat().st_size
    writer.seal(tmp_path / "1.sealed")
    assert (tmp_path / "1.sealed").stat().st_size == grown + FOOTER_BYTES


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_the_digest_does_not_depend_on_the_blocks(sizes: list[int]) -> None:
    count = sum(sizes)
    whole, parts, offset = Digest(), Digest(), 0
    whole.add(range(count), b"".join(ROWS[o % 3] for o in range(count)))
    for size in sizes:
        offsets = range(offset, offset + size)
        parts.add(offsets, b"".join(ROWS[o % 3] for o in offsets))
        offset += size
    assert parts.text() == whole.text()


def test_the_digest_tells_offsets_and_rows_apart() -> None:
    texts = set()
    for offsets, rows in (([1, 2], b"ab"), ([1, 3], b"ab"), ([1, 2], b"ac"), ([1], b"ab")):
        digest = Digest()
        digest.add(offsets, rows)
        texts.add(digest.text())
    assert len(texts) == 4


@pytest.mark.parametrize("compress", [None, zstd_blocks()], ids=["plain", "zstd"])
@pytest.mark.parametrize("bit", [0, 4, 7])
def test_no_flipped_bit_is_read_as_data(
    tmp_path: Path, bit: int, compress: Compress | None
) -> None:
    path = tmp_path / "1.sealed"
    write(path, (60, 2), encode_label(KEY, LABEL), compress)
    whole = path.read_bytes()
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << bit
        path.write_bytes(data)
        with pytest.raises(SegmentCorruptError) as caught:
            list(read_rows(path))
        assert caught.value.path == str(path)


def test_a_flipped_bit_in_the_footer_is_found_without_reading_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "1.sealed"
    write(path, (2,), encode_label(KEY, LABEL))
    whole = path.read_bytes()
    footer_size = FOOTER_BYTES + len(encode_label(KEY, LABEL))
    for place in range(len(whole) - footer_size, len(whole)):
        data = bytearray(whole)
        data[place] ^= 0x10
        path.write_bytes(data)
        with pytest.raises(SegmentCorruptError):
            read_footer(path)


@pytest.mark.parametrize(
    "label",
    [
        LABEL,
        LABEL._replace(is_split=True, cut_end=None, cut_records=None),
        LABEL._replace(object_key='a"\\\n' + "k" * 900),
    ],
)
def test_a_label_comes_back_from_the_file_alone(tmp_path: Path, label: SegmentLabel) -> None:
    path = tmp_path / "41.sealed"
    summary = write(path, label=encode_label(KEY, label))
    found = find_sealed(path)
    assert (found.key, found.label, found.summary) == (KEY, label, summary)
    assert (found.number, found.file_bytes) == (41, path.stat().st_size)
    assert b"".join(found.read()) == b"".join(found.read()) == b"".join(ROWS)


def test_a_segment_without_a_label_belongs_to_no_cut(tmp_path: Path) -> None:
    write(tmp_path / "1.sealed")
    with pytest.raises(SegmentCorruptError, match="no label"):
        find_sealed(tmp_path / "1.sealed")


def test_compressed_blocks_read_back_with_the_same_digest(tmp_path: Path) -> None:
    sizes = (400, 1, 30)
    plain = write(tmp_path / "1.sealed", sizes)
    compressed = write(tmp_path / "2.sealed", sizes, compress=zstd_blocks())
    assert compressed == plain
    assert list(read_rows(tmp_path / "2.sealed")) == list(read_rows(tmp_path / "1.sealed"))
    size = (tmp_path / "2.sealed").stat().st_size
    assert size < (tmp_path / "1.sealed").stat().st_size / 4


def test_compression_never_makes_a_file_larger(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "1.open", zstd_blocks())
    rows = random.Random(1).randbytes(1000)
    assert writer.append([1], rows) == HEADER_BYTES + BLOCK_BYTES + 1000
    assert writer.append([2], b"") == BLOCK_BYTES
    writer.seal(tmp_path / "1.sealed")
    assert list(read_rows(tmp_path / "1.sealed")) == [rows, b""]


def test_a_missing_segment_is_a_corrupt_one(tmp_path: Path) -> None:
    with pytest.raises(SegmentCorruptError, match="No such file"):
        list(read_rows(tmp_path / "1.sealed"))
    with pytest.raises(SegmentCorruptError, match="No such file"):
        read_footer(tmp_path / "1.sealed")


@pytest.mark.parametrize("length", [0, 3, HEADER_BYTES, HEADER_BYTES + 5, 40, -FOOTER_BYTES, -1])
def test_a_torn_segment_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "1.sealed"
    write(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SegmentCorruptError):
        list(read_rows(path))
    with pytest.raises(SegmentCorruptError):
        read_summary(path)


def test_a_lost_a_doubled_and_a_swapped_block_are_found(tmp_path: Path) -> None:
    path = tmp_path / "1.sealed"
    write(path, (1, 1, 1))
    data = path.read_bytes()
    header, blocks, footer = data[:HEADER_BYTES], [], data[-FOOTER_BYTES:]
    position = HEADER_BYTES
    for row in ROWS:
        blocks.append(data[position : position + BLOCK_BYTES + len(row)])
        position += BLOCK_BYTES + len(row)
    for order in ([0, 1], [0, 1, 1, 2], [1, 0, 2]):
        path.write_bytes(b"".join([header, *(blocks[i] for i in order), footer]))
        with pytest.raises(SegmentCorruptError):
            list(read_rows(path))


def test_bytes_behind_the_footer_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "1.sealed"
    write(path)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(SegmentCorruptError, match="behind the footer"):
        list(read_rows(path))


def test_an_empty_segment_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="never sealed"):
        SegmentWriter(tmp_path / "1.open").seal(tmp_path / "1.sealed")


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_a_directory_in_place_of_a_segment_is_a_corrupt_one_and_leaves_nothing_open(
    tmp_path: Path,
) -> None:
    (tmp_path / "1.sealed").mkdir()
    before = open_files()
    with pytest.raises(SegmentCorruptError, match="directory"):
        read_footer(tmp_path / "1.sealed")
    assert open_files() == before


def test_a_pipe_is_a_corrupt_segment_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.sealed")
    with pytest.raises(SegmentCorruptError):
        read_footer(tmp_path / "1.sealed")


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "1.open").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        SegmentWriter(tmp_path / "1.open").append([1], b"x")
    assert not (tmp_path / "elsewhere").exists()
