"""From sixteen regressed waypoints to a motion at 10 Hz whose speeds and accelerations are its own derivatives.

A waypoint every half second says little about acceleration: two centimetres of regression noise are half a m/s^2. So
the emitted motion is the curve of least jerk near the waypoints that begins with the ego's present velocity and
acceleration (a smoothing spline in the sense of Reinsch 1967 on a 10 Hz grid). It is linear in the waypoints and in
the present motion, so that it is three constant matrices and training goes through it.

base_link is the rear axle, and a rear axle moves where it points: yaw is the direction of motion, held at rest.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from vadv2_core.ego import EgoState
from vadv2_core.geometry import Array
from vadv2_core.trajectory import PLAN_POINTS, PLAN_RATE_HZ

KNOTS = 16
"""Waypoints of an anchor: every 0.5 s for 8 s."""
KNOT_INTERVAL = 0.5
"""Seconds between waypoints."""
JERK_WEIGHT = 0.0002
"""s^6: motion faster than about 5 rad/s is taken for noise of the waypoints."""
_STANDS = 0.5
"""m/s, up to which the ego counts as at rest."""
REST_SPEED = 1.0
"""m/s: well below it the direction of motion is held rather than followed."""


@lru_cache(maxsize=8)
def motion_matrices(knots: int = KNOTS, points: int = PLAN_POINTS) -> tuple[Array, Array, Array]:
    """The smoother as matrices: positions = A @ waypoints + bv * velocity + ba * acceleration, each axis by itself.

    Returns:
        A (points, knots), bv (points,) s, ba (points,) s^2. Waypoints are at 0.5 s, points at 0.1 s, first at one
        interval; the position at time zero is the origin.
    """
    dt = 1.0 / PLAN_RATE_HZ
    at_knots = np.zeros((knots, points))
    at_knots[np.arange(knots), (np.arange(1, knots + 1) * round(KNOT_INTERVAL / dt)) - 1] = 1.0
    # Third differences over [p(-2dt), p(-dt), p(0), p(dt), ...]; the first three follow from the present motion.
    rows = points
    difference = np.zeros((rows, points + 3))
    for i in range(rows):
        difference[i, i : i + 4] = np.array([-1.0, 3.0, -3.0, 1.0]) / dt**3
    past_velocity = np.array([-2.0 * dt, -dt, 0.0])
    past_acceleration = np.array([2.0 * dt**2, 0.5 * dt**2, 0.0])
    jerk = difference[:, 3:]
    weight = JERK_WEIGHT * dt / KNOT_INTERVAL
    normal = at_knots.T @ at_knots + weight * jerk.T @ jerk
    solve = np.linalg.solve(normal, np.concatenate([at_knots.T, -weight * jerk.T @ difference[:, :3]], axis=1))
    a, past = solve[:, :knots], solve[:, knots:]
    return a, past @ past_velocity, past @ past_acceleration


def positions_from_waypoints(waypoints: Array, velocity: Array, acceleration: Array) -> Array:
    """Waypoints (..., k, 2) at 0.5 s to positions (..., 5k, 2) at 10 Hz.

    Args:
        waypoints: base_link at the stamp, m.
        velocity: (2,) or (..., 2) of the ego now, m/s.
        acceleration: Likewise, m/s^2, centripetal part included.
    """
    a, bv, ba = motion_matrices(waypoints.shape[-2], 5 * waypoints.shape[-2])
    return np.asarray(
        a @ waypoints + bv[:, None] * np.asarray(velocity)[..., None, :] + ba[:, None] * acceleration[..., None, :]
    )


def present_motion(ego: EgoState) -> tuple[Array, Array]:
    """Velocity and acceleration (2,) at the rear axle as the motion begins: no slip, centripetal from the yaw rate."""
    v = max(ego.speed, 0.0)
    limited = float(np.clip(ego.acceleration[0], -8.0, 4.0))
    # At rest an accelerometer still shows a slope; a motion must not begin with it.
    longitudinal = limited if v > _STANDS else 0.0
    lateral = float(np.clip(v * ego.yaw_rate, -6.0, 6.0))
    return np.array([v, 0.0]), np.array([longitudinal, lateral])


def _rested(p: Array) -> tuple[Array, Array]:
    """Positions (..., n, 2) without going back, and the direction (..., n, 2) of motion along them.

    A smooth curve through waypoints of a stop overshoots it by centimetres and returns; a vehicle that has stopped
    stays. The direction follows the motion as far as its speed can be trusted to have one.
    """
    dt = 1.0 / PLAN_RATE_HZ
    out, directions = np.empty_like(p), np.empty_like(p)
    direction: Array = np.zeros((*p.shape[:-2], 2))
    direction[..., 0] = 1.0
    last, raw = np.zeros_like(direction), np.zeros_like(direction)
    progress: Array = np.zeros(p.shape[:-2])
    farthest: Array = np.zeros(p.shape[:-2])
    for i in range(p.shape[-2]):
        step = p[..., i, :] - raw
        raw = p[..., i, :]
        along_way = (step * direction).sum(-1)
        progress = progress + along_way
        # What was held back is not made up for by a leap: only the part of a step beyond the farthest point is gone.
        gained = np.maximum(progress - farthest, 0.0)
        farthest = farthest + gained
        step = step * np.clip(gained / np.maximum(along_way, 1e-9), 0.0, 1.0)[..., None]
        here = last + step
        length = np.hypot(step[..., 0], step[..., 1])[..., None]
        trust = length**2 / (length**2 + (REST_SPEED * dt) ** 2)
        along = (1.0 - trust) * direction + trust * step / np.maximum(length, 1e-9)
        direction = along / np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-9)[..., None]
        out[..., i, :], directions[..., i, :] = here, direction
        last = here
    return out, directions


def motion_from_positions(positions: Array, speed: float, horizon: float) -> Array:
    """Positions (..., n, 2) at 10 Hz, from 0.1 s on, to points (..., m, 6) [t, x, y, yaw, v, a].

    Yaw, v and a are derivatives of the positions (central differences); v is not negative, and neither is the way.

    Args:
        positions: base_link at the stamp, m.
        speed: Of the ego now, m/s.
        horizon: Seconds to emit, 0.1 .. n / 10.
    """
    dt = 1.0 / PLAN_RATE_HZ
    p, direction = _rested(np.asarray(positions, dtype=np.float64))
    n = p.shape[-2]
    whole = np.concatenate([np.zeros((*p.shape[:-2], 1, 2)), p], axis=-2)
    velocity = np.empty_like(p)
    velocity[..., :-1, :] = (whole[..., 2:, :] - whole[..., :-2, :]) / (2.0 * dt)
    velocity[..., -1, :] = (1.5 * whole[..., -1, :] - 2.0 * whole[..., -2, :] + 0.5 * whole[..., -3, :]) / dt
    v = np.hypot(velocity[..., 0], velocity[..., 1])
    # A step looks back half an interval; between two steps the direction is their mean.
    beyond = 2.0 * direction[..., -1:, :] - direction[..., -2:-1, :]
    ahead = np.concatenate([direction[..., 1:, :], beyond], axis=-2)
    middle = direction + ahead
    yaw = np.arctan2(middle[..., 1], middle[..., 0])
    speeds = np.concatenate([np.full((*v.shape[:-1], 1), max(speed, 0.0)), v], axis=-1)
    a = np.empty_like(v)
    a[..., :-1] = (speeds[..., 2:] - speeds[..., :-2]) / (2.0 * dt)
    a[..., -1] = (speeds[..., -1] - speeds[..., -2]) / dt
    t = np.broadcast_to(dt * np.arange(1, n + 1), v.shape)
    points = np.stack([t, p[..., 0], p[..., 1], np.unwrap(yaw, axis=-1), v, a], axis=-1)
    return np.asarray(points[..., : round(horizon * PLAN_RATE_HZ), :])
