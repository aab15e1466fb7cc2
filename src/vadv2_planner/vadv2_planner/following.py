"""A future beyond what the vehicle can do, as the vehicle would drive it: the same way, as fast as it can.

A network's futures are drawn by positions, and a good one may ask for a little too much: to start at 4 m/s², to stop
from 9 m/s in four metres. To withhold it is worse than to drive what is possible of it: what is allowed next is to stay
standing, or not to brake. So the vehicle's own bicycle follows it within the bounds of the validator, by pure
pursuit (Coulter 1992) and by the future's speeds, and what comes of that is held to the validator again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vadv2_core.ego import EgoState
from vadv2_core.geometry import Array
from vadv2_core.trajectory import PLAN_RATE_HZ
from vadv2_core.vehicle import VehicleConfig
from vadv2_planner.config import ValidatorConfig
from vadv2_planner.motion import motion_from_positions

_DT = 1.0 / PLAN_RATE_HZ
_MARGIN = 0.95
"""Share of every bound that is used: the validator reads differences of positions."""
_LOOKAHEAD, _LOOKAHEAD_TIME = 3.0, 0.6
"""Shortest lookahead m, and how much longer it is a m/s."""
_SOON = 30
"""Points, 3 s, in which what is driven must still be what was asked."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a followed future stays within: the vehicle's limits, or the validator's where they are stricter.

    Attributes:
        acceleration: m/s².
        braking: m/s².
        jerk: m/s³.
        curvature: 1/m.
        lateral: m/s² sideways.
        lateral_jerk: m/s³ sideways.
        curvature_rate: 1/(m s), of the steering.
    """

    acceleration: float
    braking: float
    jerk: float
    curvature: float
    lateral: float
    lateral_jerk: float
    curvature_rate: float


def bounds_of(config: ValidatorConfig, vehicle: VehicleConfig) -> Bounds:
    """The stricter of both, with a margin."""
    return Bounds(
        acceleration=_MARGIN * min(config.max_acceleration, vehicle.max_acceleration),
        braking=_MARGIN * min(config.max_deceleration, vehicle.max_deceleration),
        jerk=_MARGIN * min(config.max_jerk, vehicle.max_emergency_jerk),
        curvature=_MARGIN * min(config.max_curvature, math.tan(vehicle.max_steering_angle) / vehicle.wheel_base),
        lateral=_MARGIN * min(config.max_lateral_acceleration, vehicle.max_lateral_acceleration),
        lateral_jerk=0.5 * config.max_lateral_jerk,
        curvature_rate=_MARGIN * vehicle.max_steering_rate / vehicle.wheel_base,
    )


class _Way:
    """The line of a future, straight on beyond its end; read forwards only."""

    def __init__(self, points: Array) -> None:
        line = np.concatenate([np.zeros((1, 2)), points[:, 1:3]])
        yaw = float(points[-1, 3])
        end = line[-1] + 200.0 * np.array([math.cos(yaw), math.sin(yaw)])
        line = np.concatenate([line, end[None]])
        keep = np.concatenate([[True], np.hypot(*np.diff(line, axis=0).T) > 1e-3])
        self.line = line[keep]
        self.along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(self.line, axis=0).T))])
        self._s = 0.0

    def ahead(self, x: float, y: float, step: float, distance: float) -> tuple[float, float, float]:
        """The point so far beyond the line's nearest to a place, a step on from the last, and how near that is."""
        near = np.linspace(self._s, self._s + 2.0 * step + 1.0, 13)
        px, py = np.interp(near, self.along, self.line[:, 0]), np.interp(near, self.along, self.line[:, 1])
        apart = np.hypot(px - x, py - y)
        self._s = float(near[apart.argmin()])
        s = self._s + distance
        tx, ty = np.interp(s, self.along, self.line[:, 0]), np.interp(s, self.along, self.line[:, 1])
        return float(tx), float(ty), float(apart.min())


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def followed(points: Array, ego: EgoState, bounds: Bounds) -> tuple[Array, float]:
    """Points (n, 6) [t, x, y, yaw, v, a] of a future at 10 Hz, as a vehicle within the bounds would drive it.

    Args:
        points: Likewise, in base_link at the stamp; finite.
        ego: At the stamp.
        bounds: Of `bounds_of`.

    Returns:
        The points, and the largest distance m from the asked line within the first 3 s: much of it, and the future was
        no future of this vehicle.
    """
    way = _Way(points)
    x = y = yaw = 0.0
    v = max(ego.speed, 0.0)
    a = _clip(ego.acceleration[0], -bounds.braking, bounds.acceleration) if v > 1.0 else 0.0
    bend = _clip(ego.yaw_rate / v, -bounds.curvature, bounds.curvature) if v > 1.0 else 0.0
    out, aside = np.empty((len(points), 2)), 0.0
    for i, wanted in enumerate(points[:, 4].tolist()):
        asked = _clip((wanted - v) / _DT, -bounds.braking, bounds.acceleration)
        a = _clip(asked, a - bounds.jerk * _DT, a + bounds.jerk * _DT)
        faster = max(v + a * _DT, 0.0)
        # Brakes let go at once where the vehicle comes to rest.
        a = a if faster > 0.0 else 0.0
        distance = _LOOKAHEAD + _LOOKAHEAD_TIME * v
        tx, ty, apart = way.ahead(x, y, v * _DT, distance)
        aside = max(aside, apart) if i < _SOON else aside
        dx, dy = tx - x, ty - y
        side = -math.sin(yaw) * dx + math.cos(yaw) * dy
        square = max(v * v, 1.0)
        most = min(bounds.curvature, bounds.lateral / square)
        rate = min(bounds.curvature_rate, bounds.lateral_jerk / square) * _DT
        bend = _clip(_clip(2.0 * side / max(dx * dx + dy * dy, 1e-6), -most, most), bend - rate, bend + rate)
        step = 0.5 * (v + faster) * _DT
        turn = bend * step
        x, y = x + step * math.cos(yaw + 0.5 * turn), y + step * math.sin(yaw + 0.5 * turn)
        yaw, v = yaw + turn, faster
        out[i] = x, y
    return motion_from_positions(out, ego.speed, len(points) * _DT), aside
