"""Meta-actions of a driven or planned path: what it comes to in two words, by Senna's rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vadv2_core.geometry import Array
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.taxonomy import DrivingAction, LateralAction, LongitudinalAction
from vadv2_core.trajectory import Trajectory

HORIZON = 3.0
"""s that a longitudinal meta-action speaks of (Senna)."""
LATERAL_HORIZON = 4.0
"""s that a lateral one does; a plan of 8 s bends with the road beyond what anybody would call a turn now."""
SPEED_CHANGE = 3.0
"""m/s, Senna's threshold between keeping and changing speed."""
STOP_SPEED = 2.0
"""m/s at the end, below which it is a stop (Senna)."""
TURN = np.deg2rad(25.0)
CHANGE = 2.0
"""m to the side, with little turn, that make a lane change."""

IN_FORCE = 0.5
"""s after which a plan is not what the ego is about to do any more."""

CREEPING, STANDING = 0.2, 0.5
"""m/s: who is slow and does not get faster by more, or all but stands, stops; a slow start is none."""

MetaAction = tuple[LongitudinalAction, LateralAction]


def longitudinal_of(now: ArrayLike, then: ArrayLike) -> NDArray[np.int64]:
    """`LongitudinalAction` of speeds now and at `HORIZON`, m/s, of any shapes that go together.

    Senna's thresholds; a stop is what ends slow without getting faster, so that a start from rest is not one.
    """
    v0, v = np.asarray(now, dtype=np.float64), np.asarray(then, dtype=np.float64)
    change = v - v0
    stops = (v < STOP_SPEED) & ((change <= CREEPING) | (v < STANDING))
    slower = np.where(-change > SPEED_CHANGE, int(LongitudinalAction.DECELERATE), int(LongitudinalAction.KEEP))
    moves = np.where(change > SPEED_CHANGE, int(LongitudinalAction.ACCELERATE), slower)
    return np.where(stops, int(LongitudinalAction.STOP), moves)


def driven_action(times: ArrayLike, poses: ArrayLike, speeds: ArrayLike) -> MetaAction:
    """Meta-actions of a path.

    Args:
        times: (n,) s from now, rising.
        poses: (n, 3) x, y, yaw in base_link now.
        speeds: (n,) m/s, the first the present one.
    """
    t, p, v = (np.asarray(a, dtype=np.float64) for a in (times, poses, speeds))
    end = int(np.searchsorted(t, HORIZON + 1e-9) - 1)
    longitudinal = LongitudinalAction(int(longitudinal_of(v[0], v[end])))
    p = p[: int(np.searchsorted(t, LATERAL_HORIZON + 1e-9))]
    yaw = float(np.unwrap(np.concatenate([[0.0], p[:, 2]]))[-1])
    side = float(p[-1, 1] - 0.5 * p[-1, 0] * np.tan(np.clip(yaw, -1.0, 1.0)))
    if yaw > TURN:
        lateral = LateralAction.LEFT_TURN
    elif yaw < -TURN:
        lateral = LateralAction.RIGHT_TURN
    elif side > CHANGE:
        lateral = LateralAction.LEFT_CHANGE
    else:
        lateral = LateralAction.RIGHT_CHANGE if side < -CHANGE else LateralAction.STRAIGHT
    return longitudinal, lateral


def action_of(points: Array, speed: float) -> MetaAction:
    """Meta-actions of a future (n, 6), rows as in `Trajectory`, at a speed now, m/s."""
    return driven_action(points[:, 0], points[:, 1:4], np.concatenate([[speed], points[1:, 4]]))


_ASKED = {LateralAction.LEFT_TURN: DrivingAction.LEFT, LateralAction.RIGHT_TURN: DrivingAction.RIGHT}


def as_asked(action: MetaAction, asked: DrivingAction) -> MetaAction:
    """Meta-actions of a path whose driver was asked something: a bend that nobody asked to turn into is the road's."""
    longitudinal, lateral = action
    if lateral in _ASKED and asked not in (_ASKED[lateral], DrivingAction.UNKNOWN):
        return longitudinal, LateralAction.STRAIGHT
    return action


def planned_action(plan: Trajectory | None, stamp: Stamp, speed: float, asked: DrivingAction) -> MetaAction | None:
    """Meta-actions of the plan in force; None without one, or where it is older than `IN_FORCE` or of the future.

    Args:
        plan: The newest future to be driven.
        stamp: Now.
        speed: Of the ego now, m/s.
        asked: What the command asks for (`as_asked`).
    """
    if plan is None or not 0.0 <= seconds_between(plan.stamp, stamp) <= IN_FORCE:
        return None
    return as_asked(action_of(plan.points, speed), asked)
