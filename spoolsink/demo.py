"""`spoolsink demo`: the whole pipeline on this machine, with an embedded broker and S3.

1. Three children: the broker, the S3 server, and a `spoolsink run` like any other.
2. Whatever ends the demo, its children and its temporary directory are gone afterwards.
3. The verdict is taken from S3: every object is read back, each record must stand there once.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO
from urllib.parse import quote

from spoolsink.demo_records import Source, Tally, sample
from spoolsink.demo_servers import (
    BUCKET,
    TOPIC,
    Child,
    DemoError,
    NoAnswerError,
    Totals,
    http_get,
    memory_bytes,
    objects_in,
    started,
    totals_of,
)
from spoolsink.logs import printable
from spoolsink.status_line import size

RECORDS_PER_SECOND = 1000
MAX_LAG_RECORDS = 10_000
"""The mock broker forgets what is older than about 5 MB of a topic partition. So many records are
1.2 MB, should they all go to one."""

_TICK_SECONDS = 0.1
_STATUS_SECONDS = 0.5
_PLAIN_SECONDS = 5.0
_PATIENCE_SECONDS = 60.0
_STOP_SECONDS = 45.0
"""More than the sink's `shutdown_grace`."""
_SHOWN_OBJECTS = 20
_SHOWN_TOGETHER = 2
_SHOWN_RECORDS = 3
_ERASE = "\r\x1b[K"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NEEDED = ("confluent_kafka", "moto", "flask", "flask_cors")
_MISSING = "spoolsink demo needs packages that are missing here: pip install 'spoolsink[demo]'\n"
_GREETING = """\
Records go through an embedded Kafka broker, a real spoolsink and an embedded S3 for {seconds} s,
all on this machine. Ctrl-C ends it; nothing is left behind.
"""
_HEAD = "    time   produced     in S3     lag  objects  open S3 partitions  sink memory"
_CONFIGURATION = """\
name: demo
kafka:
  bootstrap_servers: [{broker}]
  topics: [{topic}]
layout:
  partition: 'country={{value.user.country}}/dt={{time:%Y-%m-%d}}/hour={{time:%H}}'
  time: value.ts
rotate:
  max_age: 3s              # objects within seconds; the default is 10m
spool:
  directory: {spool}
  max_bytes: 256MiB
  min_free_bytes: 64MiB
s3:
  bucket: {bucket}
  endpoint_url: http://{s3}
  addressing_style: path
  access_key_id: demo      # this S3 checks no credentials
  secret_access_key: demo
admin:
  listen: 127.0.0.1:0      # any free port
"""


def run_demo(
    seconds: int, environ: Mapping[str, str], *, out: TextIO, log_arguments: Sequence[str] = ()
) -> int:
    """The exit status: 0 when every record that was produced stands in S3 once, else 1.

    `log_arguments` are the sink's; the end of its log is shown when it fails.
    """
    status = 1
    try:
        if all(_is_installed(name) for name in _NEEDED):
            status = asyncio.run(_run(seconds, environ, Show(out), log_arguments))
        else:
            out.write(_MISSING)
    except* BrokenPipeError:
        # Nobody reads any more, and the interpreter's own flush at its end would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    return status


async def _run(
    seconds: int, environ: Mapping[str, str], show: "Show", log_arguments: Sequence[str]
) -> int:
    interrupted = asyncio.Event()
    # One that is ignored stays so: nohup, or a shell's background job.
    for number in (n for n in _SIGNALS if signal.getsignal(n) != signal.SIG_IGN):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    is_good = False
    try:
        # Ends from the inside out: the tasks, the children, the directory.
        with TemporaryDirectory(prefix="spoolsink-demo-") as directory:
            async with AsyncExitStack() as children, asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(_until(interrupted), name="signals")
                demo = Demo(Path(directory), _neutral(environ), show, children, tasks)
                is_good = await demo.run(seconds, log_arguments)
                demo.unwatch()
                waiting.cancel()
    except* DemoError as group:
        _explain(group.exceptions[0], show)
    return 0 if is_good else 1


async def _until(interrupted: asyncio.Event) -> None:
    await interrupted.wait()
    raise DemoError("interrupted")


def _explain(error: BaseException, show: "Show") -> None:
    show.say(f"\nThe demo did not come to its end: {error}.")
    if isinstance(error, DemoError) and error.lines:
        show.say(f"The last lines of that log:\n\n{_indented(error.lines)}\n")
    show.say("All that it had started is ended and removed.")


