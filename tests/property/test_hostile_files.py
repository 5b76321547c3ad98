"""What operators and others leave in files and in a bucket: read, or refused by name."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spoolsink.audit.catalog import Catalog
from spoolsink.audit.finding import about
from spoolsink.audit.places import Named, Places, Stored, Unknown, read
from spoolsink.config import load
from spoolsink.config_model import Config
from spoolsink.connect_import import import_connector
from spoolsink.connect_import.options import OPTIONS
from spoolsink.errors import ConfigError
from tests.property.hostile import DEEP, JSON, MAX, loaded, told
from tests.unit.test_connect_import import BASE as CONNECTOR

# -- files of an operator --------------------------------------------------------------------------

PLACES = [
    (section, key)
    for section, field in Config.model_fields.items()
    for key in getattr(field.annotation, "model_fields", {"": None})
]
VALUES = (
    JSON
    | st.sampled_from(["9" * 400 + "s", "9" * 400 + "TiB", "1e400", "${file:\0}", "${",
                       "${A:-${A}}",
                       "${file:/dev/zero}", "${file:/}", ".nan", ".inf", "-0", "1_000"])
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PLACES), VALUES)
@example(("rotate", "max_age"), "9" * 400 + "s")
@example(("rotate", "bytes"), "9" * 400 + "TiB")
@example(("s3", "secret_access_key"), "${file:/tmp/a\0b}")
@example(("s3", "secret_access_key"), "${file:/dev/zero}")
def test_a_configuration_is_accepted_or_refused(place: tuple[str, str], value: Any) -> None:
    section, key = place
    changed = {section: {key: value} if key else value}
    with tempfile.TemporaryDirectory() as directory:
        _, said = told(ConfigError, lambda: loaded(directory, changed if key else {}))
    assert all(len(line) < 2000 for line in said.splitlines())


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=60) | st.text(" \n\t:-[]{},&*!|>'\"#%@?a0\0", max_size=40).map(str.encode)
)
@example(DEEP)
@example(b"a: " * 100_000)
@example(b"- " * 100_000)
@example(b"? " * 100_000)
@example(b"{a: " * 100_000)
def test_any_bytes_are_a_configuration_or_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "sink.yaml")
        path.write_bytes(data)
        with pytest.raises(ConfigError):
            load(path, {})


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=40)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(sorted(o.name for o in OPTIONS)), JSON, max_size=4).map(
        lambda changes: json.dumps({"name": "s", "config": {**CONNECTOR, **changes}}).encode()
    )
)
@example(DEEP)
@example(b'{"name": "s", "config": ' + DEEP)
def test_a_connector_is_imported_or_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "connector.json")
        path.write_bytes(data)
        found, _ = told(ConfigError, lambda: import_connector(path))
    assert found is None or found.yaml.encode()


# -- S3: keys and metadata of a bucket -------------------------------------------------------------

DIGITS = st.sampled_from(
    ["0", "0" * 10, "9" * 10, "9" * 19, str(MAX), str(MAX + 1), "٣" * 10, "-1"]
)
NAMES = st.tuples(st.sampled_from(["t", "u", "", "..", "t+0"]), DIGITS, DIGITS, DIGITS).map(
    "+".join
)
KEYS = st.tuples(
    st.sampled_from(["topics/t/", "topics/u/", "topics/", "", "/", "topics/t/../", "dlq/t/"]),
    NAMES | st.text(max_size=8),
    st.sampled_from(["", ".json", ".json.gz", "+0123abcd.json", "/"]),
).map("".join)
SAID = st.dictionaries(
    st.sampled_from(
        [f"spoolsink-{name}" for name in ("topic", "partition", "first-offset", "last-offset",
         "records", "cut", "cut-end", "cut-records", "digest")] + ["x", "spoolsink-"]
    ),
    DIGITS | st.text(max_size=5) | st.sampled_from(["t", "0", "9" * 5000]),
    max_size=9,
)  # fmt: skip
OURS = Places("topics", True, "dlq", ("t",), lambda topic: topic == "t")


@settings(max_examples=200, deadline=None)
@given(KEYS, SAID, st.booleans())
@example("topics/t/t+0+9999999999999999999.json", {}, True)
@example("topics/t/t+9999999999+0000000000+0000000000.json", {}, True)
def test_an_object_of_a_bucket_is_ours_unknown_or_nobodys(
    key: str,
    said: dict[str, str],
    is_agreeing: bool,  # noqa: FBT001 (of the strategy)
) -> None:
    named = OURS.judge(key)
    if isinstance(named, Named) and is_agreeing:
        numbers = {
            "partition": named.tp.partition,
            "first-offset": named.first,
            "last-offset": named.last or named.first,
            "records": 1,
            "cut": named.first,
        }
        said = said | {f"spoolsink-{name}": str(number) for name, number in numbers.items()}
        said["spoolsink-topic"] = "t"
    found = read(key, named, said) if isinstance(named, Named) else named
    with Catalog() as catalog:
        if isinstance(found, Stored):
            catalog.add(found)
        elif isinstance(found, Unknown):
            where = found.named
            offsets = (None, None) if where is None else (where.first, where.last)
            catalog.note(about("unknown", where and where.tp, offsets, key=key, detail=found.why))
        catalog.close_objects()
        assert len(list(catalog.findings())) == isinstance(found, Unknown)
        objects = [o for tp in catalog.topic_partitions() for o in catalog.by_cut(tp)]
        assert objects == ([found] if isinstance(found, Stored) else [])
