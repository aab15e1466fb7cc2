"""What the scene queries should have said: a Scene in base_link, vectorised, limited to what the cameras could see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraRig
from vadv2_core.geometry import Array, Pose2, arc_length, heading_at, point_at, project_to_polyline, wrap_angle
from vadv2_core.scene import Agent, RoadMap, Scene, StopLine
from vadv2_core.taxonomy import (
    AgentClass,
    EdgeCaseFlag,
    LaneKind,
    MapElementClass,
    SignalState,
    StopControl,
)
from vadv2_core.vehicle import VehicleConfig

RANGE_FORWARD, RANGE_AROUND = 64.0, 32.0
"""Metres ahead, and to the sides and behind, within which objects and map elements are asked for."""
_LEAD_HORIZON = 60.0
_STOP_HORIZON = 60.0
_VEHICLES = frozenset(
    {
        AgentClass.CAR,
        AgentClass.TRUCK,
        AgentClass.BUS,
        AgentClass.MOTORCYCLE,
        AgentClass.BICYCLE,
        AgentClass.EMERGENCY_VEHICLE,
    }
)


@dataclass(frozen=True, slots=True)
class Visibility:
    """What the rig's cameras could see at a moment: ids of agents and of signals."""

    agents: frozenset[str]
    signals: frozenset[str]


@dataclass(frozen=True, slots=True)
class SceneTargets:
    """Truth for the scene queries, base_link, m, rad, s; n objects and m map elements of p points.

    Attributes:
        object_class: (n,) int64 `AgentClass`.
        object_box: (n, 5) centre x, y, yaw, length, width.
        object_velocity: (n, 2) over ground.
        object_intention: (n,) int64 `AgentIntention`.
        map_class: (m,) int64 `MapElementClass`.
        map_points: (m, p, 2).
        map_signal: (m,) int64 `SignalState`, UNKNOWN where none holds it or none was seen.
        map_relevant: (m,) 1 where it is on the ego's way.
        signal: `SignalState` of the next signal on the way; UNKNOWN where none was seen.
        stop: (2,) 1 where a stop line is ahead within 60 m, and its distance from the front bumper.
        lead: (3,) 1 where a vehicle is ahead on the way within 60 m, the gap to it and its speed along the way.
        lane: (2,) ego left of the way's middle, and yaw against it.
        lane_known: Whether there is a way to compare with.
        flags: (10,) 1 for each `EdgeCaseFlag` that holds.
        weather: `Weather`.
        lamps: (cameras, h, w) int64 `SignalState` of the lamp at each token, 0 for none.
    """

    object_class: NDArray[np.int64]
    object_box: Array
    object_velocity: Array
    object_intention: NDArray[np.int64]
    map_class: NDArray[np.int64]
    map_points: Array
    map_signal: NDArray[np.int64]
    map_relevant: Array
    signal: int
    stop: Array
    lead: Array
    lane: Array
    lane_known: bool
    flags: Array
    weather: int
    lamps: NDArray[np.int64]


def scene_targets(
    scene: Scene,
    road_map: RoadMap,
    visible: Visibility,
    flags: frozenset[EdgeCaseFlag],
    rig: CameraRig,
    grid: tuple[int, int],
    vehicle: VehicleConfig,
    *,
    max_objects: int = 24,
    points: int = 10,
) -> SceneTargets:
    """The targets of one moment.

    Args:
        scene: The truth.
        road_map: Of its town.
        visible: What may be asked for.
        flags: Edge cases that hold and can be seen.
        rig: At network size; lamps are placed in its token grid.
        grid: Rows and columns of a camera's tokens.
        vehicle: The ego's sizes.
        max_objects: The nearest so many.
        points: Of a map element.
    """
    pose = scene.ego.pose
    way = _way(scene)
    agents = _nearest_agents(scene, visible, max_objects)
    elements = _map_elements(scene, road_map, visible, way, points)
    stop, signal = _stop_ahead(scene, road_map, visible, way, vehicle)
    lane, lane_known = np.zeros(2), way is not None
    if way is not None:
        s, lateral = project_to_polyline(way, [[0.0, 0.0]])
        lane = np.array([lateral[0], -float(wrap_angle(heading_at(way, s)[0]))])
    return SceneTargets(
        np.array([int(a.cls) for a in agents], dtype=np.int64),
        np.array([_box(a, pose) for a in agents]).reshape(-1, 5),
        np.array([_turn(a.velocity, -pose.yaw) for a in agents]).reshape(-1, 2),
        np.array([int(a.intention) for a in agents], dtype=np.int64),
        np.array([int(e.cls) for e in elements], dtype=np.int64),
        np.array([e.points for e in elements]).reshape(-1, points, 2),
        np.array([int(e.signal) for e in elements], dtype=np.int64),
        np.array([float(e.relevant) for e in elements]),
        int(signal),
        stop,
        _lead_ahead(scene, visible, way, vehicle),
        lane,
        lane_known,
        np.array([float(f in flags) for f in EdgeCaseFlag]),
        int(scene.weather),
        _lamp_map(scene, road_map, visible, rig, grid),
    )


