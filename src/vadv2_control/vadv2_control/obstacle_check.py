"""The last geometric check: does the ego's box, driven along the path, meet an obstacle soon?

It knows nothing of where obstacles come from (perception, a lidar, a map) and nothing of the planner: it is the layer
that still works when both are wrong.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadv2_control.configuration import ObstacleConfig
from vadv2_control.intake import MAX_AHEAD
from vadv2_control.reference import ReferencePath
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Array, box_corners
from vadv2_core.obstacles import Obstacles
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.vehicle import VehicleConfig


def _overlap(a: Array, b: Array) -> NDArray[np.bool_]:
    """Separating-axis test of rectangles ``a`` (t, 1, 4, 2) against ``b`` (t, n, 4, 2); touching counts."""
    apart = np.zeros(np.broadcast_shapes(a.shape[:2], b.shape[:2]), dtype=bool)
    for box in (a, b):
        for edge in (box[..., 0, :] - box[..., 1, :], box[..., 0, :] - box[..., 3, :]):
            pa, pb = (a * edge[..., None, :]).sum(-1), (b * edge[..., None, :]).sum(-1)
            apart |= (pa.max(-1) < pb.min(-1)) | (pb.max(-1) < pa.min(-1))
    return ~apart


def time_to_collision(
    path: ReferencePath, ego: EgoState, obstacles: Obstacles, now: Stamp, config: ObstacleConfig, vehicle: VehicleConfig
) -> float | None:
    """Seconds until the ego, driving on along the path at its present speed, touches an obstacle; None within none.

    Obstacles keep their velocity. Contacts of a standing ego do not count (nobody is at fault for standing).
    """
    age = seconds_between(obstacles.stamp, now)
    if not config.enabled or not len(obstacles.boxes) or not -MAX_AHEAD <= age <= config.max_age or ego.speed < 0.3:
        return None
    place = path.locate(ego.pose)
    times = np.arange(0.0, config.horizon + 1e-9, 0.1)
    # Both at the same moment: odometry and obstacles are seldom of the same one, and neither is of now.
    stations = place.station + ego.speed * (times + max(seconds_between(ego.stamp, now), 0.0))
    path_yaws = np.array([path.yaw_at(float(s)) for s in stations])
    xy = np.array([path.point_at(float(s)) for s in stations])
    xy += place.lateral * np.stack([-np.sin(path_yaws), np.cos(path_yaws)], -1)
    yaws = path_yaws + place.heading
    centre = xy + vehicle.centre_offset * np.stack([np.cos(yaws), np.sin(yaws)], -1)
    grow = 2.0 * config.margin
    mine = box_corners(centre[:, 0], centre[:, 1], yaws, vehicle.length + grow, vehicle.width + grow)
    at = obstacles.boxes[None, :, :2] + obstacles.velocities[None] * (times[:, None, None] + age)
    b = obstacles.boxes
    theirs = box_corners(at[..., 0], at[..., 1], b[None, :, 2], b[None, :, 3], b[None, :, 4])
    hits = _overlap(mine[:, None], theirs).any(-1)
    return float(times[hits.argmax()]) if hits.any() else None
