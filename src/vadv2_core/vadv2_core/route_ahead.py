"""The route ahead of the ego as numbers: what planner and reasoner are told of the way."""

from __future__ import annotations

import numpy as np

from vadv2_core.command import Route
from vadv2_core.geometry import Array, Pose2, arc_length, heading_at, point_at

ROUTE_DISTANCES = np.array(
    [0.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 65.0, 80.0, 100.0, 125.0, 150.0]
)
"""Where the route is read, m ahead of the ego."""
ROUTE_FEATURES = 5
"""x, y, cos and sin of the heading, and whether the route reaches that far."""


def route_ahead(route: Route | None, pose: Pose2) -> Array | None:
    """`route_features` of a route that has a direction; None without one."""
    return None if route is None or len(route.points) < 2 else route_features(route, pose)


def route_features(route: Route, pose: Pose2) -> Array:
    """(len(ROUTE_DISTANCES), ROUTE_FEATURES): the route ahead of a pose, in its frame.

    The route is entered at its place nearest to the ego; what it does not reach is flagged and held at its end.
    """
    points = pose.inverse_transform(route.points)
    along = arc_length(points)
    s = float(along[-1])
    a, d = points[:-1], np.diff(points, axis=0)
    u = np.clip(-(a * d).sum(-1) / np.maximum((d**2).sum(-1), 1e-12), 0.0, 1.0)
    nearest = int(np.hypot(*(a + u[:, None] * d).T).argmin())
    start = float(along[nearest] + u[nearest] * (along[nearest + 1] - along[nearest]))
    at = start + ROUTE_DISTANCES
    xy = point_at(points, at)
    yaw = heading_at(points, np.minimum(at, s))
    reached = (at <= s + 1e-6).astype(np.float64)
    return np.stack([xy[:, 0] / 50.0, xy[:, 1] / 50.0, np.cos(yaw), np.sin(yaw), reached], axis=-1)
