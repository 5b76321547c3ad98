"""CBOR values (RFC 8949): tags become what they say, and what is no plain data is a bad record.

Dates and times (tags 0, 1, 100, 1004), big integers (2, 3), decimals (4, 5), UUIDs and addresses
(text), sets (258, lists in the order of the bytes). `undefined` is null. References to parts seen
before are refused: a few bytes of them stand for gigabytes.
"""

import secrets
from collections.abc import Callable
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Any
from uuid import UUID

import cbor2

from spoolsink.converters.plain import (
    EXACT,
    MAX_INTEGER_BYTES,
    SCALARS,
    big_integer,
    check_decimal,
    check_key,
)
from spoolsink.errors import ConversionError
from spoolsink.records import Headers

_AS_TEXT = (
    *(UUID, IPv4Address, IPv4Interface, IPv4Network),
    *(IPv6Address, IPv6Interface, IPv6Network),
)
_MARK = secrets.token_bytes(8)
_END = b"\x48" + _MARK  # a byte string of eight bytes
_POSITIVE, _NEGATIVE, _BIG_FLOAT, _SET = 2, 3, 5, 258
_REFERENCES = (25, 28, 29, 256)
"""String references and shared values with what they point into."""


def _refuse_reference(_inner: object, _immutable: bool) -> object:  # noqa: FBT001 (cbor2's hook)
    raise ValueError("references (tags 25, 28, 29, 256) are refused")


def _positive(data: bytes, _immutable: bool) -> int:  # noqa: FBT001 (cbor2's hook)
    return big_integer(data)


def _negative(data: bytes, _immutable: bool) -> int:  # noqa: FBT001 (cbor2's hook)
    return -1 - big_integer(data)


def _big_float(parts: tuple[int, int], _immutable: bool) -> Decimal:  # noqa: FBT001 (cbor2's hook)
    """Exactly: m / 2^n is m * 5^n / 10^n. The library's own rounds to 28 digits."""
    exponent, mantissa = parts
    if abs(exponent) > MAX_INTEGER_BYTES:
        raise ValueError("a bigfloat is out of range")
    if exponent >= 0:
        return Decimal(mantissa << exponent)
    return Decimal(mantissa * 5**-exponent).scaleb(exponent, EXACT)


_DECODERS: dict[int, Callable[[Any, bool], object]] = {
    # As a list it keeps its order; Python's own sets would differ from process to process.
    _POSITIVE: _positive,
    _NEGATIVE: _negative,
    _BIG_FLOAT: _big_float,
    _SET: lambda items, _immutable: items,
    **dict.fromkeys(_REFERENCES, _refuse_reference),
}


def make(_options: object, _registry: object) -> "CborConverter":
    """It has no options."""
    return CborConverter()


class CborConverter:
    """`value: cbor` and `key: cbor`."""

    def __call__(self, data: bytes | None, topic: str, headers: Headers) -> object:  # noqa: ARG002
        """Plain data; raises ConversionError."""
        if data is None:
            return None
        try:
            return _plain(_decoded(data))
        except (cbor2.CBORError, ValueError, ArithmeticError, TypeError, MemoryError) as error:
            raise ConversionError(f"not CBOR: {error.__cause__ or error}") from error
        except RecursionError as error:
            raise ConversionError("nested too deeply") from error


def _decoded(data: bytes) -> object:
    # Read as the first of a pair: the library passes over what follows an item, but nothing that
    # follows can be the mark. A fifth of the time that asking its decoder for the rest takes.
    # Strict: big integers as keys, refused later anyhow, could be made to collide.
    pair = cbor2.loads(
        b"\x82" + data + _END, semantic_decoders=_DECODERS, strict_hashable_types=True
    )
    if pair[1] != _MARK:
        raise ConversionError("not CBOR: something follows the first item")
    return pair[0]


def _plain(value: object) -> object:
    kind = type(value)
    if kind in SCALARS:
        return value
    convert = _CONVERTED.get(kind)
    if convert is None:
        raise ConversionError(f"{_what(value)} is no plain data")
    return convert(value)


def _dict(value: dict[object, object]) -> dict[object, object]:
    # In place: without references every part belongs to one whole.
    for key, inner in value.items():
        check_key(key)
        if type(inner) not in SCALARS:
            value[key] = _plain(inner)
    return value


def _list(value: list[object]) -> list[object]:
    for index, inner in enumerate(value):
        if type(inner) not in SCALARS:
            value[index] = _plain(inner)
    return value


def _decimal(value: Decimal) -> Decimal:
    check_decimal(value)
    return value


def _what(value: object) -> str:
    return f"tag {value.tag}" if isinstance(value, cbor2.CBORTag) else f"a {type(value).__name__}"


_CONVERTED: dict[type, Callable[..., object]] = {
    dict: _dict,
    list: _list,
    Decimal: _decimal,
    type(cbor2.undefined): lambda _: None,
    **dict.fromkeys(_AS_TEXT, str),
}
