"""From a route and odometry, or from a person's words, to the next driving command in words."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.config import parameter, validate
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Array, arc_length, point_at, project_to_polyline, wrap_angle
from vadv2_core.taxonomy import DrivingAction

_PHRASES: tuple[tuple[DrivingAction, str], ...] = (
    (
        DrivingAction.CHANGE_LEFT,
        r"\b(chang\w*|mov\w*|merg\w*|switch\w*|shift\w*)\b.*\bleft\b|\bleft lane\b|\bovertake\b",
    ),
    (DrivingAction.CHANGE_RIGHT, r"\b(chang\w*|mov\w*|merg\w*|switch\w*|shift\w*)\b.*\bright\b|\bright lane\b"),
    (DrivingAction.STOP, r"\b(stop|halt|pull over|park|wait)\b"),
    (DrivingAction.LEFT, r"\bleft\b"),
    (DrivingAction.RIGHT, r"\bright\b(?! (here|now|away|ahead)\b)"),
    (DrivingAction.STRAIGHT, r"\b(straight|across|through)\b"),
    (DrivingAction.LANE_FOLLOW, r"\b(follow|keep|stay|continue|carry on|drive on|go on)\b"),
)

_TEXTS: dict[DrivingAction, str] = {
    DrivingAction.UNKNOWN: "drive on with care",
    DrivingAction.LANE_FOLLOW: "follow the lane",
    DrivingAction.LEFT: "turn left at the next intersection",
    DrivingAction.RIGHT: "turn right at the next intersection",
    DrivingAction.STRAIGHT: "go straight at the next intersection",
    DrivingAction.CHANGE_LEFT: "change to the left lane",
    DrivingAction.CHANGE_RIGHT: "change to the right lane",
    DrivingAction.STOP: "stop at the end of the route",
}


@dataclass(frozen=True, slots=True)
class CommanderConfig:
    """When a bend of the route is a turn, and how far ahead it is announced."""

    look_ahead: float = parameter(60.0, "How far ahead a manoeuvre is announced.", unit="m", minimum=5.0, maximum=500.0)
    turn_angle: float = parameter(0.7, "Change of heading that is a turn.", unit="rad", minimum=0.2, maximum=1.6)
    turn_length: float = parameter(
        25.0,
        "Way within which a turn bends; a longer bend is a curve of the road.",
        unit="m",
        minimum=5.0,
        maximum=100.0,
    )
    change_offset: float = parameter(
        2.0, "Sideways step of the route that is a lane change.", unit="m", minimum=0.5, maximum=5.0
    )
    stop_distance: float = parameter(
        25.0, "Way to the route's end from which on the command is to stop.", unit="m", minimum=1.0, maximum=200.0
    )

    def __post_init__(self) -> None:
        validate(self, "commander")


def action_of_text(text: str) -> DrivingAction:
    """The action that a person's English words ask for; UNKNOWN where no known phrase is in them.

    Negations ("don't turn left") are UNKNOWN: a wrong action is worse than none.
    """
    words = " ".join(text.lower().split())
    if re.search(r"\b(not|no|never|don'?t|without)\b", words):
        return DrivingAction.UNKNOWN
    return next((action for action, pattern in _PHRASES if re.search(pattern, words)), DrivingAction.UNKNOWN)


def text_of_action(action: DrivingAction, distance: float = 0.0) -> str:
    """A command in words, with the distance rounded to 10 m from 20 m on: "in 40 meters, turn left at ..."."""
    text = _TEXTS[action]
    immediate = action in (DrivingAction.LANE_FOLLOW, DrivingAction.UNKNOWN)
    return text if immediate or distance < 20.0 else f"in {round(distance / 10.0) * 10} meters, {text}"


class Commander:
    """Announces the route's next manoeuvre; a person's words go before the route.

    A manoeuvre is read from the shape of the route alone: a heading change of at least ``turn_angle`` within
    ``turn_length`` is a turn, a sideways step with equal headings before and after is a lane change, the end of the
    route is a stop. A route that knows no intersections cannot say STRAIGHT; a person can.
    """

    def __init__(self, config: CommanderConfig | None = None) -> None:
        self.config = config or CommanderConfig()

    def command(self, route: Route, ego: EgoState, text: str | None = None) -> DrivingCommand:
        """The command at the ego's stamp.

        Args:
            route: In the frame of ``ego.pose`` (odom).
            ego: Now.
            text: A person's words, where there are some; passed on as they are, with the action that they ask for.
        """
        if text is not None and text.strip():
            return DrivingCommand(ego.stamp, " ".join(text.split()), action_of_text(text), 0.0)
        action, distance = self._manoeuvre(route.points, ego)
        return DrivingCommand(ego.stamp, text_of_action(action, distance), action, distance)

    def _manoeuvre(self, points: Array, ego: EgoState) -> tuple[DrivingAction, float]:
        c = self.config
        here = float(project_to_polyline(points, np.array([ego.pose.x, ego.pose.y]))[0])
        left = float(arc_length(points)[-1]) - here
        step = 1.0
        # The bend under way counts too: it began behind the ego.
        s = np.arange(-c.turn_length, min(c.look_ahead + c.turn_length, left), step)
        path = point_at(points, np.clip(here + s, 0.0, None))
        d = path[4:] - path[:-4]
        moved = np.hypot(d[:, 0], d[:, 1]) > 0.5 * step
        yaw = np.unwrap(np.where(moved, np.arctan2(d[:, 1], d[:, 0]), 0.0)) if moved.all() else self._filled(d, moved)
        at = s[2:-2]
        found = self._first_turn(yaw, at) or self._first_change(yaw, at, step)
        if left <= c.stop_distance and (found is None or found[1] > left):
            return DrivingAction.STOP, max(left, 0.0)
        return found if found is not None else (DrivingAction.LANE_FOLLOW, 0.0)

    @staticmethod
    def _filled(d: Array, moved: NDArray[np.bool_]) -> Array:
        yaw = np.arctan2(d[:, 1], d[:, 0])
        index = np.where(moved, np.arange(len(yaw)), 0)
        first = int(moved.argmax())
        index[:first] = first
        return np.asarray(np.unwrap(yaw[np.maximum.accumulate(index)]))

    def _first_turn(self, yaw: Array, at: Array) -> tuple[DrivingAction, float] | None:
        c = self.config
        span = min(int(c.turn_length), len(yaw) - 1)
        change = yaw[span:] - yaw[:-span]
        strong = np.flatnonzero(np.abs(change) >= c.turn_angle)
        for i in strong:
            window = yaw[i : i + span + 1]
            sign = np.sign(change[i])
            progress = (window - window[0]) * sign
            begin = at[i + int(np.argmax(progress > 0.15 * abs(change[i])))]
            end = at[i + int(np.argmax(progress >= 0.8 * abs(change[i])))]
            if end > 0.0 and begin <= c.look_ahead:
                return (DrivingAction.LEFT if sign > 0 else DrivingAction.RIGHT), max(float(begin), 0.0)
        return None

    def _first_change(self, yaw: Array, at: Array, step: float) -> tuple[DrivingAction, float] | None:
        c = self.config
        base = float(np.median(yaw))
        bend = np.asarray(wrap_angle(yaw - base))
        offset = np.concatenate([[0.0], np.cumsum(np.sin(bend)) * step])
        ahead = np.flatnonzero(at >= 0.0)
        for i in ahead:
            j = min(i + int(c.turn_length), len(bend) - 1)
            shift = offset[j] - offset[i]
            if abs(shift) >= c.change_offset and abs(bend[i]) < 0.15 and abs(bend[j]) < 0.15:
                begin = i + int(np.argmax(np.abs(offset[i : j + 1] - offset[i]) > 0.15 * abs(shift)))
                if at[begin] <= c.look_ahead:
                    action = DrivingAction.CHANGE_LEFT if shift > 0 else DrivingAction.CHANGE_RIGHT
                    return action, float(at[begin])
        return None


def template_sentences() -> list[str]:
    """Every sentence that `text_of_action` can say up to 200 m, for the command tokenizer."""
    return sorted({text_of_action(action, 10.0 * d) for action in DrivingAction for d in range(21)})
