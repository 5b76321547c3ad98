"""What one campaign runs with: drawn from the seed, and constant as long as it lasts.

Beside each choice stands what the oracle is to expect of it, said anew from the contract.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.chaos.contents import CONTENTS, Content, json_lines
from tests.integration.oracle import Expected
from tests.integration.producing import COUNTRIES

MISSING = "__HIVE_DEFAULT_PARTITION__"
SESSION_SECONDS = 3.0
BAD_VALUE = b'{"n": 1, "n" 2}'

Place = Callable[[Any], str]


@dataclass(frozen=True)
class Settings:
    """One campaign's configuration, its traffic, and what must come of it."""

    name: str
    sections: dict[str, dict[str, Any]]
    content: Content
    place: Place | None
    """None: by the wall clock, which no record tells."""
    members: int
    partition_counts: tuple[int, ...]
    """Of each topic."""
    records_per_second: float
    padding: int
    errors: str
    """What becomes of bad records: skip, or dead letters under a prefix or in a topic."""
    has_bad_records: bool
    compression_type: str | None
    """Of the producer's batches."""
    is_flushed: bool
    """Nothing ends the last cut by itself."""
    is_static: bool
    """Members have a name of their own in the group."""
    recreates: bool
    """In the last round one topic is another than it was."""

    @property
    def spool_bytes(self) -> int:
        """`spool.max_bytes`."""
        return int(self.sections["spool"]["max_bytes"].removesuffix("MiB")) << 20

    @property
    def has_connect_names(self) -> bool:
        """`layout.file_name`."""
        return bool(self.sections["layout"]["file_name"] == "connect")

    @property
    def traits(self) -> list[str]:
        """Some words, for counting."""
        names = "connect names" if self.has_connect_names else "range names"
        return [self.content.name, f"bad records: {self.errors}", names, f"sinks: {self.members}"]

    def expected(self, place: Place) -> Expected:
        """What the oracle is told; of dead letters it knows itself."""
        skips_nulls = self.sections["records"]["on_null_value"] == "skip"

        def row(record: Any) -> bytes | None:
            if record.value == BAD_VALUE or (skips_nulls and record.value is None):
                return None
            return self.content.row(record)

        return Expected(place, row, self.content.read, self.content.extension)


# -- places ----------------------------------------------------------------------------------------


def _field(record: Any, *path: str) -> Any:
    found = {} if record.value is None else json.loads(record.value)
    for name in path:
        found = found.get(name, {})
    return None if found == {} else found


def _by_user(record: Any) -> str:
    user = _field(record, "user", "id")
    return f"user={MISSING if user is None else user}"


def _by_country_and_hour(record: Any) -> str:
    country = _field(record, "user", "country")
    assert country in COUNTRIES
    shown = {None: MISSING, "a b/c=d": "a b%2Fc%3Dd"}.get(country, country)
    at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    return f"country={shown}/{at:dt=%Y-%m-%d/hour=%H}"


def _by_minutes(record: Any) -> str:
    at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    return f"{at.replace(minute=at.minute // 20 * 20):at=%Y%m%d-%H%M}"


LAYOUTS: dict[str, tuple[dict[str, Any], Place | None]] = {
    "topic partition": ({}, lambda record: f"partition={record.partition}"),
    "user": ({"partition": "user={value.user.id}"}, _by_user),
    "country and hour": (
        {"partition": "country={value.user.country}/dt={time:%Y-%m-%d}/hour={time:%H}"},
        _by_country_and_hour,
    ),
    "minutes": ({"partition": "at={time:%Y%m%d-%H%M}", "time_bucket": "20m"}, _by_minutes),
    "nothing": ({"partition": ""}, lambda _: ""),
    "wall clock": ({"time": "wallclock", "partition": "at={time:%H-%M-%S}"}, None),
}


# -- rotations -------------------------------------------------------------------------------------


def _seconds(rng: random.Random, low: float, high: float) -> str:
    return f"{int(rng.uniform(low, high) * 1000)}ms"


