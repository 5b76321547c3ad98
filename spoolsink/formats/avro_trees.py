"""Avro schemas as parsed JSON, rebuilt for one purpose each (pure).

What a datum's bytes are does not depend on any of it: names, annotations and checks only.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from spoolsink.converters.schema import JSON_TEXT

INT, FLOAT, DOUBLE, UUID = (f"spoolsink-{name}" for name in ("int", "float", "double", "uuid"))
"""Logical types of our own: `avro_rows` checks values of them while they are written."""

_CHECKED = {
    "int": {"type": "int", "logicalType": INT},
    "float": {"type": "float", "logicalType": FLOAT},
    "double": {"type": "double", "logicalType": DOUBLE},
}
_CHECKED_UUID = {"type": "string", "logicalType": UUID}
_TEXT_ID = ("string", "uuid")
_CALENDAR = ("date", "time", "timestamp", "local-timestamp", "uuid", "json")
_AVRO_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def mapped(tree: object, change: Callable[[Any], object]) -> object:
    """A copy with every type inside it changed; the type itself is the caller's."""
    if isinstance(tree, list):
        return [change(branch) for branch in tree]
    if not isinstance(tree, Mapping):
        return tree
    found = {key: value for key, value in tree.items() if not key.startswith("__")}
    for nested in ("type", "items", "values"):
        # What `type` names is looked at only where it is a type of its own.
        if nested in found and not (nested == "type" and isinstance(found[nested], str)):
            found[nested] = change(found[nested])
    if "fields" in found:
        found["fields"] = [{**field, "type": change(field["type"])} for field in found["fields"]]
    return found


def guarded(tree: object, *, are_ids_checked: bool) -> object:
    """With checks where the library would write what readers refuse.

    In a union of several types a misfit of one may be a value of another: no check there.
    """
    if isinstance(tree, list):
        branches = [branch for branch in tree if branch != "null"]
        is_choice = len(branches) > 1
        return [
            branch
            if is_choice and isinstance(branch, str)
            else guarded(branch, are_ids_checked=are_ids_checked)
            for branch in tree
        ]
    if isinstance(tree, str):
        return _CHECKED.get(tree, tree)
    if isinstance(tree, Mapping) and (tree["type"], tree.get("logicalType")) == _TEXT_ID:
        return _CHECKED_UUID if are_ids_checked else "string"
    return mapped(tree, lambda inner: guarded(inner, are_ids_checked=are_ids_checked))


def without_calendar(tree: object) -> object:
    """Times, dates and ids as the numbers and texts that they are on disk; decimals stay."""
    found = mapped(tree, without_calendar)
    if isinstance(found, dict) and str(found.get("logicalType", "")).startswith(_CALENDAR):
        del found["logicalType"]
    return found


def without_empty_records(tree: object) -> object:
    """Records that have no fields as JSON text: a container of columns has no form for them."""
    empty = {node["name"] for node in _records(tree) if not node["fields"]}

    def change(node: object) -> object:
        name = node.get("name") if isinstance(node, Mapping) else node
        if isinstance(name, str) and name in empty:
            return JSON_TEXT
        return mapped(node, change)

    return change(tree) if empty else tree


def _records(tree: object) -> Iterator[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []

    def look(node: object) -> object:
        if isinstance(node, Mapping) and "fields" in node:
            found.append(node)
        return mapped(node, look)

    look(tree)
    yield from found


def with_avro_names(tree: object) -> object:
    """With names that Avro allows, and no field twice in its record."""
    names: dict[str, str] = {}

    def change(node: object) -> object:
        if isinstance(node, str):
            return names.get(node, node)
        if isinstance(node, Mapping) and "name" in node:
            own = str(node["name"])
            names[own] = _unique(".".join(map(_allowed, own.split("."))), names.values())
            node = {**node, "name": names[own]}
        found = mapped(node, change)
        if isinstance(found, dict) and "fields" in found:
            found["fields"] = _renamed(found["fields"])
        return found

    return change(tree)


def _renamed(fields: list[dict[str, object]]) -> list[dict[str, object]]:
    taken: list[str] = [str(f["name"]) for f in fields if _AVRO_NAME.fullmatch(str(f["name"]))]
    renamed = []
    for field in fields:
        name = str(field["name"])
        if not _AVRO_NAME.fullmatch(name):
            name = _unique(_allowed(name), taken)
            taken.append(name)
        renamed.append({**field, "name": name})
    return renamed


def _allowed(name: str) -> str:
    if _AVRO_NAME.fullmatch(name):
        return name
    cleaned = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return cleaned if cleaned and not cleaned[0].isdigit() else f"_{cleaned}"


def _unique(name: str, taken: Any) -> str:
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    return unique
