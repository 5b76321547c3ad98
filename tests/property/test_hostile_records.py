"""What templates and times are given: hostile fields, names and numbers of records."""

import contextlib
import json
import tempfile
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spoolsink import wiring
from spoolsink.errors import ConfigError, LayoutError
from spoolsink.layout_time import UNIT_MS, instant_of, zone_of
from tests.property.hostile import JSON, QUICK, WORDS, loaded, told
from tests.unit.builders import batch_of, policies_of

# -- records: templates and times ------------------------------------------------------------------

TEMPLATES = st.lists(
    st.sampled_from(
        ["{", "}", "{{", "}}", "/", "a", ".", "..", "\\", "\0", "é", "\ud800", "=", "%", "{topic}",
         "{key}", "{value}", "{value.a}", "{value.a\\.b}", "{value..}", "{header.x}", "{time:%Y}",
         "{time:%}", "{time}", "{partition}", "{value.0}", "{nothing}", "{time:%Y", "{value.a.0.b}"]
    ),
    max_size=6,
).map("".join)  # fmt: skip
DOCUMENTS = st.dictionaries(
    st.sampled_from(["a", "b", "a.b", "0"]), JSON, max_size=3
).map(lambda fields: json.dumps(fields).encode())  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(TEMPLATES, st.lists(DOCUMENTS, min_size=1, max_size=3))
def test_a_template_is_refused_or_places_what_it_can(template: str, values: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        try:
            config = loaded(directory, {"layout": {"partition": template}})
        except ConfigError:
            return
    encoder = wiring.make_policies(config, wiring.make_form(config)).encoder
    found = encoder.encode(batch_of(values), 0)
    assert len(found.offsets) + len(found.rejected) == len(values)
    for place in [found.places] if isinstance(found.places, str) else found.places:
        place.encode()
        assert not set(place) & {"\n", "\x1b"}
        assert {".", ".."}.isdisjoint(set(place.split("/")) - set(template.split("/")))


TIMES = (
    JSON
    | st.datetimes()
    | st.decimals()
    | st.sampled_from([10**5000, -(10**5000), "9" * 6000, Decimal("1E+999999"), Decimal("sNaN")])
    | st.text("0123456789-+:TZz. W", max_size=30)
)


@settings(max_examples=200, deadline=None)
@given(TIMES, st.sampled_from(sorted(UNIT_MS)), st.sampled_from(["UTC", "+09:00", "Asia/Gaza"]))
@example(10**5000, "s", "UTC")
@example("9" * 6000, "ns", "UTC")
def test_a_time_is_read_missing_or_an_error(value: Any, unit: str, zone: str) -> None:
    found, said = told(LayoutError, lambda: instant_of(value, unit, zone_of(zone)))
    assert len(said) < 400
    assert found is None or abs(found) <= 2**63


@QUICK
@given(st.text(max_size=12) | WORDS | st.sampled_from(["+99:99", "../UTC", "/etc/localtime"]))
def test_a_zone_is_one_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        zone_of(text)


class Hostile:
    """A converter of a user, whose integers have more digits than Python prints."""

    def __init__(self, options: object) -> None:
        """Nothing to be kept."""

    def __call__(self, data: bytes | None, _topic: str, _headers: object) -> object:
        return {"a": 10**5000 if data == b"long" else 7}


@pytest.mark.parametrize("kind", ["jsonl", "csv", "avro", "parquet"])
@pytest.mark.parametrize("partition", ["{value.a}", "{time:%Y}", "x"])
def test_an_integer_of_thousands_of_digits_costs_its_record_only(kind: str, partition: str) -> None:
    columns = [{"name": "a", "type": "long", "path": "value.a"}]
    found = policies_of(
        records={"value": f"{__name__}:Hostile"},
        layout={"partition": partition, "time": "value.a"},
        format={"type": kind, **({} if kind == "jsonl" else {"columns": columns})},
    ).encoder.encode(batch_of([b"long", b"short"]), 0)
    assert (list(found.offsets), [r.offset for r in found.rejected]) == ([1], [0])
