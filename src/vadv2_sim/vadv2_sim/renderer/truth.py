"""The truth about a picture: depth, classes, instances, and who can be seen; and about a place: boxes, lanes, area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraRig
from vadv2_core.geometry import Array, Pose2, wrap_angle
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.taxonomy import AgentClass, SignalState
from vadv2_sim.renderer.actors import Actors


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Truth of one rendered frame; arrays come one a camera, in the rig's order.

    Attributes:
        depth: (H, W) float32 distance along the optical axis, m; inf for the sky.
        semantics: (H, W) uint8 `SemanticClass`.
        instances: (H, W) uint16: 0 for the city, else 1 + index into ``instance_ids``.
        instance_ids: Agent ids, then signal head ids.
        agent_pixels: Pixels of each visible agent over all cameras, at the truth's size; absent where hidden.
        signal_pixels: Pixels of each visible signal's heads whose lamps face the camera, by signal id.
        camera_pixels: The same two, by camera name and then id (agents and signals).
    """

    depth: tuple[NDArray[np.float32], ...]
    semantics: tuple[NDArray[np.uint8], ...]
    instances: tuple[NDArray[np.uint16], ...]
    instance_ids: tuple[str, ...]
    agent_pixels: dict[str, int]
    signal_pixels: dict[str, int]
    camera_pixels: dict[str, dict[str, int]]

    def visible_agents(self, minimum: int = 6) -> frozenset[str]:
        """Ids of agents of which at least ``minimum`` pixels can be seen."""
        return frozenset(k for k, n in self.agent_pixels.items() if n >= minimum)

    def visible_signals(self, minimum: int = 6) -> frozenset[str]:
        """Ids of signals of which at least ``minimum`` pixels of a facing head can be seen."""
        return frozenset(k for k, n in self.signal_pixels.items() if n >= minimum)


@dataclass(frozen=True, slots=True)
class Box:
    """A box in base_link: centre (x, y, z), yaw, size (length, width, height), m; velocity (vx, vy) m/s."""

    id: str
    cls: AgentClass
    centre: tuple[float, float, float]
    yaw: float
    size: tuple[float, float, float]
    velocity: tuple[float, float]


def count_pixels(
    rig: CameraRig,
    instances: tuple[NDArray[np.uint16], ...],
    actors: Actors,
    road_map: RoadMap,
    pose: Pose2,
) -> tuple[dict[str, int], dict[str, int], dict[str, dict[str, int]]]:
    """Visible pixels of agents, of signals, and of both by camera; see `GroundTruth`."""
    total = 1 + len(actors.agents) + len(actors.heads)
    agents: dict[str, int] = {}
    signals: dict[str, int] = {}
    cameras: dict[str, dict[str, int]] = {}
    heads = {h.id: h for h in road_map.signal_heads}
    base = pose.to_matrix3()
    for camera, image in zip(rig.cameras, instances, strict=True):
        counts = np.bincount(image.ravel(), minlength=total)
        eye = (base @ camera.t_base_camera)[:2, 3]
        seen: dict[str, int] = {}
        for number in np.flatnonzero(counts[1:]):
            pixels = int(counts[number + 1])
            if number < len(actors.agents):
                name = actors.agents[number]
                agents[name] = agents.get(name, 0) + pixels
            else:
                head = heads[actors.heads[number - len(actors.agents)]]
                bearing = np.arctan2(eye[1] - head.position[1], eye[0] - head.position[0])
                if abs(float(wrap_angle(bearing - head.yaw))) > 1.1:
                    continue
                name = head.signal
                signals[name] = signals.get(name, 0) + pixels
            seen[name] = seen.get(name, 0) + pixels
        cameras[camera.name] = seen
    return agents, signals, cameras


def boxes_in_base(scene: Scene, pose: Pose2 | None = None, reach: float = 100.0) -> tuple[Box, ...]:
    """Boxes of the agents within ``reach`` m, in base_link of the ego or of another pose."""
    pose = pose or scene.ego.pose
    found = []
    for a in scene.agents:
        here = pose.relative(Pose2(a.x, a.y, a.yaw))
        if np.hypot(here.x, here.y) > reach:
            continue
        velocity = Pose2(0.0, 0.0, pose.yaw).inverse_transform(a.velocity)
        found.append(
            Box(
                a.id, a.cls, (here.x, here.y, a.height / 2), here.yaw, (a.length, a.width, a.height),
                (float(velocity[0]), float(velocity[1])),
            )
        )  # fmt: skip
    return tuple(found)


def lanes_in_base(road_map: RoadMap, pose: Pose2, reach: float = 60.0) -> dict[str, Array]:
    """Centre lines (n, 2) with a point within ``reach`` m, by lane id, in base_link of a pose."""
    found = {}
    for lane in road_map.lanes.values():
        points = pose.inverse_transform(lane.centerline)
        if (np.hypot(points[:, 0], points[:, 1]) < reach).any():
            found[lane.id] = points
    return found


def drivable_in_base(road_map: RoadMap, pose: Pose2, reach: float = 50.0, cell: float = 0.5) -> NDArray[np.bool_]:
    """Drivable area as a grid, row 0 at x = -reach, column 0 at y = -reach, cells of ``cell`` m, base_link."""
    import cv2

    n = round(2 * reach / cell)
    grid = np.zeros((n, n), dtype=np.uint8)
    for outline in road_map.drivable:
        local = pose.inverse_transform(outline)
        cells = np.floor((local[:, ::-1] + reach) / cell).astype(np.int32)
        if (cells.max(axis=0) >= 0).all() and (cells.min(axis=0) < n).all():
            cv2.fillPoly(grid, [cells], 1)
    return np.asarray(grid.astype(bool))


def signals_in_base(
    scene: Scene, road_map: RoadMap, pose: Pose2, reach: float = 100.0
) -> dict[str, tuple[Array, SignalState]]:
    """Head id to position (3,) in base_link and the state it shows, within ``reach`` m."""
    found = {}
    for head in road_map.signal_heads:
        xy = pose.inverse_transform(head.position[:2])
        if np.hypot(*xy) < reach:
            state = scene.signals.get(head.signal, SignalState.UNKNOWN)
            found[head.id] = (np.array([xy[0], xy[1], head.position[2]]), state)
    return found
