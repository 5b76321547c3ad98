"""Imports point to rows above only, and each third-party library has one door."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "spoolsink"

ROWS = [
    {"errors", "records", "rows", "digest", "fault_points", "allocator"},
    {"config_source", "config_types", "config_model", "metrics", "backoff"},
    {"health", "holding", "logs", "lookups", "status", "plugins"},
    {"converters", "layout", "layout_class", "layout_template", "layout_time"},
    {"formats", "rotation", "intent", "encoder", "boundaries", "portions"},
    # Reads templates and zones to refuse what they would: hence below the layout.
    {"config", "config_format", "config_records", "config_rules", "config_security"},
    {"cut", "cuts", "segment", "ledger", "naming"},
    {"spool", "spool_memory"},
    {"kafka_causes", "kafka_security", "kafka_start", "kafka_tokens"},
    {"batch_tap", "kafka_protocol", "kafka_stop", "committer", "consumer", "log_reader"},
    {"store_session", "body_parts"},
    {"store_errors", "object_store", "object_reader", "store_probe", "store_sweep"},
    {"uploader"},
    {"dead_letters", "bad_records", "appender", "delivery", "takeover"},
    {"assignment", "pipeline"},
    {"wiring", "watch", "engine", "connect_check"},
    {"service", "admin", "connect_rest", "notices", "status_line", "systemd_notify", "wishes"},
    {"progress", "audit", "restore"},
    {
        "cli",
        "entry",
        "__main__",
        "demo",
        "demo_records",
        "demo_servers",
        "connect_import",
        "ddl",
        "spool_tools",
    },
]

DOORS = {
    "aiokafka": {
        "dead_letters",
        *("consumer", "committer", "batch_tap", "kafka_protocol", "log_reader", "restore"),
        *("kafka_causes", "kafka_security", "kafka_start", "kafka_stop", "kafka_tokens"),
    },
    "aws_msk_iam_sasl_signer": {"kafka_tokens"},
    "aiobotocore": {"store_session"},
    "botocore": {"store_session", "store_errors"},
    "lmdb": {"ledger"},
    "zstandard": {"formats", "segment", "restore"},
    "xxhash": {"digest"},
    "google_crc32c": {"batch_tap"},
    "zlib_ng": {"formats", "segment", "object_store"},
    "prometheus_client": {"metrics", "admin"},
    "yaml": {"config_source"},
    "pydantic": {"config", "config_model", "config_types"},
    "pydantic_core": {"config_types"},
    "msgspec": {"converters", "formats"},
    "confluent_kafka": {"demo_records", "demo_servers"},
    "moto": {"demo_servers"},
    "aiohttp": {"admin", "connect_rest", "converters", "object_store", "kafka_tokens"},
    "fastavro": {"converters", "formats", "restore"},
    "google": {"converters"},
    "cbor2": {"converters"},
}

FILES = sorted(p for p in ROOT.rglob("*.py") if p.name != "__init__.py" or p.parent != ROOT)


def module_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module == "spoolsink":
                names |= {f"spoolsink.{alias.name}" for alias in node.names}
    return names


def row_of(module: str) -> int:
    return next(i for i, row in enumerate(ROWS) if module in row)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_upward(path: Path) -> None:
    own = module_of(path)
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "spoolsink" and len(parts) > 1 and parts[1] not in {own, "__version__"}:
            assert row_of(parts[1]) <= row_of(own), f"{own} imports {parts[1]}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_library_has_one_door(path: Path) -> None:
    for name in imports_of(path):
        allowed = DOORS.get(name.split(".")[0])
        assert allowed is None or module_of(path) in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 50, node.name


def test_pipeline_and_uploader_do_not_know_each_other() -> None:
    for own, other in (("pipeline", "uploader"), ("uploader", "pipeline")):
        path = ROOT / f"{own}.py"
        assert not path.exists() or f"spoolsink.{other}" not in imports_of(path)
