"""Road users a scenario leads by the hand: set on a lane and left to SUMO, or moved along a path step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from shapely import Point, Polygon

from vadv2_core.geometry import Array, arc_length, heading_at, point_at
from vadv2_core.taxonomy import AgentIntention, Cause, SignalState
from vadv2_sim.route_plan import edges_of
from vadv2_sim.sumo_session import STEP

if TYPE_CHECKING:
    from vadv2_sim.world import World

SPEED_UP, BRAKE = 3.0, 5.0
"""What a led vehicle's speed may change by, m/s^2; the ego behind it must be able to brake as hard."""
_COMFORT = 2.8
"""It brakes so hard for what it sees in time, m/s^2."""
_WALKING = 2
"""What libsumo calls the stage of a person on the way."""
_BEFORE_AREA = 3.0
"""So near a walking area SUMO may count a person as on it, m."""
_LENGTHS = {"car": 4.4, "van": 5.2, "truck": 8.5, "bus": 11.0, "reckless": 4.4, "emergency": 6.2, "bicycle": 1.8}


def clear_around(world: World, x: float, y: float, radius: float) -> None:
    """Take plain traffic away from a place that a scenario needs."""
    vehicle = world.traffic.sumo.vehicle
    for name in vehicle.getIDList():
        px, py = vehicle.getPosition(name)
        if name.startswith("v") and math.hypot(px - x, py - y) < radius:
            vehicle.remove(name)


def put_on_lane(
    world: World, name: str, kind: str, lane: str, position: float, speed: float, edges: tuple[str, ...]
) -> None:
    """Set a vehicle on a lane and leave it to SUMO, on its way along ``edges`` (the lane's own edge first)."""
    sumo = world.traffic.sumo
    length = sumo.lane.getLength(lane)
    sumo.route.add(f"route_{name}", edges)
    sumo.vehicle.add(
        name,
        f"route_{name}",
        kind,
        departLane=lane.rpartition("_")[2],
        departPos=f"{min(max(position, 1.0), length - 1.0):.2f}",
        departSpeed=f"{speed:.2f}",
    )
    sumo.vehicle.moveTo(name, lane, min(max(position, 1.0), length - 1.0))


def put_on_route(world: World, name: str, kind: str, s: float, speed: float) -> None:
    """Set a vehicle on the ego's way with its front at distance ``s`` and leave it to SUMO."""
    plan = world.route
    k = int(np.clip(round(s), 0, len(plan.points) - 1))
    index = int(plan.lane_index[k])
    while plan.lane_ids[index].startswith(":"):  # never set anybody down inside a junction
        index += 1
        k = int(np.argmax(plan.lane_index == index))
    lane = plan.lane_ids[index]
    first = float(plan.along[int(np.argmax(plan.lane_index == index))])
    edges = edges_of(plan.lane_ids[index:])
    put_on_lane(world, name, kind, lane, max(float(plan.along[k]) - first, s - first), speed, edges)


