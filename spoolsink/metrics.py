"""Every metric of spoolsink, in one class, on a registry that is passed in.

Each name stands in `/metrics` with HELP and TYPE from the start. Labels are topic partitions and
words of closed lists, never data of a record.
"""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from spoolsink import __version__

_TP = ("topic", "partition")
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "records": ("Records appended to the spool.", ("topic",)),
    "record_bytes": ("Bytes of the values of records appended to the spool.", ("topic",)),
    "records_skipped": ("Records passed by.", ("topic", "reason")),
    "dead_letters": ("Records sent to the dead letters.", ("topic",)),
    "cuts": ("Cuts that ended.", ("reason",)),
    "uploads": ("Objects whose upload ended.", ("outcome",)),
    "upload_bytes": ("Bytes of object bodies sent to S3.", ()),
    "s3_requests": ("Requests sent to S3.", ("operation",)),
    "s3_errors": ("Errors that S3 answered with, by its own code.", ("operation", "code")),
    "commits": ("OffsetCommit requests, by what became of them.", ("outcome",)),
    "repeats": ("Cuts that could not be repeated as they were promised.", ("reason",)),
    "segments_dropped": ("Segments dropped and read again from Kafka.", ("reason",)),
    "rebalances": ("Assignments of topic partitions by the group.", ()),
    "offsets_lost": ("Offsets that the log had lost before they were read.", _TP),
    "key_conflicts": ("Object keys that were taken by other content.", ("topic",)),
}
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "lag_records": ("End offset less committed offset.", _TP),
    "unconfirmed_seconds": ("Age of the oldest record that is not yet in S3.", _TP),
    "spool_bytes": ("Disk space that the spool takes.", ()),
    "spool_limit_bytes": ("Disk space that the spool may take.", ()),
    "spool_segments": ("Segments of the spool.", ("state",)),
    "open_partitions": ("S3 partitions with an open segment.", ()),
    "paused": ("1 while polling is paused for this reason.", ("reason",)),
    "holds": ("Sources that hold: away, refused, or to be mended.", ("kind",)),
    "upload_inflight": ("Writing S3 requests in flight.", ()),
    "build_info": ("Always 1; the version is in the label.", ("version",)),
}
HISTOGRAMS: dict[str, str] = {
    "upload_seconds": "Time from the first request of an upload to its confirmation.",
    "loop_stall_seconds": "How late the event loop came back to a timer.",
}


class Metrics:
    """`metrics.counters["records"].labels("orders").inc()`; names without `spoolsink_`."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry = registry or CollectorRegistry()
        # A second series for each counter, of no use to anybody's dashboard.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.counters = {
            name: Counter(f"spoolsink_{name}", text, labels, registry=registry)
            for name, (text, labels) in COUNTERS.items()
        }
        self.gauges = {
            name: Gauge(f"spoolsink_{name}", text, labels, registry=registry)
            for name, (text, labels) in GAUGES.items()
        }
        self.histograms = {
            name: Histogram(f"spoolsink_{name}", text, registry=registry, buckets=_SECONDS)
            for name, text in HISTOGRAMS.items()
        }
        self.gauges["build_info"].labels(__version__).set(1)
