"""Metrics: the contract's names, from the start."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from spoolsink import __version__
from spoolsink.metrics import Metrics

NAMES = [
    "records_total",
    "record_bytes_total",
    "records_skipped_total",
    "dead_letters_total",
    "lag_records",
    "unconfirmed_seconds",
    "spool_bytes",
    "spool_limit_bytes",
    "spool_segments",
    "open_partitions",
    "paused",
    "cuts_total",
    "uploads_total",
    "upload_bytes_total",
    "upload_seconds",
    "upload_inflight",
    "s3_errors_total",
    "commits_total",
    "repeats_total",
    "segments_dropped_total",
    "rebalances_total",
    "offsets_lost_total",
    "key_conflicts_total",
    "loop_stall_seconds",
    "build_info",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_help_and_type_before_it_has_a_sample(name: str) -> None:
    metrics = Metrics(CollectorRegistry())
    text = generate_latest(metrics.registry).decode()
    assert f"# HELP spoolsink_{name} " in text
    assert f"# TYPE spoolsink_{name} " in text


def test_the_version_is_a_label() -> None:
    text = generate_latest(Metrics(CollectorRegistry()).registry).decode()
    assert f'spoolsink_build_info{{version="{__version__}"}} 1.0' in text


def test_two_registries_do_not_meet() -> None:
    one, other = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    one.counters["records"].labels("orders").inc(3)
    assert b'records_total{topic="orders"} 3.0' in generate_latest(one.registry)
    assert b"orders" not in generate_latest(other.registry)
