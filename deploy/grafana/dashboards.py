"""The Grafana dashboards, written from here: `make dashboards` makes the JSON files beside it.

Two questions, two dashboards: how deep is the spool, and is my data in S3? A query that finds
nothing on a healthy sink shows zero, so that an empty panel always means a broken one.
tests/integration/test_prometheus.py asks a real Prometheus every one of them.
"""
# ruff: noqa: INP001 (a program of its own, in no package)

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SINK = 'job=~"$job", instance=~"$instance"'
TOPIC = f'{SINK}, topic=~"$topic"'


class Panel(NamedTuple):
    """`queries` are (PromQL, legend); `width` of 24 columns."""

    title: str
    description: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    height: int = 8
    thresholds: Sequence[tuple[float | None, str]] = ((None, "green"),)
    greatest: float | None = None


def rate(name: str, labels: str = SINK) -> str:
    """Of a counter, over what Grafana takes for at least four scrapes."""
    return f"rate(spoolsink_{name}{{{labels}}}[$__rate_interval])"


def or_zero(query: str) -> str:
    """Zero where there is no series at all."""
    return f"({query}) or on() vector(0)"


def hourly(name: str, labels: str = SINK) -> str:
    """What happened in the last hour, in all."""
    return or_zero(f"sum(increase(spoolsink_{name}{{{labels}}}[1h]))")


def quantile(share: float, name: str) -> str:
    """Of a histogram, over all instances."""
    buckets = f"sum by (le) ({rate(f'{name}_bucket')})"
    return f"histogram_quantile({share}, {buckets}) >= 0"


USED = f"spoolsink_spool_bytes{{{SINK}}} / spoolsink_spool_limit_bytes{{{SINK}}}"
UNCONFIRMED = f"spoolsink_unconfirmed_seconds{{{TOPIC}}}"
LAG = f"spoolsink_lag_records{{{TOPIC}}}"
SHARES = ((None, "green"), (0.7, "yellow"), (0.9, "red"))
ANY_IS_BAD = ((None, "green"), (1.0, "red"))

SPOOL = (
    Panel(
        "Spool used",
        "Of spool.max_bytes. At 90 % (spool.pause_at) polling stops until uploads have made room.",
        [(USED, "{{instance}}")],
        unit="percentunit",
        kind="gauge",
        width=6,
        height=6,
        thresholds=SHARES,
        greatest=1.0,
    ),
    Panel(
        "Polling paused",
        "1 while nothing is read from Kafka: the spool is full, or an operator asked for it.",
        [(or_zero(f"max by (reason) (spoolsink_paused{{{SINK}}})"), "{{reason}}")],
        kind="stat",
        width=6,
        height=6,
        thresholds=ANY_IS_BAD,
    ),
    Panel(
        "Open S3 partitions",
        "Segments that are written to. Each costs about 2 KiB of memory.",
        [(f"sum(spoolsink_open_partitions{{{SINK}}})", "open")],
        kind="stat",
        width=6,
        height=6,
    ),
    Panel(
        "Requests in flight",
        "Of s3.uploads. Always at the limit while the spool grows: S3 is the bottleneck.",
        [(f"sum(spoolsink_upload_inflight{{{SINK}}})", "in flight")],
        kind="stat",
        width=6,
        height=6,
    ),
    Panel(
        "Spool depth",
        "What waits on disk, and what may.",
        [
            (f"spoolsink_spool_bytes{{{SINK}}}", "{{instance}} used"),
            (f"spoolsink_spool_limit_bytes{{{SINK}}}", "{{instance}} limit"),
        ],
        unit="bytes",
    ),
    Panel(
        "Segments by state",
        "Open ones are written to, sealed ones wait for their upload or commit.",
        [(f"sum by (state) (spoolsink_spool_segments{{{SINK}}})", "{{state}}")],
    ),
    Panel(
        "Bytes in and out",
        "Values read from Kafka, and bodies sent to S3, after compression.",
        [
            (f"sum({rate('record_bytes_total')})", "in"),
            (f"sum({rate('upload_bytes_total')})", "out"),
        ],
        unit="Bps",
    ),
    Panel(
        "Time of an upload",
        "From the first request to the confirmation.",
        [
            (or_zero(quantile(0.5, "upload_seconds")), "median"),
            (or_zero(quantile(0.99, "upload_seconds")), "99 %"),
        ],
        unit="s",
    ),
    Panel(
        "Cuts by reason",
        "Which rotation ends them. `spool_full` means that the spool is too small for the layout.",
        [(f"sum by (reason) ({rate('cuts_total')})", "{{reason}}")],
        unit="cps",
    ),
    Panel(
        "Event loop comes late",
        "Above a second heartbeats are at risk.",
        [(or_zero(quantile(0.99, "loop_stall_seconds")), "99 %")],
        unit="s",
    ),
)

