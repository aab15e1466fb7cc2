"""Places on the way that may be closed: red lights, stop lines, junctions with someone to yield to, crossings.

A gate says where the front bumper must stop and why. Right of way and the geometry of crossing connectors are read from
the map once and kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from vadv2_core.geometry import Array, project_to_polyline
from vadv2_core.scene import Agent, Crossing, Lane, RoadMap, Scene
from vadv2_core.taxonomy import (
    AgentClass,
    AgentIntention,
    Cause,
    DrivingAction,
    LaneKind,
    LateralAction,
    SignalState,
    StopControl,
)
from vadv2_sim.expert.junctions import Conflict, JunctionBook
from vadv2_sim.expert.route_path import LaneSpan, RoutePath

HOLDING = frozenset({SignalState.RED, SignalState.RED_YELLOW})
ARRIVES = 1.0
"""m beyond the place where it was told to stop, of which a gate's gap takes 0.6: it comes to rest on it, not before."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A closed place: the front must not pass ``s`` (m along the path)."""

    s: float
    cause: Cause
    subject: str | None = None


@dataclass(slots=True)
class EgoMotion:
    """What gap acceptance knows of the ego: distances of its ends along the path, and its speed."""

    front: float
    rear: float
    speed: float

    def time_to(self, distance: float, cruise: float, acceleration: float = 1.6) -> float:
        """Seconds to cover a distance, speeding up to ``cruise``."""
        if distance <= 0.0:
            return 0.0
        v, top = self.speed, max(cruise, self.speed, 0.5)
        reach = (top * top - v * v) / (2 * acceleration)
        if distance <= reach:
            return (math.sqrt(v * v + 2 * acceleration * distance) - v) / acceleration
        return (top - v) / acceleration + (distance - reach) / top


@dataclass(slots=True)
class GateMemory:
    """What must be remembered from one plan to the next.

    Attributes:
        stood: Stop lines the ego has stood at, by lane.
        committed: Connectors entered on yellow.
        waiting: Since when the ego waits at a connector, s.
        still: Since when an agent stands, s.
    """

    stood: set[str] = field(default_factory=set)
    committed: set[str] = field(default_factory=set)
    waiting: dict[str, float] = field(default_factory=dict)
    still: dict[str, float] = field(default_factory=dict)


def arrival_gate(scene: Scene, front: float, deceleration: float) -> list[Gate]:
    """The place at which a command to stop says that the ego shall come to rest; none without such a command.

    Who is told to stop at once stops as soon as he comfortably can.

    Args:
        scene: The moment.
        front: Distance of the front bumper along the path, m.
        deceleration: The braking planned for, m/s^2.
    """
    if scene.command.action is not DrivingAction.STOP:
        return []
    speed = max(scene.ego.speed, 0.0)
    asked = scene.command.distance if scene.command.distance > 0.0 else speed**2 / (2.0 * deceleration)
    # Beyond a place that is reached there is no other to creep to.
    return [Gate(front + asked + ARRIVES * min(asked + speed, 1.0), Cause.GOAL)]


def goes_along(agent: Agent, connector: Lane, distance: float, direct: bool) -> bool:
    """Whether an agent before a junction may take a connector, by what is known of its intention."""
    if not direct:
        return True
    turn = connector.turn
    if agent.intention is AgentIntention.TURNS_LEFT or (agent.indicator == 1 and distance < 25.0):
        return turn is LateralAction.LEFT_TURN
    if agent.intention is AgentIntention.TURNS_RIGHT or (agent.indicator == -1 and distance < 25.0):
        return turn is LateralAction.RIGHT_TURN
    if agent.intention is AgentIntention.KEEPS and distance < max(8.0, 2.5 * float(np.hypot(*agent.velocity))):
        return turn is LateralAction.STRAIGHT
    return True


