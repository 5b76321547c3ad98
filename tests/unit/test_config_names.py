"""Addresses, names and patterns of a configuration that Kafka or S3 would refuse, or misread."""

import re
import warnings
from pathlib import Path

import pytest

from spoolsink.config import load
from spoolsink.config_types import whole_name
from spoolsink.errors import ConfigError
from tests.unit.bad_configurations import BASE

TAGS = ", ".join(f"t{number}: x" for number in range(11))
REFUSED = [
    ("admin: {listen: '127.0.0.1:²'}", "admin.listen: found '127.0.0.1:²'; allowed: host:port"),
    ("  tags: {" + TAGS + "}", "s3.tags: found 11; allowed: at most 10 (S3's own limit)"),
    ("  metadata: {team: é}", "metadata.team: allowed: printable ASCII without blanks around it"),
    ('  metadata: {a: "x\\ny"}', "metadata.a: allowed: printable ASCII without blanks around it"),
    (
        "  metadata: {'a b': x}",
        "metadata.a b: allowed as a name: letters, digits, '.', '_' and '-'",
    ),
    ("  metadata: {Spoolsink-Cut: x}", "names that begin with spoolsink- are the sink's own"),
    ("  metadata: {team: x, Team: y}", "s3.metadata.Team: there twice, but for its case"),
    ("  endpoint_url: 'http://'", "found 'http://'; allowed: http(s)://host, with a port from 1"),
    ("  endpoint_url: 'http://h:99999'", "found 'http://h:99999'; allowed: http(s)://host"),
    ("  endpoint_url: 'http://[::1'", "found 'http://[::1'; allowed: http(s)://host"),
]


ZONES = {
    "localtime": "'localtime' is what each host says; allowed: an IANA name, or +09:00",
    "posixrules": "'posixrules' is what each host says; allowed: an IANA name, or +09:00",
    "right/Europe/Berlin": "no time zone 'right/Europe/Berlin'; did you mean 'Europe/Berlin'?",
    "posix/UTC": "no time zone 'posix/UTC'",
}


def problems_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "sink.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    return caught.value.problems


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_what_no_server_takes_is_refused(tmp_path: Path, text: str, said: str) -> None:
    problems = problems_of(tmp_path, BASE + text)
    assert any(said in problem for problem in problems), problems


@pytest.mark.parametrize("zone", ZONES)
def test_a_zone_that_another_host_has_otherwise_or_not_at_all_is_refused(
    tmp_path: Path, zone: str
) -> None:
    (problem,) = problems_of(tmp_path, BASE + f"layout: {{timezone: {zone}}}")
    assert f":7: layout.timezone: {ZONES[zone]}" in problem


@pytest.mark.parametrize("directory", ["~", "~/spool", "~sink/spool"])
def test_a_tilde_in_front_is_not_made_a_directory_of_that_name(
    tmp_path: Path, directory: str
) -> None:
    (problem,) = problems_of(tmp_path, BASE + f"spool: {{directory: '{directory}'}}")
    assert f":7: spool.directory: found '{directory}'; '~' stands for no directory" in problem


@pytest.mark.parametrize(
    "text",
    [
        BASE.replace("bucket: b", "bucket: ${NONE}"),
        BASE.replace("topics: orders", "topics: ${NONE}"),
        BASE.replace("topics: orders", "topics: [orders, '${NONE}']"),
        BASE.replace("localhost:9092", "['k:9092', '${NONE}']"),
        BASE.replace("localhost:9092", "${file:/no/such}"),
        BASE + "  uploads: ${NONE}\n",
        BASE + "admin: {listen: '${NONE}'}",
        BASE.replace("name: sink", "name: ${NONE}"),
    ],
)
def test_a_reference_to_nothing_is_told_once(tmp_path: Path, text: str) -> None:
    (problem,) = problems_of(tmp_path, text)
    assert "the environment has no NONE" in problem or "cannot read /no/such" in problem


def test_beside_a_reference_to_nothing_all_the_rest_is_told(tmp_path: Path) -> None:
    text = BASE.replace("bucket: b", "bucket: ${NONE}\n  uploads: 0\n  part_size: 1MiB")
    assert [line.split(": ")[1] for line in problems_of(tmp_path, text)] == [
        "s3.bucket",
        "s3.uploads",
        "s3.part_size",
    ]


