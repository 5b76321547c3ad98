"""One soak: a producer at full rate, a store that is slower, one sink between them."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.integration.harness import Bench, SinkProcess
from tests.integration.oracle import Oracle
from tests.servers.processes import free_port
from tests.soak.exact import Held, verify
from tests.soak.load import Load, PacedProducer
from tests.soak.samples import Bounds, Sample, take
from tests.soak.throttle import Throttle

_MIB = 1 << 20
_TELL_SAMPLES = 60
_DRAIN_SECONDS = 600.0
_PATIENCE_SECONDS = 60.0
"""A machine with other work fills the spool later; without that nothing would be proved."""


@dataclass(frozen=True)
class Plan:
    """Sizes in MiB. The defaults fill the spool within seconds and drain it for as long."""

    seconds: float
    store_mib_per_second: float = 6.0
    spool_mib: int = 256
    backlog_mib: int = 256
    """Records that are in Kafka and not yet read, before compression."""
    cut_mib: int = 16
    partitions: int = 4
    value_bytes: int = 1000
    write_buffer_mib: int = 32
    sample_seconds: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """Of a run that S3 was found right after."""

    bounds: Bounds
    held: Held

    def text(self) -> str:
        """Some lines."""
        held = self.held
        return (
            f"{self.bounds.table()}\n  {'in S3, each record once':32} {held.records} records in "
            f"{held.objects} objects of {held.object_bytes} bytes"
        )


class Soak:
    """On servers that run; `say` is told a line each minute."""

    def __init__(
        self,
        plan: Plan,
        bench: Bench,
        say: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._bench = bench
        self._say = say
        self._throttle = Throttle(free_port(), bench.s3.port, plan.store_mib_per_second * _MIB)
        self._load = Load(plan.value_bytes)
        self._samples: list[Sample] = []

    async def run(self) -> Outcome:
        """AssertionError where a record is missing, doubled or changed, or the sink fails."""
        plan, bench = self._plan, self._bench
        # Kept for a while only: what S3 must hold follows from the numbers of the records.
        limits = {"retention_bytes": str(1 << 30), "segment_bytes": str(128 << 20)}
        topic = await bench.topic(plan.partitions, **limits)
        self._producer = PacedProducer(
            self._load,
            bench.kafka.bootstrap_servers,
            topic,
            partitions=plan.partitions,
            backlog_bytes=plan.backlog_mib * _MIB,
        )
        sink = bench.sink(self._overrides())
        async with self._throttle.serving():
            sink.start()
            await sink.ready()
            self._producer.start()
            try:
                await self._watch(sink, self._is_over(time.monotonic() + plan.seconds))
            finally:
                await asyncio.to_thread(self._producer.stop)
            await self._drained(sink)
            await sink.stopped()
        assert not sink.faults(), sink.tail()
        bucket = bench.s3.root / bench.bucket
        held = await asyncio.to_thread(verify, bucket, self._load, self._producer.counts)
        return Outcome(self._bounds, held)

    @property
    def _bounds(self) -> Bounds:
        return Bounds(self._samples, self._plan.spool_mib * _MIB)

    def _is_over(self, until: float) -> Callable[[], bool]:
        """Not before the spool was full and emptied, as far as that comes."""

        def is_over() -> bool:
            late = time.monotonic() - until
            return late > 0 and (bool(self._bounds.resumes) or late > _PATIENCE_SECONDS)

        return is_over

    def _overrides(self) -> dict[str, Any]:
        """What memory and disk depend on is as by default, the spool apart."""
        plan = self._plan
        buffer = f"{plan.write_buffer_mib}MiB"
        return {
            "kafka": {"session_timeout": "30s", "start_from": "earliest"},
            "layout": {"partition": "place={value.place}"},
            "format": {"compression": "zstd"},
            "rotate": {
                "bytes": f"{plan.cut_mib}MiB",
                "object_bytes": f"{plan.cut_mib}MiB",
                "max_age": "10m",
            },
            "spool": {"max_bytes": f"{plan.spool_mib}MiB", "write_buffer": buffer},
            "s3": {
                "endpoint_url": f"http://127.0.0.1:{self._throttle.port}",
                "part_size": "5MiB",
                "request_timeout": "60s",
            },
            "shutdown_grace": "30s",
        }

    async def _watch(self, sink: SinkProcess, is_over: Callable[[], bool]) -> None:
        """Sample after sample, until it is over."""
        due = time.monotonic()
        while not is_over():
            await self._sample(sink)
            if len(self._samples) % _TELL_SAMPLES == 0:
                self._tell()
            due = max(due + self._plan.sample_seconds, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _sample(self, sink: SinkProcess) -> None:
        status, text = await sink.ask("/metrics")
        assert status == 200, f"no metrics: {status}\n{sink.tail()}"
        self._samples.append(take(sink.pid, sink.spool, text))
        self._producer.read_bytes = self._samples[-1].read_bytes

    def _tell(self) -> None:
        one = self._samples[-1]
        self._say(
            f"{len(self._samples)} samples: {one.records} records read, "
            f"{one.resident_bytes / _MIB:.1f} MiB resident, {one.descriptors} descriptors, "
            f"{one.spool_bytes / _MIB:.1f} MiB of spool, {one.stalls} stalls"
        )

    async def _drained(self, sink: SinkProcess) -> None:
        """Everything is read, uploaded and committed."""
        wanted, until = sum(self._producer.counts), time.monotonic() + _DRAIN_SECONDS

        def is_read() -> bool:
            assert time.monotonic() < until, f"not read: {wanted}\n{sink.tail()}"
            return self._samples[-1].records == wanted

        await self._watch(sink, is_read)
        self._say(f"all {wanted} records are read")
        await Oracle(self._bench).until_committed(sink, flushes=True)
