"""What becomes of a Kafka Connect S3 sink's configuration."""

import json
import re
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoolsink.config import load
from spoolsink.config_source import read
from spoolsink.connect_import import Imported, import_connector, run_import
from spoolsink.connect_import.joda import template_of
from spoolsink.connect_import.options import OPTIONS, Fate, as_markdown, option_of
from spoolsink.errors import ConfigError
from spoolsink.layout import Layout
from spoolsink.records import Batch
from tests.unit.builders import batch_of

ROOT = Path(__file__).parents[2]
CONNECTORS = sorted((ROOT / "tests" / "data" / "connectors").glob("*.json"))
PARTITIONERS = "io.confluent.connect.storage.partitioner"
BASE = {
    "connector.class": "io.confluent.connect.s3.S3SinkConnector",
    "topics": "orders",
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter.schemas.enable": "false",
    "format.class": "io.confluent.connect.s3.format.json.JsonFormat",
    "flush.size": "100",
    "s3.bucket.name": "archive",
}
SECRETS = ("wJalrXUtnFEMI", "AKIAIOSFODNN7", "s3cr3t", "hunter22", "topsecret", "pa:ss", "MDEyMz")


def imported(directory: Path, **changes: str | None) -> Imported:
    """`changes` are options with `__` for each dot; None leaves one out."""
    options = {**BASE, **{name.replace("__", "."): value for name, value in changes.items()}}
    path = directory / "connector.json"
    path.write_text(json.dumps({"name": "sink", "config": options}))
    return import_connector(path)


def problems_of(yaml: str, directory: Path) -> list[str]:
    """What `load` says where the environment has every name and every file is there."""
    secret = directory / "secret"
    secret.write_text("x")
    path = directory / "sink.yaml"
    path.write_text(re.sub(r"\$\{file:[^}]+\}", f"${{file:{secret}}}", yaml))
    try:
        load(path, dict.fromkeys(re.findall(r"\$\{([A-Z0-9_]+)", yaml), "x"))
    except ConfigError as error:
        return error.problems
    return []


def test_there_are_twenty_connectors() -> None:
    assert len(CONNECTORS) >= 20
    assert len(list(CONNECTORS[0].parent.glob("*.yaml"))) == len(CONNECTORS)


@pytest.mark.parametrize("path", CONNECTORS, ids=lambda p: p.stem)
def test_a_published_connector_becomes_the_yaml_beside_it(path: Path) -> None:
    found = import_connector(path)
    assert found.yaml == path.with_suffix(".yaml").read_text()


@pytest.mark.parametrize("path", CONNECTORS, ids=lambda p: p.stem)
def test_the_yaml_loads_but_for_what_is_not_built_yet(path: Path, tmp_path: Path) -> None:
    found = problems_of(import_connector(path).yaml, tmp_path)
    # Certificates are on the machine that the connector ran on; one connector names no registry.
    excused = ("not built yet", "cannot read /certs/", "records.schema_registry.url")
    assert [problem for problem in found if not any(e in problem for e in excused)] == []


@pytest.mark.parametrize("path", CONNECTORS, ids=lambda p: p.stem)
def test_no_secret_is_copied_or_shown(path: Path) -> None:
    found = import_connector(path)
    text = found.yaml + "\n".join(found.notes)
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.mark.parametrize("path", CONNECTORS, ids=lambda p: p.stem)
def test_every_option_is_in_the_table_or_said_to_be_unknown(path: Path) -> None:
    tree = json.loads(path.read_text())
    for option in tree.get("config", tree):
        unknown = f"{option}: not carried over"
        notes = import_connector(path).notes
        assert option_of(option) or any(note.startswith(unknown) for note in notes), option


def test_what_cannot_be_carried_over_is_a_comment_and_a_line_on_standard_error(
    tmp_path: Path,
) -> None:
    out, err = StringIO(), StringIO()
    imported(tmp_path, file__delim="_", colour="red\n\x1b[31m")
    path = tmp_path / "connector.json"
    assert run_import(path, out=out, err=err) == 0
    for text in ("file.delim: not carried over (_)", "colour: not carried over (red\\n\\x1b[31m)"):
        assert f"{path}: {text}" in err.getvalue()
    assert "# file.delim: not carried over (_)" in out.getvalue()
    assert "\x1b" not in out.getvalue() + err.getvalue()
    assert problems_of(out.getvalue(), tmp_path) == []


