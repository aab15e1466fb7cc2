"""What can be said of a moment, measured on the Scene: who is seen where, what lies on the way, how far it is clear."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vadv2_core.geometry import Array, Pose2, project_to_polyline
from vadv2_core.language.statements import Motion, Zone, motion_of, motions_near, zone_of, zones_near
from vadv2_core.scene import Agent, RoadMap, Scene
from vadv2_core.taxonomy import AgentClass, LaneKind, SignalState, StopControl

SIGHT = 60.0
"""Agents farther than this are not spoken of, m."""
WAY = 80.0
"""How far along the way is spoken of, m."""
FRONT = 3.6
"""Front bumper ahead of the rear axle (`VehicleConfig` default); distances along the way are from it, m."""
HALF_EGO = 0.925
_WORKS = (AgentClass.TRAFFIC_CONE, AgentClass.BARRIER)


@dataclass(frozen=True, slots=True)
class Visibility:
    """Ids of what the cameras can see, as the renderer's instance masks tell."""

    agents: frozenset[str]
    signals: frozenset[str]


@dataclass(frozen=True, slots=True)
class SeenAgent:
    """An agent as the ego sees it.

    Attributes:
        agent: The agent.
        x, y: Its centre in base_link, m.
        vx, vy: Its velocity in base_link axes, m/s over ground.
        along: Distance along the route from the ego's rear axle to its centre, m; NaN without a route.
        offset: Signed distance left of the route, m; NaN without a route.
    """

    agent: Agent
    x: float
    y: float
    vx: float
    vy: float
    along: float
    offset: float

    @property
    def distance(self) -> float:
        """From the rear axle to its centre, m."""
        return float(np.hypot(self.x, self.y))

    @property
    def speed(self) -> float:
        """m/s over ground."""
        return float(np.hypot(self.vx, self.vy))

    @property
    def zone(self) -> Zone:
        """Where it is."""
        return zone_of(self.x, self.y)

    @property
    def zones(self) -> frozenset[Zone]:
        """Every zone that may be said of it."""
        return zones_near(self.x, self.y)

    @property
    def motion(self) -> Motion:
        """How it moves."""
        return motion_of(self.vx, self.vy)

    @property
    def motions(self) -> frozenset[Motion]:
        """Every motion that may be said of it."""
        return motions_near(self.vx, self.vy)

    def in_the_way(self, reach: float) -> bool:
        """Whether it touches the ego's path within ``reach`` m ahead of the front bumper."""
        half = 0.5 * max(self.agent.width, 0.4) + HALF_EGO
        return bool(FRONT - 1.0 < self.along <= FRONT + reach + 0.5 * self.agent.length and abs(self.offset) < half)


