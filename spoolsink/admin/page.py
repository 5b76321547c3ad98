"""The status page: what people see, drawn once here and filled again by a script.

The texts of all cells are made here, for the first sight and for `/status.json` alike; the script
only puts texts into cells. So data is escaped in one place on each side: `escape`, `textContent`.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from hashlib import sha256
from html import escape

from spoolsink import __version__
from spoolsink.logs import redact
from spoolsink.status import Operated, Snapshot, TopicPartitionStatus
from spoolsink.status_line import size

MAX_ROWS = 1000
"""Topic partitions on the page; `/metrics` and `/status.json` have them all."""

Table = Sequence[Sequence[str]]

_SNAPSHOT_FIELDS = [field.name for field in fields(Snapshot)]
_ROW_FIELDS = [field.name for field in fields(TopicPartitionStatus)]

_HEADS = {
    "facts": ("", ""),
    "holds": ("Since", "Source", "Reason"),
    "topic-partitions": (
        "Topic partition",
        "State",
        "Committed",
        "End",
        "Lag",
        "Open records",
        "Open segments",
        "Sealed cuts",
        "Unconfirmed",
    ),
    "errors": ("Time", "Source", "Error"),
    "objects": ("Key",),
}
_TITLES = {
    "facts": "",
    "holds": "Holds",
    "topic-partitions": "Topic partitions",
    "errors": "Last errors",
    "objects": "Last objects",
}


def tables(sink: Operated, snapshot: Snapshot) -> dict[str, Table]:
    """The cells of every table of the page, as text."""
    errors = reversed(sink.health.last_errors())
    return {
        "facts": _facts(sink, snapshot),
        "holds": [(_moment(h.since), h.source, redact(h.reason)) for h in snapshot.holds],
        "topic-partitions": _rows(snapshot.rows),
        "errors": [(_moment(e.time_ms / 1000), e.source, redact(e.reason)) for e in errors],
        "objects": [(key,) for key in reversed(snapshot.last_objects)],
    }


def status(sink: Operated) -> dict[str, object]:
    """`/status.json`: the numbers for scripts, and `tables` for the page."""
    snapshot = sink.snapshot()
    values: dict[str, object] = {name: getattr(snapshot, name) for name in _SNAPSHOT_FIELDS}
    return {
        "name": sink.config.name,
        **values,
        "is_ready": sink.is_ready(),
        "holds": [{**h._asdict(), "reason": redact(h.reason)} for h in snapshot.holds],
        "rows": [{name: getattr(row, name) for name in _ROW_FIELDS} for row in snapshot.rows],
        "last_objects": list(snapshot.last_objects),
        "last_errors": [
            {**e._asdict(), "reason": redact(e.reason)} for e in sink.health.last_errors()
        ],
        "tables": tables(sink, snapshot),
    }


def document(name: str, shown: dict[str, Table]) -> str:
    """The whole page, without anything from elsewhere."""
    sections = "\n".join(
        f'<section id="{table}"{"" if rows else " hidden"}>{_titled(table)}'
        f"<table>{_head(table)}<tbody>{_body(rows)}</tbody></table></section>"
        for table, rows in shown.items()
    )
    title = escape(f"{name} - spoolsink")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body><h1>{escape(name)}</h1>\n"
        f'<p id="fault" role="status" hidden></p>\n{sections}\n'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _facts(sink: Operated, snapshot: Snapshot) -> Table:
    kafka = sink.config.kafka
    return [
        ("State", snapshot.state),
        ("Ready", "yes" if sink.is_ready() else "no"),
        ("Group", sink.config.group_id),
        ("Topics", ", ".join(kafka.topics or (f"/{kafka.topics_pattern}/",))),
        ("Kafka cluster", snapshot.kafka_cluster_id or "not known yet"),
        ("Bucket", sink.config.s3.bucket),
        ("Lag", f"{snapshot.lag:,} records"),
        ("Spool", f"{size(snapshot.spool_bytes)} of {size(snapshot.spool_limit_bytes)}"),
        (
            "Segments",
            f"{snapshot.spool_open_segments:,} open, {snapshot.spool_sealed_segments:,} sealed",
        ),
        ("Uploads in flight", f"{snapshot.uploads_in_flight:,}"),
        ("Since start", f"{snapshot.records_total:,} records, {snapshot.objects_total:,} objects"),
        ("Version", __version__),
    ]


def _rows(rows: Sequence[TopicPartitionStatus]) -> Table:
    ordered = sorted(rows, key=lambda row: (row.topic, row.partition))
    cells = [
        (
            f"{row.topic}-{row.partition}",
            row.state,
            _number(row.committed),
            _number(row.log_end),
            _number(row.lag),
            _number(row.open_records),
            _number(row.open_segments),
            _number(row.sealed_cuts),
            f"{row.unconfirmed_seconds:.0f} s",
        )
        for row in ordered[:MAX_ROWS]
    ]
    more = len(rows) - len(cells)
    return [*cells, (f"and {more:,} more",)] if more else cells


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}Z"


def _titled(table: str) -> str:
    return f"<h2>{_TITLES[table]}</h2>" if _TITLES[table] else ""


def _head(table: str) -> str:
    cells = "".join(f'<th scope="col">{head}</th>' for head in _HEADS[table])
    return f"<thead><tr>{cells}</tr></thead>" if any(_HEADS[table]) else ""


def _body(rows: Table) -> str:
    return "".join(f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in row)}</tr>" for row in rows)


_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d8dde3; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e6ea; --paper: #14171a; --line: #343a41; --bad: #ff8a80; }
}
body { margin: 1.5rem auto; max-width: 80rem; padding: 0 1rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin-top: 1.5rem; }
section { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .9rem .25rem 0; text-align: left;
  vertical-align: top; white-space: pre-wrap; overflow-wrap: anywhere; }
td { font-variant-numeric: tabular-nums; }
#topic-partitions :is(th, td):nth-child(n+3) { text-align: right; white-space: nowrap; }
#fault, #holds td:last-child { color: var(--bad); }
"""

SCRIPT = """
"use strict";
const fault = document.getElementById("fault");
function fill(name, rows) {
  const section = document.getElementById(name);
  section.hidden = rows.length === 0;
  section.querySelector("tbody").replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((text) => {
      const cell = document.createElement("td");
      cell.textContent = text;
      return cell;
    }));
    return row;
  }));
}
async function refresh() {
  try {
    const answer = await fetch("status.json", {cache: "no-store"});
    if (!answer.ok) throw new Error("HTTP " + answer.status);
    const shown = (await answer.json()).tables;
    for (const name of Object.keys(shown)) fill(name, shown[name]);
    fault.hidden = true;
  } catch (error) {
    if (fault.hidden) {
      const since = new Date().toLocaleTimeString();
      fault.textContent = "No answer since " + since + ": " + error.message;
      fault.hidden = false;
    }
  }
  setTimeout(refresh, document.hidden ? 10000 : 2000);
}
setTimeout(refresh, 2000);
"""


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; script-src {_hash(SCRIPT)}; style-src {_hash(_STYLE)}; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: the one script and the one style, and nothing that data brings."""
