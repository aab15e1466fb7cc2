"""The tracker and the bicycle that turn a path into simulated states (spec PDMS, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from vadv2_core.geometry import Array, wrap_angle
from vadv2_eval.pdms.scene import PACIFICA, SIMULATION_DT, EgoStart, ScoredVehicle

X, Y, HEADING, VX, VY, AX, AY, STEERING, STEERING_RATE, YAW_RATE, YAW_ACCELERATION = range(11)
"""Columns of a simulated state."""
STATE_SIZE = 11

SPEED_PENALTY = 1e-4
CURVATURE_PENALTY = 1e-10
CURVATURE_RATE_PENALTY = 1e-2
LOOK_AHEAD = 10
STOPPING_SPEED = 0.2
STOPPING_GAIN = 0.5
SPEED_COST = 10.0
LATERAL_COST = (1.0, 10.0)
ACCELERATION_LAG = 0.2
STEERING_LAG = 0.05
MAX_STEERING = np.pi / 3.0


@dataclass(frozen=True, slots=True)
class Rollout:
    """Simulated proposals.

    Attributes:
        paths: (p, n + 1, 3) what was tracked.
        speeds: (p, n) fitted speed profile, m/s.
        curvatures: (p, n) fitted curvature profile, 1/m.
        states: (p, n + 1, 11) simulated states, columns as the constants of this module.
    """

    paths: Array
    speeds: Array
    curvatures: Array
    states: Array


@lru_cache(maxsize=8)
def _speed_fit(count: int) -> Array:
    """(count, count) matrix that takes displacements along the heading to fitted speeds.

    Unknowns are v_0 and count - 1 accelerations. cos^2 + sin^2 = 1 makes the normal matrix the same for every path.
    The penalty keeps NAVSIM's slip (its issues 52 and 136): not differences, but -a_r, and one difference at the end.
    """
    dt = SIMULATION_DT
    speeds = np.tril(np.full((count, count), dt), k=0)
    speeds[:, 0] = 1.0
    penalty = np.zeros((max(count - 2, 0), count))
    for row in range(count - 2):
        penalty[row, 1 + row] = -1.0
    if count > 2:
        penalty[-1, -1] = 1.0
    normal = dt**2 * speeds.T @ speeds + SPEED_PENALTY * penalty.T @ penalty
    return np.asarray(speeds @ np.linalg.pinv(normal, rcond=1e-15) @ (dt * speeds.T))


def speed_profile(paths: ArrayLike) -> Array:
    """Fitted speeds (p, n) of paths (p, n + 1, 3)."""
    path = np.asarray(paths, dtype=np.float64)
    d = np.diff(path[:, :, :2], axis=1)
    heading = path[:, :-1, 2]
    along = d[:, :, 0] * np.cos(heading) + d[:, :, 1] * np.sin(heading)
    return np.asarray(along @ _speed_fit(path.shape[1] - 1).T)


def curvature_profile(paths: ArrayLike, speeds: ArrayLike) -> Array:
    """Fitted curvatures (p, n) of paths (p, n + 1, 3) driven at fitted speeds (p, n).

    In curvatures, instead of one curvature and its rates, the normal matrix is tridiagonal: w_k = (v_k dt)^2 on the
    diagonal and the second difference of the rate penalty. The elimination carries the row excess over that second
    difference, so nothing cancels when the speeds are almost zero.
    """
    path, v = np.asarray(paths, dtype=np.float64), np.asarray(speeds, dtype=np.float64)
    turned = np.diff(path[:, :, 2], axis=1)
    turned = (turned + np.pi) % (2.0 * np.pi) - np.pi
    moved = (v * SIMULATION_DT).T
    right = moved * turned.T
    weight = moved**2
    weight[0] += CURVATURE_PENALTY
    tie = CURVATURE_RATE_PENALTY / SIMULATION_DT**2
    n = len(weight)
    excess, value = weight, right
    for k in range(1, n):
        share = tie / (tie + excess[k - 1])
        excess[k] += excess[k - 1] * share
        value[k] += value[k - 1] * share
    value[n - 1] /= excess[n - 1]
    for k in range(n - 2, -1, -1):
        value[k] = (value[k] + tie * value[k + 1]) / (tie + excess[k])
    return np.asarray(value.T)


def _steering_rate(
    lateral: Array, heading: Array, steering: Array, preview: Array, curvature: Array, base: float
) -> Array:
    """One-step LQR over the look-ahead with a constant steering rate.

    Args:
        lateral: (p,) error now, m.
        heading: (p,) error now, rad.
        steering: (p,) tyre angle now, rad.
        preview: (look-ahead, p) speeds.
        curvature: (look-ahead, p) of the path ahead.
        base: Wheel base, m.
    """
    dt = SIMULATION_DT
    moved = preview * dt
    turn = moved / base
    bend = moved * curvature
    step = (np.arange(len(moved)) * dt)[:, None]
    # The chain of affine steps summed up: errors at the end = free response + gain * steering rate.
    free = np.cumsum(turn * steering - bend, axis=0)
    gain = np.cumsum(turn * step, axis=0)
    free_heading = heading + free[-1]
    free_lateral = lateral + moved[0] * heading + (moved[1:] * (heading + free[:-1])).sum(axis=0)
    gain_heading = gain[-1]
    gain_lateral = (moved[1:] * gain[:-1]).sum(axis=0)
    q_lateral, q_heading = LATERAL_COST
    pull = gain_lateral * q_lateral * free_lateral + gain_heading * q_heading * wrap_angle(free_heading)
    return np.asarray(-pull / (q_lateral * gain_lateral**2 + q_heading * gain_heading**2 + 1.0))


def simulate(paths: Array, ego: EgoStart, vehicle: ScoredVehicle = PACIFICA) -> Rollout:
    """Track paths (p, n + 1, 3) from one ego state with NAVSIM's LQR and its kinematic bicycle, in steps of 0.1 s."""
    dt = SIMULATION_DT
    count, steps = paths.shape[0], paths.shape[1] - 1
    speeds = speed_profile(paths)
    curvatures = curvature_profile(paths, speeds)
    v_of, k_of = np.ascontiguousarray(speeds.T), np.ascontiguousarray(curvatures.T)
    path = np.ascontiguousarray(np.moveaxis(paths, 0, -1))
    states = np.zeros((steps + 1, STATE_SIZE, count))
    states[0, [X, Y, HEADING]] = np.asarray(ego.rear_axle)[:, None]
    states[0, [VX, VY]] = np.asarray(ego.velocity)[:, None]
    states[0, [AX, AY]] = np.asarray(ego.acceleration)[:, None]
    horizon = LOOK_AHEAD * dt
    speed_gain = SPEED_COST * horizon / (SPEED_COST * horizon**2 + 1.0)
    ahead = np.arange(LOOK_AHEAD)
    for i in range(steps):
        now, after = states[i], states[i + 1]
        last = min(i + LOOK_AHEAD, steps - 1)
        error = now[VX] - v_of[last]
        stopping = (v_of[last] <= STOPPING_SPEED) & (now[VX] <= STOPPING_SPEED)
        command = np.where(stopping, -STOPPING_GAIN * error, -speed_gain * error)
        sin_ref, cos_ref = np.sin(path[i, 2]), np.cos(path[i, 2])
        lateral = -(now[X] - path[i, 0]) * sin_ref + (now[Y] - path[i, 1]) * cos_ref
        heading = wrap_angle(now[HEADING] - path[i, 2])
        preview = now[VX] + (ahead * dt)[:, None] * command
        bends = k_of[np.minimum(i + ahead, last)]
        rate = _steering_rate(lateral, heading, now[STEERING], preview, bends, vehicle.wheel_base)
        rate = np.where(stopping, 0.0, rate)
        after[AX] = now[AX] + dt / (dt + ACCELERATION_LAG) * (command - now[AX])
        moved = dt / (dt + STEERING_LAG) * (rate * dt)
        after[STEERING] = np.clip(now[STEERING] + moved, -MAX_STEERING, MAX_STEERING)
        after[STEERING_RATE] = moved / dt
        after[X] = now[X] + dt * now[VX] * np.cos(now[HEADING])
        after[Y] = now[Y] + dt * now[VX] * np.sin(now[HEADING])
        after[HEADING] = wrap_angle(now[HEADING] + dt * now[VX] * np.tan(now[STEERING]) / vehicle.wheel_base)
        after[VX] = now[VX] + dt * after[AX]
        after[YAW_RATE] = after[VX] * np.tan(after[STEERING]) / vehicle.wheel_base
        after[YAW_ACCELERATION] = (after[YAW_RATE] - now[YAW_RATE]) / dt
    return Rollout(paths, speeds, curvatures, np.moveaxis(states, -1, 0))
