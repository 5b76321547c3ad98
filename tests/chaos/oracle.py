"""The oracle of the integration tests, told what a campaign may be configured to.

1. Names of objects as Kafka Connect has them tell the first offset only.
2. Bad records lie under their prefix, each once; or in their topic, each at least once.
3. A topic that was created anew holds: nothing of its new records is anywhere.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from tests.chaos.contents import letter_row, read_letters
from tests.chaos.settings import BAD_VALUE, Place, Settings
from tests.integration.harness import Bench
from tests.integration.oracle import Expected, Oracle, StoredObject

LETTERS = "dead"
_KEY = re.compile(
    r"(?P<directory>.*)/(?P<topic>[^/+]+)\+(?P<partition>\d+)"
    r"\+(?P<first>\d{10,})(\+(?P<last>\d{10,}))?(?P<extension>\.[a-z.]+)?"
)
_HEADER = "__connect.errors."


class ChaosObject(StoredObject):
    """Its name may lack the last offset, which the metadata then tells."""

    form = _KEY

    @property
    def last(self) -> int:
        return self.number("last-offset")

    @property
    def is_letter(self) -> bool:
        """Whether it holds dead letters."""
        return self.key.startswith(f"{LETTERS}/")


class ChaosOracle(Oracle):
    """`place` replaces the settings' where they have none; `recreated` are passed by."""

    is_final = False
    """In the middle of a campaign an upload may be open whose id nobody was told."""

    def __init__(
        self,
        bench: Bench,
        settings: Settings,
        *,
        recreated: Sequence[str] = (),
        letters_topic: str | None = None,
    ) -> None:
        self._settings = settings
        self._recreated = recreated
        self._letters_topic = letters_topic
        super().__init__(bench, settings.expected(settings.place or self._place_of(bench)))
        self._letters = Oracle(
            bench,
            Expected(
                lambda record: f"partition={record.partition}",
                letter_row,
                read_letters,
                ".json",
                f"{LETTERS}/{{topic}}",
            ),
        )

    def objects(self) -> list[StoredObject]:
        """Those of topics that are judged."""
        found = (ChaosObject(one.key, one.body, one.metadata) for one in super().objects())
        return [one for one in found if one.tp[0] not in self._recreated]

    def unfinished_uploads(self) -> list[str]:
        """None of names that only a ledger tells from others': it may be lost with its disk."""
        is_told = self.is_final and not self._settings.has_connect_names
        return super().unfinished_uploads() if is_told else []

    async def verify(self, *topics: str) -> list[StoredObject]:
        found = await super().verify(*topics)
        if self._letters_topic is not None:
            await self._check_letters(self._letters_topic, topics)
        return found

    async def _check_letters(self, letters_topic: str, topics: Sequence[str]) -> None:
        wanted = {
            (topic, number, record.offset): record
            for topic in topics
            for number, records in (await self.records(topic)).items()
            for record in records
            if record.value == BAD_VALUE
        }
        letters = [one for some in (await self.records(letters_topic)).values() for one in some]
        found = {_origin(letter): letter for letter in letters}
        missing = sorted(wanted.keys() - found.keys())
        assert not missing, f"no dead letter of {missing}"
        for origin, letter in found.items():
            if origin[0] in self._recreated:
                continue
            assert origin in wanted, f"a dead letter of nothing: {origin}"
            record = wanted[origin]
            assert (letter.key, letter.value) == (record.key, record.value), origin
            assert letter.headers[: len(record.headers)] == record.headers, origin

    # -- one object ----------------------------------------------------------------------------

    def _is_bad(self, record: Any) -> bool:
        return self._settings.errors == "prefix" and record.value == BAD_VALUE

    def _row(self, record: Any) -> bytes | None:
        return self._letters._row(record) if self._is_bad(record) else super()._row(record)

    def _directory(self, topic: str, record: Any) -> str:
        if self._is_bad(record):
            return self._letters._directory(topic, record)
        return super()._directory(topic, record)

    def _check_metadata(self, found: StoredObject) -> None:
        assert isinstance(found, ChaosObject)
        is_short = found.parts["last"] is None
        assert is_short == self._settings.has_connect_names, f"named otherwise: {found.key}"
        if found.is_letter:
            self._letters._check_metadata(found)
        else:
            super()._check_metadata(found)

    def _check_directory(
        self, directory: str, objects: Sequence[StoredObject], records: Sequence[Any]
    ) -> None:
        if directory.startswith(f"{LETTERS}/"):
            self._letters._check_directory(directory, objects, records)
        else:
            super()._check_directory(directory, objects, records)

    # -- places that no record tells -----------------------------------------------------------

    def _place_of(self, bench: Bench) -> Place:
        """Where each record lies; each must lie in one place."""
        self._bench = bench
        places: dict[tuple[str, int, int], str] = {}
        for found in self.objects():
            topic, number = found.tp
            if found.key.startswith(f"{LETTERS}/"):
                continue
            place = found.parts["directory"].removeprefix(f"topics/{topic}").lstrip("/")
            for offset in range(found.first, found.last + 1):
                before = places.setdefault((topic, number, offset), place)
                assert before == place, f"{topic}-{number} {offset} is in {before} and in {place}"
        return partial(_looked_up, places)


def _looked_up(places: dict[tuple[str, int, int], str], record: Any) -> str:
    return places.get((record.topic, record.partition, record.offset), "nowhere")


def _origin(letter: Any) -> tuple[str, int, int]:
    said = {key: data.decode() for key, data in letter.headers if key.startswith(_HEADER)}
    numbers = (int(said[f"{_HEADER}{name}"]) for name in ("partition", "offset"))
    return said[f"{_HEADER}topic"], *numbers
