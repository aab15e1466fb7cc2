"""The way ahead as a coordinate frame: distance along it and offset to its left, with what it asks of speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vadv2_core.geometry import Array, Pose2, arc_length, project_to_polyline, wrap_angle
from vadv2_core.scene import RoadMap, Scene

LATERAL_COMFORT = 2.0
"""m/s^2 of lateral acceleration in bends."""
BRAKE_COMFORT = 1.6
"""m/s^2 with which slower stretches are approached."""


@dataclass(frozen=True, slots=True)
class RouteFrame:
    """A route with the ego on it.

    Attributes:
        points: (n, 2) world.
        s: (n,) distance along it, 0 at its first point.
        yaw: (n,) direction, unwrapped.
        curvature: (n,) 1/m, smoothed.
        speed: (n,) m/s that limits, bends and what comes after them allow.
        bend_speed: (n,) m/s that bends alone allow.
        ego_s: Where the ego's rear axle is.
        ego_d: How far left of the way it is.
        ego_yaw: Its yaw against the way.
    """

    points: Array
    s: Array
    yaw: Array
    curvature: Array
    speed: Array
    bend_speed: Array
    ego_s: float
    ego_d: float
    ego_yaw: float

    def at(self, s: Array, d: Array) -> tuple[Array, Array, Array]:
        """World x, y and the way's yaw at distances and offsets of equal shape."""
        x, y = np.interp(s, self.s, self.points[:, 0]), np.interp(s, self.s, self.points[:, 1])
        yaw = np.interp(s, self.s, self.yaw)
        beyond = np.maximum(s - self.s[-1], 0.0)
        x, y = x + beyond * np.cos(yaw), y + beyond * np.sin(yaw)
        return x - d * np.sin(yaw), y + d * np.cos(yaw), yaw

    def locate(self, points: Array) -> tuple[Array, Array]:
        """Distance and offset of world points (..., 2)."""
        return project_to_polyline(self.points, points)


def _limits(scene: Scene, road: RoadMap, points: Array, s: Array) -> Array:
    assert scene.route is not None
    limit = np.full(len(s), scene.route.speed_limit or 13.9)
    for name in scene.route.lane_ids:
        lane = road.lanes.get(name)
        if lane is None:
            continue
        start, offset = project_to_polyline(points, lane.centerline[:1])
        if abs(offset[0]) < 5.0 and 0.5 < start[0] < s[-1] - 0.5:
            limit[s >= start[0] - 1.0] = lane.speed_limit
    return limit


def route_frame(scene: Scene, road: RoadMap, speed_factor: float = 1.0) -> RouteFrame:
    """The frame of a scene's route.

    Args:
        scene: With a route.
        road: Its town.
        speed_factor: Share of the limit that is driven.
    """
    assert scene.route is not None
    points = np.asarray(scene.route.points, dtype=np.float64)
    keep = np.concatenate([[True], np.hypot(*np.diff(points, axis=0).T) > 1e-3])
    points = points[keep]
    s = arc_length(points)
    steps = np.diff(points, axis=0)
    direction = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    yaw = np.concatenate([[direction[0]], 0.5 * (direction[1:] + direction[:-1]), [direction[-1]]])
    curvature = np.gradient(yaw, s)
    kernel = np.ones(5) / 5.0
    curvature = np.convolve(np.pad(curvature, 2, mode="edge"), kernel, mode="valid")
    bend = np.sqrt(LATERAL_COMFORT / np.maximum(np.abs(curvature), 1e-4))
    speed = np.minimum(_limits(scene, road, points, s) * speed_factor, bend)
    speed = np.maximum(speed, 1.5)
    for i in range(len(s) - 2, -1, -1):
        speed[i] = min(speed[i], np.sqrt(speed[i + 1] ** 2 + 2.0 * BRAKE_COMFORT * (s[i + 1] - s[i])))
    pose: Pose2 = scene.ego.pose
    here, offset = project_to_polyline(points, [[pose.x, pose.y]])
    ego_yaw = float(wrap_angle(pose.yaw - np.interp(here[0], s, yaw)))
    return RouteFrame(points, s, yaw, curvature, speed, bend, float(here[0]), float(offset[0]), ego_yaw)
