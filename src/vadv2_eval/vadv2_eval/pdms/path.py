"""From planned poses to the 10 Hz path that the tracker follows (spec PDMS, section 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, wrap_angle
from vadv2_eval.pdms.scene import SIMULATION_DT


def reference_paths(poses: ArrayLike, dt: float, start: ArrayLike, steps: int) -> Array:
    """World paths at 10 Hz of planned poses.

    Args:
        poses: (p, n, 3) x, y, heading relative to the ego's rear axle at t = 0, the first at t = dt.
        dt: Seconds between poses.
        start: (3,) rear axle in the world at t = 0; put in front of every path.
        steps: Steps of 0.1 s after t = 0.

    Returns:
        (p, steps + 1, 3). Headings are unwrapped, interpolated linearly like x and y, then wrapped to [-pi, pi); a plan
        shorter than the horizon is held at its last pose.

    Raises:
        InputError: for an empty plan, a wrong shape, a dt that is not above zero, or a pose that is not finite.
    """
    p = np.asarray(poses, dtype=np.float64)
    if p.ndim != 3 or p.shape[1] < 1 or p.shape[2] != 3:
        raise InputError(f"has the shape {p.shape}", "poses", "(proposals, poses, 3) with at least one pose")
    if not dt > 0.0:
        raise InputError(f"is {dt}", "dt", "seconds above 0")
    if not np.isfinite(p).all():
        bad = np.argwhere(~np.isfinite(p))[0]
        raise InputError(f"proposal {bad[0]}, pose {bad[1]} is not finite", "poses", "finite numbers")
    x0, y0, h0 = (float(v) for v in np.asarray(start, dtype=np.float64))
    c, s = np.cos(h0), np.sin(h0)
    world = np.empty((p.shape[0], p.shape[1] + 1, 3))
    world[:, 0] = x0, y0, h0
    world[:, 1:, 0] = x0 + c * p[:, :, 0] - s * p[:, :, 1]
    world[:, 1:, 1] = y0 + s * p[:, :, 0] + c * p[:, :, 1]
    world[:, 1:, 2] = h0 + p[:, :, 2]
    world[:, :, 2] = np.unwrap(world[:, :, 2], axis=1)
    place = np.arange(steps + 1) * SIMULATION_DT / dt
    # A sample that lies on a pose must be that pose, whatever the last bit of the division says.
    place = np.where(np.abs(place - np.round(place)) < 1e-9, np.round(place), place)
    place = np.minimum(place, p.shape[1])
    before = np.minimum(place.astype(np.int64), p.shape[1] - 1)
    share = (place - before)[:, None]
    path = world[:, before] * (1.0 - share) + world[:, before + 1] * share
    path[:, :, 2] = wrap_angle(path[:, :, 2])
    return np.asarray(path)
