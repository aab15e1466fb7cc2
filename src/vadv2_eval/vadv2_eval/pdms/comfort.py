"""Comfort by Savitzky-Golay filtering: v1 C, v2 history comfort, v2 extended comfort (spec PDMS, section 7)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from vadv2_core.geometry import Array
from vadv2_eval.pdms.lqr import AX, AY, HEADING, STATE_SIZE, VX, VY, YAW_ACCELERATION, YAW_RATE, X, Y
from vadv2_eval.pdms.scene import SIMULATION_DT, History, ScoredVehicle

COMFORT_FLAGS = ("lon_acceleration", "lat_acceleration", "jerk_magnitude", "lon_jerk", "yaw_acceleration", "yaw_rate")
BOUNDS = np.array([(-4.05, 2.40), (-4.89, 4.89), (-8.37, 8.37), (-4.13, 4.13), (-1.93, 1.93), (-0.95, 0.95)])
"""Strict lower and upper bound of each flag's signal."""
EXTENDED_FEATURES = ("acceleration", "jerk", "yaw_rate", "yaw_acceleration")
EXTENDED_BOUNDS = np.array([0.7, 0.5, 0.1, 0.1])
"""Largest allowed RMS difference between two frames, inclusive."""
HISTORY_DROPPED = 1
"""The sample at -0.1 s is missing from the history, as in the original."""


@lru_cache(maxsize=128)
def _filter_matrix(count: int, window: int, order: int, derivative: int) -> Array:
    """The filter as a matrix on ``count`` samples (edges fitted to the first and last whole window)."""
    window = min(window, count)
    order = min(order, window - 1)
    if derivative > order:
        return np.zeros((count, count))
    eye = np.eye(count)
    return np.asarray(savgol_filter(eye, window, order, deriv=derivative, delta=SIMULATION_DT, axis=0, mode="interp").T)


def _filtered(signal: Array, window: int, order: int = 2, derivative: int = 0) -> Array:
    return np.round(signal @ _filter_matrix(signal.shape[-1], window, order, derivative), 8)


def _signals(
    acceleration: Array, longitudinal: Array, lateral: Array, heading: Array, windows: tuple[int, int]
) -> Array:
    """(..., 6, n) signals in the order of `COMFORT_FLAGS`; windows of the checked accelerations and of the jerk."""
    checked, jerk = windows
    heading = np.unwrap(heading, axis=-1)
    return np.stack(
        [
            _filtered(longitudinal, checked),
            _filtered(lateral, checked),
            _filtered(_filtered(acceleration, 8), jerk, derivative=1),
            _filtered(_filtered(longitudinal, 8), jerk, derivative=1),
            _filtered(heading, 5, order=3, derivative=2),
            _filtered(heading, 5, derivative=1),
        ],
        axis=-2,
    )


def comfort_signals_v1(states: Array) -> Array:
    """(p, 6, n) v1 signals of states (p, n, 11): one parabola through all accelerations."""
    n = states.shape[1]
    ax, ay = states[..., AX], states[..., AY]
    return _signals(np.hypot(ax, ay), ax, ay, states[..., HEADING], (n, n))


def comfort_signals_v2(states: Array, vehicle: ScoredVehicle) -> Array:
    """(p, 6, n) v2 signals: short windows; accelerations for the axis flags at the box centre."""
    ax, ay = states[..., AX], states[..., AY]
    centre_ax = ax + vehicle.centre_ahead * (states[..., YAW_RATE] ** 2 + states[..., YAW_ACCELERATION])
    return _signals(np.hypot(ax, ay), centre_ax, ay, states[..., HEADING], (8, 15))


def within_bounds(signals: Array) -> NDArray[np.bool_]:
    """(p, 6) flags of signals (p, 6, n)."""
    low, high = BOUNDS[:, 0, None], BOUNDS[:, 1, None]
    return np.asarray(((signals > low) & (signals < high)).all(axis=-1))


def history_states(history: History) -> Array:
    """The human's past as (14, 11) states at -1.5, -1.4 ... -0.2 s; steering and angular quantities are 0."""
    count = round(-history.times[0] / SIMULATION_DT)
    times = history.times[0] + np.arange(count - HISTORY_DROPPED) * SIMULATION_DT
    states = np.zeros((len(times), STATE_SIZE))
    poses = history.poses.copy()
    poses[:, 2] = np.unwrap(poses[:, 2])
    columns = {X: poses[:, 0], Y: poses[:, 1], HEADING: poses[:, 2]}
    columns |= {VX: history.velocities[:, 0], VY: history.velocities[:, 1]}
    columns |= {AX: history.accelerations[:, 0], AY: history.accelerations[:, 1]}
    for column, values in columns.items():
        states[:, column] = np.interp(times, history.times, values)
    return states


def with_history(states: Array, history: History) -> Array:
    """States (p, n, 11) with the human's past put in front of each."""
    past = np.broadcast_to(history_states(history), (len(states), len(history_states(history)), STATE_SIZE))
    return np.concatenate([past, states], axis=1)


def extended_comfort_differences(states: Array, previous: Array, gap: float) -> Array:
    """(p, 4) RMS differences of the features between this frame's states and those of the frame ``gap`` s before.

    Args:
        states: (p, n, 11).
        previous: (p or 1, n, 11).
        gap: Seconds between the frames, above 0 and below 0.55.
    """
    shift = round(gap / SIMULATION_DT)
    now, before = states[:, : states.shape[1] - shift], previous[:, shift:]
    difference = _extended_features(now) - _extended_features(before)
    return np.asarray(np.sqrt(np.mean(difference**2, axis=-1)))


def _extended_features(states: Array) -> Array:
    smooth = _filtered(np.hypot(states[..., AX], states[..., AY]), 8)
    heading = np.unwrap(states[..., HEADING], axis=-1)
    features = [
        smooth,
        _filtered(smooth, 15, derivative=1),
        _filtered(heading, 5, derivative=1),
        _filtered(heading, 5, derivative=2),
    ]
    return np.stack(features, axis=-2)