@dataclass(slots=True)
class Puppet:
    """A road user moved along a path; SUMO's traffic sees it, the path is the scenario's.

    Attributes:
        name: Its id.
        path: (n, 2) polyline of its centre.
        kind: SUMO vehicle type; ``walker`` for a person.
        s: Distance along the path of its centre, m.
        speed: m/s.
    """

    name: str
    path: Array
    kind: str
    s: float = 0.0
    speed: float = 0.0
    _placed: bool = False
    _edge: str = ""

    def appear(self, world: World, edge: str) -> None:
        """Come into traffic; ``edge`` is any edge of the net, where SUMO books it in."""
        sumo = world.traffic.sumo
        if self.kind == "walker":
            walkable = world.traffic.demand.walkable
            if edge not in walkable:  # SUMO ends the simulation for a person without a sidewalk
                edge = walkable[0]
            self._edge = edge
            sumo.person.add(self.name, edge, 1.0, typeID="walker")
            sumo.person.appendWaitingStage(self.name, 10_000.0)
        else:
            sumo.route.add(f"route_{self.name}", (edge,))
            sumo.vehicle.add(self.name, f"route_{self.name}", self.kind, departPos="0", departSpeed="0")
            sumo.vehicle.setSpeedMode(self.name, 0)
            sumo.vehicle.setLaneChangeMode(self.name, 0)
        self._placed = True
        self.move(world)

    def pace(self, wanted: float) -> None:
        """Take a speed as far as `SPEED_UP` and `BRAKE` let it within one step."""
        self.speed = max(self.speed - BRAKE * STEP, min(self.speed + SPEED_UP * STEP, wanted), 0.0)

    def move(self, world: World) -> None:
        """Go on by one step at its speed."""
        if not self._placed:
            return
        self.s += self.speed * STEP
        sumo = world.traffic.sumo
        yaw = float(heading_at(self.path, self.s))
        x, y = (float(v) for v in point_at(self.path, self.s))
        angle = 90.0 - math.degrees(yaw)
        world.traffic.scripted[self.name] = (x, y, math.remainder(yaw, 2.0 * math.pi), float(self.speed))
        if self.kind == "walker":
            if self.name in sumo.person.getIDList():
                self._book_anew(sumo.person, sumo.lane, x, y)
                sumo.person.moveToXY(self.name, "", x, y, angle=angle, keepRoute=2)
        else:
            half = 0.5 * _LENGTHS[self.kind]
            x, y = x + half * math.cos(yaw), y + half * math.sin(yaw)
            sumo.vehicle.moveToXY(self.name, "", -1, x, y, angle=angle, keepRoute=2)

    def _book_anew(self, person: Any, lane: Any, x: float, y: float) -> None:
        """Give a walker a new stage before it comes onto the area that its stage leads to.

        SUMO (1.28, `MSPModel_Striping::getNextLane`) looks for a way from that area to itself and dies of finding none.
        """
        stage = person.getStage(self.name)
        end = stage.edges[-1] if stage.type == _WALKING else ""
        if end.startswith(":") and "_w" in end and person.getRoadID(self.name) != end:
            outline = Polygon(lane.getShape(f"{end}_0"))
            if outline.distance(Point(x, y)) < _BEFORE_AREA:
                person.appendWalkingStage(self.name, [self._edge], 1.0)
                person.removeStage(self.name, 0)

    def say(self, world: World, intention: AgentIntention, cause: Cause = Cause.UNKNOWN) -> None:
        """What it is about to do, for the Scene."""
        world.traffic.overrides[self.name] = (intention, cause)

    @property
    def arrived(self) -> bool:
        """At the end of its path."""
        return self.s >= float(arc_length(self.path)[-1]) - 0.3

    def leave(self, world: World) -> None:
        """Go out of traffic."""
        sumo = world.traffic.sumo
        if self.kind == "walker":
            if self.name in sumo.person.getIDList():
                sumo.person.removeStages(self.name)
        elif self.name in sumo.vehicle.getIDList():
            sumo.vehicle.remove(self.name)
        self._placed = False


def room_ahead(world: World, puppet: Puppet) -> float:
    """Highest speed at which a led vehicle can still stop, braking gently, before who stands ahead or a red light."""
    x, y = (float(v) for v in point_at(puppet.path, puppet.s))
    yaw = float(heading_at(puppet.path, puppet.s))
    c, s = math.cos(yaw), math.sin(yaw)
    nose = 0.5 * _LENGTHS[puppet.kind]
    allowed = math.inf
    for agent in world.scene.agents if hasattr(world, "scene") else ():
        ahead = (agent.x - x) * c + (agent.y - y) * s
        side = abs(-(agent.x - x) * s + (agent.y - y) * c)
        if agent.id == puppet.name or ahead < 0.0 or side > 1.5:
            continue
        gap = ahead - 0.5 * agent.length - nose
        onward = max(agent.velocity[0] * c + agent.velocity[1] * s, 0.0)
        allowed = min(allowed, math.sqrt(onward**2 + 2.0 * _COMFORT * max(gap - 1.5, 0.0)))
    states = world.traffic.signals(x, y)
    for line in world.road.stop_lines:
        if states.get(line.signal or "") not in (SignalState.RED, SignalState.YELLOW, SignalState.RED_YELLOW):
            continue
        dx, dy = line.segment.mean(axis=0) - (x, y)
        gap = dx * c + dy * s - nose
        # What it cannot stop before any more it drives past.
        if abs(-dx * s + dy * c) < 1.5 and gap > 0.0 and puppet.speed**2 < 2.0 * BRAKE * gap:
            allowed = min(allowed, math.sqrt(2.0 * _COMFORT * max(gap - 0.8, 0.0)))
    return allowed


def across(world: World, s: float, reach: float, from_right: bool) -> Array:
    """A path straight across the ego's way at distance ``s``, from ``reach`` m on one side to the other."""
    x, y, yaw = world.route.pose_at(s)
    left = np.array([-math.sin(yaw), math.cos(yaw)])
    ends = np.array([(x, y) - reach * left, (x, y) + reach * left])
    return np.asarray(ends if from_right else ends[::-1])


def lane_path(world: World, lane: str, onward: float = 60.0) -> Array:
    """A lane's centre line, led on by what follows it straight ahead for at least ``onward`` m."""
    lanes = world.road.lanes
    parts = [lanes[lane].centerline]
    here, total = lanes[lane], 0.0
    while total < onward and here.successors:
        here = lanes[min(here.successors, key=lambda n: abs(int(lanes[n].turn) - 1))]
        parts.append(here.centerline)
        total += float(arc_length(here.centerline)[-1])
    points = np.concatenate(parts)
    keep = np.concatenate([[True], np.hypot(*np.diff(points, axis=0).T) > 1e-3])
    return np.asarray(points[keep])
