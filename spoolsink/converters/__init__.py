"""Keys and values: from bytes to plain data, one converter for each name in the configuration.

A converter is called as `converter(data, topic, headers)` and returns plain data (dict, list, str,
int, float, bool, None, bytes, datetime, Decimal). Any exception is an error of that record.
"""

from collections.abc import Callable, Mapping

from spoolsink.converters.json import JsonConverter
from spoolsink.errors import ConversionError
from spoolsink.plugins import load_class
from spoolsink.records import Headers

Converter = Callable[[bytes | None, str, Headers], object]


def make_converter(name: str, options: Mapping[str, object]) -> Converter:
    """The converter of a name or of `package.module:Class`; raises ValueError."""
    if name == "json":
        return JsonConverter()
    if name == "string":
        return convert_string
    if name == "bytes":
        return convert_bytes
    if ":" not in name:
        raise ValueError(f"unknown converter {name!r}")
    return _guarded(load_class(name)(options), name)


def convert_string(data: bytes | None, topic: str, headers: Headers) -> object:  # noqa: ARG001
    """UTF-8 text."""
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError as error:
        raise ConversionError(f"not UTF-8: {error.reason} at byte {error.start}") from error


def convert_bytes(data: bytes | None, topic: str, headers: Headers) -> object:  # noqa: ARG001
    """As they came."""
    return data


def _guarded(converter: Callable[..., object], name: str) -> Converter:
    def convert(data: bytes | None, topic: str, headers: Headers) -> object:
        try:
            return converter(data, topic, headers)
        except Exception as error:  # the user's code: whatever it raises is this record's error
            raise ConversionError(f"{name}: {type(error).__name__}: {error}") from error

    return convert
