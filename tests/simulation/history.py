"""A history: the settings of a world, and the list of what happens in it.

An action is three small numbers' worth of data and means something in every state, so that a
history can be replayed with any of its actions taken out: that is how a failing one is made short.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Literal, NamedTuple

LENGTH, WIDE_LENGTH = 60, 48
"""Actions of a drawn history; fewer where each means more work."""

_PLAIN_SHARE = 0.6
"""Of histories about crashes, takeovers and lost answers alone: they are the quicker ones, and get
deeper into what they are about."""

OnError = Literal["skip", "stop", "topic", "prefix"]
"""What is done with a bad record: `topic` and `prefix` are the two kinds of dead letters."""

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
    "fail": 15,
    "join": 35,
    "told": 20,
    # What operators, disks and clocks do.
    "restart": 30,
    "drain": 12,
    "flush": 20,
    "pause": 6,
    "mend": 10,
    "damage": 12,
    "vanish": 8,
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
    """What stays as it is in a history; durations in ms.

    `rotation` is of the first processes, those after them draw their own (`process.ROTATIONS`);
    `quota_bytes` is what a spool may hold (None: as much as comes), `part_bytes` the size above
    which an object goes up in parts (None: never). Every `disk_stride`-th call of a spool waits
    for its thread.
    """

    partitions: int = 1
    rotation: int = 0
    is_wallclock: bool = False
    places: int = 1
    split_records: int | None = None
    split_bytes: int | None = None
    gap_percent: int = 0
    bad_percent: int = 0
    on_error: OnError = "skip"
    quota_bytes: int | None = None
    part_bytes: int | None = None
    metadata_limit: int = 4096
    on_offset_lost: Literal["stop", "continue"] = "stop"
    start_from: Literal["earliest", "latest"] | None = None
    file_name: Literal["range", "connect"] = "range"
    is_conditional: bool = True
    disk_stride: int | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Replayed by `world.run`; `repr` is the form in which regressions are kept."""

    settings: Settings
    actions: tuple[Action, ...]

    def __str__(self) -> str:
        steps = "\n".join(f"        A({a.name!r}, {a.who}, {a.amount})," for a in self.actions)
        return f"History(\n    {self.settings!r},\n    (\n{steps}\n    ),\n)"


def draw(seed: int) -> History:
    """The history of a seed."""
    random = Random(seed)
    is_plain = random.random() < _PLAIN_SHARE
    settings = _settings(random) if is_plain else _wide(random, _settings(random))
    # By itself: seeds of before mean the same histories, but for this.
    stride = Random(f"disk {seed}").choice((None, None, 1, 2, 5))
    settings = replace(settings, disk_stride=stride)
    weights = _weights(settings, is_plain=is_plain)
    length = LENGTH if is_plain else WIDE_LENGTH
    names = random.choices(list(weights), list(weights.values()), k=length)
    who, amounts = (random.choices(range(most), k=length) for most in (100, 1000))
    actions = map(Action, names, who, amounts)
    # A start that does something: most histories then have cuts under way when trouble begins.
    return History(settings, (Action("produce", 0, random.randrange(1000)), *actions))


def _weights(settings: Settings, *, is_plain: bool) -> dict[str, int]:
    weights = dict(WEIGHTS)
    idle = {"drain", "pause", "fail"} if is_plain else set()
    if settings.on_error != "stop":
        idle.add("mend")
    if settings.part_bytes is None:
        idle.add("vanish")
    else:
        for name in ("upload", "lose", "lose", "late", "fail"):
            weights[name] *= 2  # between the first part and the end much can happen
    if settings.quota_bytes is not None:
        weights["produce"] *= 2  # something has to fill it
    if settings.disk_stride is not None:
        weights["deliver"] *= 2  # by which a thread's work is done, too
    return weights | dict.fromkeys(idle, 0)


def _wide(random: Random, settings: Settings) -> Settings:
    """More than one thing at a time: each of the rarer areas in a share of the histories."""
    on_error: OnError = random.choice(("skip", "stop", "topic", "prefix"))
    return replace(
        settings,
        partitions=random.choice((1, 1, 2, 3)),
        bad_percent=random.choice((0, 0, 10) if on_error == "skip" else (4, 10, 30)),
        on_error=on_error,
        quota_bytes=random.choice((None, None, 700, 1_200)),
        part_bytes=random.choice((None, 12, 24)),
    )


def _settings(random: Random) -> Settings:
    # Without conditional writes a key is looked at first: only names with the whole range are
    # promised to be safe then (contract, section 5).
    is_conditional = random.random() < 0.85
    return Settings(
        rotation=random.randrange(7),
        is_wallclock=random.random() < 0.3,
        places=random.randint(1, 4),
        split_records=random.choice((None, 1, 2, 3)),
        split_bytes=random.choice((None, None, 40)),
        gap_percent=random.choice((0, 15, 50)),
        bad_percent=random.choice((0, 0, 10)),
        # Between the room for one promise and for three or four: what fits depends on each byte.
        metadata_limit=random.choice((4096, random.randint(180, 400))),
        on_offset_lost=random.choice(("stop", "continue")),
        start_from=random.choice((None, None, "earliest", "latest")),
        file_name=random.choice(("range", "connect")) if is_conditional else "range",
        is_conditional=is_conditional,
    )
