"""The demo's records: made and produced with a number each, and looked for in S3 by it."""

import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from spoolsink.demo_servers import TOPIC, DemoError


class Tally:
    """Which of the records 0 up to `produced` were found in S3, at a byte each."""

    def __init__(self, produced: int) -> None:
        self._seen = bytearray(produced)
        self._found = 0

    def add(self, numbers: Iterable[int]) -> None:
        """Of one object; a number that was never produced counts as one too many."""
        for number in numbers:
            self._found += 1
            if 0 <= number < len(self._seen):
                self._seen[number] = 1

    @property
    def is_good(self) -> bool:
        """As many as were produced, and all of them."""
        return self._found == len(self._seen) == sum(self._seen)

    def verdict(self) -> str:
        """One line."""
        distinct = sum(self._seen)
        missing, surplus = len(self._seen) - distinct, self._found - distinct
        numbers = f"{len(self._seen):,} records produced, {self._found:,} in S3"
        return (
            f"Checked: {numbers}, none missing, none twice."
            if self.is_good
            else f"WRONG: {numbers}, {missing:,} missing, {surplus:,} too many."
        )


class Source:
    """Produces numbered records to the broker; used from one task."""

    def __init__(self, broker: str) -> None:
        from confluent_kafka import Producer  # noqa: PLC0415 (an extra; asked for before)

        # Idempotent: a retry of the library must not look like a fault of the sink.
        settings = {"bootstrap.servers": broker, "enable.idempotence": True, "linger.ms": 20}
        # A broker that is gone is told by the child's watcher, not in the middle of the screen.
        self._producer = Producer({**settings, "log_level": 0})
        self._random = random.Random()
        self._sent = 0
        self.produced = 0
        """Acknowledged by the broker."""

    def produce(self, until: int) -> None:
        """Send what is lacking of the records below the number `until`, and count the answers.

        Raises DemoError for a record that was refused.
        """
        for number in range(self._sent, until):
            record = sample(number, self._random)
            self._producer.produce(
                TOPIC,
                key=str(record["user"]["id"]),  # type: ignore[index]
                value=json.dumps(record),
                on_delivery=self._delivered,
            )
        self._sent = max(self._sent, until)
        self._producer.poll(0)

    def _delivered(self, error: object, _: object) -> None:
        if error is not None:
            raise DemoError(f"the broker did not take a record: {error}")
        self.produced += 1


def sample(number: int, chance: random.Random) -> dict[str, object]:
    """A record as JSON; one in ten is an hour late, and goes to the S3 partition of that hour."""
    late = timedelta(hours=chance.random() < 0.1)  # noqa: PLR2004 (one in ten)
    moment = (datetime.now(UTC) - late).isoformat(timespec="milliseconds")
    return {
        "number": number,
        "ts": moment.replace("+00:00", "Z"),
        "user": {
            "id": chance.randrange(10_000),
            "country": chance.choice(("BR", "DE", "FR", "IN", "JP", "US")),
        },
        "device": {"os": chance.choice(("android", "ios", "web"))},
    }