def test_every_option_that_is_lost_leaves_a_note(tmp_path: Path) -> None:
    lost = [o.name.replace("*", "x") for o in OPTIONS if o.fate is Fate.LOST]
    notes = imported(tmp_path, **dict.fromkeys(lost, "anything")).notes
    assert [o for o in lost if not any(note.startswith(f"{o}: ") for note in notes)] == []


def test_every_option_that_is_carried_is_read(tmp_path: Path) -> None:
    # A value that nothing reads is reported as without effect: none may be, where its
    # neighbours are there.
    layout = {
        "partitioner__class": f"{PARTITIONERS}.TimeBasedPartitioner",
        "path__format": "YYYY",
        "partition__duration__ms": "86400000",
        "s3__credentials__provider__class": "x.AwsAssumeRoleCredentialsProvider",
        "s3__proxy__url": "http://proxy:3128",
        "format__class": "x.ParquetFormat",
    }
    numbers = {
        o.name: "1" for o in OPTIONS if o.name.endswith((".ms", ".size", ".bytes", ".level"))
    }
    flags = {o.name: "true" for o in OPTIONS if o.name.endswith((".enable", ".enabled", "writes"))}
    words = {
        "errors.tolerance": "all", "behavior.on.null.values": "write", "tasks.max": "2",
        "store.kafka.keys": "true", "store.kafka.headers": "true", "timezone": "UTC",
        "s3.object.tagging": "true", "partitioner.max.open.files": "9", "locale": "en",
        "partition.field.format.path": "true", "transforms": "x",
    }  # fmt: skip
    given = {**numbers, **flags, **words}
    names = [o.name for o in OPTIONS if o.fate is Fate.CARRIED and o.name not in BASE]
    values = {n: given.get(n, "word") for n in names if not n.endswith("*") and n != "name"}
    every = {**{n.replace(".", "__"): v for n, v in values.items()}, **layout}
    notes = imported(tmp_path, **every).notes
    unread = [note for note in notes if "): without effect" in note]
    # Of a format's codec there is only one at a time.
    assert [note for note in unread if not note.startswith("avro.codec: ")] == []


def test_the_documentation_shows_the_table() -> None:
    assert (ROOT / "docs" / "connect-options.md").read_text() == as_markdown()
    assert len(OPTIONS) >= 40


@pytest.mark.parametrize(
    ("pattern", "template"),
    [
        ("'year'=YYYY/'month'=MM/'day'=dd", "year={time:%Y}/month={time:%m}/day={time:%d}"),
        ("yyyy-MM-dd", "{time:%Y-%m-%d}"),
        ("'dt='yyyyMMdd'T'HHmmss.SSS", "dt={time:%Y%m%d}T{time:%H%M%S.%L}"),
        ("xxxx-'W'ww-e", "{time:%G}-W{time:%V-%u}"),
        ("YY/M/d/H/D", "{time:%y}/{time:%-m}/{time:%-d}/{time:%-H}/{time:%-j}"),
        ("'o''clock'=HH", "o'clock={time:%H}"),
        ("'{x}'/''YYYY", "{{x}}/'{time:%Y}"),
        ("YYYY/'open", "{time:%Y}/open"),
        ("YYYY/", "{time:%Y}"),
        ("EEE MMM", "{time:%a %b}"),
    ],
)
def test_joda_patterns_become_templates(pattern: str, template: str) -> None:
    found = template_of(pattern)
    assert (found.text, found.losses) == (template, [])


