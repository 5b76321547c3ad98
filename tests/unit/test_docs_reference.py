"""The pages that are made from the code are what the code makes of them now."""

import inspect
import re
from pathlib import Path

import pytest

from spoolsink import config_model
from spoolsink.config import load
from tools import configuration, reference
from tools.configuration import keys, meanings_of

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_is_not_stale(name: str) -> None:
    made = reference.PAGES[name]()
    assert (DOCS / name).read_text() == made, "stale: `make reference` writes it anew"


def test_every_meaning_is_a_sentence() -> None:
    meanings = meanings_of(inspect.getsource(config_model))
    for section in (config_model.Config, config_model.S3, config_model.Kafka):
        for key in keys(section, meanings):
            assert key.meaning.endswith((".", ".)")), key


def test_a_key_without_a_meaning_is_refused() -> None:
    source = "class Config(Section):\n    name: Text\n    kafka: Kafka\n    'Where from.'\n"
    meanings = meanings_of(source)
    assert meanings == {"Config": {"kafka": "Where from."}}
    with pytest.raises(ValueError, match=r"Config\.name has no text below it"):
        keys(config_model.Config, meanings)


def test_units_types_and_defaults_are_those_of_a_file() -> None:
    page = (DOCS / "configuration.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", page, re.MULTILINE))
    assert "| `fetch_buffer` | size | `64MiB` |" in page
    assert "| `abort_uploads_after` | duration | `1d` |" in page
    assert "| `uploads` | whole number from 1 to 256 | `4` |" in page
    assert "| `pause_at` | number above 0 and up to 1 | `0.9` |" in page
    assert rows["key_password"] == "text (*secret*), `null`"
    assert rows["sse"] == "`AES256`, `aws:kms`, `null`"


def test_the_smallest_file_of_the_page_is_accepted(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", configuration.HEAD, re.DOTALL)
    path = tmp_path / "spoolsink.yaml"
    path.write_text(text)
    assert load(path, {}).group_id == "spoolsink-orders-archive"
