"""Plans on a log as open-loop samples of the four nuScenes conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array, Pose2, wrap_angle
from vadv2_core.scene import Agent, Scene
from vadv2_core.taxonomy import STATIC_CLASSES, AgentClass
from vadv2_eval.logs.drive_log import DriveLog
from vadv2_eval.open_loop.conventions import OpenLoopSamples
from vadv2_eval.open_loop.grid import Mask, Raster
from vadv2_eval.open_loop.rasterise import draw_boxes
from vadv2_eval.pdms.scene import PoseSequence

LIDAR_AHEAD = 0.985793
"""m from the rear axle to nuScenes' LiDAR, in whose frame the conventions work."""
STEPS = 6
STRIDE = 5
"""Scenes of 0.1 s between two steps."""


def _in_lidar(poses: Array, origin: Pose2) -> Array:
    """World poses (n, 3) of the rear axle as LiDAR positions (n, 2), x right, y forward, of the LiDAR at ``origin``."""
    at = poses[:, :2] + LIDAR_AHEAD * np.column_stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])])
    ahead = origin.inverse_transform(at) - np.array([LIDAR_AHEAD, 0.0])
    return np.column_stack([-ahead[:, 1], ahead[:, 0]])


def _boxes(agents: Sequence[Agent], origin: Pose2) -> Array:
    """(n, 5) boxes x, y, length, width, heading in the LiDAR frame."""
    if not agents:
        return np.zeros((0, 5))
    ahead = origin.inverse_transform([(a.x, a.y) for a in agents]) - np.array([LIDAR_AHEAD, 0.0])
    heading = wrap_angle(np.array([a.yaw for a in agents]) - origin.yaw + 0.5 * np.pi)
    sizes = np.array([(a.length, a.width) for a in agents])
    return np.column_stack([-ahead[:, 1], ahead[:, 0], sizes, heading])


def _drawn(scenes: Sequence[Scene], now: Scene, origin: Pose2, raster: Raster) -> Mask:
    known = {a.id for a in now.agents}
    grids = []
    for scene in scenes:
        counted = [
            a
            for a in scene.agents
            if a.cls not in STATIC_CLASSES
            and not (raster is Raster.UNIAD and a.cls is AgentClass.PEDESTRIAN)
            and not (raster is Raster.VAD and a.id not in known)
        ]
        grids.append(draw_boxes(_boxes(counted, origin), raster))
    return np.stack(grids)


def open_loop_samples(log: DriveLog, indices: Sequence[int], plans: Sequence[PoseSequence]) -> OpenLoopSamples:
    """Samples of 3 s at 2 Hz; grids are drawn from the log's boxes.

    Args:
        log: Where the plans were made.
        indices: Scenes they were made at, with 3 s recorded after each.
        plans: Every 0.5 s, at least 3 s.
    """
    pred, gt, boxes = [], [], []
    grids: dict[Raster, list[Mask]] = {r: [] for r in Raster}
    poses = log.poses()
    for index, plan in zip(indices, plans, strict=True):
        now = log.scenes[index]
        origin = now.ego.pose
        following = log.scenes[index + STRIDE : index + STRIDE * STEPS + 1 : STRIDE]
        gt.append(_in_lidar(poses[index + STRIDE : index + STRIDE * STEPS + 1 : STRIDE], origin))
        world = np.column_stack([origin.transform(plan.poses[:STEPS, :2]), plan.poses[:STEPS, 2] + origin.yaw])
        pred.append(_in_lidar(world, origin))
        boxes.append([_boxes(s.agents, origin) for s in following])
        for raster in Raster:
            grids[raster].append(_drawn(following, now, origin, raster))
    most = max((len(b) for sample in boxes for b in sample), default=0)
    packed = np.zeros((len(boxes), STEPS, most, 5))
    there = np.zeros((len(boxes), STEPS, most), dtype=bool)
    for i, sample in enumerate(boxes):
        for k, rows in enumerate(sample):
            packed[i, k, : len(rows)], there[i, k, : len(rows)] = rows, True
    return OpenLoopSamples(
        np.array(pred, dtype=np.float32),
        np.array(gt, dtype=np.float32),
        np.ones((len(pred), STEPS, 2), dtype=np.float32),
        np.ones(len(pred), dtype=bool),
        packed,
        there,
        {r: np.stack(g) for r, g in grids.items()},
    )


def joined(samples: Sequence[OpenLoopSamples]) -> OpenLoopSamples:
    """Several logs' samples as one set."""
    most = max(s.boxes.shape[2] for s in samples)

    def padded(values: NDArray[Any]) -> NDArray[Any]:
        width = [(0, 0)] * values.ndim
        width[2] = (0, most - values.shape[2])
        return np.pad(values, width)

    return OpenLoopSamples(
        np.concatenate([s.pred for s in samples]),
        np.concatenate([s.gt for s in samples]),
        np.concatenate([s.gt_mask for s in samples]),
        np.concatenate([s.fut_valid for s in samples]),
        np.concatenate([padded(s.boxes) for s in samples]),
        np.concatenate([padded(s.box_mask) for s in samples]),
        {r: np.concatenate([s.grids[r] for s in samples]) for r in Raster},
    )