@pytest.mark.parametrize(
    ("pattern", "template", "loss"),
    [
        ("YYYY/hh", "{time:%Y}/{time:%H}", "'hh' has no counterpart: printed as %H"),
        ("YYYY/a", "{time:%Y}/", "'a' has no counterpart: left out"),
        ("/YYYY//MM", "{time:%Y}/{time:%m}", "empty directories (a leading or double '/')"),
    ],
)
def test_what_a_template_cannot_say_is_told(pattern: str, template: str, loss: str) -> None:
    found = template_of(pattern)
    assert found.text == template.rstrip("/")
    assert found.losses[0].startswith(loss)


def test_an_unquoted_word_is_refused_as_joda_does(tmp_path: Path) -> None:
    timed = f"{PARTITIONERS}.TimeBasedPartitioner"
    with pytest.raises(ConfigError, match="illegal pattern letter 'r'"):
        imported(tmp_path, partitioner__class=timed, path__format="year='YYYY'")


def test_the_calendar_year_is_meant_by_capital_letters() -> None:
    batch = single(timestamp_ms=1_609_459_200_000)  # 2021-01-01, in week 53 of 2020
    layout = Layout(template_of("YYYY/xxxx/ww").text)
    assert layout.place(batch, {}, {}, 0) == ["2021/2020/53"]


def single(timestamp_ms: int) -> Batch:
    return batch_of([b"{}"], times=[timestamp_ms])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"s3__proxy__url": "http://localhost:4566"}, "endpoint_url: http://localhost:4566"),
        ({"s3__proxy__url": "http://minio.svc:80"}, "endpoint_url: http://minio.svc:80"),
        ({"s3__proxy__url": "http://proxy:3128"}, "proxy_url: http://proxy:3128"),
        ({"s3__proxy__url": "${env:PROXY}"}, "proxy_url: '${PROXY}'"),
        ({"store__url": "s3.example.com"}, "endpoint_url: https://s3.example.com"),
        ({"store__url": "http://u:p@s3.example.com"}, "endpoint_url: http://s3.example.com"),
        ({"s3__path__style__access__enabled": "false"}, "addressing_style: virtual"),
        ({"topics__dir": " "}, "prefix: ''"),
        ({"topics__dir": "true"}, "prefix: 'true'"),
        ({"topics__dir": "it's"}, "prefix: 'it''s'"),
        ({"value__converter__schemas__enable": None}, "value_options: {schemas_enable: true}"),
        (
            {"value__converter": "x.JsonSchemaConverter"},
            "value_options: {framed: true}",
        ),
        (
            {"value__converter__schema__registry__url": "http://sr:8081"},
            "value_options: {framed: false}",
        ),
        ({"consumer__override__auto__offset__reset": "none"}, "start_from: fail"),
        ({"errors__tolerance": "all"}, "on_error: skip"),
        ({"rotate__schedule__interval__ms": "90000"}, "schedule: 90s"),
        ({"rotate__schedule__interval__ms": "1500"}, "schedule: 1500ms"),
        ({"rotate__schedule__interval__ms": "-1"}, "records: 100"),
        ({"s3__part__size": "5242881"}, "part_size: 5242881B"),
        ({"s3__ssea__name": "AES256"}, "sse: AES256"),
    ],
)
def test_an_option_becomes_a_key(changes: dict[str, str | None], line: str, tmp_path: Path) -> None:
    yaml = imported(tmp_path, **changes).yaml
    assert line in [text.strip() for text in yaml.splitlines()]
    assert [p for p in problems_of(yaml, tmp_path) if "not built yet" not in p] == []


@pytest.mark.parametrize(
    "read",
    [
        {"topics": "orders, orders-dead"},
        {"topics": None, "topics__regex": "orders.*"},
    ],
)
def test_dead_letters_to_a_topic_that_is_read_stop_the_sink_and_are_told(
    read: dict[str, str | None], tmp_path: Path
) -> None:
    option = "errors__deadletterqueue__topic__name"
    found = imported(tmp_path, **read, **{option: "orders-dead"}, errors__tolerance="all")
    assert "  on_error: stop\n" in found.yaml
    told = "errors.deadletterqueue.topic.name: not carried over: orders-dead is read by the sink"
    assert [told in note for note in found.notes].count(True) == 1
    assert problems_of(found.yaml, tmp_path) == []


