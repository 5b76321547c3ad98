"""What one campaign runs with: drawn from the seed, and constant as long as it lasts.

Beside each choice stands what the oracle is to expect of it, said anew from the contract.
"""

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backports import zstd

from tests.integration.oracle import Expected, json_row
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
    place: Place | None
    """None: by the wall clock, which no record tells."""
    members: int
    partition_counts: tuple[int, ...]
    """Of each topic."""
    records_per_second: float
    padding: int
    has_bad_records: bool
    compression_type: str | None
    """Of the producer's batches."""
    is_flushed: bool
    """Nothing ends the last cut by itself."""
    is_static: bool
    """Members have a name of their own in the group."""

    @property
    def spool_bytes(self) -> int:
        """`spool.max_bytes`."""
        return int(self.sections["spool"]["max_bytes"].removesuffix("MiB")) << 20

    def expected(self, place: Place) -> Expected:
        """What the oracle is told."""
        compression = self.sections["format"]["compression"]
        is_full = self.sections["records"]["form"] == "full"
        skips_nulls = self.sections["records"]["on_null_value"] == "skip"

        def row(record: Any) -> bytes | None:
            if record.value == BAD_VALUE or (skips_nulls and record.value is None):
                return None
            return _canonical(_full(record)) if is_full else json_row(record)

        def read(body: bytes) -> bytes:
            rows = _READERS[compression](body)
            return (
                b"".join(_canonical(json.loads(r)) for r in rows.splitlines()) if is_full else rows
            )

        return Expected(place, row, read, _EXTENSIONS[compression])


_READERS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.decompress,
    "zstd": zstd.decompress,
}
_EXTENSIONS = {"none": ".json", "gzip": ".json.gz", "zstd": ".json.zst"}


def _canonical(fields: Any) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _full(record: Any) -> dict[str, Any]:
    value = None if record.value is None else json.loads(record.value)
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "timestamp_type": "create",
        "key": None if record.key is None else record.key.decode(),
        "headers": [{"key": key, "value": data.decode()} for key, data in record.headers],
        "value": value,
    } | ({"tombstone": True} if record.value is None else {})


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


def _sections(rng: random.Random, rotation: str, layout: str) -> dict[str, dict[str, Any]]:
    is_large = rotation == "multipart"
    return {
        "rotate": ROTATIONS[rotation](rng),
        "layout": LAYOUTS[layout][0],
        "records": {
            "form": "full" if not is_large and rng.random() < 0.25 else "value",
            "on_null_value": rng.choice(["write", "skip"]),
            "on_error": "skip",
        },
        "format": {"compression": rng.choice(["none", "none", "gzip", "zstd"])},
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
            "conditional_writes": rng.choice(["require", "auto"]),
            "abort_uploads_after": "3s",
        },
    }


def draw(rng: random.Random, *, rotation: str | None = None) -> Settings:
    """From every choice there is; `rotation` fixes the one that matters most."""
    rotation = rotation or rng.choice(list(ROTATIONS))
    is_large = rotation == "multipart"
    # Objects of several parts want many records in few places.
    layout = rng.choice(["topic partition", "nothing"] if is_large else list(LAYOUTS))
    return Settings(
        name=f"{rotation} by {layout}",
        sections=_sections(rng, rotation, layout),
        place=LAYOUTS[layout][1],
        members=rng.choice([1, 2, 2, 3, 3]),
        partition_counts=rng.choice([(1,), (2,)])
        if is_large
        else rng.choice([(1,), (3,), (3, 2), (4, 1, 1)]),
        records_per_second=10.0 if is_large else rng.choice([40.0, 120.0, 300.0]),
        padding=500_000 if is_large else 0,
        has_bad_records=rng.random() < 0.5,
        compression_type=rng.choice([None, "gzip", "lz4", "zstd", "snappy"]),
        is_flushed=rotation == "flush",
        is_static=rng.random() < 0.25,
    )
