"""The configuration file: its defaults, everything that is refused, and secrets."""

from pathlib import Path

import pytest

from spoolsink.config import fingerprint, load, reveal
from spoolsink.config_model import Config
from spoolsink.errors import ConfigError
from tests.unit import bad_configurations, bad_contradictions
from tests.unit.bad_configurations import BASE

MIB = 1024 * 1024
TABLE = [*bad_configurations.TABLE, *bad_contradictions.TABLE]


def load_text(tmp_path: Path, text: str, **environ: str) -> Config:
    path = tmp_path / "sink.yaml"
    path.write_text(text)
    return load(path, environ)


@pytest.mark.parametrize(("text", "problems"), TABLE, ids=range(len(TABLE)))
def test_a_bad_file_is_refused_with_its_exact_problems(
    tmp_path: Path, text: str, problems: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)
    said = [
        line.replace(str(tmp_path / "sink.yaml"), "sink.yaml") for line in caught.value.problems
    ]
    assert said == problems


def test_there_are_at_least_forty_bad_files() -> None:
    assert len({text for text, _ in TABLE}) >= 40


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = BASE + "rotate: {max_age: soon}\nspool: {resume_at: 0.99}\ncolour: red\n"
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)
    assert [line.split(": ")[1] for line in caught.value.problems] == [
        "rotate.max_age",
        "spool.resume_at",
        "colour",
    ]


def test_the_defaults_are_the_contracts(tmp_path: Path) -> None:
    config = load_text(tmp_path, BASE)
    assert config.group_id == "spoolsink-sink"
    assert config.kafka.bootstrap_servers == ("localhost:9092",)
    assert (config.kafka.session_timeout, config.kafka.isolation) == (30.0, "read_committed")
    assert (config.kafka.fetch_max_bytes, config.kafka.fetch_partition_max_bytes) == (16 * MIB, MIB)
    assert (config.records.key, config.records.value) == ("string", "json")
    assert config.layout.partition == "partition={partition}"
    assert (config.format.type, config.format.separator) == ("jsonl", "\n")
    assert (config.rotate.bytes, config.rotate.max_age) == (1024 * MIB, 600.0)
    assert (config.rotate.object_bytes, config.rotate.max_open) == (256 * MIB, 10_000)
    assert (config.spool.max_bytes, config.spool.write_buffer) == (10 * 1024 * MIB, 32 * MIB)
    assert (config.s3.part_size, config.s3.uploads, config.s3.checksum) == (8 * MIB, 4, "crc32")
    assert (config.shutdown_grace, config.admin.listen) == (30.0, "127.0.0.1:8083")


def test_words_that_other_yaml_takes_for_booleans_stay_words(tmp_path: Path) -> None:
    text = BASE + "  conditional_writes: off\n  tags: {a: no, b: 010, c: 2026-01-31, d: 12:30}\n"
    config = load_text(tmp_path, text)
    assert config.s3.conditional_writes == "off"
    assert config.s3.tags == {"a": "no", "b": "010", "c": "2026-01-31", "d": "12:30"}


def test_references_are_replaced_and_then_read_as_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    text = BASE + (
        "  uploads: ${UPLOADS}\n  region: ${REGION:-eu-north-1}\n  access_key_id: 'id'\n"
        f"  secret_access_key: ${{file:{tmp_path}/key}}\n"
        "  endpoint_url: 'http://${HOST}:${PORT}'\n"
    )
    config = load_text(tmp_path, text, UPLOADS="7", HOST="h", PORT="1")
    assert (config.s3.uploads, config.s3.region) == (7, "eu-north-1")
    assert reveal(config.s3.secret_access_key) == "from-file"
    assert config.s3.endpoint_url == "http://h:1"


def test_a_replaced_text_is_not_replaced_again(tmp_path: Path) -> None:
    config = load_text(tmp_path, BASE + "  region: ${A}\n", A="${B}", B="x")
    assert config.s3.region == "${B}"


@pytest.mark.parametrize("password", ["1e5", "1.50", "+5", "-0", "010", "7", ".5"])
def test_a_text_that_looks_like_a_number_stays_as_it_was_written(
    tmp_path: Path, password: str
) -> None:
    keys = f"  access_key_id: {password}\n  secret_access_key: ${{P}}\n"
    s3 = load_text(tmp_path, BASE + keys, P=password).s3
    assert (s3.access_key_id, reveal(s3.secret_access_key)) == (password, password)


def test_the_default_of_a_reference_stands_in_for_an_empty_variable(tmp_path: Path) -> None:
    assert load_text(tmp_path, BASE + "  region: ${R:-there}\n", R="").s3.region == "there"


@pytest.mark.parametrize("mistake", ["", "\n  part_size: 1MiB", "\n  secret_access_keys: x"])
def test_a_secret_is_never_shown(tmp_path: Path, mistake: str) -> None:
    canary = "canary-7f3a"
    keys = f"  access_key_id: id\n  secret_access_key: {canary}{mistake}\n"
    text = f"{BASE}{keys}admin: {{token: {canary}}}\n"
    try:
        shown = repr(load_text(tmp_path, text))
    except ConfigError as error:
        shown = repr(error) + str(error)
    assert canary not in shown


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "absent.yaml", {})
    with pytest.raises(ConfigError, match="allowed: 1 MiB"):
        load_text(tmp_path, "#" * (MIB + 1))


def test_the_fingerprint_follows_what_decides_about_objects_and_nothing_else(
    tmp_path: Path,
) -> None:
    plain = fingerprint(load_text(tmp_path, BASE))
    same = (
        "rotate: {max_age: 5m, records: 9}\n", "admin: {listen: 'localhost:0'}\n",
        "shutdown_grace: 5s\n", "spool: {directory: elsewhere}\n",
    )  # fmt: skip
    other = (
        "rotate: {object_records: 9}\n", "layout: {prefix: p}\n", "format: {compression: gzip}\n",
        "records: {on_error: skip}\n",
    )  # fmt: skip
    assert {fingerprint(load_text(tmp_path, BASE + text)) for text in same} == {plain}
    assert len({plain, *(fingerprint(load_text(tmp_path, BASE + text)) for text in other)}) == 5


def test_a_partitioner_class_takes_the_place_of_the_template(tmp_path: Path) -> None:
    config = load_text(
        tmp_path, BASE + "layout: {partitioner: 'a.b:C', options: {field: user, depth: 2}}\n"
    )
    assert config.layout.partitioner == "a.b:C"
    assert config.layout.options == {"field": "user", "depth": 2}
    other = load_text(tmp_path, BASE + "layout: {partitioner: 'a.b:C', options: {field: x}}\n")
    assert fingerprint(config) != fingerprint(other)
