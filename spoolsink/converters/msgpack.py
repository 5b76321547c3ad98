"""MessagePack values: text, bytes, integers of 64 bits, and timestamps (extension -1) in UTC."""

from typing import NoReturn

import msgspec

from spoolsink.converters.plain import check_key
from spoolsink.errors import ConversionError
from spoolsink.records import Headers


def _refuse_extension(code: int, data: memoryview) -> NoReturn:  # noqa: ARG001 (msgspec's hook)
    raise ConversionError(f"extension type {code} is not known")


_DECODER = msgspec.msgpack.Decoder(ext_hook=_refuse_extension)


def make(_options: object, _registry: object) -> "MsgpackConverter":
    """It has no options."""
    return MsgpackConverter()


class MsgpackConverter:
    """`value: msgpack` and `key: msgpack`."""

    def __call__(self, data: bytes | None, topic: str, headers: Headers) -> object:  # noqa: ARG002
        """Plain data; raises ConversionError."""
        if data is None:
            return None
        try:
            value = _DECODER.decode(data)
            _check_keys(value)
        except (ValueError, ArithmeticError, MemoryError) as error:
            raise ConversionError(f"not MessagePack: {error}") from error
        except RecursionError as error:
            raise ConversionError("nested too deeply") from error
        return value


def _check_keys(value: object) -> None:
    if type(value) is dict:
        for key, inner in value.items():
            check_key(key)
            _check_keys(inner)
    elif type(value) is list:
        for inner in value:
            _check_keys(inner)