class GateKeeper:
    """Finds the closed gates of a moment.

    Args:
        road: The map.
        line_gap: Front to stop line when waiting, m.
    """

    def __init__(self, road: RoadMap, line_gap: float) -> None:
        self._road, self._gap = road, line_gap
        self.book = JunctionBook(road)
        self._on_lane: dict[str, tuple[float, float]] = {}
        bounds = [(c.polygon.min(axis=0), c.polygon.max(axis=0)) for c in road.crossings]
        self._bounds = np.array(bounds, dtype=np.float64).reshape(-1, 2, 2)

    def crossings_on(self, path: RoutePath, reach: float) -> list[tuple[Crossing, float, float]]:
        """Crossings that the path runs over within ``reach`` m, with where it enters and leaves them."""
        near = path.along < reach
        points, along = path.points[near], path.along[near]
        if not len(points):
            return []
        low, high = points.min(axis=0) - 5.0, points.max(axis=0) + 5.0
        found = []
        for k in np.flatnonzero((self._bounds[:, 1] >= low).all(axis=1) & (self._bounds[:, 0] <= high).all(axis=1)):
            inside = _contains(self._road.crossings[k].polygon, points)
            if inside.any():
                s = along[inside]
                found.append((self._road.crossings[k], float(s[0]) - 0.5, float(s[-1]) + 0.5))
        return found

    def closed(
        self,
        scene: Scene,
        path: RoutePath,
        ego: EgoMotion,
        memory: GateMemory,
        now: float,
        queue: float,
    ) -> list[Gate]:
        """Every closed gate ahead.

        Args:
            scene: The moment.
            path: The way.
            ego: Its ends and speed on the way.
            memory: Kept between moments; changed here.
            now: Time, s.
            queue: Distance along the path of the rear of the first thing that stands on it, m; inf for none.
        """
        movers = [
            a
            for a in scene.agents
            if a.lane in self._road.lanes
            and a.cls not in (AgentClass.PEDESTRIAN,)
            and a.intention is not AgentIntention.PARKED
        ]
        self._on_lane = {}
        gates: list[Gate] = []
        for k, span in enumerate(path.spans):
            if span.lane.kind is not LaneKind.CONNECTOR or span.start > ego.front + 75.0 or span.end < ego.rear:
                continue
            before = path.spans[k - 1].lane if k else None
            gates += self._at_connector(scene, path, span, before, ego, memory, now, queue, movers)
        return gates

    def _at_connector(
        self,
        scene: Scene,
        path: RoutePath,
        span: LaneSpan,
        before: Lane | None,
        ego: EgoMotion,
        memory: GateMemory,
        now: float,
        queue: float,
        movers: list[Agent],
    ) -> list[Gate]:
        connector = span.lane
        start = span.start if np.isfinite(span.start) else span.end - self.book.length(connector.id)
        line = start - 0.5
        name = before.id if before is not None else next(iter(connector.predecessors), "")
        if name in self.book.stop_lines:
            at, off = path.project(self.book.stop_lines[name].segment.mean(axis=0)[None])
            if abs(off[0]) < 5.0 and abs(at[0] - start) < 15.0:
                line = float(at[0])
        gates: list[Gate] = []
        entered = ego.front > line + 0.4
        stop_at = line - self._gap
        if connector.control is StopControl.SIGNAL and not entered:
            state = scene.signals.get(connector.signal or "", SignalState.UNKNOWN)
            gate = self._signal(connector, state, stop_at, line, ego, memory)
            if gate is not None:
                return [gate]
        if connector.control is StopControl.STOP_SIGN and not entered:
            if ego.speed < 0.25 and line - ego.front < 3.5:
                memory.stood.add(name)
            if name not in memory.stood:
                return [Gate(stop_at, Cause.STOP_SIGN)]
        if span.end < ego.front - 8.0:
            memory.stood.discard(name)
        crossing = connector.yields_to or connector.control is StopControl.SIGNAL
        if not entered and crossing and queue < span.end + (ego.front - ego.rear) + 1.5 and queue > line:
            gates.append(Gate(stop_at, Cause.LEAD_VEHICLE))
        gates += self._yield(scene, connector, start, line, ego, memory, now, movers)
        return gates

    def _signal(
        self,
        connector: Lane,
        state: SignalState,
        stop_at: float,
        line: float,
        ego: EgoMotion,
        memory: GateMemory,
    ) -> Gate | None:
        if state is SignalState.GREEN:
            memory.committed.discard(connector.id)
        room = line - ego.front
        if state in HOLDING:
            # A light that turned red too late to stop at all is driven through, not stopped in the junction.
            return Gate(min(stop_at, max(line - 0.3, ego.front)), Cause.RED_LIGHT)
        if state is SignalState.YELLOW:
            if connector.id in memory.committed:
                return None
            if ego.speed**2 / (2 * 3.4) + 0.25 * ego.speed > room and ego.time_to(room, ego.speed) < 2.6:
                memory.committed.add(connector.id)
                return None
            return Gate(stop_at, Cause.YELLOW_LIGHT)
        return None

    def _agent_at(self, agent: Agent) -> float:
        """Distance of an agent's centre along its lane, m."""
        if agent.id not in self._on_lane:
            line = self._road.lanes[agent.lane or ""].centerline
            s, d = project_to_polyline(line, (agent.x, agent.y))
            self._on_lane[agent.id] = (float(s), float(d))
        return self._on_lane[agent.id][0]

    def _yield(
        self,
        scene: Scene,
        connector: Lane,
        start: float,
        line: float,
        ego: EgoMotion,
        memory: GateMemory,
        now: float,
        movers: list[Agent],
    ) -> list[Gate]:
        """Gaps in the traffic that goes first, and rescue vehicles that go first everywhere."""
        rescue = [a for a in movers if a.blue_light]
        first = set(connector.yields_to)
        inside = {a.lane for a in movers}
        foes = [n for n in self.book.others(connector) if n in first or n in inside or rescue]
        worst: Gate | None = None
        cruise = min(
            connector.speed_limit,
            7.0 if connector.turn is not LateralAction.STRAIGHT else 12.0,
        )
        standing = ego.speed < 0.3
        waited = now - memory.waiting.get(connector.id, now)
        for name in foes:
            conflict = self.book.conflict(connector.id, name)
            if conflict is None:
                continue
            zone = (start + conflict.mine[0], start + conflict.mine[1])
            if ego.front > zone[0] + 0.3 or ego.rear > zone[1]:
                continue
            t_in = ego.time_to(zone[0] - 0.5 - ego.front, cruise)
            t_out = ego.time_to(zone[1] + 0.5 - ego.rear, cruise)
            subject = self._comes(
                scene,
                name,
                conflict,
                (t_in, t_out),
                movers,
                name in first,
                waited,
                now,
                memory,
            )
            if subject is None:
                continue
            hold = zone[0] - 1.2
            if connector.control is not StopControl.SIGNAL or ego.front < line - 25.0 or not name:
                hold = min(hold, line - self._gap)
            if ego.front > line + 0.4:
                hold = zone[0] - 0.6
            cause = Cause.EMERGENCY_VEHICLE if subject.blue_light else Cause.YIELD
            if worst is None or hold < worst.s:
                worst = Gate(hold, cause, subject.id)
        if standing:
            memory.waiting.setdefault(connector.id, now)
        elif ego.speed > 1.5:
            memory.waiting.pop(connector.id, None)
        if worst is None:
            return []
        return [worst]

    def _comes(
        self,
        scene: Scene,
        foe: str,
        conflict: Conflict,
        mine: tuple[float, float],
        movers: list[Agent],
        goes_first: bool,
        waited: float,
        now: float,
        memory: GateMemory,
    ) -> Agent | None:
        """Who would be in a conflict at the same time as the ego; None for nobody."""
        lane = self._road.lanes[foe]
        upstream = self.book.upstream(foe)
        state = scene.signals.get(lane.signal or "", SignalState.UNKNOWN) if lane.signal else None
        after = 1.8 if conflict.merges else 1.0
        for agent in movers:
            on_it = agent.lane == foe
            if not on_it and agent.lane not in upstream:
                continue
            if not (goes_first or on_it or agent.blue_light):
                continue
            at = self._agent_at(agent)
            gap = -at if on_it else upstream[agent.lane or ""] + self.book.length(agent.lane or "") - at
            speed = float(np.hypot(*agent.velocity))
            nose = gap - 0.5 * agent.length
            if not on_it and not agent.blue_light:
                if state in HOLDING and (nose > -1.0 or speed < 0.5):
                    continue
                if state is SignalState.YELLOW and nose > speed * speed / 6.0:
                    continue
                if not goes_along(agent, lane, max(nose, 0.0), agent.lane in lane.predecessors):
                    continue
            to_zone, past_zone = (
                nose + conflict.other[0],
                gap + 0.5 * agent.length + conflict.other[1],
            )
            if past_zone < -0.5:
                continue
            still = now - memory.still.get(agent.id, now) if speed < 0.3 else 0.0
            # Who stands is either let go round, or in the way as any obstacle is.
            if still > 3.0 and (waited > 4.0 or (not goes_first and to_zone > 0.0)):
                continue
            # Who yields stands for somebody: after a moment, take it that it is for the ego.
            if agent.intention is AgentIntention.YIELDS and speed < 0.6 and to_zone > 0.0 and waited > 1.5:
                continue
            if not on_it and speed < 0.5 and (to_zone > 12.0 or agent.intention is AgentIntention.YIELDS):
                continue
            top = max(1.1 * speed, 3.0)
            first = _reach(to_zone, speed, top)
            last = _reach(past_zone, speed, max(0.7 * top, 2.0))
            if first < mine[1] + after and last > mine[0] - 0.8:
                return agent
        return None


def _reach(distance: float, speed: float, top: float, acceleration: float = 1.5) -> float:
    if distance <= 0.0:
        return 0.0
    return EgoMotion(0.0, 0.0, speed).time_to(distance, top, acceleration)


def _contains(polygon: Array, points: Array) -> Array:
    """Whether points (n, 2) lie in a polygon (m, 2), by crossings of a ray."""
    a, b = polygon, np.roll(polygon, -1, axis=0)
    x, y = points[:, :1], points[:, 1:]
    spans = (a[:, 1] > y) != (b[:, 1] > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = (b[:, 0] - a[:, 0]) * (y - a[:, 1]) / (b[:, 1] - a[:, 1]) + a[:, 0]
    return np.asarray((spans & (x < at)).sum(axis=1) % 2 == 1)