IN_S3 = (
    Panel(
        "Oldest record not in S3",
        "Everything older is in a completed object. Grows to rotate.max_age, and falls.",
        [(f"max({UNCONFIRMED})", "oldest")],
        unit="s",
        kind="stat",
        width=6,
        height=6,
        thresholds=((None, "green"), (900.0, "yellow"), (1800.0, "red")),
    ),
    Panel(
        "Lag",
        "Records in Kafka above the committed offsets; those in open cuts included.",
        [(f"sum({LAG})", "records")],
        kind="stat",
        width=6,
        height=6,
    ),
    Panel(
        "Sinks that answer",
        "To Prometheus.",
        [(f"sum(up{{{SINK}}})", "sinks")],
        kind="stat",
        width=6,
        height=6,
        thresholds=((None, "red"), (1.0, "green")),
    ),
    Panel(
        "Objects in the last hour",
        "Created, or found to be there already.",
        [(hourly("uploads_total"), "objects")],
        kind="stat",
        width=6,
        height=6,
    ),
    Panel(
        "Oldest record not in S3, by topic",
        "A saw of the height of rotate.max_age is health; a line that only rises is not.",
        [(f"max by (topic) ({UNCONFIRMED})", "{{topic}}")],
        unit="s",
    ),
    Panel(
        "Lag by topic",
        "Rises without falling: more comes in than goes out.",
        [(f"sum by (topic) ({LAG})", "{{topic}}")],
    ),
    Panel(
        "Topic partitions that wait longest",
        "Ten of them, in seconds.",
        [(f"topk(10, {UNCONFIRMED})", "{{topic}}-{{partition}}")],
        unit="s",
        kind="bargauge",
    ),
    Panel(
        "Records read",
        "Appended to the spool.",
        [(f"sum by (topic) ({rate('records_total', TOPIC)})", "{{topic}}")],
        unit="cps",
    ),
    Panel(
        "Commits by outcome",
        "`refused` after a rebalance is normal; all the time it is not.",
        [(f"sum by (outcome) ({rate('commits_total')})", "{{outcome}}")],
        unit="cps",
    ),
    Panel(
        "S3 errors",
        "By S3's own code. /readyz and the status page say what to do.",
        [
            (
                or_zero(f"sum by (operation, code) ({rate('s3_errors_total')})"),
                "{{operation}} {{code}}",
            )
        ],
        unit="cps",
    ),
    Panel(
        "Passed by in the last hour",
        "Bad records that were skipped or sent to the dead letters.",
        [
            (hourly("records_skipped_total", TOPIC), "skipped"),
            (hourly("dead_letters_total", TOPIC), "dead letters"),
        ],
        kind="stat",
        height=6,
        thresholds=ANY_IS_BAD,
    ),
    Panel(
        "Promises broken in the last hour",
        "Records may be in S3 twice (repeats, conflicts) or were gone from Kafka (offsets lost).",
        [
            (hourly("repeats_total"), "repeats"),
            (hourly("key_conflicts_total"), "key conflicts"),
            (hourly("offsets_lost_total"), "offsets lost"),
        ],
        kind="stat",
        height=6,
        thresholds=ANY_IS_BAD,
    ),
)


def variable(name: str, query: str) -> dict[str, Any]:
    """All values by default; asked anew when the time range changes."""
    return {
        "name": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "refresh": 2,
        "sort": 1,
    }


def panel(number: int, one: Panel, x: int, y: int) -> dict[str, Any]:
    """As Grafana keeps it."""
    defaults: dict[str, Any] = {
        "unit": one.unit,
        "min": 0,
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in one.thresholds],
        },
    }
    if one.greatest is not None:
        defaults["max"] = one.greatest
    return {
        "id": number,
        "type": one.kind,
        "title": one.title,
        "description": one.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": one.width, "h": one.height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {},
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "datasource": DATASOURCE,
                "expr": query,
                "legendFormat": as_,
            }
            for i, (query, as_) in enumerate(one.queries)
        ],
    }


def placed(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    """From left to right; the panels of a row have one height."""
    x = y = 0
    for number, one in enumerate(panels, 1):
        yield panel(number, one, x, y)
        x += one.width
        if x >= COLUMNS:
            x, y = 0, y + one.height


def dashboard(uid: str, title: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """A whole file."""
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "current": {}}
    label = "label_values(spoolsink_build_info, {})"
    return {
        "uid": uid,
        "title": title,
        "tags": ["spoolsink"],
        "schemaVersion": 41,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["spoolsink"], "title": "spoolsink"}],
        "templating": {
            "list": [
                source,
                variable("job", label.format("job")),
                variable("instance", label.format("instance")),
                variable("topic", "label_values(spoolsink_lag_records, topic)"),
            ]
        },
        "panels": list(placed(panels)),
    }


def files() -> dict[str, str]:
    """What `make dashboards` writes, by file name."""
    found = (
        dashboard("spoolsink-spool", "spoolsink: spool depth", SPOOL),
        dashboard("spoolsink-in-s3", "spoolsink: is my data in S3?", IN_S3),
    )
    return {f"{one['uid']}.json": f"{json.dumps(one, indent=2)}\n" for one in found}


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text)