@pytest.mark.parametrize("server", ["k:99999", "k:0", "k:\u0661", "k:"])
def test_a_broker_has_a_port_that_exists(tmp_path: Path, server: str) -> None:
    (problem,) = problems_of(tmp_path, BASE.replace("localhost:9092", f"'{server}'"))
    assert problem.endswith(f"kafka.bootstrap_servers: found '{server}'; allowed: host:port")


@pytest.mark.parametrize("topic", [".", ".."])
def test_a_topic_is_not_called_like_a_way(tmp_path: Path, topic: str) -> None:
    (problem,) = problems_of(tmp_path, BASE.replace("orders", f"'{topic}'"))
    assert f"kafka.topics: found '{topic}'" in problem


def test_a_password_in_an_address_of_the_store_is_refused_and_not_shown(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, BASE + "  endpoint_url: http://user:hunter2@store:9000")
    assert "use access_key_id and secret_access_key" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  proxy_url: 'http://u:hunter2@h:99999'", "s3.proxy_url: no address; allowed: http(s)"),
        ("  proxy_url: 'http://u:hunter2@[::1'", "s3.proxy_url: no address; allowed: http(s)"),
        (
            "records: {value: avro, schema_registry: {url: 'http://u:hunter2@r'}}",
            "records.schema_registry.url: with a user in it; use username and password",
        ),
        (
            "records: {value: avro, schema_registry: {url: 'http://r, hunter3'}}",
            "records.schema_registry.url: found 'http://r, hunter3'; allowed: http(s)://host",
        ),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_password(
    tmp_path: Path, text: str, said: str
) -> None:
    (problem,) = problems_of(tmp_path, BASE + text)
    assert said in problem
    assert "hunter2" not in problem


def test_addresses_and_names_that_are_legal_stay_so(tmp_path: Path) -> None:
    path = tmp_path / "sink.yaml"
    rest = "  endpoint_url: 'https://[::1]:9000/base'\n  metadata: {team: 'a b', x-1: ''}\n"
    rest += "  proxy_url: user:word@proxy:3128\n"
    rest += "records: {value: avro, schema_registry: {url: 'http://a:1, https://b/x'}}\n"
    path.write_text(BASE.replace("localhost:9092", "'[::1]:9092, k, k:65535, k'") + rest)
    config = load(path, {})
    assert config.kafka.bootstrap_servers == ("[::1]:9092", "k", "k:65535")
    assert config.s3.metadata == {"team": "a b", "x-1": ""}


def test_words_of_yaml_are_read_in_every_spelling_of_its_core_schema(tmp_path: Path) -> None:
    path = tmp_path / "sink.yaml"
    path.write_text(BASE + "layout: {topic_directory: FALSE}\nrotate: {bytes: Null}\n")
    config = load(path, {})
    assert config.layout.topic_directory is False
    assert config.rotate.bytes is None


def test_a_reference_without_quotes_inside_of_brackets_is_told_what_it_needs(
    tmp_path: Path,
) -> None:
    (problem,) = problems_of(tmp_path, BASE.replace("orders", "[${TOPIC}]"))
    assert problem.endswith("a reference needs quotes: '${NAME}'")


@pytest.mark.parametrize(
    ("pattern", "name", "is_whole"),
    [
        (r"orders\..*", "orders.eu", True),
        ("orders", "orders.eu", False),
        ("a|b", "b", True),
        ("a|b", "bc", False),
        ("(?i)orders", "ORDERS", True),
        ("(?i)(?s)a|b", "B", True),
        ("(?x) or ders  # whatever", "orders", True),
        ("orders#", "orders#", True),
    ],
)
def test_a_pattern_means_what_fullmatch_takes(pattern: str, name: str, *, is_whole: bool) -> None:
    assert (whole_name(pattern).match(name) is not None) is is_whole


def test_a_set_of_java_is_refused_each_time_and_nothing_is_written_to_standard_error() -> None:
    with warnings.catch_warnings(record=True) as written:
        warnings.simplefilter("always")
        for _ in range(2):
            with pytest.raises(re.error, match="set intersection"):
                whole_name("orders-[a-z&&[^q]]")
    assert written == []
