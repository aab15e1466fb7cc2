"""Speeds along the way: limits, bends, things ahead and closed gates, as many profiles at once as there are candidates.

Following is the intelligent driver model (Treiber, Hennecke, Helbing 2000) with a bound on jerk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array
from vadv2_sim.expert.config import ExpertConfig
from vadv2_sim.expert.motion import TIMES, Movers

DT = 0.2
"""Step of a profile, s."""
STEPS = 40
CLOCK = np.arange(STEPS) * DT
STEERING_RATE, WHEEL_BASE = 0.42, 2.7
"""Steering asked for in bends, rad/s, of a car with this wheel base, m."""
HARD = 7.0
"""Hardest braking, m/s^2."""


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What may hold the ego, one row each: things first, closed gates after.

    Attributes:
        low: (n, steps) where the row begins along the path, m.
        speed: (n, steps) of the row along the path, m/s.
        active: (candidates, n, steps) whether it holds a candidate at a step.
        gap: (n,) distance kept at standstill, m.
        headway: (n,) s.
    """

    low: Array
    speed: Array
    active: NDArray[np.bool_]
    gap: Array
    headway: Array


@dataclass(frozen=True, slots=True)
class Profiles:
    """Motions of the candidates; arrays are (candidates, steps + 1), the first column now.

    Attributes:
        s: Distance of base_link along the path, m.
        v: m/s.
        a: m/s^2.
        held: (candidates,) row of `Obstacles` that asks for the hardest braking over the next 3 s; -1 for none.
        demand: (candidates,) that braking, m/s^2.
    """

    s: Array
    v: Array
    a: Array
    held: NDArray[np.int64]
    demand: Array


def over_time(values: Array) -> Array:
    """Predicted values (n, times) at every step (n, steps)."""
    if not len(values):
        return np.zeros((0, STEPS))
    right = np.clip(np.searchsorted(TIMES, CLOCK, side="right"), 1, len(TIMES) - 1)
    w = (CLOCK - TIMES[right - 1]) / (TIMES[right] - TIMES[right - 1])
    return np.asarray(values[:, right - 1] * (1 - w) + values[:, right] * w)


def soon(flags: NDArray[np.bool_], seconds: Array) -> NDArray[np.bool_]:
    """Flags (candidates, n, steps) that are also true up to ``seconds`` (n,) before they become true."""
    out = flags.copy()
    for k in range(1, int(seconds.max(initial=0.0) / DT) + 1):
        early = seconds >= k * DT - 1e-9
        out[:, early, :-k] |= flags[:, early, k:]
    return out


def speed_limits(along: Array, curvature: Array, limit: Array, config: ExpertConfig) -> Array:
    """Highest speed (n,) along a path that bends and limits allow, with braking before them in time."""
    # A bend counts a little before and behind its sharpest point, where smoothing has flattened it.
    sharp = np.abs(curvature)
    sharp = np.maximum.reduce([sharp, np.roll(sharp, 1), np.roll(sharp, -1)])
    bend = np.sqrt(config.lateral_acceleration / np.maximum(sharp, 1e-4))
    turning = np.abs(np.gradient(curvature, along))
    turning = np.maximum(turning, np.roll(turning, -1))
    steering = STEERING_RATE / (WHEEL_BASE * np.maximum(turning, 1e-4))
    v = np.minimum(limit * config.speed_share, np.maximum(np.minimum(bend, steering), 2.6))
    # Backwards: v^2 may grow by 2 a ds a step; a running minimum of v^2 + 2 a s does it at once.
    shifted = np.minimum.accumulate((v * v + 2 * 1.4 * along)[::-1])[::-1] - 2 * 1.4 * along
    return np.asarray(np.sqrt(np.maximum(np.minimum(v * v, shifted), 0.25)))


