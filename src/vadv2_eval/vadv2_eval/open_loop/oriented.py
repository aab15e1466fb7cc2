"""The oriented-box convention of SparseDrive and DiffusionDrive (spec OPEN_LOOP, section 6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vadv2_core.geometry import Array
from vadv2_eval.open_loop.grid import EGO_AHEAD, EGO_LENGTH, EGO_WIDTH, Mask
from vadv2_eval.pdms.tracks import boxes_touch

STILL = 0.5
"""m between the first and the last point below which the ego counts as standing and faces straight ahead."""


def trajectory_yaw(positions: ArrayLike) -> NDArray[np.float32]:
    """Yaw (n, T) from positions (n, T, 2): central differences with the origin in front, backward at the end."""
    p = np.asarray(positions, dtype=np.float32)
    padded = np.concatenate([np.zeros_like(p[:, :1]), p], axis=1)
    d = np.concatenate([padded[:, 2:] - padded[:, :-2], padded[:, -1:] - padded[:, -2:-1]], axis=1)
    yaw = np.arctan2(d[..., 1], d[..., 0])
    still = np.linalg.norm(p[:, -1] - p[:, 0], axis=-1) < STILL
    return np.where(still[:, None], np.float32(np.pi / 2), yaw).astype(np.float32)


def oriented_hits(positions: ArrayLike, boxes: Array, there: Mask) -> Mask:
    """Whether the ego box, turned along its path, touches a box.

    Args:
        positions: (n, T, 2).
        boxes: (n, T, agents, 5) x, y, length, width, heading of every class.
        there: (n, T, agents).

    Returns:
        (n, T) bool.
    """
    p = np.asarray(positions, dtype=np.float64)
    yaw = trajectory_yaw(positions).astype(np.float64)
    centre = p + EGO_AHEAD * np.stack([np.cos(yaw), np.sin(yaw)], axis=-1)
    n, t, a = np.nonzero(there)
    ego = np.column_stack([centre[n, t], yaw[n, t]])
    other = boxes[n, t, a].astype(np.float64)
    half = (np.full(len(n), 0.5 * EGO_LENGTH), np.full(len(n), 0.5 * EGO_WIDTH))
    touch = boxes_touch(ego, half, other[:, [0, 1, 4]], (0.5 * other[:, 2], 0.5 * other[:, 3]))
    hits = np.zeros(there.shape[:2], dtype=bool)
    hits[n[touch], t[touch]] = True
    return hits
