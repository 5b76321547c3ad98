"""A failing history made short: actions are taken out, numbers made small, settings made plain."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from tests.simulation.history import Action, History, Settings

Fails = Callable[[History], bool]


def shrink(history: History, fails: Fails) -> History:
    """A history that still fails, and from which no single action can be taken out.

    `fails` replays; a shorter history may fail for another reason than the first.
    """
    while True:
        shorter = _plain(_without(history, fails), fails)
        if shorter == history:
            return history
        history = shorter


def _without(history: History, fails: Fails) -> History:
    """Delta debugging: ever smaller runs of actions are left out."""
    actions = history.actions
    size = max(1, len(actions) // 2)
    while size:
        start = 0
        while start < len(actions):
            rest = (*actions[:start], *actions[start + size :])
            if fails(replace(history, actions=rest)):
                actions = rest
            else:
                start += size
        size //= 2
    return replace(history, actions=actions)


def _plain(history: History, fails: Fails) -> History:
    """Smaller numbers, and settings as they are by default, one at a time."""
    for index, action in enumerate(history.actions):
        for smaller in _smaller(action):
            changed = (*history.actions[:index], smaller, *history.actions[index + 1 :])
            candidate = replace(history, actions=changed)
            if fails(candidate):
                history = candidate
                break
    return _plain_settings(history, fails)


def _smaller(action: Action) -> Sequence[Action]:
    amounts = [a for a in (0, 1, 2, 3, 4, 5, 6) if a < action.amount]
    whos = [w for w in (0, 1) if w < action.who]
    return [
        *(action._replace(who=w, amount=a) for w in whos for a in amounts),
        *(action._replace(amount=a) for a in amounts),
        *(action._replace(who=w) for w in whos),
    ]


def _plain_settings(history: History, fails: Fails) -> History:
    for one in fields(Settings):
        plain: dict[str, Any] = {one.name: one.default}
        settings = replace(history.settings, **plain)
        candidate = replace(history, settings=settings)
        if settings != history.settings and fails(candidate):
            history = candidate
    return history
