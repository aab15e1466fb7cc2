"""Plane and space geometry in REP-103 frames: x forward, y left, yaw counter-clockwise from +x, radians, metres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]
"""Any floating-point array; shapes and units are said where it is used."""


def wrap_angle(angle: ArrayLike) -> Array:
    """Angles wrapped to [-pi, pi)."""
    return (np.asarray(angle, dtype=np.float64) + np.pi) % (2.0 * np.pi) - np.pi


@dataclass(frozen=True, slots=True)
class Pose2:
    """A pose in the plane: position in metres and yaw in radians, in the frame its owner names."""

    x: float
    y: float
    yaw: float

    def to_matrix(self) -> Array:
        """The (3, 3) homogeneous matrix that takes points of this pose's frame to its parent frame."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return np.array([[c, -s, self.x], [s, c, self.y], [0.0, 0.0, 1.0]])

    def transform(self, points: ArrayLike) -> Array:
        """Points (..., 2) given in this pose's frame, in its parent frame."""
        p = np.asarray(points, dtype=np.float64)
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        x = c * p[..., 0] - s * p[..., 1] + self.x
        y = s * p[..., 0] + c * p[..., 1] + self.y
        return np.stack([x, y], axis=-1)

    def inverse_transform(self, points: ArrayLike) -> Array:
        """Points (..., 2) given in the parent frame, in this pose's frame."""
        p = np.asarray(points, dtype=np.float64) - np.array([self.x, self.y])
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        return np.stack([c * p[..., 0] + s * p[..., 1], -s * p[..., 0] + c * p[..., 1]], axis=-1)

    def compose(self, other: Pose2) -> Pose2:
        """``self * other``: other, given in this pose's frame, in the parent frame."""
        x, y = self.transform((other.x, other.y))
        return Pose2(float(x), float(y), float(wrap_angle(self.yaw + other.yaw)))

    def relative(self, other: Pose2) -> Pose2:
        """Other, given in the parent frame, in this pose's frame."""
        x, y = self.inverse_transform((other.x, other.y))
        return Pose2(float(x), float(y), float(wrap_angle(other.yaw - self.yaw)))

    def to_matrix3(self) -> Array:
        """The (4, 4) homogeneous matrix of this pose on the ground plane (z = 0, no roll, no pitch)."""
        m = np.eye(4)
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        m[:2, :2] = [[c, -s], [s, c]]
        m[0, 3], m[1, 3] = self.x, self.y
        return m


def box_corners(x: ArrayLike, y: ArrayLike, yaw: ArrayLike, length: ArrayLike, width: ArrayLike) -> Array:
    """Corners (..., 4, 2) of oriented boxes given by centre: front left, rear left, rear right, front right."""
    x, y, yaw, length, width = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (x, y, yaw, length, width))
    )
    along = 0.5 * length[..., None] * np.array([1.0, -1.0, -1.0, 1.0])
    across = 0.5 * width[..., None] * np.array([1.0, 1.0, -1.0, -1.0])
    c, s = np.cos(yaw)[..., None], np.sin(yaw)[..., None]
    return np.stack([x[..., None] + c * along - s * across, y[..., None] + s * along + c * across], axis=-1)


def arc_length(polyline: ArrayLike) -> Array:
    """Distance along a polyline (n, 2) at each of its points, starting at 0."""
    p = np.asarray(polyline, dtype=np.float64)
    steps = np.hypot(*np.diff(p[:, :2], axis=0).T)
    return np.concatenate([[0.0], np.cumsum(steps)])


def point_at(polyline: ArrayLike, s: ArrayLike) -> Array:
    """Points (..., 2) at distances ``s`` along a polyline (n, 2), clamped to its ends."""
    p = np.asarray(polyline, dtype=np.float64)
    along = arc_length(p)
    s = np.asarray(s, dtype=np.float64)
    return np.stack([np.interp(s, along, p[:, 0]), np.interp(s, along, p[:, 1])], axis=-1)


def heading_at(polyline: ArrayLike, s: ArrayLike) -> Array:
    """Yaw of the polyline's segment at distances ``s``, clamped to its ends."""
    p = np.asarray(polyline, dtype=np.float64)
    d = np.diff(p, axis=0)
    yaw = np.arctan2(d[:, 1], d[:, 0])
    index = np.clip(np.searchsorted(arc_length(p), np.asarray(s), side="right") - 1, 0, len(yaw) - 1)
    return np.asarray(yaw[index])


def project_to_polyline(polyline: ArrayLike, points: ArrayLike) -> tuple[Array, Array]:
    """Nearest place on a polyline (n, 2) for points (..., 2).

    Returns:
        Distance along the polyline and signed lateral offset (left of its direction positive), each (...).
    """
    p = np.asarray(polyline, dtype=np.float64)
    q = np.asarray(points, dtype=np.float64)
    a, d = p[:-1], np.diff(p, axis=0)
    length2 = np.maximum((d**2).sum(-1), 1e-12)
    to = q[..., None, :] - a
    u = np.clip((to * d).sum(-1) / length2, 0.0, 1.0)
    nearest = a + u[..., None] * d
    gap = q[..., None, :] - nearest
    distance2 = (gap**2).sum(-1)
    best = distance2.argmin(-1)[..., None]

    def take(values: Array) -> Array:
        return np.asarray(np.take_along_axis(values, best, -1)[..., 0])

    s = take(arc_length(p)[:-1] + u * np.sqrt(length2))
    side = np.sign(take(d[:, 0] * to[..., 1] - d[:, 1] * to[..., 0]))
    return s, side * np.sqrt(take(distance2))


def yaw_from_quaternion(x: float, y: float, z: float, w: float) -> float:
    """Yaw of a unit quaternion (roll and pitch are dropped), radians."""
    return float(np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z)))


def quaternion_from_yaw(yaw: float) -> tuple[float, float, float, float]:
    """The quaternion (x, y, z, w) of a rotation about z."""
    return 0.0, 0.0, float(np.sin(0.5 * yaw)), float(np.cos(0.5 * yaw))


def inverse_transform3(matrix: ArrayLike) -> Array:
    """The inverse of a rigid (4, 4) transform, by transposing its rotation."""
    m = np.asarray(matrix, dtype=np.float64)
    inverse = np.eye(4)
    inverse[:3, :3] = m[:3, :3].T
    inverse[:3, 3] = -m[:3, :3].T @ m[:3, 3]
    return inverse
