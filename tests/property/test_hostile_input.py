"""What is read from disk and of Kafka's metadata: hostile, whatever checksum it carries.

A checksum is against damage: whoever may write can also compute one. So most of these have a right
one. Nothing but the declared error may come of them.
"""

import ast
import contextlib
import json
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any, get_args

import lmdb
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spoolsink.errors import MetadataVersionError, SegmentCorruptError
from spoolsink.intent import CommitMetadata, decode, encode
from spoolsink.ledger import Ledger
from spoolsink.segment import SegmentWriter, find_sealed, read_rows
from spoolsink.wishes import Wish, read_wish
from tests.property.hostile import DEEP, JSON, MAX, NUMBERS, QUICK, ROOT, WORDS, told
from tests.unit.builders import ME, Bench, batch_of, docs
from tests.unit.spools import sealed_cut, spool_of, unstarted

# -- Kafka: the commit metadata --------------------------------------------------------------------

BASE36 = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=14)
ODD_MARKS = st.tuples(BASE36, BASE36, st.sampled_from(["0" * 16, "f" * 16, "0"]), BASE36)
FIELDS = st.tuples(
    *[st.sampled_from(["", "c", "é", "\ud800"])] * 4,
    st.lists(ODD_MARKS.map(":".join) | st.text(":,0a", max_size=6), max_size=4).map(",".join),
    ODD_MARKS.map(":".join) | st.sampled_from(["", "0:0:0:0", ":::", "z" * 5000]),
)


def signed(fields: tuple[str, ...]) -> str:
    body = ";".join(("s1", *fields))
    return f"{body};{zlib.crc32(body.encode('utf-8', 'surrogatepass')):08x}"


@settings(max_examples=200, deadline=None)
@given(FIELDS.map(signed) | st.text(max_size=30))
@example(signed(("c", "c", "c", "c", "00:0:0000000000000000:0", "")))
@example(signed(("c", "c", "c", "c", "z" * 13 + ":0:0000000000000000:0", "")))
@example(signed(("c", "c", "c", "c", "2:0:0000000000000000:0,1:0:0000000000000000:0", "")))
@example("s" + "9" * 10_000 + ";")
def test_metadata_is_exactly_ours_or_foreign(text: str) -> None:
    found, said = told(MetadataVersionError, lambda: decode(text))
    assert len(said) < 100
    assert found is None or encode(found) == text
    marks = [] if found is None else [*found.cuts, *([found.floor] if found.floor else [])]
    assert all(
        0 <= n <= MAX for mark in marks for n in (mark.offset, mark.records, mark.instant_ms)
    )
    assert [m.offset for m in marks] == sorted({m.offset for m in marks})


@pytest.mark.parametrize("offsets", [(1, 2, 3), (2, MAX), (MAX,), (1, 5, 6)])
async def test_promises_that_nobody_could_have_made_end_nothing(offsets: tuple[int, ...]) -> None:
    """Of records that there are not, of an end that is never reached, of an odd instant."""
    *cuts, floor = [f"{_base36(offset)}:0:{'0' * 16}:{_base36(MAX)}" for offset in offsets]
    who = ME.cluster_id, ME.topic_id, ME.fingerprint, "o"
    text = signed((*who, ",".join(cuts), floor))
    assert decode(text) is not None

    bench = Bench(at=(0, text))
    assert await bench.append(batch_of(docs("abab")))

    assert bench.cuts.open.position == 4
    sent = bench.commit()
    assert sent is None or isinstance(sent, CommitMetadata)


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"


# -- disk: segments --------------------------------------------------------------------------------

SMALL = st.integers(0, 40) | st.sampled_from([2**31, 2**32 - 1])
WIDE = st.integers(0, 40) | st.sampled_from([2**63, 2**64 - 1])
BOMB = zstandard.ZstdCompressor().compress(b"\0" * 8_000_000)
STORED = st.binary(max_size=40) | st.just(BOMB) | st.just(zstandard.compress(b"12345678"))


def block(rows: int, size: int, first: int, last: int, stored: bytes) -> bytes:
    fields = struct.pack("<cIIIQQ", b"B", rows, size, len(stored), first, last)
    return fields + struct.pack("<I", zlib.crc32(stored, zlib.crc32(fields))) + stored


def footer(numbers: tuple[int, ...], label: bytes) -> bytes:
    fields = struct.pack("<cQQQQ16sI", b"F", *numbers, b"d" * 16, len(label)) + label
    fields += struct.pack("<I", len(fields) + 8)
    return fields + struct.pack("<I", zlib.crc32(fields))


LABELS = (
    JSON.map(json.dumps)
    | st.lists(JSON, min_size=11, max_size=11).map(json.dumps)
    | st.tuples(
        *[WORDS, NUMBERS, WORDS, NUMBERS, NUMBERS, WORDS, st.booleans()],
        *[st.none() | NUMBERS, st.none() | NUMBERS, NUMBERS, WORDS],
    ).map(json.dumps)
).map(str.encode)
SEGMENTS = st.builds(
    lambda blocks, numbers, label: (
        b"SSEG\1\0\0\0" + b"".join(block(*b) for b in blocks) + footer(numbers, label)
    ),
    st.lists(st.tuples(SMALL, SMALL | st.just(8_000_000), WIDE, WIDE, STORED), max_size=3),
    st.tuples(WIDE, WIDE, WIDE, WIDE),
    LABELS | st.binary(max_size=10) | st.just(DEEP),
)


