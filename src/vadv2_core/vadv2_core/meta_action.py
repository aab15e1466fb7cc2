"""Meta-actions of a driven or planned path: what it comes to in two words, by Senna's rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.taxonomy import LateralAction, LongitudinalAction
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

MetaAction = tuple[LongitudinalAction, LateralAction]


def driven_action(times: ArrayLike, poses: ArrayLike, speeds: ArrayLike) -> MetaAction:
    """Meta-actions of a path.

    Args:
        times: (n,) s from now, rising.
        poses: (n, 3) x, y, yaw in base_link now.
        speeds: (n,) m/s, the first the present one.
    """
    t, p, v = (np.asarray(a, dtype=np.float64) for a in (times, poses, speeds))
    end = int(np.searchsorted(t, HORIZON + 1e-9) - 1)
    change = v[end] - v[0]
    if v[end] < STOP_SPEED and (change < -0.5 or v[0] < STOP_SPEED):
        longitudinal = LongitudinalAction.STOP
    elif abs(change) < SPEED_CHANGE:
        longitudinal = LongitudinalAction.KEEP
    else:
        longitudinal = LongitudinalAction.ACCELERATE if change > 0.0 else LongitudinalAction.DECELERATE
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


def planned_action(plan: Trajectory | None, stamp: Stamp, speed: float) -> MetaAction | None:
    """Meta-actions of the plan in force; None without one, or where it is older than `IN_FORCE` or of the future.

    Args:
        plan: The newest future to be driven.
        stamp: Now.
        speed: Of the ego now, m/s.
    """
    if plan is None or not 0.0 <= seconds_between(plan.stamp, stamp) <= IN_FORCE:
        return None
    points = plan.points
    return driven_action(points[:, 0], points[:, 1:4], np.concatenate([[speed], points[1:, 4]]))
