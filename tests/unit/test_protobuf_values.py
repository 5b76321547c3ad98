"""Protobuf: fields and well-known types as plain data, and the schema that is derived."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import fastavro
import pytest
from google.protobuf.json_format import ParseDict

from spoolsink.converters.protobuf_types import MessageTypes, compile_proto
from spoolsink.converters.protobuf_values import Values, schema_of
from spoolsink.errors import ConversionError
from tests.unit.shop_proto import EMPTY, PROTO


@pytest.fixture(scope="module")
def types() -> MessageTypes:
    return compile_proto(PROTO, [])[0]


@pytest.fixture(scope="module")
def plain(types: MessageTypes) -> Callable[..., dict[str, Any]]:
    """From proto's JSON of an Order to its plain data, through the bytes."""
    values, order = Values(types), types.message_class("shop.v1.Order")

    def convert(**fields: object) -> dict[str, Any]:
        data = ParseDict(fields, order()).SerializeToString()
        found = values.plain(order.FromString(data))
        assert isinstance(found, dict)
        return found

    return convert


def test_every_field_is_there_also_when_nothing_was_sent(plain: Callable[..., Any]) -> None:
    assert plain() == EMPTY


@pytest.mark.parametrize(
    ("name", "sent", "value"),
    [
        ("order_id", "-9223372036854775808", -(2**63)),
        ("hash", "18446744073709551615", Decimal(2**64 - 1)),
        ("raw", "AP8=", b"\x00\xff"),
        ("price", 1.5, 1.5),
        ("state", "PAID", "PAID"),
        ("state", 7, "7"),
        ("states", ["PAID", 0], ["PAID", "UNKNOWN"]),
        ("lines", [{"sku": "a"}], [{"sku": "a", "count": None}]),
        ("by_sku", {"b": {"count": 0}}, {"b": {"sku": "", "count": 0}}),
        ("by_number", {"10": "x", "9": "y"}, {"9": "y", "10": "x"}),
        ("by_flag", {"true": 1, "false": 2}, {"false": 2, "true": 1}),
        ("voucher", 0, 0),
        ("note", "", ""),
        (
            "at",
            "2026-07-04T12:00:00.123456789Z",
            datetime(2026, 7, 4, 12, 0, 0, 123456, UTC),
        ),
        ("at", "1969-12-31T23:59:59.5Z", datetime(1969, 12, 31, 23, 59, 59, 500000, UTC)),
        ("took", "1.500s", Decimal("1.5")),
        ("took", "-0.000000001s", Decimal("-1E-9")),
        ("took", "100s", Decimal(100)),
        ("maybe_count", "0", 0),
        ("maybe_hash", "5", Decimal(5)),
        ("extra", {"b": [1, None], "a": {"x": True}}, {"a": {"x": True}, "b": [1.0, None]}),
        ("anything", "text", "text"),
        ("anything", None, None),
        ("things", [1, "a"], [1.0, "a"]),
        ("times", ["1970-01-01T00:00:00Z"], [datetime(1970, 1, 1, tzinfo=UTC)]),
    ],
)
def test_a_field_becomes_plain_data(
    plain: Callable[..., Any], name: str, sent: object, value: object
) -> None:
    got = plain(**{name: sent})
    assert got == {**EMPTY, name: value}
    assert type(got[name]) is type(value)
    if isinstance(value, dict):
        assert list(got[name]) == list(value), "maps are sorted, whatever the order in memory"


def test_a_whole_duration_has_no_exponent(plain: Callable[..., Any]) -> None:
    assert str(plain(took="100s")["took"]) == "100"


@pytest.mark.parametrize(
    ("name", "data", "fields"),
    [
        ("shop.v1.Second", b"\x08\x03", {"number": 3}),
        (
            "google.protobuf.Timestamp",
            b"\x08\x01",
            {"value": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)},
        ),
    ],
)
def test_any_of_a_known_type_is_its_fields(
    types: MessageTypes, name: str, data: bytes, fields: dict[str, object]
) -> None:
    order = _order(types)
    order.detail.type_url = f"type.googleapis.com/{name}"
    order.detail.value = data
    found: Any = Values(types).plain(order)
    assert found["detail"] == {"@type": f"type.googleapis.com/{name}", **fields}
    order.detail.value = b"\xff"
    with pytest.raises(ConversionError, match=r"Any of '.*' is no such message"):
        Values(types).plain(order)


def _order(types: MessageTypes) -> Any:
    return types.message_class("shop.v1.Order")()


def test_any_of_an_unknown_type_keeps_its_bytes(types: MessageTypes) -> None:
    order = _order(types)
    order.detail.type_url = "example.com/absent.Type"
    order.detail.value = b"\x01"
    found: Any = Values(types).plain(order)
    assert found["detail"] == {"@type": "example.com/absent.Type", "value": b"\x01"}


@pytest.mark.parametrize("seconds", [2**62, -(2**62)])
@pytest.mark.parametrize("field", ["at", "took"])
def test_a_time_out_of_range_is_an_error_of_the_record(
    types: MessageTypes, field: str, seconds: int
) -> None:
    order = _order(types)
    getattr(order, field).seconds = seconds
    with pytest.raises(ConversionError, match=r"out of range"):
        Values(types).plain(order)


def test_messages_nest_in_themselves(plain: Callable[..., Any]) -> None:
    found = plain(parent={"parent": {"order_id": 3}})
    assert found["parent"]["parent"]["order_id"] == 3
    assert found["parent"]["parent"]["parent"] is None


def test_the_derived_schema_says_what_the_value_is(types: MessageTypes) -> None:
    tree = json.loads(schema_of(types.descriptor("shop.v1.Order")).text)
    shapes = {field["name"]: field["type"] for field in tree["fields"]}
    assert shapes["order_id"] == "long"
    assert shapes["state"] == "string"
    assert shapes["parent"] == ["null", "shop.v1.Order"]
    assert shapes["by_flag"] == {"type": "map", "values": "long"}
    assert shapes["at"] == ["null", {"type": "long", "logicalType": "timestamp-micros"}]
    assert shapes["extra"] == ["null", {"type": "string", "logicalType": "json"}]
    assert shapes["maybe_count"] == ["null", "long"]
    assert shapes["lines"]["items"]["name"] == "shop.v1.Order.Line"


def test_values_can_be_written_by_their_derived_schema(
    types: MessageTypes, plain: Callable[..., Any]
) -> None:
    tree = json.loads(schema_of(types.descriptor("shop.v1.Order")).text)
    schema, out = fastavro.parse_schema(tree), BytesIO()
    value = plain(
        hash="18446744073709551615",
        by_number={"1": "x"},
        lines=[{"sku": "a", "count": 2}],
        parent={"card": "c"},
        at="2026-07-04T12:00:00.5Z",
        took="1.5s",
        maybe_hash="3",
        times=["1970-01-01T00:00:00Z"],
    )
    fastavro.schemaless_writer(out, schema, value)
    out.seek(0)
    assert fastavro.schemaless_reader(out, schema, None) == value
