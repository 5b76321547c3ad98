"""S3 partitions: fields, times, escaping, and what happens when something is missing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolsink.converters.json import FieldDecoder, decode
from spoolsink.errors import LayoutError
from spoolsink.layout import Layout, Placed, directory_of, hive_escape, object_key, walk
from spoolsink.layout_template import check_template
from spoolsink.layout_time import TimeFormat, instant_of, zone_of
from spoolsink.records import Batch, Headers, TimestampType, TopicPartition

NOON = int(datetime(2026, 7, 4, 12, 34, 56, 789_000, UTC).timestamp() * 1000)


def batch_of(
    values: Sequence[bytes | None],
    times: Sequence[int] | None = None,
    keys: Sequence[bytes | None] | None = None,
    headers: Sequence[Headers] | None = None,
) -> Batch:
    count = len(values)
    return Batch(
        TopicPartition("orders", 3), 0, count, range(count), times or [NOON] * count,
        TimestampType.CREATE, keys or [None] * count, values, headers,
    )  # fmt: skip


def place(layout: Layout, batch: Batch, instant_ms: int = NOON) -> Placed:
    values = (
        FieldDecoder(layout.value_paths).columns(batch.values, walk) if layout.value_paths else {}
    )
    trees = [None if key is None else decode(key) for key in batch.keys]
    keys = {path: [walk(tree, path) for tree in trees] for path in layout.key_paths}
    return layout.place(batch, values, keys, instant_ms)


def one(template: str, value: bytes = b"{}", **settings: object) -> str | LayoutError:
    return place(Layout(template, **settings), batch_of([value]))[0]  # type: ignore[arg-type]


def test_the_default_is_the_kafka_partition() -> None:
    assert one("partition={partition}") == "partition=3"


def test_an_empty_template_puts_objects_directly_under_the_topic() -> None:
    assert place(Layout(""), batch_of([b"1", b"2"])) == ["", ""]


def test_fields_headers_keys_and_time_mix_on_schemaless_json() -> None:
    layout = Layout(
        "{topic}/c={value.user.country}/k={key.id}/h={header.a.b}/{time:%Y-%m-%d}/{{x}}"
    )
    batch = batch_of(
        [b'{"user":{"country":"KR"}}'], keys=[b'{"id":9}'], headers=[[("a.b", b"x"), ("a.b", b"y")]]
    )
    assert place(layout, batch) == ["orders/c=KR/k=9/h=y/2026-07-04/{x}"]


@pytest.mark.parametrize(
    ("document", "rendered"),
    [
        ("true", "true"), ("12", "12"), ("1.0", "1.0"), ("1e5", "100000.0"), ('"a b"', "a b"),
        ('"a/b"', "a%2Fb"), ('".."', "%2E%2E"), ('"."', "%2E"), ('"50%"', "50%25"), ('"é"', "é"),
        ('"x=y"', "x%3Dy"), ("123456789012345678901234567890", "123456789012345678901234567890"),
        ('""', "__HIVE_DEFAULT_PARTITION__"), ("null", "__HIVE_DEFAULT_PARTITION__"),
        ('"\\u0001\\u007f"', "%01%7F"),
    ],
)  # fmt: skip
def test_values_are_rendered_as_json_and_escaped_as_hive(document: str, rendered: str) -> None:
    assert one("f={value.f}", f'{{"f":{document}}}'.encode()) == f"f={rendered}"


@pytest.mark.parametrize("document", ["{}", "[]", '"\\ud800"'])
def test_what_cannot_be_rendered_is_an_error_of_its_record_alone(document: str) -> None:
    layout = Layout("f={value.f}/{time:%Y}")
    placed = place(layout, batch_of([b'{"f":1}', f'{{"f":{document}}}'.encode(), b'{"f":2}']))
    assert isinstance(placed[1], LayoutError)
    assert [placed[0], placed[2]] == ["f=1/2026", "f=2/2026"]


def test_a_missing_field_can_be_an_error() -> None:
    found = one("f={value.f}", missing_is_error=True)
    assert isinstance(found, LayoutError)
    assert str(found) == "layout: value.f is missing"


def test_paths_lead_through_lists_by_number_and_names_with_dots() -> None:
    assert one("{value.items.1.id}", b'{"items":[{},{"id":5}]}') == "5"
    assert one(r"{value.a\.b}", b'{"a.b":"x"}') == "x"
    assert one("{value.a.b}", b'{"a":3}') == "__HIVE_DEFAULT_PARTITION__"


@pytest.mark.parametrize(
    ("directives", "rendered"),
    [
        ("%Y/%m/%d/%H/%M/%S", "2026/07/04/12/34/56"),
        ("%-m-%-d-%-H-%-M-%-S-%-j", "7-4-12-34-56-185"),
        ("%j %y %G %V %u %%", "185 26 2026 27 6 %"), ("%L", "789"),
        ("%a %A %b %B", "Sat Saturday Jul July"),
    ],
)  # fmt: skip
def test_every_directive(directives: str, rendered: str) -> None:
    assert one(f"{{time:{directives}}}") == rendered


@pytest.mark.parametrize(
    ("time", "value", "rendered"),
    [
        ("value.t", b'{"t":0}', "1970-01-01T09"), ("value.t", b'{"t":"0"}', "1970-01-01T09"),
        ("value.t", b'{"t":"2026-07-04"}', "2026-07-04T00"),
        ("value.t", b'{"t":"2026-07-04T20:00:00Z"}', "2026-07-05T05"),
        ("value.t", b'{"t":"2026-07-04T20:00:00"}', "2026-07-04T20"),
        ("value.t", b'{"t":-1}', "1970-01-01T08"), ("value.t", b"{}", "__HIVE_DEFAULT_PARTITION__"),
        ("wallclock", b"{}", "2026-07-04T21"),
    ],
)  # fmt: skip
def test_times_of_fields_in_the_configured_zone(time: str, value: bytes, rendered: str) -> None:
    found = one("{time:%Y-%m-%dT%H}", value, time=time, timezone="Asia/Seoul")
    assert found == rendered


@pytest.mark.parametrize("value", [b'{"t":"soon"}', b'{"t":true}', b'{"t":[1]}', b'{"t":1e300}'])
def test_a_time_that_cannot_be_read_is_an_error(value: bytes) -> None:
    assert isinstance(one("{time:%Y}", value, time="value.t"), LayoutError)


def test_units_of_numbers() -> None:
    zone = zone_of("UTC")
    assert instant_of(1_700_000_000, "s", zone) == 1_700_000_000_000
    assert instant_of(1_700_000_000.5, "s", zone) == 1_700_000_000_500
    assert instant_of("1700000000123456", "us", zone) == 1_700_000_000_123
    assert instant_of(1_700_000_000_123_456_789, "ns", zone) == 1_700_000_000_123


def test_a_record_without_a_timestamp_has_no_time() -> None:
    layout = Layout("{time:%Y}")
    assert place(layout, batch_of([b"1"], times=[-1])) == ["__HIVE_DEFAULT_PARTITION__"]


def utc_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("bucket", "moment", "rendered"),
    [
        (3600, "2024-11-03T08:30:00", "03T01:00"),  # both hours of the autumn night
        (3600, "2024-11-03T09:30:00", "03T01:00"),
        (7200, "2024-03-10T10:30:00", "10T02:00"),  # a start that the clock leaves out
        (86_400, "2024-11-04T06:00:00", "03T00:00"),
        (86.4, "2024-11-04T08:02:00", "04T00:01"),  # a thousandth of a day
        (7 * 86_400, "2024-11-05T12:00:00", "31T00:00"),  # weeks from 1970-01-01: Thursdays
    ],
)
def test_buckets_round_down_on_the_local_wall_clock(
    bucket: float, moment: str, rendered: str
) -> None:
    layout = Layout("{time:%dT%H:%M}", timezone="America/Los_Angeles", bucket_seconds=bucket)
    assert place(layout, batch_of([b"1"], times=[utc_ms(moment)])) == [rendered]


def test_a_hosts_own_zones_do_not_change_the_keys(tmp_path: Path) -> None:
    """A host may be years behind; here Berlin has become UTC."""
    shutil.copy(str(resources.files("tzdata.zoneinfo").joinpath("UTC")), tmp_path / "Berlin")
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Berlin").rename(tmp_path / "Europe" / "Berlin")
    code = """
