"""The town's traffic: a running SUMO simulation read as agents and signal states."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vadv2_core.geometry import Array, Pose2
from vadv2_core.scene import Agent
from vadv2_core.taxonomy import AgentClass, AgentIntention, Cause, LaneKind, SignalState
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.configuration import TrafficConfig
from vadv2_sim.demand import Demand
from vadv2_sim.intentions import Intent, person_intent, vehicle_intent
from vadv2_sim.road_map import TownMap
from vadv2_sim.street_furniture import CAR_COLORS, RoadWorks, parked_vehicles
from vadv2_sim.sumo_session import STEP, close_sumo, start_sumo, step_sumo
from vadv2_sim.town import Town

EGO = "ego"
"""The ego's name in SUMO."""

_CLASSES = {
    "car": AgentClass.CAR,
    "van": AgentClass.CAR,
    "reckless": AgentClass.CAR,
    "truck": AgentClass.TRUCK,
    "bus": AgentClass.BUS,
    "motorcycle": AgentClass.MOTORCYCLE,
    "bicycle": AgentClass.BICYCLE,
    "emergency": AgentClass.EMERGENCY_VEHICLE,
}
_STATES = {
    "r": SignalState.RED,
    "y": SignalState.YELLOW,
    "g": SignalState.GREEN,
    "u": SignalState.RED_YELLOW,
    "o": SignalState.OFF,
    "s": SignalState.RED,
}
_CLOTHES = ((170, 44, 52), (40, 70, 130), (60, 60, 64), (200, 180, 60), (50, 110, 70), (140, 90, 140))
_RIGHT, _LEFT, _HAZARD, _BRAKE = 1, 2, 4, 8
CLOSING = 60.0
"""Nobody and the ego come closer to each other faster than this, m/s."""
MATCH_REACH = 30.0
"""SUMO looks for the ego's lane within this distance of it, m; its own 100 m takes time and finds no other."""
INTENT_EVERY = 3
"""Steps between two readings of one vehicle's intention (they are spread over the steps)."""


@dataclass(slots=True)
class _Known:
    """What stays the same about a vehicle or person, and its last reading."""

    cls: AgentClass
    length: float
    width: float
    height: float
    color: tuple[int, int, int]
    phase: int
    intent: Intent = (AgentIntention.KEEPS, Cause.UNKNOWN)
    fresh: bool = False


