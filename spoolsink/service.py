"""The process: engines one after the other, signals, the admin port, what an operator asks for.

1. The first SIGTERM or SIGINT drains and ends with 0; the second ends the process at once.
2. A restart (also SIGHUP) reads the file anew; one that is bad is refused and changes nothing. What
   is accepted takes effect, also the admin port, its token, the name and the spool's directory.
3. Paused and stopped survive the process, and follow it to another spool directory.
4. systemd's watchdog is fed by a task of the event loop, and only while the engine's tasks live.
"""

import asyncio
import faulthandler
import logging
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from spoolsink import allocator, logs
from spoolsink.admin import Admin
from spoolsink.config import load, located, reveal, secrets_of
from spoolsink.config_model import Config
from spoolsink.engine import Engine
from spoolsink.errors import AdminError, ConfigError, SpoolError, SpoolsinkError
from spoolsink.health import Health
from spoolsink.lookups import LookupLoop
from spoolsink.metrics import Metrics
from spoolsink.notices import Notices
from spoolsink.spool.files import claim, start_error
from spoolsink.status import Snapshot, State, TopicPartitionStatus
from spoolsink.status_line import StatusLine, by_operator, moment, told
from spoolsink.systemd_notify import SystemdNotify
from spoolsink.watch import rows
from spoolsink.wiring import check_buildable
from spoolsink.wishes import StandingWish, Wish

log = logging.getLogger(__name__)

EXIT_CLEAN = 0
EXIT_FAULT = 1
_STATUS_SECONDS = 0.3
_ALIVE_SECONDS = 30.0
"""A loop that has not come round for so long does not live."""
_NOTIFY_SECONDS = 5.0
"""Between two lines for `systemctl status`; the watchdog may want to be fed more often."""