ROTATIONS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "records": lambda rng: {"records": rng.randint(5, 60), "max_age": _seconds(rng, 1, 3)},
    "max_age": lambda rng: {"max_age": _seconds(rng, 0.3, 1.5)},
    "bytes": lambda rng: {"bytes": f"{rng.randint(2, 30)}KiB", "max_age": _seconds(rng, 1, 3)},
    "interval": lambda rng: {
        "interval": f"{rng.randint(5, 60)}m",
        "max_age": _seconds(rng, 2, 4),
    },
    "schedule": lambda rng: {"schedule": rng.choice(["1s", "2s", "3s"])},
    "object_records": lambda rng: {
        "object_records": rng.randint(2, 15),
        "max_age": _seconds(rng, 1, 4),
    },
    "object_bytes": lambda rng: {
        "object_bytes": f"{rng.randint(1, 8)}KiB",
        "records": rng.randint(60, 200),
        "max_age": _seconds(rng, 2, 4),
    },
    "multipart": lambda rng: {
        "object_bytes": rng.choice(["6MiB", "8MiB", "12MiB"]),
        "bytes": rng.choice(["14MiB", "24MiB"]),
        "max_age": _seconds(rng, 6, 12),
    },
    "max_open": lambda rng: {"max_open": rng.randint(1, 4), "max_age": _seconds(rng, 1, 3)},
    "flush": lambda rng: {"records": rng.randint(100, 300)},
}


def _sections(
    rng: random.Random, rotation: str, layout: str, content: Content, errors: str
) -> dict[str, dict[str, Any]]:
    is_large = rotation == "multipart"
    has_connect_names = rng.random() < 0.25
    bad = {"on_error": "skip"} if errors == "skip" else {"on_error": "dead_letter"}
    return {
        "rotate": ROTATIONS[rotation](rng),
        "layout": LAYOUTS[layout][0] | {"file_name": "connect" if has_connect_names else "range"},
        "records": {
            "form": content.form,
            "on_null_value": rng.choice(["write", "skip"]),
            **bad,
        },
        "format": content.format,
        "kafka": {
            "session_timeout": f"{SESSION_SECONDS:.0f}s",
            "fetch_partition_max_bytes": rng.choice(["16KiB", "1MiB"]),
        },
        "spool": {
            "max_bytes": f"{rng.choice([64, 64 if is_large else 4])}MiB",
            "compression": rng.choice(["none", "zstd"]),
        },
        "s3": {
            "part_size": "5MiB",
            "uploads": rng.choice([1, 2, 4]),
            "conditional_writes": "require"
            if has_connect_names
            else rng.choice(["require", "auto"]),
            "abort_uploads_after": "3s",
        },
    }


def draw(
    rng: random.Random, *, rotation: str | None = None, content: str | None = None
) -> Settings:
    """From every choice there is; `rotation` and `content` fix those that matter most."""
    rotation = rotation or rng.choice(list(ROTATIONS))
    is_large = rotation == "multipart"
    # Objects of several parts want many records in few places, and rows that stay as long.
    # `rotate.interval` is of the records' own times: `check` refuses it with the wall clock.
    fitting = [name for name in LAYOUTS if (rotation, name) != ("interval", "wall clock")]
    layout = rng.choice(["topic partition", "nothing"] if is_large else fitting)
    kind = content or rng.choice(["jsonl", "jsonl", "csv", "avro", "parquet"])
    made = json_lines(rng, may_be_full=False) if is_large else CONTENTS[kind](rng)
    errors = rng.choice(["skip", "prefix", "topic"])
    counts = rng.choice([(1,), (2,)] if is_large else [(1,), (3,), (3, 2), (4, 1, 1)])
    return Settings(
        name=f"{rotation} by {layout}, {made.name}, bad records: {errors}",
        sections=_sections(rng, rotation, layout, made, errors),
        content=made,
        place=LAYOUTS[layout][1],
        members=rng.choice([1, 2, 2, 3, 3]),
        partition_counts=counts,
        records_per_second=10.0 if is_large else rng.choice([40.0, 120.0, 300.0]),
        padding=500_000 if is_large else 0,
        errors=errors,
        has_bad_records=errors != "skip" or rng.random() < 0.5,
        compression_type=rng.choice([None, "gzip", "lz4", "zstd", "snappy"]),
        is_flushed=rotation == "flush",
        is_static=rng.random() < 0.25,
        recreates=len(counts) > 1 and rng.random() < 0.6,
    )
