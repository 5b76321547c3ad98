"""The status page: what people see, drawn once here and filled again by a script.

It answers in this order: what is wrong, since when, what to do; is my data in S3; where does it
wait. The texts of all cells are made here, for the first sight and for `/status.json` alike; the
script only puts texts into cells. So data is escaped in one place on each side: `escape`,
`textContent`.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from html import escape

from spoolsink import __version__
from spoolsink.admin.page_assets import SCRIPT, STYLE
from spoolsink.admin.remedies import remedy_of
from spoolsink.config_model import Config
from spoolsink.logs import redact
from spoolsink.status import Operated, Snapshot, TopicPartitionStatus
from spoolsink.status_line import by_operator, lag, moment, size

MAX_ROWS = 1000
"""Topic partitions on the page; `/metrics` and `/status.json` have them all."""

Table = Sequence[Sequence[str]]

_SNAPSHOT_FIELDS = [f.name for f in fields(Snapshot) if f.name != "former_rows"]
_ROW_FIELDS = [field.name for field in fields(TopicPartitionStatus)]
_TROUBLE = ("held", "stopped")
_DURATION_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))

_HEADS = {
    "holds": ("Since", "Source", "Reason", "What to do"),
    "facts": ("", ""),
    "topic-partitions": (
        "Topic partition",
        "State",
        "Unconfirmed",
        "Lag",
        "Committed",
        "End",
        "Open records",
        "Open segments",
        "Sealed cuts",
    ),
    "errors": ("Time", "Source", "Error", "What to do"),
    "objects": ("Confirmed", "Key"),
}
_TITLES = {
    "holds": "What holds the sink",
    "facts": "",
    "topic-partitions": "Topic partitions",
    "errors": "Last errors, newest first",
    "objects": "Last objects, newest first",
}


def tables(sink: Operated, snapshot: Snapshot) -> dict[str, Table]:
    """The cells of every table of the page, as text."""
    errors = reversed(sink.health.last_errors())
    return {
        "holds": [
            (moment(h.since), h.source, redact(h.reason), remedy_of(h.source, h.reason))
            for h in snapshot.holds
        ],
        "facts": _facts(sink, snapshot),
        "topic-partitions": _rows(snapshot.rows),
        "errors": [
            (moment(e.time_ms / 1000), e.source, redact(e.reason), remedy_of(e.source, e.reason))
            for e in errors
        ],
        "objects": [(moment(o.time_ms / 1000), o.key) for o in reversed(snapshot.last_objects)],
    }


def status(sink: Operated) -> dict[str, object]:
    """`/status.json`: the numbers for scripts, and what the page shows of them."""
    snapshot = sink.snapshot()
    values: dict[str, object] = {name: getattr(snapshot, name) for name in _SNAPSHOT_FIELDS}
    return {
        "name": sink.config.name,
        **values,
        "is_ready": sink.is_ready(),
        "holds": [{**h._asdict(), "reason": redact(h.reason)} for h in snapshot.holds],
        "rows": [{name: getattr(row, name) for name in _ROW_FIELDS} for row in snapshot.rows],
        "last_objects": [one._asdict() for one in snapshot.last_objects],
        "last_errors": [
            {**e._asdict(), "reason": redact(e.reason)} for e in sink.health.last_errors()
        ],
        **_texts(sink, snapshot),
        "tables": tables(sink, snapshot),
    }


def document(sink: Operated) -> str:
    """The whole page, without anything from elsewhere."""
    snapshot = sink.snapshot()
    shown = tables(sink, snapshot)
    text = {name: escape(value) for name, value in _texts(sink, snapshot).items()}
    limit = snapshot.spool_limit_bytes
    sections = "\n".join(_section(table, rows, text) for table, rows in shown.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{text['title']}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head>\n<body>'
        f"<header><h1>{escape(sink.config.name)}</h1>"
        f'<span id="state" data-state="{snapshot.state}">{snapshot.state}</span>'
        f'<span id="live">{text["live"]}</span></header>\n'
        f'<p id="verdict">{text["verdict"]}</p>\n<p id="fault" role="status" hidden></p>\n'
        f'<meter id="depth" aria-label="spool" min="0" max="{limit}" '
        f'high="{sink.config.spool.pause_at * limit:.0f}" value="{snapshot.spool_bytes}">'
        f"{text['depth']}</meter>\n{sections}\n<script>{SCRIPT}</script></body></html>\n"
    )


def _texts(sink: Operated, snapshot: Snapshot) -> dict[str, str]:
    """Single words and sentences of the page, each an element with this id."""
    states = Counter(row.state for row in snapshot.rows)
    counted = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
    used = f"{size(snapshot.spool_bytes)} of {size(snapshot.spool_limit_bytes)}"
    return {
        "title": f"{snapshot.state} {sink.config.name} - spoolsink",
        "live": f"as of {moment(time.time())}",
        "verdict": _verdict(sink.config.name, snapshot),
        "counted": counted,
        "depth": used,
    }


def _verdict(name: str, snapshot: Snapshot) -> str:
    """The answer to "is my data in S3?", behind what an operator asked for."""
    if snapshot.wish == "RUNNING":
        return _in_s3(snapshot)
    told = by_operator(snapshot.wish, snapshot.wished_since)
    asked = told[0].upper() + told[1:]
    goes_on = f"To go on: PUT /connectors/{name}/resume."
    if snapshot.state == "STOPPED":
        left = sum(row.lag or 0 for row in snapshot.former_rows)
        more = f" {left:,} records were not committed then." if left else ""
        return f"{asked}: nothing is read, and the group has been left.{more} {goes_on}"
    return f"{asked}: nothing more is read. {goes_on} {_in_s3(snapshot)}"


def _in_s3(snapshot: Snapshot) -> str:
    if not snapshot.rows:
        return "No topic partition is assigned to this process."
    more = f" {lag(snapshot)} records are not committed yet." if snapshot.lag else ""
    if snapshot.lag_unknown_count:
        more += f" Of {snapshot.lag_unknown_count:,} topic partitions the lag is not known."
    oldest = max(snapshot.rows, key=_waited)
    if not oldest.unconfirmed_seconds:
        return f"Everything that was read is in S3.{more}"
    age, place = _duration(oldest.unconfirmed_seconds), f"{oldest.topic}-{oldest.partition}"
    return f"The oldest record that is not in S3 yet has waited {age} ({place}).{more}"


def _waited(row: TopicPartitionStatus) -> float:
    return row.unconfirmed_seconds or 0.0


def _facts(sink: Operated, snapshot: Snapshot) -> Table:
    config = sink.config
    up = _duration(max(0.0, time.time() - snapshot.started))
    return [
        ("State", snapshot.state),
        ("Ready", "yes" if sink.is_ready() else "no"),
        ("Lag", f"{lag(snapshot)} records"),
        *_spool_facts(config, snapshot),
        ("Uploads in flight", f"{snapshot.uploads_in_flight:,} of {config.s3.uploads:,}"),
        ("Up", f"{up}: {snapshot.records_total:,} records, {snapshot.objects_total:,} objects"),
        ("Group", config.group_id),
        ("Topics", ", ".join(config.kafka.topics or (f"/{config.kafka.topics_pattern}/",))),
        ("Kafka cluster", snapshot.kafka_cluster_id or "not known yet"),
        ("Bucket", config.s3.bucket),
        ("Version", __version__),
    ]


def _spool_facts(config: Config, snapshot: Snapshot) -> Table:
    spool, limit = config.spool, snapshot.spool_limit_bytes
    stops, goes_on = size(spool.pause_at * limit), size(spool.resume_at * limit)
    return [
        ("Spool", f"{size(snapshot.spool_bytes)} of {size(limit)}"),
        (
            "Polling",
            f"stops at {stops}, goes on at {goes_on}, leaves {size(spool.min_free_bytes)} free",
        ),
        ("Open S3 partitions", f"{snapshot.spool_open_segments:,} of {spool.max_open:,}"),
        ("Sealed segments", f"{snapshot.spool_sealed_segments:,}"),
    ]


def _rows(rows: Sequence[TopicPartitionStatus]) -> Table:
    """What needs an eye comes first, then what has waited longest; by name where all is well."""
    ordered = sorted(
        rows,
        key=lambda r: (
            r.state not in _TROUBLE,
            -(_waited(r) // 60),
            r.topic,
            r.partition,
        ),
    )
    cells = [_row(row) for row in ordered[:MAX_ROWS]]
    more = len(rows) - len(cells)
    return [*cells, (f"and {more:,} more",)] if more else cells


def _row(row: TopicPartitionStatus) -> Sequence[str]:
    return (
        f"{row.topic}-{row.partition}",
        row.state,
        "?" if row.unconfirmed_seconds is None else f"{row.unconfirmed_seconds:,.0f} s",
        _number(row.lag),
        _number(row.committed),
        _number(row.log_end),
        _number(row.open_records),
        _number(row.open_segments),
        _number(row.sealed_cuts),
    )


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _duration(seconds: float) -> str:
    """In the two largest units that matter: `12 s`, `1 h 30 min`."""
    left, parts = int(seconds), []
    for unit, name in _DURATION_UNITS:
        if left >= unit:
            parts.append(f"{left // unit} {name}")
            left %= unit
    return " ".join(parts[:2]) or "0 s"


def _section(table: str, rows: Table, text: dict[str, str]) -> str:
    extra = _CHOICE.format(**text) if table == "topic-partitions" else ""
    return (
        f'<section id="{table}"{"" if rows else " hidden"}>{_titled(table)}{extra}<div>'
        f"<table>{_head(table)}<tbody>{_body(table, rows)}</tbody></table></div></section>"
    )


_CHOICE = (
    '<form id="choice"><span id="counted">{counted}</span>'
    '<input id="filter" type="search" placeholder="topic or state" aria-label="filter">'
    '<select id="order" aria-label="order"><option value="">trouble first</option>'
    '<option value="2">longest unconfirmed</option><option value="3">most lag</option>'
    '<option value="7">most open segments</option><option value="name">by name</option></select>'
    '<span id="shown"></span></form>'
)


def _titled(table: str) -> str:
    return f"<h2>{_TITLES[table]}</h2>" if _TITLES[table] else ""


def _head(table: str) -> str:
    cells = "".join(f'<th scope="col">{head}</th>' for head in _HEADS[table])
    return f"<thead><tr>{cells}</tr></thead>" if any(_HEADS[table]) else ""


def _body(table: str, rows: Table) -> str:
    lines = []
    for row in rows:
        is_trouble = table == "topic-partitions" and row[1:2] and row[1] in _TROUBLE
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        lines.append(f"<tr{' class=trouble' if is_trouble else ''}>{cells}</tr>")
    return "".join(lines)
