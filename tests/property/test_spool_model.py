"""The spool against a model, in any order of calls: its rows, its cuts and its count of bytes."""

import asyncio
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from spoolsink.records import TopicPartition
from spoolsink.spool import LocalCut, SegmentKey, Spool
from tests.unit.spools import bytes_on_disk, cut_of, key_of, label_of, restarted, spool_of

TPS = [TopicPartition("orders", 0), TopicPartition("orders", 1)]
TP = st.sampled_from(TPS)
NAMES = st.integers(0, 3)


class SpoolMachine(RuleBasedStateMachine):
    """Each topic partition is cut from its start on; what is sealed may be remembered."""

    spool: Spool

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp())
        self.runner.run(self._begin())
        self.next = dict.fromkeys(TPS, 0)
        self.start = dict.fromkeys(TPS, 0)
        self.open: dict[SegmentKey, bytes] = defaultdict(bytes)
        self.cuts: list[LocalCut] = []
        self.remembered: list[LocalCut] = []
        self.rows: dict[int, bytes] = {}

    async def _begin(self) -> None:
        self.spool = spool_of(self.directory, compression="zstd")

    @rule(tp=TP, name=NAMES, count=st.integers(1, 40), size=st.sampled_from([0, 1, 50, 200]))
    def append(self, tp: TopicPartition, name: int, count: int, size: int) -> None:
        key, offset = key_of(name, tp), self.next[tp]
        rows = (b"%d" % (offset % 10)) * (count * size)
        self.runner.run(self.spool.append(key, range(offset, offset + count), rows))
        self.next[tp] += count
        self.open[key] += rows

    @rule(tp=TP, is_remembered=st.booleans())
    def cut(self, tp: TopicPartition, *, is_remembered: bool) -> None:
        keys = [key for key in self.open if key.tp == tp]
        if not keys:
            return
        start, end = self.start[tp], self.next[tp]
        labels = {key: label_of(key, start, end, end - start) for key in keys}
        segments = self.runner.run(self.spool.seal(labels))
        self.rows |= {s.number: self.open.pop(s.key) for s in segments}
        cut = cut_of(segments, start, end)
        self.start[tp] = end
        self.cuts.append(cut)
        if is_remembered:
            self.runner.run(self.spool.remember(cut))
            self.remembered.append(cut)

    @rule(tp=TP)
    def drop_open(self, tp: TopicPartition) -> None:
        keys = [key for key in self.open if key.tp == tp]
        assert self.runner.run(self.spool.drop_open(tp)) == len(keys)
        for key in keys:
            del self.open[key]
        self.next[tp] = self.start[tp]

    @precondition(lambda self: self.cuts)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        cut = data.draw(st.sampled_from(self.cuts))
        self.runner.run(self.spool.forget([cut]))
        self.cuts.remove(cut)
        self.remembered = [c for c in self.remembered if c != cut]

    @rule(is_ledger_lost=st.booleans())
    def restart(self, *, is_ledger_lost: bool) -> None:
        self.runner.run(self._restart(is_ledger_lost=is_ledger_lost))

    async def _restart(self, *, is_ledger_lost: bool) -> None:
        self.spool.close()
        if is_ledger_lost:
            shutil.rmtree(self.spool.directory / "ledger")
        self.spool, offered = restarted(self.spool)
        expected = self.cuts if is_ledger_lost else self.remembered
        assert offered == sorted(expected, key=lambda cut: cut[:2])
        self.cuts, self.remembered = list(offered), list(offered)
        self.open.clear()
        self.next = dict(self.start)

    @invariant()
    def the_bytes_are_counted(self) -> None:
        assert self.spool.used_bytes == bytes_on_disk(self.spool)
        assert 0 <= self.spool.buffered_bytes <= 4096

    @invariant()
    def the_segments_are_counted(self) -> None:
        sealed = sum(len(cut.segments) for cut in self.cuts)
        assert self.spool.snapshot() == {"open": len(self.open), "sealed": sealed}
        for tp in TPS:
            rows = [rows for key, rows in self.open.items() if key.tp == tp]
            assert self.spool.open_bytes(tp) == sum(map(len, rows))

    @invariant()
    def sealed_rows_are_read_back(self) -> None:
        for segment in (s for cut in self.cuts for s in cut.segments):
            assert b"".join(segment.read()) == self.rows[segment.number]

    def teardown(self) -> None:
        self.spool.close()
        self.runner.close()
        shutil.rmtree(self.directory)


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