class Service:
    """One process; `run` is called once."""

    def __init__(
        self, path: Path, environ: Mapping[str, str], *, status: StatusLine | None
    ) -> None:
        """Raises ConfigError."""
        self.config = load(path, environ)
        self.metrics = Metrics()
        self.health = Health(clock=time.time)
        self._path, self._environ = path, environ
        self._status = status
        # Made at once: a class that cannot be loaded makes a file as bad as a wrong key does.
        self._next: Engine | None = self._make_engine(self.config)
        self._engine: Engine | None = None
        self._former_rows: list[TopicPartitionStatus] = []
        self._cluster_id: str | None = None
        self._admin = Admin(self, listen=self.config.admin.listen, token=self.config.admin.token)
        self._notify = SystemdNotify(environ)
        self._asked = StandingWish(time.time)
        self._notices = Notices(self._asked)
        # Asked at each scrape: a stopped sink has no run that could write it.
        self.metrics.gauges["paused"].labels("operator").set_function(
            lambda: not self._asked.is_to_read
        )
        self._started = time.time()
        self._restarts = asyncio.Lock()
        self._reload: asyncio.Task[None] | None = None
        self._wishes = asyncio.Event()
        self._stopping = asyncio.Event()
        self._is_ending = False

    # -- the run -------------------------------------------------------------------------------

    async def run(self) -> int:
        """The exit status."""
        self._hide_secrets()
        try:
            log.info("admin port: http://%s", await self._admin.start())
        except SpoolsinkError as error:
            log.error("%s", error)
            return EXIT_FAULT
        self._handle_signals()
        beside = [
            asyncio.create_task(self._show_status(), name="status line"),
            asyncio.create_task(self._tell_systemd(), name="systemd"),
        ]
        try:
            return await self._run_engines()
        except Exception as error:  # noqa: BLE001 (the task watcher: nothing above would say it)
            _say(error)
            return EXIT_FAULT
        finally:
            for task in beside:
                task.cancel()
            self._notices.rest()
            await self._admin.stop()

    async def _run_engines(self) -> int:
        self._asked.find(self._directory)
        if not self._asked.is_to_read:
            word, since = self._asked.wish.lower(), moment(self._asked.since or 0)
            log.warning("%s since an operator asked for it, %s", word, since)
        while not self._is_ending:
            self._stopping.clear()
            self._wishes.clear()
            if self._asked.wish == "STOPPED":
                self._found()
                await self._wishes.wait()
                continue
            engine = self._next or self._make_engine(self.config)
            self._engine, self._next = engine, None
            self._notices.rest()
            try:
                await engine.run(
                    self._stopping, is_paused=self._asked.wish == "PAUSED", on_spool=self._found
                )
            finally:
                # A run that was assigned nothing left nothing.
                self._former_rows = rows(engine) or self._former_rows
                self._cluster_id = engine.cluster_id or self._cluster_id
                self._engine = None
                self._notices.rest()
                self.health.clear_all()
        return EXIT_CLEAN

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def _end(self) -> None:
        if self._is_ending:
            log.warning("second signal: ends at once")
            os._exit(EXIT_FAULT)
        log.info("stopping: sealed work is finished within %.0f s", self.config.shutdown_grace)
        self._notify.stopping("stopping: sealed work is finished")
        self._is_ending = True
        self._stopping.set()
        self._wishes.set()

    def _on_hangup(self) -> None:
        async def reload() -> None:
            with suppress(ConfigError):
                await self.restart()

        self._reload = asyncio.create_task(reload(), name="reload")

    async def restart(self) -> None:
        """Raises ConfigError with every problem of a bad file, and goes on as it was."""
        async with self._restarts:
            self._notify.reloading()
            try:
                await self._restart()
            except ConfigError as error:
                problems = located(self._path, self._environ, error.problems)
                for problem in problems:
                    log.error("not restarted: %s", problem)
                raise ConfigError(problems) from error
            finally:
                self._notify.ready(told(self.snapshot()))

    async def _restart(self) -> None:
        """Everything that can be refused comes before the first thing that is changed."""
        config = load(self._path, self._environ)
        engine = self._make_engine(config)
        self._check_directory(config)
        await self._move_admin(config)
        if Path(config.spool.directory) != self._directory:
            log.warning("%s is left; what is unfinished there is read again", self._directory)
            self._notices.withdraw(self._directory)
        self.config, self._next = config, engine
        self._hide_secrets()
        if self._engine is not None and self.health.is_failed:
            # What an operator has just mended in the file would only be waited for.
            self._engine.is_hurried = True
        log.info("restarts with the configuration read anew")
        self._stopping.set()
        self._wishes.set()

    def _check_directory(self, config: Config) -> None:
        """One that another process owns would end the sink, which it must not."""
        directory = Path(config.spool.directory)
        if directory.resolve() == self._directory.resolve():
            return
        try:
            os.close(claim(directory))
        except SpoolError as error:
            raise ConfigError([f"spool.directory: {error}"]) from error
        except OSError as error:
            raise ConfigError([f"spool.directory: {start_error(directory, error)}"]) from error

    async def _move_admin(self, config: Config) -> None:
        before = self._admin.address
        try:
            address = await self._admin.move(config.admin.listen, config.admin.token)
        except AdminError as error:
            raise ConfigError([f"admin.listen: {error.address}: {error.reason}"]) from error
        if address != before:
            log.info("admin port: http://%s", address)
            if self._engine is not None:
                self._post()

    def _make_engine(self, config: Config) -> Engine:
        """Raises ConfigError with all that cannot be made."""
        try:
            return Engine(config, metrics=self.metrics, health=self.health)
        except ConfigError:
            # It stops at the first. Not asked before: a class of the user's is made once.
            check_buildable(config)
            raise

    def _hide_secrets(self) -> None:
        for secret in secrets_of(self.config):
            logs.hide(reveal(secret) or "")

    @property
    def _directory(self) -> Path:
        return Path(self.config.spool.directory)

    def _found(self) -> None:
        """The directory is ours; or we stand stopped, and could not be resumed if not found."""
        self._post()
        self._notify.ready(told(self.snapshot()))

    def _post(self) -> None:
        is_ours = self._engine is not None
        self._notices.post(self._directory, self._admin.address, is_ours=is_ours)

    async def _show_status(self) -> None:
        while self._status is not None:
            await asyncio.sleep(_STATUS_SECONDS)
            self._status.show(self.snapshot(), time.monotonic())

    async def _tell_systemd(self) -> None:
        watchdog_seconds = self._notify.watchdog_seconds or _NOTIFY_SECONDS
        # A third: one that comes late is not yet a hang.
        seconds = min(_NOTIFY_SECONDS, watchdog_seconds / 3)
        is_told = False
        while self._notify.is_on:
            await asyncio.sleep(seconds)
            if self.is_alive():
                self._notify.alive()
            if not is_told and self.health.holds:
                # It has started, and holds: systemd would give up on it otherwise.
                self._notify.ready(told(self.snapshot()))
                is_told = True
            if not self._is_ending:
                self._notify.status(told(self.snapshot()))

    # -- what an operator asks and wishes --------------------------------------------------------

    @property
    def state(self) -> State:
        """Kafka Connect's word for it."""
        engine = self._engine
        if engine is None and self._asked.wish == "STOPPED":
            return "STOPPED"
        if self.health.is_failed:
            return "FAILED"
        if engine is None or engine.consumer is None or engine.pipeline is None:
            # Nothing is polled that could have to end first.
            return "PAUSED" if self._asked.wish == "PAUSED" else "RUNNING"
        return "PAUSED" if engine.pipeline.has_paused else "RUNNING"

    def is_alive(self) -> bool:
        """The event loop answers by answering; the tasks are watched by what `watch` writes."""
        engine = self._engine
        return engine is None or time.monotonic() - engine.watch.beat < _ALIVE_SECONDS

    def is_ready(self) -> bool:
        """Joined the group, and nothing fails."""
        return not self.reasons()

    def reasons(self) -> list[str]:
        """Why it is not ready."""
        if self._asked.wish == "STOPPED":
            return [self._by_operator]
        consumer = self._engine.consumer if self._engine else None
        if (consumer is None or consumer.membership is None) and self.health.is_ready:
            return ["kafka: the group is not joined yet"]
        return self.health.reasons()

    def notes(self) -> list[str]:
        """What holds back only itself, and that it is paused."""
        paused = [self._by_operator] if self._asked.wish == "PAUSED" else []
        return [*paused, *self.health.notes()]

    @property
    def _by_operator(self) -> str:
        return by_operator(self._asked.wish, self._asked.since)

    def trace(self) -> str | None:
        """Of the state FAILED: what an operator must mend."""
        failed = [f"{hold.source}: {hold.reason}" for hold in self.health.holds if hold.is_operator]
        return "\n".join(failed) or None

    def snapshot(self) -> Snapshot:
        """What is shown of the process."""
        engine = self._engine
        spool = engine.spool.snapshot() if engine else {}
        return Snapshot(
            state=self.state,
            holds=self.health.holds,
            rows=rows(engine) if engine else [],
            spool_bytes=engine.spool.used_bytes if engine else 0,
            spool_limit_bytes=self.config.spool.max_bytes,
            spool_open_segments=spool.get("open", 0),
            spool_sealed_segments=spool.get("sealed", 0),
            uploads_in_flight=engine.store.inflight if engine else 0,
            records_total=engine.records_total if engine else 0,
            objects_total=engine.delivery.objects_total if engine else 0,
            kafka_cluster_id=(engine.cluster_id if engine else None) or self._cluster_id,
            last_objects=list(engine.delivery.last_objects) if engine else [],
            started=self._started,
            former_rows=self._former_rows,
            wish=self._asked.wish,
            wished_since=self._asked.since,
        )

    def begin_flush(self) -> asyncio.Event:
        """End all open cuts."""
        engine = self._engine
        if engine is None or engine.pipeline is None:
            nothing_open = asyncio.Event()
            nothing_open.set()
            return nothing_open
        return engine.pipeline.flush()

    async def pause(self) -> None:
        """Stop polling."""
        self._set_wish("PAUSED")

    async def resume(self) -> None:
        """Out of PAUSED and STOPPED."""
        self._set_wish("RUNNING")

    async def stop(self) -> None:
        """Leave the group, with sealed work finished."""
        self._set_wish("STOPPED")
        self._stopping.set()

    def _set_wish(self, wish: Wish) -> None:
        log.info("%s, by an operator", wish.lower())
        self._asked.ask(wish)
        self._post()
        self._wishes.set()
        if self._engine is not None and self._engine.pipeline is not None:
            self._engine.pipeline.is_paused = wish == "PAUSED"


def run_service(path: Path, environ: Mapping[str, str], *, status: StatusLine | None) -> int:
    """Raises ConfigError; the exit status otherwise."""
    allocator.settle()
    if SystemdNotify(environ).is_on:
        # systemd ends with SIGABRT what its watchdog takes for hung: the journal then says where.
        faulthandler.enable()

    async def main() -> int:
        return await Service(path, environ, status=status).run()

    with asyncio.Runner(loop_factory=LookupLoop) as runner:
        return runner.run(main())


def _say(error: BaseException) -> None:
    """A line for what we raise on purpose, the whole traceback for a bug."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            _say(one)
    elif isinstance(error, SpoolsinkError):
        log.error("%s", error)
    else:
        log.error("a fault of spoolsink: %r", error, exc_info=error)