class SceneFacts:
    """Measures one Scene on its map.

    Args:
        scene: The moment.
        road_map: The map it lies on.
        visibility: What the cameras see; None for everything within `SIGHT`.
    """

    def __init__(self, scene: Scene, road_map: RoadMap, visibility: Visibility | None = None) -> None:
        self.scene, self.map, self.visibility = scene, road_map, visibility

    @cached_property
    def _route(self) -> Array | None:
        route = self.scene.route
        return None if route is None or len(route.points) < 2 else np.asarray(route.points)

    @cached_property
    def _here(self) -> float:
        assert self._route is not None
        return float(project_to_polyline(self._route, (self.scene.ego.pose.x, self.scene.ego.pose.y))[0])

    @cached_property
    def agents(self) -> tuple[SeenAgent, ...]:
        """Everyone who can be seen, nearest first."""
        ego = self.scene.ego.pose
        heading = Pose2(0.0, 0.0, ego.yaw)
        seen = []
        for agent in self.scene.agents:
            if self.visibility is not None and agent.id not in self.visibility.agents:
                continue
            x, y = ego.inverse_transform((agent.x, agent.y))
            if np.hypot(x, y) > SIGHT:
                continue
            vx, vy = heading.inverse_transform(agent.velocity)
            along, offset = self._on_route(agent.x, agent.y)
            seen.append(SeenAgent(agent, float(x), float(y), float(vx), float(vy), along, offset))
        return tuple(sorted(seen, key=lambda s: s.distance))

    def _on_route(self, x: float, y: float) -> tuple[float, float]:
        if self._route is None:
            return float("nan"), float("nan")
        along, offset = project_to_polyline(self._route, (x, y))
        return float(along) - self._here, float(offset)

    @cached_property
    def way_lanes(self) -> tuple[tuple[str, float], ...]:
        """Lanes of the route from the ego on, each with the distance from the front bumper to its start, m."""
        route = self.scene.route
        if route is None or self._route is None:
            return ()
        found = []
        for name in route.lane_ids:
            lane = self.map.lanes.get(name)
            if lane is None:
                continue
            along, _ = self._on_route(*lane.centerline[0])
            found.append((name, along - FRONT))
        return tuple(found)

    @cached_property
    def signal(self) -> tuple[SignalState, float] | None:
        """State of the light that holds the way next and the distance to its line; None without one in sight."""
        for name, distance in self.way_lanes:
            signal = self.map.lanes[name].signal
            # A far-side repeater still shows it while the ego rolls over the line.
            if signal is None or not -5.5 <= distance <= WAY:
                continue
            state = self.scene.signals.get(signal, SignalState.UNKNOWN)
            hidden = self.visibility is not None and signal not in self.visibility.signals
            return None if hidden or state is SignalState.UNKNOWN else (state, max(distance, 0.0))
        return None

    @cached_property
    def stop_control(self) -> tuple[StopControl, float] | None:
        """Sign or rule that holds the way next, and the distance to its line."""
        for name, distance in self.way_lanes:
            control = self.map.lanes[name].control
            if control in (StopControl.NONE, StopControl.SIGNAL) or not -1.0 <= distance <= WAY:
                continue
            return control, max(distance, 0.0)
        return None

    @cached_property
    def crossings(self) -> tuple[float, ...]:
        """Distances to the pedestrian crossings on the way, nearest first."""
        if self._route is None:
            return ()
        found = []
        for crossing in self.map.crossings:
            centre = crossing.polygon.mean(axis=0)
            along, offset = self._on_route(float(centre[0]), float(centre[1]))
            reach = 0.5 * float(np.ptp(crossing.polygon, axis=0).max())
            if 0.0 <= along - FRONT <= WAY and abs(offset) < reach:
                found.append(along - FRONT)
        return tuple(sorted(found))

    @cached_property
    def closure(self) -> float | None:
        """Distance to the first cone or barrier that can be seen on a closed lane of the way; 0 beside the works."""
        on_way = self.scene.closed_lanes.intersection(name for name, _ in self.way_lanes)
        works = [s.along - FRONT for s in self.agents if s.agent.lane in on_way and s.agent.cls in _WORKS]
        if not works or max(works) < 0.0 or min(works) > WAY:
            return None
        return max(min(works), 0.0)

    @cached_property
    def clear(self) -> float:
        """How far the way is clear of whoever can be seen, m; at most `WAY`."""
        in_way = [s.along - FRONT - 0.5 * s.agent.length for s in self.agents if s.in_the_way(WAY)]
        return max(min([*in_way, WAY]), 0.0)

    def wrong_way(self, seen: SeenAgent) -> bool:
        """Whether a moving vehicle is on a lane that goes the other way."""
        lane = self.map.lanes.get(seen.agent.lane or "")
        if lane is None or lane.kind not in (LaneKind.ROAD, LaneKind.CONNECTOR) or seen.speed < 1.0:
            return False
        points = np.asarray(lane.centerline)
        nearest = int(np.argmin(np.hypot(points[:-1, 0] - seen.agent.x, points[:-1, 1] - seen.agent.y)))
        direction = points[nearest + 1] - points[nearest]
        moved = np.asarray(seen.agent.velocity)
        return float(direction @ moved) < -0.5 * float(np.hypot(*direction)) * seen.speed

    def from_roadway(self, seen: SeenAgent) -> float:
        """Distance from the nearest lane's edge, m; negative on the roadway, inf far from it."""
        here = np.array([seen.agent.x, seen.agent.y])
        nearest = float("inf")
        for lane in self.map.lanes.values():
            if lane.kind not in (LaneKind.ROAD, LaneKind.CONNECTOR):
                continue
            points = np.asarray(lane.centerline)
            if (here < points.min(axis=0) - 6.0).any() or (here > points.max(axis=0) + 6.0).any():
                continue
            _, offset = project_to_polyline(points, here)
            nearest = min(nearest, abs(float(offset)) - 0.5 * lane.width)
        return nearest

    def off_crossings(self, seen: SeenAgent, margin: float = 1.5) -> bool:
        """Whether someone is off every pedestrian crossing by more than ``margin`` m."""
        here = np.array([seen.agent.x, seen.agent.y])
        for crossing in self.map.crossings:
            polygon = np.asarray(crossing.polygon)
            low, high = polygon.min(axis=0) - margin - 1.0, polygon.max(axis=0) + margin + 1.0
            if (here < low).any() or (here > high).any():
                continue
            ring = np.vstack([polygon, polygon[:1]])
            _, offset = project_to_polyline(ring, here)
            if abs(float(offset)) <= margin or _inside(polygon, here):
                return False
        return True


def _inside(polygon: Array, point: Array) -> bool:
    x, y = polygon[:, 0], polygon[:, 1]
    nx, ny = np.roll(x, -1), np.roll(y, -1)
    spans = (y > point[1]) != (ny > point[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        cut = x + (point[1] - y) * (nx - x) / (ny - y)
    return bool(np.count_nonzero(spans & (point[0] < cut)) % 2)