def drive(
    start: tuple[float, float, float],
    front: float,
    along: Array,
    limits: Array,
    obstacles: Obstacles,
    config: ExpertConfig,
    floor: Array | None = None,
) -> Profiles:
    """Drive every candidate for 8 s.

    Args:
        start: Distance along the path, speed and acceleration now.
        front: base_link to the front bumper, m.
        along: (m,) distances of the path's points.
        limits: (candidates, m) highest speeds there.
        obstacles: What holds them.
        config: Manner.
        floor: (candidates,) acceleration that is not exceeded (braking variants); None for none.
    """
    count = len(limits)
    s, v, a = (np.full(count, value) for value in start)
    out = np.empty((3, count, STEPS + 1))
    out[:, :, 0] = s, v, a
    held: NDArray[np.int64] = np.full(count, -1, dtype=np.int64)
    demand: Array = np.zeros(count)
    spacing = along[-1] / (len(along) - 1)
    # Spacing differs by a few centimetres where corners were cut; limits vary far more slowly.
    root = 2 * np.sqrt(config.acceleration * config.deceleration)
    rows = np.arange(count)
    top = limits.shape[1] - 1
    kept = np.flatnonzero(obstacles.active.any(axis=(0, 2)))
    lows, speeds = obstacles.low[kept], obstacles.speed[kept]
    gap0, headway = obstacles.gap[kept], obstacles.headway[kept]
    idle = np.where(obstacles.active[:, kept], 0.0, np.inf)
    for k in range(STEPS):
        at = np.minimum((s + 0.5 * v + 0.5) / spacing, top - 1e-6)
        low = at.astype(np.int64)
        w = at - low
        wanted = limits[rows, low] * (1 - w) + limits[rows, low + 1] * w
        wish = np.minimum(np.maximum((wanted - v) / 0.9, -config.deceleration), config.acceleration)
        if len(kept):
            other = speeds[:, k]
            gap = lows[:, k] - (s + front)[:, None]
            speed = v[:, None]
            closing = speed - other
            desired = gap0 + np.maximum(0.0, speed * (headway + closing / root))
            hold = config.acceleration * (1.0 - (desired / np.maximum(gap, 0.2)) ** 2)
            # Where the gap is shorter than wanted but widening, coast instead of braking for the textbook distance.
            over = np.where(closing > 0.0, speed - np.maximum(other, 0.0), 0.0)
            need = -(over * over) / (2 * np.maximum(gap - 0.5 * gap0, 0.3))
            close = np.maximum(1.0 - np.maximum(gap, 0.0) / np.maximum(0.8 * speed, 0.5), 0.0)
            hold = np.maximum(hold, np.minimum(need * 1.8 - 0.9 - 4.0 * close, -0.2))
            hold = np.where(gap < 0.4 * gap0, np.minimum(hold, -1.5), hold) + idle[:, :, k]
            worst = hold.argmin(axis=1)
            least = hold[rows, worst]
            wish = np.minimum(wish, least)
            if k * DT < 3.0:
                harder = least < demand
                held = np.where(harder, kept[worst], held)
                demand = np.where(harder, least, demand)
        if floor is not None:
            wish = np.minimum(wish, floor)
        wish = np.maximum(wish, -HARD)
        jerk = np.where(wish < -3.0, 20.0, np.where(wish < -1.5, 12.0, config.jerk)) * DT
        a = np.minimum(np.maximum(wish, a - jerk), a + np.maximum(config.jerk * DT, jerk * 0.5))
        after = np.maximum(v + a * DT, 0.0)
        a = (after - v) / DT
        s, v = s + 0.5 * (v + after) * DT, after
        out[:, :, k + 1] = s, v, a
    return Profiles(out[0], out[1], out[2], held, demand)


def holds(movers: Movers, offsets: Array, along: Array, half_width: float, room: Array) -> NDArray[np.bool_]:
    """Which others (candidates, n, steps) overlap a candidate's corridor; ``room`` (n,) is kept beside them."""
    n = len(movers.agents)
    if not n:
        return np.zeros((len(offsets), 0, STEPS), dtype=bool)
    low, high = over_time(movers.low), over_time(movers.high)
    right, left = over_time(movers.right), over_time(movers.left)
    flags = np.empty((len(offsets), n, STEPS), dtype=bool)
    reach = half_width + room[:, None]
    for c, offset in enumerate(offsets):
        at_low = np.interp(low, along, offset)
        at_high = np.interp(high, along, offset)
        flags[c] = (right < np.maximum(at_low, at_high) + reach) & (left > np.minimum(at_low, at_high) - reach)
    return flags