from datetime import datetime
from spoolsink.layout_time import zone_of
print(datetime(2026, 7, 1, tzinfo=zone_of("Europe/Berlin")).utcoffset())
"""
    environment = {**os.environ, "PYTHONTZPATH": str(tmp_path)}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert found.stdout.strip() == b"2:00:00"


@given(
    st.lists(st.integers(-(10**14), 10**14), min_size=1, max_size=20),
    st.sampled_from(["%H:%M", "%S", "%L"]),
)
def test_the_cache_of_times_changes_nothing(times: list[int], directives: str) -> None:
    together = place(
        Layout(f"{{time:{directives}}}", timezone="Asia/Kolkata"),
        batch_of([b"1"] * len(times), times),
    )
    apart = [
        place(Layout(f"{{time:{directives}}}", timezone="Asia/Kolkata"), batch_of([b"1"], [time]))[
            0
        ]
        for time in times
    ]
    assert list(map(str, together)) == list(map(str, apart))


@given(st.text(), st.text())
def test_different_values_never_share_a_directory(one_value: str, other: str) -> None:
    assert (hive_escape(one_value) == hive_escape(other)) == (one_value == other)


@given(st.text(st.characters(codec="utf-8")))
def test_an_escaped_value_is_one_directory_and_reads_back(value: str) -> None:
    escaped = hive_escape(value)
    assert "/" not in escaped
    assert escaped not in {".", ".."}
    assert unquote(escaped) == value


def test_object_keys() -> None:
    directory = directory_of("topics", "orders", "dt=1")
    assert object_key(directory, "orders", 3, 7, 12, extension=".json.gz") == (
        "topics/orders/dt=1/orders+3+0000000007+0000000012.json.gz"
    )
    assert object_key("", "o", 0, 7, None, extension=".json") == "o+0+0000000007.json"
    assert object_key("d", "o", 0, 7, 8, extension=".json", digest="0a1b2c3d").endswith(
        "8+0a1b2c3d.json"
    )
    assert directory_of("", "t", "") == "t"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{time}", "{time} needs directives"), ("{time:%Q}", "unknown directive '%Q'"),
        ("{value}", "unknown field {value}"), ("{offset}", "unknown field {offset}"),
        ("a{", "a lone '{'"), ("a}", "a lone '}'"), ("/a", "may not begin"), ("a/", "or end"),
        ("a//b", "may not contain '//'"), ("{value.a..b}", "empty name"),
        ("{value.}", "empty name"),
        ("{header.}", "unknown field"), ("{topic:%Y}", "only {time:...} takes directives"),
        ("{time:%Y%}", "unknown directive '%'"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_used_is_refused(template: str, problem: str) -> None:
    assert any(problem in found for found in check_template(template))


@pytest.mark.parametrize("name", ["Nowhere/City", "+9", "+09:60", "", "../etc/passwd"])
def test_a_zone_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        zone_of(name)


HOURLY = "y={time:%Y}/100%-{topic}-h={time:%H}{time:%M}"


def batch_at(times: list[int]) -> Batch:
    return batch_of([b"{}"] * len(times), times)


@pytest.mark.parametrize("step_ms", [0, 1, 59_999, 60_000, 3_600_000])
def test_a_batch_of_several_times_is_placed_record_by_record(step_ms: int) -> None:
    timestamps = [NOON + number * step_ms for number in range(5)]
    alone = [place(Layout(HOURLY), batch_at([time]))[0] for time in timestamps]
    assert place(Layout(HOURLY), batch_at(timestamps)) == alone
    assert alone[0] == "y=2026/100%-orders-h=1234"


def test_a_missing_time_leaves_the_text_between_times_as_it_is() -> None:
    found = place(Layout(HOURLY, missing_value="none"), batch_at([NOON, -1]))
    assert found == ["y=2026/100%-orders-h=1234", "y=none/100%-orders-h=nonenone"]


def test_a_time_that_cannot_be_rendered_costs_its_record_only() -> None:
    first, second = place(Layout("{time:%Y}"), batch_at([NOON, 2**60]))
    assert first == "2026"
    assert isinstance(second, LayoutError)


@pytest.mark.parametrize("number", [b"9" * 5_000, b'"%s"' % (b"9" * 4_299), b"1e300", b"-1e300"])
def test_a_time_of_thousands_of_digits_costs_its_record_only(number: bytes) -> None:
    found = one("{time:%Y}", b'{"t":%s}' % number, time="value.t", time_unit="s")
    assert isinstance(found, LayoutError)


def test_a_bucket_below_a_second_rounds_milliseconds() -> None:
    moment = utc_ms("2021-07-04T10:01:10")
    layout = Layout("{time:%S-%L}", bucket_seconds=0.25)
    rendered = place(layout, batch_at([moment + 249, moment + 250, moment + 999]))
    assert rendered == ["10-000", "10-250", "10-750"]


def test_a_bucket_that_divides_minutes_is_rendered_the_same_whatever_came_before() -> None:
    early, late = utc_ms("2021-07-04T10:01:10"), utc_ms("2021-07-04T10:01:20")
    layout = Layout("{time:%H:%M}", bucket_seconds=40)
    assert place(layout, batch_at([early]))[0] == "10:00"
    assert place(layout, batch_at([late]))[0] == "10:01"


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-01-31T12:00:00z", 12),
        ("2026-01-31t12:00:00Z", 12),
        ("20260131T120000+01:00", 11),
        ("2026-01-31", 0),
    ],
)
def test_times_are_read_as_rfc_3339_and_iso_8601_write_them(text: str, hour: int) -> None:
    found = instant_of(text, "auto", UTC)
    assert found == int(datetime(2026, 1, 31, hour, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize("text", ["2026-01-31T24:00:00", "2026-01-31 24:00", "2026-01-31T240000Z"])
def test_the_hour_24_is_an_error_on_every_python(text: str) -> None:
    with pytest.raises(LayoutError):
        instant_of(text, "auto", UTC)


def test_a_float_of_seconds_is_the_time_that_was_written() -> None:
    assert instant_of(1625392801.1, "s", UTC) == 1_625_392_801_100


def test_an_offset_of_seconds_does_not_make_a_rendering_depend_on_the_one_before() -> None:
    def rendered(*instants: int) -> list[str]:
        form = TimeFormat("%H:%M", zone_of("Africa/Monrovia"), None)
        return [form.render(instant) for instant in instants]

    low, high = 86_400_000, 86_400_000 + 59_000
    assert rendered(low, high) == rendered(high, low)[::-1]


def test_a_zone_that_changes_within_a_minute_is_rendered_alike_in_every_batch() -> None:
    changed = 63_593_070_000
    for first in (changed, changed + 29_999, changed + 30_000):
        instants = [first, changed + 120_000]
        one, many = (TimeFormat("%H:%M", zone_of("Africa/Monrovia"), None) for _ in range(2))
        assert many.column(instants, *instants) == [one.render(instant) for instant in instants]
