"""Meta-actions of a driven or planned path, and what a text argues for."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from vadv2_core.language.sentences import parse_text
from vadv2_core.language.statements import ActionStatement, DecisionStatement
from vadv2_core.taxonomy import LateralAction, LongitudinalAction

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

Action = tuple[LongitudinalAction, LateralAction]


def driven_longitudinal(times: ArrayLike, speeds: ArrayLike) -> LongitudinalAction:
    """What the speeds (n,), m/s, at ``times`` (n,), s from now and rising, come to within `HORIZON`."""
    t, v = np.asarray(times, dtype=np.float64), np.asarray(speeds, dtype=np.float64)
    end = int(np.searchsorted(t, HORIZON + 1e-9) - 1)
    change = v[end] - v[0]
    if v[end] < STOP_SPEED and (change < -0.5 or v[0] < STOP_SPEED):
        return LongitudinalAction.STOP
    if abs(change) < SPEED_CHANGE:
        return LongitudinalAction.KEEP
    return LongitudinalAction.ACCELERATE if change > 0.0 else LongitudinalAction.DECELERATE


def driven_action(times: ArrayLike, poses: ArrayLike, speeds: ArrayLike) -> Action:
    """Meta-actions of a path whose map is not known: the lateral one is what the bend alone suggests.

    A road that bends is taken for a turn; `vadv2_eval.reasoning.road_action.action_on_road` is for a path on a map.

    Args:
        times: (n,) s from now, rising.
        poses: (n, 3) x, y, yaw in base_link now.
        speeds: (n,) m/s, the first the present one.
    """
    t, p = np.asarray(times, dtype=np.float64), np.asarray(poses, dtype=np.float64)
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
    return driven_longitudinal(times, speeds), lateral


def argued_action(trace: str) -> Action | None:
    """What a trace comes to: its last sentence about what to do, as parsed; None where it comes to nothing."""
    statements, _ = parse_text(trace)
    acts = [s for s in statements if isinstance(s, (ActionStatement, DecisionStatement))]
    return (acts[-1].longitudinal, acts[-1].lateral) if acts else None
