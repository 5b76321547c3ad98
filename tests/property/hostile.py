"""What nobody in his right mind would send, for the tests of what is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st

from spoolsink.config import load
from spoolsink.config_model import Config

ROOT = Path(__file__).parents[2]
T = TypeVar("T")
QUICK = settings(max_examples=60, deadline=None)
MAX = 2**63 - 1
NUMBERS = st.integers(-5, 5) | st.sampled_from([MAX, MAX + 1, 2**32, 2**64, 10**40])
WORDS = st.sampled_from(
    [
        "",
        ".",
        "..",
        "../../etc/passwd",
        "\0",
        "\ud800",
        "a\nb",
        "%2e",
        "\x1b[2J",
        "x" * 5000,
        "null",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
DEEP = b"[" * 200_000
GOOD: dict[str, Any] = {
    "name": "s",
    "kafka": {"bootstrap_servers": ["b:1"], "topics": ["t"]},
    "s3": {"bucket": "bucket"},
}


def told(error: type[Exception], ask: Callable[[], T]) -> tuple[T | None, str]:
    """What came of it; of the declared error its text, and any other one is raised."""
    try:
        return ask(), ""
    except error as caught:
        return None, str(caught)


def loaded(directory: str, sections: dict[str, Any]) -> Config:
    path = Path(directory, "sink.yaml")
    merged = {
        name: {**GOOD.get(name, {}), **sections.get(name, {})}
        for name in {*GOOD, *sections} - {"name"}
    }
    path.write_text(json.dumps({**merged, "name": "s"}))  # JSON is YAML
    return load(path, {})
