"""Keys and values: from bytes to plain data, one converter for each name in the configuration.

A converter is called as `converter(data, topic, headers)` and returns plain data (dict, list, str,
int, float, bool, None, bytes, datetime, date, time, Decimal). Any exception is an error of that
record, but for SchemaNeeded, which those with a registry raise (`schema.SchemaConverter`).

The libraries of the others are extras, and imported only when they are configured.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from spoolsink.converters.json import JsonConverter
from spoolsink.converters.options import OPTIONS, check_options
from spoolsink.errors import ConversionError
from spoolsink.plugins import load_class
from spoolsink.records import Headers

if TYPE_CHECKING:
    from spoolsink.converters.registry import SchemaRegistry

Converter = Callable[[bytes | None, str, Headers], object]

_MADE_BY: dict[str, tuple[str, tuple[str, ...]]] = {
    "json": ("json_schema", ()),
    "avro": ("avro", ("fastavro",)),
    "protobuf": ("protobuf", ("google.protobuf", "grpc_tools")),
    "cbor": ("cbor", ("cbor2",)),
    "msgpack": ("msgpack", ()),
}
"""Module with `make(options, registry)`, and the libraries of its extra."""


def make_converter(
    name: str, options: Mapping[str, object], registry: "SchemaRegistry | None" = None
) -> Converter:
    """The converter of a name or of `package.module:Class`.

    The registry is used by `avro` and `protobuf` where their options name no file, and by `json`
    unless they say `framed: false`. Raises ValueError for options, files and extras.
    """
    if ":" in name:
        return _guarded(load_class(name)(options), name)
    if name not in OPTIONS:
        raise ValueError(f"unknown converter {name!r}")
    check_options(name, options)
    if name in {"string", "bytes"}:
        return convert_string if name == "string" else convert_bytes
    if name == "json" and not options.get("schemas_enable") and not _is_framed(options, registry):
        return JsonConverter()
    module, libraries = _MADE_BY[name]
    _need(name, libraries)
    made: Converter = import_module(f"spoolsink.converters.{module}").make(options, registry)
    return made


def _is_framed(options: Mapping[str, object], registry: "SchemaRegistry | None") -> bool:
    return bool(options.get("framed", registry is not None))


def _need(extra: str, libraries: Sequence[str]) -> None:
    """Raises ValueError that says what to install."""
    for library in libraries:
        try:
            found = find_spec(library)
        except ModuleNotFoundError:  # the package around it
            found = None
        if found is None:
            raise ValueError(f"the converter '{extra}' needs: pip install 'spoolsink[{extra}]'")


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
