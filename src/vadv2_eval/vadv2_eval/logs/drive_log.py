"""A drive as Scenes at 10 Hz on one map, and the PDMS scene of any of its moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, Pose2, arc_length, project_to_polyline
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.taxonomy import AgentClass, LaneKind, SignalState
from vadv2_core.vehicle import VehicleConfig
from vadv2_eval.pdms.scene import (
    OBSERVATION_STEPS,
    SCORED_STEPS,
    EgoStart,
    MapPolygon,
    PdmsScene,
    PoseSequence,
    ScoredVehicle,
    ScoringMap,
    Track,
)
from vadv2_eval.pdms.score import frames_needed

TRACK_TYPES = {
    AgentClass.PEDESTRIAN: "pedestrian",
    AgentClass.BICYCLE: "bicycle",
    AgentClass.TRAFFIC_CONE: "traffic_cone",
    AgentClass.BARRIER: "barrier",
    AgentClass.CONSTRUCTION_SIGN: "czone_sign",
    AgentClass.GENERIC_OBJECT: "generic_object",
}
"""PDMS type of a class; every other one is a vehicle."""
MAP_RADIUS = 100.0
ROUTE_BEHIND, ROUTE_AHEAD = 60.0, 260.0
"""m of the route that a scene holds; 260 m are 9 s at 100 km/h."""


def scored_vehicle(vehicle: VehicleConfig) -> ScoredVehicle:
    """The body the metric simulates, for a vehicle of ours."""
    return ScoredVehicle(
        vehicle.width, vehicle.length - vehicle.rear_overhang, vehicle.rear_overhang, vehicle.wheel_base
    )


def lane_outline(centerline: Array, width: float) -> Array:
    """A lane's outline (2n, 2) from its centreline (n, 2): left edge forwards, right edge backwards."""
    tangent = np.gradient(centerline, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    normal = np.column_stack([-tangent[:, 1], tangent[:, 0]])
    return np.concatenate([centerline + 0.5 * width * normal, (centerline - 0.5 * width * normal)[::-1]])


@dataclass(frozen=True)
class DriveLog:
    """One drive.

    Attributes:
        name: Of the log or drive.
        road: Its map.
        scenes: In order of time, 0.1 s apart; agents' ids are stable over them.
        vehicle: The ego's body.
        route_lanes: Ids of the lanes of the route.
        centerline: (n, 2) along the route.
        lane_outlines: (n, 2) outlines by lane id, where the map has better ones than centreline and width.
        missing: What the log does not hold and which sub-metrics that touches, in words, by metric.
    """

    name: str
    road: RoadMap
    scenes: tuple[Scene, ...]
    vehicle: ScoredVehicle
    route_lanes: tuple[str, ...]
    centerline: Array
    lane_outlines: dict[str, Array] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _polygons(self) -> tuple[MapPolygon, ...]:
        polygons = [MapPolygon(f"drivable_{i}", "DRIVABLE_AREA", p) for i, p in enumerate(self.road.drivable)]
        polygons += [MapPolygon(name, "INTERSECTION", p) for name, p in self.road.junctions.items()]
        for lane in self.road.lanes.values():
            if lane.kind not in (LaneKind.ROAD, LaneKind.CONNECTOR) or len(lane.centerline) < 2:
                continue
            layer = "LANE_CONNECTOR" if lane.kind is LaneKind.CONNECTOR else "LANE"
            outline = self.lane_outlines.get(lane.id)
            polygons.append(
                MapPolygon(lane.id, layer, lane_outline(lane.centerline, lane.width) if outline is None else outline)
            )
        return tuple(polygons)

    def poses(self) -> Array:
        """(scenes, 3) rear axle x, y, unwrapped yaw."""
        rows = np.array([[s.ego.pose.x, s.ego.pose.y, s.ego.pose.yaw] for s in self.scenes])
        rows[:, 2] = np.unwrap(rows[:, 2])
        return rows

    def moments(self, steps: int = SCORED_STEPS, every: int = OBSERVATION_STEPS) -> range:
        """Indices of the scenes that can be scored: the horizon and the 0.9 s that TTC looks beyond are recorded."""
        return range(0, len(self.scenes) - (frames_needed(steps) - 1) * OBSERVATION_STEPS, every)

    def pdms_scene(self, index: int, steps: int = SCORED_STEPS) -> PdmsScene:
        """What a plan made at a scene is scored against: the recorded future.

        Raises:
            InputError: where the log ends before the horizon does.
        """
        frames = frames_needed(steps)
        last = index + (frames - 1) * OBSERVATION_STEPS
        if index < 0 or last >= len(self.scenes):
            raise InputError(f"scene {index} has too little future", self.name, f"{last + 1} scenes")
        future = self.scenes[index : last + 1 : OBSERVATION_STEPS]
        pose = future[0].ego.pose
        ego = EgoStart(
            np.array([pose.x, pose.y, pose.yaw]),
            np.array(future[0].ego.velocity, dtype=np.float64),
            np.array(future[0].ego.acceleration, dtype=np.float64),
        )
        return PdmsScene(ego, self._map_near(pose), tracks_of(future), red_connectors(self.road, future))

    def _map_near(self, pose: Pose2) -> ScoringMap:
        low = np.array([pose.x, pose.y]) - MAP_RADIUS
        high = low + 2.0 * MAP_RADIUS
        near = tuple(
            p
            for p in self._polygons
            if (p.exterior.max(axis=0) >= low).all() and (p.exterior.min(axis=0) <= high).all()
        )
        return ScoringMap(near, self._route_near(pose), frozenset(self.route_lanes))

    def _route_near(self, pose: Pose2) -> Array:
        """The route from `ROUTE_BEHIND` to `ROUTE_AHEAD` of the ego.

        No plan of a few seconds leaves it, a way that comes past itself again is no shortcut, and it is quicker.
        """
        line = self.centerline
        if len(line) < 2:
            return line
        along = self._along
        s = float(project_to_polyline(line, (pose.x, pose.y))[0])
        first = max(int(np.searchsorted(along, s - ROUTE_BEHIND, side="right")) - 1, 0)
        last = int(np.searchsorted(along, s + ROUTE_AHEAD)) + 1
        return line[first : max(last, first + 2)]

    @cached_property
    def _along(self) -> Array:
        return arc_length(self.centerline)

    def driven(self, index: int, steps: int = SCORED_STEPS) -> PoseSequence:
        """The poses driven after a scene, relative to it, every 0.5 s."""
        poses = self.poses()[index : index + steps + 1 : OBSERVATION_STEPS]
        origin = Pose2(*poses[0])
        xy = origin.inverse_transform(poses[1:, :2])
        return PoseSequence(0.5, np.column_stack([xy, poses[1:, 2] - poses[0, 2]]))


def tracks_of(frames: Sequence[Scene]) -> tuple[Track, ...]:
    """The agents of scenes 0.5 s apart as tracks."""
    states: dict[str, Array] = {}
    sizes: dict[str, tuple[str, float, float]] = {}
    for i, scene in enumerate(frames):
        for agent in scene.agents:
            rows = states.setdefault(agent.id, np.full((len(frames), 5), np.nan))
            rows[i] = agent.x, agent.y, agent.yaw, *agent.velocity
            sizes.setdefault(agent.id, (TRACK_TYPES.get(agent.cls, "vehicle"), agent.length, agent.width))
    return tuple(Track(name, *sizes[name], rows) for name, rows in states.items())


def red_connectors(road: RoadMap, frames: Sequence[Scene]) -> tuple[frozenset[str], ...]:
    """Connectors whose signal is red, a frame."""
    held = [(lane.id, lane.signal) for lane in road.lanes.values() if lane.signal is not None]
    if not held:
        return ()
    return tuple(
        frozenset(lane for lane, signal in held if scene.signals.get(signal) is SignalState.RED) for scene in frames
    )
