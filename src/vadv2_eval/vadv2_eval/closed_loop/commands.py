"""Commands in words that no model was trained on, and whether a drive obeyed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from vadv2_core.command import DrivingCommand
from vadv2_core.language.commands import command_text
from vadv2_core.scene import Scene
from vadv2_core.taxonomy import DrivingAction

TEXT_SCENARIO = "text_command"
"""The scenario whose drives are told what to do in held-out words alone."""
NEAR = 15.0
"""m before a manoeuvre, from which on it counts as reached."""
ON_THE_WAY = 2.5
"""m beside the route after a manoeuvre that still are on it."""
STOP_SPEED = 2.0
"""m/s, below which a stop is obeyed (Senna's threshold)."""


class HeldOutWords:
    """Says a drive's commands in the test wording, with the action left UNKNOWN: the text alone tells what to do.

    Args:
        seed: Draws the words; one wording as long as the same thing is asked.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._action = DrivingAction.UNKNOWN
        self._text = ""

    def say(self, command: DrivingCommand) -> DrivingCommand:
        """The command in held-out words."""
        if command.action is not self._action:
            self._action = command.action
            self._text = command_text(command.action, 0.0, self._rng, "test")
        return replace(command, text=self._text, action=DrivingAction.UNKNOWN)


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """One command: what was asked, in which words, and whether it was done."""

    action: str
    obeyed: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def command_outcomes(world: Any, scenes: Sequence[Scene]) -> list[CommandOutcome]:
    """Whether each manoeuvre that a drive came to was driven.

    A turn, a way straight on or a change of lane is obeyed where the ego is on the route within 10 m after it; a stop
    where the ego falls below 2 m/s while it is asked for. A manoeuvre that the drive never came within 15 m of is left
    out: nothing can be said of it.
    """
    places: list[tuple[float, float]] = []
    near: float | None = None
    for scene in scenes:
        s, offset = world.route.project(scene.ego.pose.x, scene.ego.pose.y, near)
        near = s
        places.append((s, abs(offset)))
    along = np.array(places)
    found = []
    for m in world.route.manoeuvres:
        if m.start >= world.placement.goal or not (along[:, 0] >= m.start - NEAR).any():
            continue
        past = (along[:, 0] >= min(m.end, world.placement.goal - 1.0)) & (along[:, 0] <= m.end + 10.0)
        found.append(CommandOutcome(m.action.name, bool((past & (along[:, 1] < ON_THE_WAY)).any())))
    asked = [s.ego.speed for s in scenes if s.command.action is DrivingAction.STOP]
    if asked:
        found.append(CommandOutcome(DrivingAction.STOP.name, min(asked) < STOP_SPEED))
    return found
