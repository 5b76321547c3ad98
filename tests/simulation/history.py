"""A history: the settings of a world, and the list of what happens in it.

An action is three small numbers' worth of data and means something in every state, so that a
history can be replayed with any of its actions taken out: that is how a failing one is made short.
"""

from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

LENGTH = 60
"""Actions of a drawn history."""

WEIGHTS = {
    # What a healthy sink does.
    "produce": 60,
    "poll": 240,
    "tick": 60,
    "time": 50,
    "commit": 190,
    "upload": 200,
    "deliver": 260,
    # What the network and the group do.
    "late": 30,
    "lose": 30,
    "join": 35,
    "told": 20,
    # What operators, disks and clocks do.
    "restart": 30,
    "flush": 20,
    "damage": 12,
    "jump": 15,
    "configure": 5,
    "move": 5,
    "retain": 6,
    "compact": 5,
    "recreate": 4,
}
"""How often each action is drawn, in thousandths or so."""


class Action(NamedTuple):
    """What happens, to which process or message (`who`), and how much of it."""

    name: str
    who: int = 0
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """What stays as it is in a history; durations in ms."""

    is_wallclock: bool = False
    places: int = 1
    split_records: int | None = None
    split_bytes: int | None = None
    gap_percent: int = 0
    skipped_percent: int = 0
    metadata_limit: int = 4096
    on_offset_lost: Literal["stop", "continue"] = "stop"
    start_from: Literal["earliest", "latest"] | None = None
    file_name: Literal["range", "connect"] = "range"
    is_conditional: bool = True


@dataclass(frozen=True, slots=True)
class History:
    """Replayed by `world.run`; `repr` is the form in which regressions are kept."""

    settings: Settings
    actions: tuple[Action, ...]

    def __str__(self) -> str:
        steps = "\n".join(f"        A({a.name!r}, {a.who}, {a.amount})," for a in self.actions)
        return f"History(\n    {self.settings!r},\n    (\n{steps}\n    ),\n)"


def draw(seed: int, length: int = LENGTH) -> History:
    """The history of a seed."""
    random = Random(seed)
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    settings = _settings(random)
    actions = tuple(
        Action(name, random.randrange(100), random.randrange(1000))
        for name in random.choices(names, weights, k=length)
    )
    # A start that does something: most histories then have cuts under way when trouble begins.
    return History(settings, (Action("produce", 0, random.randrange(1000)), *actions))


def _settings(random: Random) -> Settings:
    # Without conditional writes a key is looked at first: only names with the whole range are
    # promised to be safe then (contract, section 5).
    is_conditional = random.random() < 0.85
    return Settings(
        is_wallclock=random.random() < 0.3,
        places=random.randint(1, 4),
        split_records=random.choice((None, 1, 2, 3)),
        split_bytes=random.choice((None, None, 40)),
        gap_percent=random.choice((0, 15, 50)),
        skipped_percent=random.choice((0, 0, 10)),
        metadata_limit=random.choice((4096, 4096, 400, 250)),
        on_offset_lost=random.choice(("stop", "continue")),
        start_from=random.choice((None, None, "earliest", "latest")),
        file_name=random.choice(("range", "connect")) if is_conditional else "range",
        is_conditional=is_conditional,
    )