class Demo:
    """One run. Its owner ends what it starts: the processes by `children`, the rest by `tasks`."""

    def __init__(
        self,
        directory: Path,
        environ: Mapping[str, str],
        show: "Show",
        children: AsyncExitStack,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._directory, self._environ = directory, environ
        self._show = show
        self._children, self._tasks = children, tasks
        self._watchers: list[asyncio.Task[None]] = []

    async def run(self, seconds: int, log_arguments: Sequence[str]) -> bool:
        """Whether every record stands in S3 once; raises DemoError."""
        try:
            return await self._steps(seconds, log_arguments)
        except NoAnswerError:
            # Where a child died its watcher knows more, and cancels this.
            await asyncio.sleep(1.0)
            raise

    def unwatch(self) -> None:
        """The children may end now."""
        for watcher in self._watchers:
            watcher.cancel()

    async def _steps(self, seconds: int, log_arguments: Sequence[str]) -> bool:
        show = self._show
        show.say(_GREETING.format(seconds=seconds))
        broker = await self._start_server("broker")
        show.say(f"  broker  {broker} (librdkafka's mock cluster), topic {TOPIC}")
        s3 = await self._start_server("S3")
        show.say(f"  S3      http://{s3} (moto), bucket {BUCKET}")
        path = self._write_configuration(broker, s3)
        show.say(f"  sink    spoolsink run {path}\n")
        show.say(f"{_indented(path.read_text().splitlines())}\n")
        show.say("It starts and joins its consumer group, which takes about 3 s.")
        sink = await self._start("sink", ("-m", "spoolsink", "run", *log_arguments, str(path)))
        page = await self._joined(sink)
        show.say(f"Its status page while the demo runs: http://{page}/\n")
        source = Source(broker)
        most_open = await self._produce(source, seconds, page, sink)
        peak_bytes = memory_bytes(sink.pid, "VmHWM")
        await sink.stop(_STOP_SECONDS)
        is_good = await self._verify(s3, source.produced)
        peak = "unknown here" if peak_bytes is None else f"at most {size(peak_bytes)}"
        show.say(f"Memory of the sink: {peak} (RSS), with up to {most_open} open S3 partitions.")
        return is_good

    async def _start_server(self, kind: str) -> str:
        server = await self._start(kind, ("-m", "spoolsink.demo_servers", kind.lower()))
        return await server.address()

    async def _start(self, name: str, arguments: Sequence[str]) -> Child:
        log = self._directory / f"{name}.log"
        child = await self._children.enter_async_context(
            started(name, arguments, log=log, environ=self._environ)
        )
        self._watchers.append(self._tasks.create_task(child.watch(), name=f"watch {name}"))
        return child

    def _write_configuration(self, broker: str, s3: str) -> Path:
        path = self._directory / "sink.yaml"
        # A JSON string is one of YAML too, whatever the name of the directory has in it.
        spool = json.dumps(str(self._directory / "spool"))
        names = {"topic": TOPIC, "bucket": BUCKET, "spool": spool}
        path.write_text(_CONFIGURATION.format(broker=broker, s3=s3, **names))
        return path

    async def _joined(self, sink: Child) -> str:
        """The admin address, once the sink is a member of its group (3 s, by the mock broker)."""
        told = self._directory / "spool" / "admin.address"
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            address = told.read_text().strip() if told.exists() else ""
            if address and (await totals_of(address)).is_ready:
                return address
            await asyncio.sleep(_TICK_SECONDS)
        raise sink.failed(f"did not join its group within {_PATIENCE_SECONDS:.0f} s")

    async def _produce(self, source: "Source", seconds: int, page: str, sink: Child) -> int:
        """Until everything is in S3; how many segments were open at most."""
        show, begun = self._show, time.monotonic()
        totals, most_open, asked, moved = Totals(), 0, begun, begun
        show.say(f"Producing {RECORDS_PER_SECOND:,} records a second, one in ten of them late:\n")
        show.say(f"    {json.dumps(sample(0, random.Random()))}\n\n{_HEAD}")
        while True:
            now = time.monotonic()
            due = int(min(now - begun, seconds) * RECORDS_PER_SECOND)
            source.produce(min(due, totals.confirmed + MAX_LAG_RECORDS))
            if now - asked >= _STATUS_SECONDS:
                asked, before = now, totals.confirmed
                totals = await totals_of(page)
                moved = now if totals.confirmed > before else moved
                most_open = max(most_open, totals.open_segments)
                is_over = due <= source.produced == totals.confirmed and now - begun >= seconds
                row = _row(now - begun, source.produced, totals, sink.pid)
                show.progress(row, is_due=is_over)
                if is_over:
                    return most_open
            if now - moved > _PATIENCE_SECONDS:
                waits = f" ({printable(totals.holds)})" if totals.holds else ""
                raise sink.failed(f"brings nothing to S3 any more{waits}")
            await asyncio.sleep(_TICK_SECONDS)

    async def _verify(self, s3: str, produced: int) -> bool:
        """List the objects, read each back, and say what was found."""
        show, tally = self._show, Tally(produced)
        stored = [found async for found in objects_in(s3)]
        show.say(f"\nThe sink is stopped. In s3://{BUCKET}:\n\n{listing(stored)}")
        for count, (key, _) in enumerate(stored, 1):
            lines = (await http_get(s3, f"/{BUCKET}/{quote(key)}")).splitlines()
            tally.add(json.loads(line)["number"] for line in lines)
            if count == 1:
                show.say(f"\nThe first of them begins:\n\n{_indented(_decoded(lines))}\n")
            show.progress(f"Read back {count:,} of {len(stored):,} objects", is_due=False)
        show.erase()
        show.say(tally.verdict())
        return tally.is_good


class Show:
    """Text, and a last line that is rewritten: on a terminal. Elsewhere a line now and then."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._is_unfinished = False
        self._plain_at = 0.0

    def say(self, text: str) -> None:
        """Below whatever stands there."""
        self._out.write(f"\n{text}\n" if self._is_unfinished else f"{text}\n")
        self._out.flush()
        self._is_unfinished = False

    def progress(self, line: str, *, is_due: bool) -> None:
        """In place of the last one; `is_due` shows it without a terminal, too."""
        if self._is_terminal:
            # One column stays free: a full line would wrap, and a wrapped one cannot be erased.
            width = shutil.get_terminal_size().columns - 1
            self._out.write(f"{_ERASE}{line[:width]}")
            self._out.flush()
            self._is_unfinished = True
        elif is_due or time.monotonic() - self._plain_at >= _PLAIN_SECONDS:
            self._plain_at = time.monotonic()
            self.say(line)

    def erase(self) -> None:
        """The line of progress, where it can be."""
        if self._is_unfinished:
            self._out.write(_ERASE)
            self._is_unfinished = False


def listing(stored: Sequence[tuple[str, int]]) -> str:
    """Of (key, bytes): some of each S3 partition, so that more than the first are seen."""
    lines: list[str] = []
    shown_count = 0
    for directory, found in groupby(stored, key=lambda one: one[0].rpartition("/")[0]):
        some = list(found)[: min(_SHOWN_TOGETHER, _SHOWN_OBJECTS - shown_count)]
        shown_count += len(some)
        lines += [f"  {printable(directory)}/"] if some else []
        lines += [f"{size(count):>14}  {printable(key.rpartition('/')[2])}" for key, count in some]
    if more := len(stored) - shown_count:
        lines.append(f"  ... and {more:,} more")
    total = size(sum(count for _, count in stored))
    return "\n".join([*lines, "", f"  {len(stored):,} objects, {total}"])


def _row(elapsed_seconds: float, produced: int, totals: Totals, pid: int) -> str:
    memory = memory_bytes(pid, "VmRSS")
    return (
        f"{elapsed_seconds:6.0f} s {produced:10,} {totals.confirmed:9,} "
        f"{produced - totals.confirmed:7,} {totals.objects:8,} {totals.open_segments:19,} "
        f"{'' if memory is None else size(memory):>12}"
    )


def _indented(lines: Sequence[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def _decoded(lines: Sequence[bytes]) -> list[str]:
    return [printable(line.decode()) for line in lines[:_SHOWN_RECORDS]]


def _neutral(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what would lead the sink elsewhere: AWS's settings, and proxies on loopback."""
    kept = {name: value for name, value in environ.items() if not name.startswith("AWS_")}
    return kept | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        return False
