"""What an import writes is either taken by `check`, or told beside it."""

import json
import re
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoolsink.connect_import import import_connector, run_import
from spoolsink.errors import ConfigError
from tests.unit.test_connect_import import (
    BASE,
    FREE_OPTIONS,
    PARTITIONERS,
    TEXTS,
    imported,
    problems_of,
)

CONSUMER = "consumer__override__"
LETTERS = "errors__deadletterqueue__topic__name"


def refused(notes: list[str]) -> list[str]:
    """What the notes say that `check` refuses."""
    start = "check refuses: "
    return [note.removeprefix(start) for note in notes if note.startswith(start)]


def told_by_check(yaml: str, directory: Path) -> list[str]:
    """What `check` says of it, without file and line."""
    return [re.sub(r"^.*?:\d+: ", "", problem) for problem in problems_of(yaml, directory)]


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({f"{CONSUMER}session__timeout__ms": "500"}, "kafka.session_timeout: allowed: 1s or more"),
        ({"rotate__schedule__interval__ms": "250"}, "rotate.schedule: allowed: 1s or more"),
        ({"s3__part__size": "1048576"}, "s3.part_size: allowed: 5MiB to 5GiB"),
        ({"flush__size": "2147483648"}, "rotate.records: found 2147483648; allowed: a whole"),
        (
            {"s3__compression__type": "gzip", "s3__compression__level": "10"},
            "format.compression_level: allowed with gzip: 0 to 9",
        ),
        ({"topics__dir": "a//b"}, "layout.prefix: "),
        ({"topics__dir": "a/../b"}, "layout.prefix: may not have '.' or '..' as a directory"),
        (
            {"errors__tolerance": "all", LETTERS: "a b"},
            "records.dead_letter.topic: found 'a b'; allowed: letters",
        ),
        (
            {f"{CONSUMER}bootstrap__servers": "SSL://b:9"},
            "kafka.bootstrap_servers: found 'SSL://b:9'; allowed: host:port",
        ),
        ({"store__url": "ftp://store"}, "s3.endpoint_url: found 'ftp://store'; allowed: a URL"),
        (
            {f"{CONSUMER}security__protocol": "SASL_SSL"},
            "kafka.security.sasl_mechanism: required with protocol: SASL_SSL",
        ),
        (
            {"topics": None, "topics__regex": "a[[b]&&c]"},
            "kafka.topics_pattern: no regular expression: possible nested set at position 2",
        ),
        ({"topics": None, "topics__regex": r"\p{Alpha}+"}, "kafka.topics_pattern: no regular"),
        ({"value__converter": "x.AvroConverter"}, "records.value_options: avro: needs schema_file"),
    ],
)
def test_a_value_that_check_refuses_is_told(
    changes: dict[str, str | None], refusal: str, tmp_path: Path
) -> None:
    found = imported(tmp_path, **changes)
    (told,) = refused(found.notes)
    assert told.startswith(refusal)
    assert told_by_check(found.yaml, tmp_path) == [told]


def test_what_check_refuses_is_a_comment_in_its_section_and_a_line_on_standard_error(
    tmp_path: Path,
) -> None:
    out, err = StringIO(), StringIO()
    imported(tmp_path, s3__part__size="1")
    path = tmp_path / "connector.json"
    assert run_import(path, out=out, err=err) == 0
    line = "check refuses: s3.part_size: allowed: 5MiB to 5GiB"
    assert f"{path}: {line}\n" in err.getvalue()
    assert f"\ns3:\n  # {line}\n" in out.getvalue()


def test_what_a_reference_stands_for_is_not_judged(tmp_path: Path) -> None:
    options = {
        "s3__bucket__name": "${env:BUCKET}",
        "store__url": "${env:STORE}",
        f"{CONSUMER}security__protocol": "SASL_SSL",
        f"{CONSUMER}sasl__mechanism": "PLAIN",
        f"{CONSUMER}sasl__jaas__config": "x required username='u' password='p';",
        f"{CONSUMER}ssl__truststore__location": "${directory:/run/secrets:ca}",
        f"{CONSUMER}ssl__truststore__type": "PEM",
    }
    found = imported(tmp_path, **options)
    assert "bucket: '${BUCKET}'" in found.yaml
    assert "ca_file: '${file:/run/secrets/ca}'" in found.yaml
    assert refused(found.notes) == []


def test_that_a_reference_is_there_is_judged(tmp_path: Path) -> None:
    found = imported(tmp_path, aws__access__key__id="AKIAIOSFODNN7")
    assert refused(found.notes) == ["s3: access_key_id and secret_access_key go together"]


def test_a_reference_that_nothing_can_read_is_told(tmp_path: Path) -> None:
    found = imported(tmp_path, topics__dir="${no name}")
    assert refused(found.notes) == ["layout.prefix: cannot read the reference '${no name}'"]


NUMBERS = st.sampled_from(["-1", "0", "1", "9", "10", "999", "60000", "5242880", "2147483648"])
TIMED = f"{PARTITIONERS}.TimeBasedPartitioner"
OPTIONS = {
    **dict.fromkeys(FREE_OPTIONS, TEXTS),
    **dict.fromkeys(("partition.duration.ms", "rotate.interval.ms", "flush.size"), NUMBERS),
    **dict.fromkeys(("rotate.schedule.interval.ms", "s3.part.size"), NUMBERS),
    **dict.fromkeys(("s3.compression.level", "partitioner.max.open.files"), NUMBERS),
    "s3.compression.type": st.sampled_from(["gzip", "none"]),
    "partitioner.class": st.sampled_from([TIMED, f"{PARTITIONERS}.FieldPartitioner"]),
    "path.format": st.sampled_from(["YYYY/MM", "'a'/'..'/HH"]) | TEXTS,
    "partition.field.name": TEXTS,
    "errors.tolerance": st.sampled_from(["all", "none"]),
    "consumer.override.security.protocol": st.sampled_from(["SASL_SSL", "SSL", "TLS"]),
    "consumer.override.sasl.mechanism": st.sampled_from(["PLAIN", "GSSAPI", "NTLM"]),
    "consumer.override.isolation.level": TEXTS,
}


@settings(deadline=None, max_examples=60)
@given(st.fixed_dictionaries({}, optional=OPTIONS))
def test_whatever_stands_in_a_file_what_check_refuses_is_told(options: dict[str, str]) -> None:
    with TemporaryDirectory() as name:
        path = Path(name, "connector.json")
        path.write_text(json.dumps({"name": "sink", "config": {**BASE, **options}}))
        try:
            found = import_connector(path)
        except ConfigError:
            return
        if "${" not in found.yaml.replace("${KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}", ""):
            assert sorted(refused(found.notes)) == sorted(told_by_check(found.yaml, Path(name)))