def test_more_tags_than_s3_takes_are_left_out_and_told(tmp_path: Path) -> None:
    pairs = ",".join(f"t{number}:x" for number in range(12))
    tags = {"s3__object__tagging": "true", "s3__object__tagging__key__value__pairs": pairs}
    found = imported(tmp_path, **tags)
    kept = ", ".join(f"t{number}: x" for number in range(10))
    assert f"  tags: {{{kept}}}\n" in found.yaml
    assert any(note.endswith("left out: t10, t11") for note in found.notes)
    assert problems_of(found.yaml, tmp_path) == []


def test_a_sink_without_any_rotation_keeps_a_greatest_age(tmp_path: Path) -> None:
    found = imported(tmp_path, flush__size=None)
    assert "max_age: null" not in found.yaml
    assert any(note.startswith("max_age: ") for note in found.notes)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [
        "true",
        "0",
        "1e5",
        "a: b",
        "x # y",
        "'",
        '"',
        "{",
        "${A}",
        "- a",
        "\u2028",
        "\x85",
        "a\\b",
        "http://[",
    ]
)
FREE_OPTIONS = [
    *("topics", "topics.regex", "topics.dir", "timestamp.field", "locale", "transforms", "unknown"),
    *("errors.deadletterqueue.topic.name", "s3.bucket.name", "s3.region", "s3.acl.canned"),
    *("store.url", "s3.proxy.url", "s3.proxy.user", "s3.proxy.password", "s3.sse.kms.key.id"),
    *("aws.access.key.id", "aws.secret.access.key", "value.converter", "partitioner.class"),
    *("format.bytearray.extension", "value.converter.schema.registry.url", "file.delim"),
    *("value.converter.basic.auth.user.info", "consumer.override.sasl.jaas.config"),
    *("consumer.override.group.id", "consumer.override.bootstrap.servers", "avro.codec"),
]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(FREE_OPTIONS), TEXTS, max_size=12))
def test_whatever_stands_in_a_file_the_yaml_stays_yaml(options: dict[str, str]) -> None:
    with TemporaryDirectory() as name:
        path = Path(name, "connector.json")
        path.write_text(json.dumps({"name": "sink", "config": {**BASE, **options}}))
        try:
            found = import_connector(path)
        except ConfigError as error:
            refusals = error.problems
        else:
            refusals = []
            path.write_text(found.yaml)
            source = read(path, {"A": "x"})
    if refusals:
        reasons = (": required", "(or topics.regex)", "not a URL")
        assert all(line.endswith(reasons) for line in refusals), refusals
        return
    wrong = [text for _, text in source.problems if "cannot read the reference" not in text]
    assert [text for text in wrong if "the environment has no" not in text] == []
    assert isinstance(source.data, dict)
    assert list(source.data) == ["name", "kafka", "records", "layout", "format", "rotate", "s3"]
    prefix = options.get("topics.dir", "topics").strip().strip("/")
    assert "${" in prefix or source.data["layout"]["prefix"] == prefix


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        ("[]", "must be an object"),
        ('{"name": "x", "name": "y"}', "duplicate key 'name'"),
        ('{"name": "x\\ud800"}', "not JSON"),
        ('{"config": {}}', "name: required"),
        ('{"name": "x", "config": {"topics": ["a"]}}', "topics: must be text"),
        ('{"name": "x", "config": {}}', "connector.class: found nothing"),
        ('{"name": "x", "connector.class": "FileStreamSink"}', "connector.class: found"),
        ('{"name": "x", "config": {}}', "s3.bucket.name: required"),
        ('{"name": "x", "config": {}}', "topics: required"),
        ('{"name": "x", "config": {"flush.size": "many"}}', "flush.size: found 'many'; allowed"),
        ('{"name": "x", "config": {"timezone": "Mars"}}', "timezone: no time zone 'Mars'"),
        (f"{'[' * 100_000}", "not JSON"),
    ],
)
def test_a_file_that_is_no_s3_sink_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "connector.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        import_connector(path)
    assert any(problem in line for line in caught.value.problems), caught.value.problems
