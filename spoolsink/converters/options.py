"""Options of converters: which there are, of which type, and what was meant instead."""

import difflib
from collections.abc import Iterable, Mapping

OPTIONS: dict[str, dict[str, type]] = {
    "bytes": {},
    "string": {},
    "json": {"schemas_enable": bool, "framed": bool},
    "avro": {"schema_file": str, "framed": bool},
    "protobuf": {"descriptor_file": str, "message": str, "framed": bool},
    "cbor": {},
    "msgpack": {},
}
"""By the name of the converter."""

_WORDS = {str: "text", bool: "true or false"}


def check_options(converter: str, options: Mapping[str, object]) -> None:
    """Raises ValueError for an option that the converter does not have, or of another type."""
    allowed = OPTIONS[converter]
    for name, value in options.items():
        if name not in allowed:
            there = f"allowed: {', '.join(allowed)}" if allowed else "it has no options"
            hint = near_miss(name, allowed)
            raise ValueError(f"{converter}: unknown option '{name}'{hint}; {there}")
        if not isinstance(value, allowed[name]):
            found = type(value).__name__
            raise ValueError(f"{converter}: {name} must be {_WORDS[allowed[name]]}, not {found}")  # noqa: TRY004 (all of the configuration's problems are ValueErrors)


def near_miss(word: str, words: Iterable[str]) -> str:
    """`; did you mean '...'?`, or nothing."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
