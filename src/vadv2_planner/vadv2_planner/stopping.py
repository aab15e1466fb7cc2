"""A future that goes too far, brought to rest where it has to: the same way, slower.

Where every future goes past a red light, the one that goes least far is still too far; taken again and again it creeps
over the line. Where every future meets somebody, the one that does so last is mostly the fastest. And where it was told
to stop, none of them may know.
"""

from __future__ import annotations

import math

import numpy as np

from vadv2_core.geometry import Array
from vadv2_core.trajectory import PLAN_RATE_HZ
from vadv2_planner.motion import motion_from_positions

COMFORTABLE = 2.5
"""m/s², the braking that it takes where there is room for no harder one."""
_BEGINS = 0.98
"""Share of it from which on it brakes."""
_HARDEST = 8.0
"""m/s², the braking of who has no room left: a plan that stops at once is none, and would be withheld."""
_DT = 1.0 / PLAN_RATE_HZ


def _room_for(left: float, v: float) -> float:
    """The fastest, m/s, that one may be after the next step without having to brake harder afterwards."""
    # v' with 0.5 (v + v') dt + v'^2 / (2 b) = left
    b = COMFORTABLE
    return b * (math.sqrt(max((0.5 * _DT) ** 2 + (2.0 * left - v * _DT) / b, 0.0)) - 0.5 * _DT)


def eased(distance: float, speed: float) -> float:
    """Within how many m to come to rest: the distance, or what comfortable braking takes."""
    return max(distance, speed**2 / (2.0 * COMFORTABLE), 0.0)


def stopped_within(points: Array, within: float, speed: float) -> Array:
    """Points (n, 6) [t, x, y, yaw, v, a] of a future at 10 Hz that comes to rest within so many metres, or as it can.

    Its speed is its own, but never more than braking evenly leaves for what is left of the way.

    Args:
        points: Likewise, in base_link; finite.
        within: m from here, at least 0.
        speed: Of the ego now, m/s.
    """
    way = np.concatenate([np.zeros((1, 2)), points[:, 1:3]])
    along = np.concatenate([[0.0], np.hypot(*np.diff(way, axis=0).T).cumsum()])
    v, s, driven = max(speed, 0.0), 0.0, np.empty(len(points))
    for i, wanted in enumerate(points[:, 4].tolist()):
        # Even braking stays what it was when it began; before that there is room to go on as it would.
        needed = min(v * v / (2.0 * max(within - s, 1e-6)), _HARDEST)
        slower = v - needed * _DT if needed > _BEGINS * COMFORTABLE else _room_for(within - s, v)
        slower = max(min(wanted, slower), 0.0)
        s += 0.5 * (v + slower) * _DT
        v, driven[i] = slower, s
    positions = np.stack([np.interp(driven, along, way[:, k]) for k in (0, 1)], axis=-1)
    return motion_from_positions(positions, speed, len(points) * _DT)
