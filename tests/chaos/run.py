"""A whole run: servers, campaign after campaign, and what came of it."""

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.chaos.broker import ChaosKafka
from tests.chaos.campaign import Campaign, Totals
from tests.chaos.faults import FAULTS, Scheduler
from tests.chaos.settings import Settings, draw
from tests.servers.processes import S3Server

ROUNDS = 3
"""Of one campaign: what the oracle reads grows with them."""
_ROUND_SECONDS = (15.0, 35.0)
_LEAST_SECONDS = 10.0
"""Of a round whose time is nearly over; every campaign has one."""


class Run:
    """For so many seconds of rounds; the last one is finished, however long it takes."""

    def __init__(
        self,
        directory: Path,
        *,
        seed: int,
        seconds: float,
        say: Callable[[str], None],
        faults: list[str] | None = None,
        mean_seconds: float | None = None,
        settings: Callable[[random.Random], Settings] = draw,
    ) -> None:
        self.totals = Totals()
        self.directory = directory
        self._seed = seed
        self._seconds = seconds
        self._say = say
        self._draw = settings
        self._kafka = ChaosKafka(directory / "kafka")
        self._s3 = S3Server(directory / "s3")
        rng = random.Random(f"{seed} faults")
        self._scheduler = Scheduler(rng, faults or list(FAULTS), mean_seconds)

    async def run(self) -> None:
        """AssertionError with the invariant that is broken; everything is ended behind it."""
        for server in (self._kafka, self._s3):
            server.directory.mkdir(parents=True)
        try:
            await asyncio.gather(
                *(asyncio.to_thread(server.start) for server in (self._kafka, self._s3))
            )
            until = time.monotonic() + self._seconds
            number = 0
            while time.monotonic() < until:
                number += 1
                await self._campaign(number, until)
        finally:
            # A thread cannot be cancelled: what it starts behind our end would run for ever.
            await asyncio.get_running_loop().shutdown_default_executor()
            self._kafka.kill()
            self._s3.stop()

    async def _campaign(self, number: int, until: float) -> None:
        rng = random.Random(f"{self._seed} {number}")
        settings = self._draw(rng)
        directory = self.directory / f"campaign-{number}"
        campaign = Campaign(directory, self._kafka, self._s3, settings, rng)
        self._say(
            f"campaign {number}: {settings.name}, sinks {settings.members}, "
            f"topic partitions {sum(settings.partition_counts)}"
        )
        try:
            await campaign.open()
            await self._rounds(campaign, rng, until)
            await campaign.finish()
        finally:
            await campaign.close()
            campaign.add_to(self.totals)
        # Logs of a campaign that went well tell nothing, and an hour has many.
        shutil.rmtree(directory)
        shutil.rmtree(campaign.bucket)

    async def _rounds(self, campaign: Campaign, rng: random.Random, until: float) -> None:
        for number in range(ROUNDS):
            left = until - time.monotonic()
            if left <= 0 and number:
                return
            if number == ROUNDS - 1 and campaign.settings.recreates:
                topic = await campaign.recreate_a_topic()
                if topic is not None:
                    self.totals.recreated += 1
                    self._say(f"  {topic} is created anew")
            seconds = min(rng.uniform(*_ROUND_SECONDS), max(left, _LEAST_SECONDS))
            report = await campaign.round(self._scheduler, seconds)
            totals = self.totals
            totals.rounds += 1
            totals.faults += report.faults
            totals.longest_catch_up_seconds = max(
                totals.longest_catch_up_seconds, report.catch_up_seconds
            )
            self._say(
                f"  round {totals.rounds}: {listed(report.faults)}; records {report.records}, "
                f"objects {report.objects}, caught up in {report.catch_up_seconds:.1f} s"
            )

    def summary(self) -> str:
        """Some lines."""
        totals = self.totals
        peaks = f"{totals.peak_spool_bytes >> 10} KiB of spool, {totals.peak_resident_bytes >> 20}"
        return (
            f"seed {self._seed}: {totals.rounds} rounds, {totals.records} records in "
            f"{totals.objects} objects, {totals.aborted} transactions aborted\n"
            f"faults, {totals.faults.total()}: {listed(totals.faults)}\n"
            f"S3 requests, {totals.requests.total()}: {listed(totals.requests)}\n"
            f"answers of the proxy's own, {totals.answers.total()}: {listed(totals.answers)}\n"
            f"campaigns: {listed(totals.campaigns)}; topics created anew {totals.recreated}\n"
            f"starts {totals.starts}, repeats {totals.repeats}, longest catch-up "
            f"{totals.longest_catch_up_seconds:.1f} s, at most {peaks} MiB of memory"
        )


def listed(counts: Counter[str]) -> str:
    """`name xN` in the order of names."""
    shown = (f"{name} x{count}" if count > 1 else name for name, count in sorted(counts.items()))
    return ", ".join(shown) or "none"