@QUICK
@given(SEGMENTS | st.binary(max_size=200))
def test_a_segment_is_read_or_corrupt_and_keeps_no_spool_from_starting(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "spool", "segments", "7.sealed")
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        with contextlib.suppress(SegmentCorruptError):
            assert all(isinstance(rows, bytes) for rows in read_rows(path))
        try:
            found = find_sealed(path)
        except SegmentCorruptError:
            pass
        else:
            found.key.s3_partition.encode()
            assert 0 <= found.label.partition < 2**31
            assert {type(n) for n in found.label[7:9]} <= {int, type(None)}
        spool = unstarted(Path(directory, "spool"))
        spool.start()
        spool.close()


def test_a_frame_that_promises_petabytes_reserves_nothing(tmp_path: Path) -> None:
    """The size stands in the frame's head, and the library would believe it."""
    frame = struct.pack("<IBBQ", 0xFD2FB528, 0b1110_0000, 0, 2**50)[:5] + struct.pack("<Q", 2**50)
    assert zstandard.frame_content_size(frame) == 2**50
    for size in (100, 2**32 - 1):
        path = tmp_path / "1.sealed"
        path.write_bytes(b"SSEG\1\0\0\0" + block(1, size, 0, 0, frame) + footer((1, 9, 0, 0), b""))
        with pytest.raises(SegmentCorruptError, match="compressed block"):
            list(read_rows(path))


# -- disk: the ledger and the wish -----------------------------------------------------------------


def rows_of(key: bytes, fields: Any, *, is_signed: bool) -> tuple[bytes, bytes]:
    body = b"\1" + json.dumps(fields, separators=(",", ":")).encode()
    crc = zlib.crc32(key + body) if is_signed else 0
    return key, body + struct.pack("<I", crc)


LEDGER_ROWS = st.builds(
    rows_of,
    st.sampled_from([b"u" + b"0" * 16, b"c", b"corders\0" + b"\0" * 12, b"x", b"c\xff"]),
    JSON
    | st.tuples(WORDS, WORDS)
    | st.tuples(
        *[st.just("orders") | WORDS, NUMBERS, NUMBERS],
        st.tuples(NUMBERS, NUMBERS, WORDS, NUMBERS) | JSON,
        st.lists(NUMBERS, max_size=3) | JSON,
    ),
    is_signed=st.sampled_from([True, True, True, False]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(LEDGER_ROWS, min_size=1, max_size=3))
def test_rows_of_a_ledger_are_ours_or_it_is_rebuilt(rows: list[tuple[bytes, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "ledger").mkdir()
        path = str(Path(directory, "ledger"))
        with (
            lmdb.open(path, lib_version=0) as environment,
            environment.begin(write=True) as writing,
        ):
            for key, value in rows:
                writing.put(key, value)
        ledger = Ledger(Path(directory))
        assert ledger.start({}) == []
        assert all(type(text) is str for upload in ledger.uploads for text in upload)
        ledger.note_upload(("key", "id"))
        ledger.close()


async def test_a_row_with_a_right_checksum_and_another_key_is_not_believed(tmp_path: Path) -> None:
    spool = spool_of(tmp_path)
    cut = await sealed_cut(spool, ME_TP, 0, "ab")
    await spool.remember(cut)
    spool.close()
    path = str(spool.directory / "ledger")
    with lmdb.open(path, lib_version=0) as environment, environment.begin(write=True) as rows:
        [(_, value)] = list(rows.cursor())
        fields = json.loads(value[1:-4])
        fields[2] = "0"
        rows.put(*rows_of(b"corders\0" + b"\0" * 12, fields, is_signed=True))
    after = unstarted(spool.directory)
    assert [found.mark for found in after.start()] == [cut.mark]
    after.close()


ME_TP = batch_of([]).tp


@QUICK
@given(st.binary(max_size=20) | st.sampled_from([b"PAUSED", b"STOPPED\n", b"\xff", b"\0"]))
def test_a_wish_is_one_of_three(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "state").write_bytes(data)
        assert read_wish(Path(directory)) in get_args(Wish)


# -- nothing that runs what it reads ---------------------------------------------------------------


def test_nothing_is_unpickled_or_evaluated() -> None:
    refused = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"}
    for path in (ROOT / "spoolsink").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").partition(".")[0]}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names = {node.func.id} & {"eval", "exec", "compile", "__import__"}
                assert not names, path
                continue
            else:
                continue
            assert not names & refused, path


def test_a_writer_is_what_these_files_are_made_like(tmp_path: Path) -> None:
    """The hand-made layout above is the one that the program writes."""
    writer = SegmentWriter(tmp_path / "1.open")
    writer.append([3, 4], b"ab")
    writer.seal(tmp_path / "1.sealed", b"label")
    data = (tmp_path / "1.sealed").read_bytes()
    made = b"SSEG\1\0\0\0" + block(2, 2, 3, 4, b"ab") + footer((2, 2, 3, 4), b"label")
    digest = data.index(b"label") - 20
    assert len(data) == len(made)
    assert data[:digest] == made[:digest]
