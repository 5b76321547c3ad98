"""A `.proto` file with one field of each kind, and its message when nothing was sent."""

from decimal import Decimal

PROTO = """
syntax = "proto3";
package shop.v1;
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

message Order {
  enum State { UNKNOWN = 0; PAID = 1; }
  message Line { string sku = 1; optional int32 count = 2; message Part { bool ok = 1; } }
  int64 order_id = 1;
  uint64 hash = 2;
  string customerName = 3;
  bytes raw = 4;
  double price = 5;
  State state = 6;
  repeated State states = 7;
  repeated Line lines = 8;
  map<string, Line> by_sku = 9;
  map<int32, string> by_number = 10;
  map<bool, int64> by_flag = 11;
  oneof paid_by { string card = 12; int32 voucher = 13; }
  optional string note = 14;
  Order parent = 15;
  google.protobuf.Timestamp at = 16;
  google.protobuf.Duration took = 17;
  google.protobuf.Int64Value maybe_count = 18;
  google.protobuf.UInt64Value maybe_hash = 19;
  google.protobuf.Struct extra = 20;
  google.protobuf.Value anything = 21;
  google.protobuf.ListValue things = 22;
  google.protobuf.Any detail = 23;
  repeated google.protobuf.Timestamp times = 24;
}
message Second { int32 number = 1; }
"""

EMPTY: dict[str, object] = {
    "order_id": 0,
    "hash": Decimal(0),
    "customerName": "",
    "raw": b"",
    "price": 0.0,
    "state": "UNKNOWN",
    "states": [],
    "lines": [],
    "by_sku": {},
    "by_number": {},
    "by_flag": {},
    "card": None,
    "voucher": None,
    "note": None,
    "parent": None,
    "at": None,
    "took": None,
    "maybe_count": None,
    "maybe_hash": None,
    "extra": None,
    "anything": None,
    "things": None,
    "detail": None,
    "times": [],
}