@dataclass(frozen=True, slots=True)
class _Element:
    cls: MapElementClass
    points: Array
    relevant: bool
    signal: SignalState = SignalState.UNKNOWN


def _turn(vector: tuple[float, float], angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([c * vector[0] - s * vector[1], s * vector[0] + c * vector[1]])


def _box(agent: Agent, pose: Pose2) -> Array:
    x, y = pose.inverse_transform((agent.x, agent.y))
    return np.array([x, y, float(wrap_angle(agent.yaw - pose.yaw)), agent.length, agent.width])


def _in_range(xy: Array) -> NDArray[np.bool_]:
    x, y = xy[..., 0], xy[..., 1]
    return np.asarray((x > -RANGE_AROUND) & (x < RANGE_FORWARD) & (np.abs(y) < RANGE_AROUND))


def _way(scene: Scene) -> Array | None:
    """The route in base_link, from the ego onwards."""
    if scene.route is None or len(scene.route.points) < 2:
        return None
    way = scene.ego.pose.inverse_transform(scene.route.points)
    # Distances along the way are from the ego's rear axle on.
    (here,), _ = project_to_polyline(way, [[0.0, 0.0]])
    way = np.vstack([point_at(way, here), way[arc_length(way) > here + 0.05]])
    return way if len(way) >= 2 and arc_length(way)[-1] > 1.0 else None


def _nearest_agents(scene: Scene, visible: Visibility, count: int) -> list[Agent]:
    seen = [a for a in scene.agents if a.id in visible.agents]
    if not seen:
        return []
    xy = scene.ego.pose.inverse_transform(np.array([[a.x, a.y] for a in seen]))
    order = np.argsort(np.hypot(xy[:, 0], xy[:, 1]))
    inside = _in_range(xy)
    return [seen[i] for i in order if inside[i]][:count]


def _resampled(line: Array, points: int) -> Array:
    return np.asarray(point_at(line, np.linspace(0.0, arc_length(line)[-1], points)))


def _clipped(line: Array, pose: Pose2) -> Array | None:
    """The longest run of a world polyline inside the range, in base_link; None where less than 4 m are."""
    dense = point_at(line, np.arange(0.0, arc_length(line)[-1] + 1.0, 1.0))
    local = pose.inverse_transform(dense)
    inside = np.concatenate([[False], _in_range(local), [False]])
    edges = np.flatnonzero(np.diff(inside.astype(np.int8)))
    if not edges.size:
        return None
    runs = edges.reshape(-1, 2)
    start, end = runs[(runs[:, 1] - runs[:, 0]).argmax()]
    return local[start:end] if end - start >= 4 else None


def _near_lines(lines: list[Array], pose: Pose2, count: int, reach: float = RANGE_FORWARD) -> list[Array]:
    near = []
    for line in lines:
        if np.abs(line - np.array([pose.x, pose.y])).max(-1).min() > reach + 40.0:
            continue
        local = _clipped(line, pose)
        if local is not None:
            near.append((float(np.hypot(local[:, 0] - 8.0, local[:, 1]).min()), local))
    near.sort(key=lambda pair: pair[0])
    return [local for _, local in near[:count]]


def _signal_of(line: StopLine, scene: Scene, visible: Visibility) -> SignalState:
    if line.signal is None or line.signal not in visible.signals:
        return SignalState.UNKNOWN
    return scene.signals.get(line.signal, SignalState.UNKNOWN)


def _on_way(segment: Array, way: Array | None) -> float | None:
    """Distance along the way at which it passes over a segment (base_link); None where it does not."""
    if way is None:
        return None
    s, lateral = project_to_polyline(way, segment.mean(0)[None])
    half = 0.5 * float(np.hypot(*(segment[1] - segment[0])))
    across = abs(np.sin(heading_at(way, s)[0] - np.arctan2(*(segment[1] - segment[0])[::-1])))
    return float(s[0]) if abs(lateral[0]) <= half + 0.3 and across > 0.5 else None


def _map_elements(
    scene: Scene, road_map: RoadMap, visible: Visibility, way: Array | None, points: int
) -> list[_Element]:
    pose = scene.ego.pose
    found: list[_Element] = []
    route_lanes = frozenset(scene.route.lane_ids if scene.route else ())
    if way is not None:
        ahead = way[_in_range(way)]
        if len(ahead) >= 2 and arc_length(ahead)[-1] >= 4.0:
            found.append(_Element(MapElementClass.LANE, _resampled(ahead, points), True))
    roads = [
        lane.centerline
        for lane in road_map.lanes.values()
        if lane.kind is LaneKind.ROAD and lane.id not in route_lanes and len(lane.centerline) >= 2
    ]
    found += [_Element(MapElementClass.LANE, _resampled(line, points), False) for line in _near_lines(roads, pose, 3)]
    edges = [b for b in road_map.boundaries if len(b) >= 2]
    found += [
        _Element(MapElementClass.BOUNDARY, _resampled(line, points), False) for line in _near_lines(edges, pose, 4)
    ]
    stops = []
    for line in road_map.stop_lines:
        segment = pose.inverse_transform(line.segment)
        if _in_range(segment.mean(0)):
            stops.append((float(np.hypot(*segment.mean(0))), line, segment))
    for _, line, segment in sorted(stops, key=lambda s: s[0])[:4]:
        relevant = _on_way(segment, way) is not None
        signal = _signal_of(line, scene, visible)
        # A polyline has two directions that look the same: always from left to right.
        ordered = segment if segment[0, 1] >= segment[1, 1] else segment[::-1]
        found.append(_Element(MapElementClass.STOP_LINE, _resampled(ordered, points), relevant, signal))
    crossings = []
    for crossing in road_map.crossings:
        outline = pose.inverse_transform(np.vstack([crossing.polygon, crossing.polygon[:1]]))
        if _in_range(outline.mean(0)):
            crossings.append((float(np.hypot(*outline.mean(0))), outline))
    for _, outline in sorted(crossings, key=lambda c: c[0])[:3]:
        relevant = way is not None and bool(np.abs(project_to_polyline(way, outline.mean(0)[None])[1][0]) < 6.0)
        found.append(_Element(MapElementClass.CROSSING, _resampled(outline, points), relevant))
    return found


def _stop_ahead(
    scene: Scene, road_map: RoadMap, visible: Visibility, way: Array | None, vehicle: VehicleConfig
) -> tuple[Array, SignalState]:
    front = vehicle.length - vehicle.rear_overhang
    best: tuple[float, StopLine] | None = None
    for line in road_map.stop_lines:
        if line.control is StopControl.NONE:
            continue
        segment = scene.ego.pose.inverse_transform(line.segment)
        if not _in_range(segment.mean(0)) or segment.mean(0)[0] < 0.0:
            continue
        s = _on_way(segment, way)
        if s is not None and -1.0 < s - front < _STOP_HORIZON and (best is None or s - front < best[0]):
            best = (s - front, line)
    if best is None:
        return np.zeros(2), SignalState.UNKNOWN
    return np.array([1.0, best[0]]), _signal_of(best[1], scene, visible)


def _lead_ahead(scene: Scene, visible: Visibility, way: Array | None, vehicle: VehicleConfig) -> Array:
    front = vehicle.length - vehicle.rear_overhang
    seen = [a for a in scene.agents if a.id in visible.agents and a.cls in _VEHICLES]
    if way is None or not seen:
        return np.zeros(3)
    boxes = np.array([_box(a, scene.ego.pose) for a in seen])
    s, lateral = project_to_polyline(way, boxes[:, :2])
    heading = heading_at(way, s)
    # Half the extent of a box along the way, and across it.
    turned = boxes[:, 2] - heading
    along = 0.5 * (np.abs(np.cos(turned)) * boxes[:, 3] + np.abs(np.sin(turned)) * boxes[:, 4])
    across = 0.5 * (np.abs(np.sin(turned)) * boxes[:, 3] + np.abs(np.cos(turned)) * boxes[:, 4])
    gap = s - along - front
    ahead = (gap > -1.0) & (gap < _LEAD_HORIZON) & (np.abs(lateral) < across + 0.5 * vehicle.width) & (boxes[:, 0] > 0)
    if not ahead.any():
        return np.zeros(3)
    i = int(np.where(ahead, gap, np.inf).argmin())
    velocity = _turn(seen[i].velocity, -scene.ego.pose.yaw)
    speed = float(velocity @ np.array([np.cos(heading[i]), np.sin(heading[i])]))
    return np.array([1.0, max(float(gap[i]), 0.0), speed])


def _lamp_map(
    scene: Scene, road_map: RoadMap, visible: Visibility, rig: CameraRig, grid: tuple[int, int]
) -> NDArray[np.int64]:
    rows, columns = grid
    lamps = np.zeros((len(rig.cameras), rows, columns), dtype=np.int64)
    pose = scene.ego.pose
    for head in road_map.signal_heads:
        state = scene.signals.get(head.signal, SignalState.UNKNOWN)
        if head.signal not in visible.signals or state is SignalState.UNKNOWN:
            continue
        x, y = pose.inverse_transform(head.position[:2])
        if not (-5.0 < x < RANGE_FORWARD) or np.cos(head.yaw - pose.yaw) > -0.3:
            continue
        for index, camera in enumerate(rig.cameras):
            (u, v), depth = camera.project((x, y, head.position[2]))
            row, column = int(v * rows / camera.height), int(u * columns / camera.width)
            if depth > 1.0 and u >= 0 and v >= 0 and row < rows and column < columns:
                lamps[index, row, column] = int(state)
    return lamps