class Traffic:
    """Traffic of one drive; one at a time in a process.

    Args:
        town: The town.
        town_map: Its map.
        seed: Of everything random here; equal seeds give equal states.
        config: Numbers and radius.
        ego: The ego's sizes, which the others see.
    """

    def __init__(self, town: Town, town_map: TownMap, seed: int, config: TrafficConfig, ego: VehicleConfig) -> None:
        self.map, self.config, self._ego = town_map, config, ego
        self.sumo: Any = start_sumo(town.net, seed, ego.length, ego.width)
        self.rng = random.Random(seed * 7919 + 13)
        facts = town.facts
        self.demand = Demand(
            self.sumo,
            town_map.road,
            town_map.net,
            self.rng,
            facts.vehicles if config.vehicles < 0 else config.vehicles,
            facts.pedestrians if config.pedestrians < 0 else config.pedestrians,
        )
        self._turns = {s: town_map.road.lanes[m].turn for s, m in town_map.lane_of.items() if s.startswith(":")}
        self._known: dict[str, _Known] = {}
        self._steps = 0
        self._later: dict[str, int] = {}
        """Step before which somebody far away cannot have come near."""
        self._later_of = (math.inf, math.inf)
        self.things: list[Agent] = list(parked_vehicles(town_map.road, facts.seed, facts.parked_share))
        self._thing_places = self._places()
        self.closed: set[str] = set()
        self.barred: set[str] = set()
        self.overrides: dict[str, Intent] = {}
        self.scripted: dict[str, tuple[float, float, float, float]] = {}
        """Centre, yaw and speed of those a scenario moves; SUMO itself calls a person moved by hand standing."""
        signals = sorted(town_map.signal_links)
        self._signal_names = signals
        self._signal_lamps = [town_map.signal_links[s] for s in signals]
        self._signal_places = _signal_places(town_map, signals)

    def start(self, ego: tuple[float, float] | None = None) -> None:
        """Fill the streets and run them warm; nobody is put near ``ego``."""
        self.demand.fill()
        for _ in range(round(self.config.warmup / 0.1)):
            self.step(ego)

    def step(self, ego: tuple[float, float] | None) -> None:
        """Advance traffic by 0.1 s.

        Raises:
            InputError: if SUMO died.
        """
        self.demand.step(ego)
        step_sumo()
        self._steps += 1

    def close(self) -> None:
        """End the simulation."""
        close_sumo()

    def add_things(self, things: tuple[Agent, ...]) -> None:
        """Put static agents (cones, a wreck) into the streets."""
        self.things += things
        self._thing_places = self._places()

    def close_lane(self, works: RoadWorks) -> None:
        """Take a lane from traffic and set its cones up."""
        self.closed.add(works.lane)
        self.bar_lane(works.lane)
        self.add_things(works.agents)

    def bar_lane(self, name: str) -> None:
        """Keep traffic off a lane."""
        self.barred.add(name)
        self.sumo.lane.setDisallowed(name, ["all"])
        lanes = self.map.road.lanes
        links: dict[tuple[str, str], bool] = {}
        for lane in lanes.values():
            if lane.kind == LaneKind.CONNECTOR:
                ends = lane.predecessors[0], lane.successors[0]
                pair = ends[0].rpartition("_")[0], ends[1].rpartition("_")[0]
                links[pair] = links.get(pair, False) or not self.barred.intersection(ends)
        self.demand.lost_turns = {pair for pair, is_open in links.items() if not is_open}

    # The ego, as the others see it.

    def put_ego(self, pose: Pose2, edges: tuple[str, ...]) -> None:
        """Add the ego to traffic at a rear-axle pose, on its way along ``edges``."""
        name = f"ego_{self._steps}"
        self.sumo.route.add(name, edges)
        try:
            self.sumo.vehicle.add(EGO, name, "ego", departLane="free", departPos="0", departSpeed="0")
        except self.sumo.TraCIException:  # a way over a lane that is closed to traffic
            self.sumo.route.add(f"{name}_here", edges[:1])
            self.sumo.vehicle.add(EGO, f"{name}_here", "ego", departLane="free", departPos="0", departSpeed="0")
        self.sumo.vehicle.setSpeedMode(EGO, 0)
        self.sumo.vehicle.setLaneChangeMode(EGO, 0)
        self.move_ego(pose)

    def move_ego(self, pose: Pose2) -> None:
        """Say where the ego is; call it before `step`."""
        front = self._ego.length - self._ego.rear_overhang
        x, y = pose.x + front * math.cos(pose.yaw), pose.y + front * math.sin(pose.yaw)
        yaw = 90.0 - math.degrees(pose.yaw)
        self.sumo.vehicle.moveToXY(EGO, "", -1, x, y, angle=yaw, keepRoute=2, matchThreshold=MATCH_REACH)

    def has_ego(self) -> bool:
        """Whether SUMO still knows the ego (it takes a vehicle off at the end of its route)."""
        return EGO in self.sumo.vehicle.getIDList() or EGO in self.sumo.simulation.getPendingVehicles()

    # What is out there.

    def signals(self, x: float, y: float) -> dict[str, SignalState]:
        """States of the signals within the radius of a point."""
        if not self._signal_names:
            return {}
        near = np.hypot(self._signal_places[:, 0] - x, self._signal_places[:, 1] - y) < self.config.radius
        texts: dict[str, str] = {}
        states = {}
        for index in np.flatnonzero(near):
            light, link = self._signal_lamps[index]
            if light not in texts:
                texts[light] = self.sumo.trafficlight.getRedYellowGreenState(light)
            states[self._signal_names[index]] = _STATES.get(texts[light][link].lower(), SignalState.UNKNOWN)
        return states

    def agents(self, x: float, y: float) -> list[Agent]:
        """Everyone and everything within the radius of a point, the ego left out."""
        if math.hypot(x - self._later_of[0], y - self._later_of[1]) > CLOSING * STEP:
            self._later.clear()
        self._later_of = (x, y)
        found = []
        vehicle, person = self.sumo.vehicle, self.sumo.person
        for name, px, py in self._near(vehicle, x, y):
            if name != EGO:
                found.append(self._vehicle(name, px, py))
        for name, px, py in self._near(person, x, y):
            found.append(self._person(name, px, py))
        if len(self.things):
            near = np.hypot(self._thing_places[:, 0] - x, self._thing_places[:, 1] - y) < self.config.radius
            found += [self.things[k] for k in np.flatnonzero(near)]
        return found

    def _near(self, kind: Any, x: float, y: float) -> Iterator[tuple[str, float, float]]:
        """Names and positions of those within the radius; who is far away is asked again when he may be near."""
        later, steps, radius = self._later, self._steps, self.config.radius
        for name in [n for n in kind.getIDList() if later.get(n, 0) <= steps or n in self.scripted]:
            px, py = kind.getPosition(name)
            away = math.hypot(px - x, py - y)
            if away < radius:
                yield name, px, py
            else:
                later[name] = steps + int((away - radius) / (CLOSING * STEP))

    def _vehicle(self, name: str, px: float, py: float) -> Agent:
        vehicle = self.sumo.vehicle
        known = self._known.get(name) or self._meet_vehicle(name)
        yaw = math.radians(90.0 - vehicle.getAngle(name))
        speed, acceleration = vehicle.getSpeed(name), vehicle.getAcceleration(name)
        lane, bits = vehicle.getLaneID(name), vehicle.getSignals(name)
        if name in self.scripted:
            x, y, yaw, speed = self.scripted[name]
            px, py = x + 0.5 * known.length * math.cos(yaw), y + 0.5 * known.length * math.sin(yaw)
        if name in self.overrides:
            known.intent = self.overrides[name]
        elif not known.fresh or (self._steps + known.phase) % INTENT_EVERY == 0:
            known.intent = vehicle_intent(self.sumo, self._turns, name, speed, acceleration, lane, bits)
            known.fresh = True
        c, s = math.cos(yaw), math.sin(yaw)
        indicator = 2 if bits & _HAZARD else 1 if bits & _LEFT else -1 if bits & _RIGHT else 0
        return Agent(
            name,
            known.cls,
            px - 0.5 * known.length * c,
            py - 0.5 * known.length * s,
            math.remainder(yaw, 2.0 * math.pi),
            known.length,
            known.width,
            known.height,
            (speed * c, speed * s),
            acceleration,
            self.map.lane_of.get(lane),
            known.intent[0],
            known.intent[1],
            indicator,
            bool(bits & _BRAKE),
            known.cls == AgentClass.EMERGENCY_VEHICLE,
            known.color,
        )

    def _person(self, name: str, px: float, py: float) -> Agent:
        person = self.sumo.person
        known = self._known.get(name) or self._meet_person(name)
        yaw = math.radians(90.0 - person.getAngle(name))
        speed, lane = person.getSpeed(name), person.getLaneID(name)
        if name in self.scripted:
            px, py, yaw, speed = self.scripted[name]
        if name in self.overrides:
            known.intent = self.overrides[name]
        elif not known.fresh or (self._steps + known.phase) % INTENT_EVERY == 0:
            known.intent = person_intent(lane, speed, person.getNextEdge(name))
            known.fresh = True
        return Agent(
            name,
            AgentClass.PEDESTRIAN,
            px,
            py,
            math.remainder(yaw, 2.0 * math.pi),
            known.length,
            known.width,
            known.height,
            (speed * math.cos(yaw), speed * math.sin(yaw)),
            0.0,
            self.map.lane_of.get(lane),
            known.intent[0],
            known.intent[1],
            color=known.color,
        )

    def _meet_vehicle(self, name: str) -> _Known:
        vehicle = self.sumo.vehicle
        kind = vehicle.getTypeID(name).partition("@")[0]
        cls = _CLASSES.get(kind, AgentClass.CAR)
        choice = random.Random(name)
        color = {
            AgentClass.BUS: (206, 168, 36),
            AgentClass.EMERGENCY_VEHICLE: (235, 235, 235),
            AgentClass.TRUCK: choice.choice(((210, 210, 214), (60, 92, 140), (150, 52, 44), (90, 96, 90))),
        }.get(cls, choice.choice(CAR_COLORS))
        size = vehicle.getLength(name), vehicle.getWidth(name), vehicle.getHeight(name)
        return self._remember(name, _Known(cls, *size, color, _phase(name)))

    def _meet_person(self, name: str) -> _Known:
        choice = random.Random(name)
        color = choice.choice(
            ((170, 44, 52), (40, 70, 130), (60, 60, 64), (200, 180, 60), (50, 110, 70), (140, 90, 140))
        )
        height = round(choice.uniform(1.5, 1.9), 2)
        return self._remember(name, _Known(AgentClass.PEDESTRIAN, 0.5, 0.55, height, color, _phase(name)))

    def _remember(self, name: str, known: _Known) -> _Known:
        self._known[name] = known
        return known

    def _places(self) -> Array:
        return np.array([(a.x, a.y) for a in self.things], dtype=np.float64).reshape(-1, 2)


def _phase(name: str) -> int:
    return sum(name.encode()) % INTENT_EVERY


def _signal_places(town_map: TownMap, signals: list[str]) -> Array:
    places = {c.signal: c.polygon.mean(axis=0) for c in town_map.road.crossings if c.signal}
    places |= {lane.signal: lane.centerline[0] for lane in town_map.road.lanes.values() if lane.signal}
    return np.array([places.get(s, np.full(2, 1e9)) for s in signals], dtype=np.float64).reshape(-1, 2)
