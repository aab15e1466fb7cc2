"""Who sets out when: keeps a town as full as asked, seeded, and out of the ego's sight where it can be helped."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import Any

from vadv2_core.scene import RoadMap
from vadv2_core.taxonomy import LaneKind

VEHICLE_MIX = (
    ("car", 0.62),
    ("van", 0.12),
    ("truck", 0.06),
    ("bus", 0.04),
    ("motorcycle", 0.06),
    ("bicycle", 0.10),
)
"""Vehicle types of plain traffic and their shares."""

OUT_OF_SIGHT = 90.0
"""Nearer to the ego than this nobody appears or is taken away, m."""
PATIENCE = 80.0
"""A vehicle that stood still for so long, out of sight, is taken away, s."""


class Demand:
    """Adds vehicles and people to a running simulation until their numbers are as asked.

    Args:
        sumo: The libsumo module of the running simulation.
        road: The town's map.
        net: Its sumolib net.
        rng: The drive's source of chance.
        vehicles: Moving vehicles to keep in town.
        pedestrians: People to keep walking.
    """

    def __init__(self, sumo: Any, road: RoadMap, net: Any, rng: random.Random, vehicles: int, pedestrians: int) -> None:
        self._sumo, self._rng = sumo, rng
        self._wanted_vehicles, self._wanted_people = vehicles, pedestrians
        self._next = 0
        self._steps = 0
        self._routes: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self.lost_turns: set[tuple[str, str]] = set()
        self._drivable, self._entries, self._exits = [], [], []
        self.walkable: list[str] = []
        """Edges with a sidewalk, where people can be set down."""
        self._middle: dict[str, tuple[float, float]] = {}
        for edge in net.getEdges(withInternal=False):
            kinds = [road.lanes[lane.getID()].kind for lane in edge.getLanes() if lane.getID() in road.lanes]
            shape = edge.getShape()
            self._middle[edge.getID()] = tuple(shape[len(shape) // 2][:2])
            if LaneKind.SIDEWALK in kinds:
                self.walkable.append(edge.getID())
            if LaneKind.ROAD not in kinds:
                continue
            if edge.getLength() > 15.0:
                self._drivable.append(edge.getID())
            if not any(o.getID() != edge.getID() for o in _onward(edge.getIncoming())):
                self._entries.append(edge.getID())
            if not any(o.getID() != edge.getID() for o in _onward(edge.getOutgoing())):
                self._exits.append(edge.getID())

    def fill(self) -> None:
        """Put the wanted numbers on the streets at once; call it before the first step."""
        for _ in range(self._wanted_vehicles):
            self._add_vehicle(None, anywhere=True)
        for _ in range(self._wanted_people):
            self._add_person(None)

    def step(self, ego: tuple[float, float] | None) -> None:
        """Make up for who left; ``ego`` is where nobody may appear."""
        self._steps += 1
        if self._steps % 5:
            return
        alive = self._sumo.vehicle.getIDCount() + len(self._sumo.simulation.getPendingVehicles())
        if alive < self._wanted_vehicles + 1:
            self._add_vehicle(ego, anywhere=not self._entries or self._rng.random() < 0.35)
        if self._steps % 10 == 0 and self._sumo.person.getIDCount() < self._wanted_people:
            self._add_person(ego)
        if self._steps % 100 == 0:
            self._remove_stuck(ego)

    def route(self, start: str, end: str, kind: str) -> tuple[str, ...]:
        """Edges of the fastest way between two edges for a vehicle type; empty where there is none."""
        key = (start, end, kind)
        if key not in self._routes:
            self._routes[key] = tuple(self._sumo.simulation.findRoute(start, end, kind).edges)
        edges = self._routes[key]
        return () if any(pair in self.lost_turns for pair in pairwise(edges)) else edges

    def _far(self, edge: str, ego: tuple[float, float] | None) -> bool:
        x, y = self._middle[edge]
        return ego is None or math.hypot(x - ego[0], y - ego[1]) > OUT_OF_SIGHT

    def _add_vehicle(self, ego: tuple[float, float] | None, anywhere: bool) -> None:
        kind = self._rng.choices([k for k, _ in VEHICLE_MIX], [w for _, w in VEHICLE_MIX])[0]
        starts = self._drivable if anywhere else self._entries
        for _ in range(8):
            start = self._rng.choice(starts)
            end = self._rng.choice(self._exits or self._drivable)
            edges = self.route(start, end, kind) if start != end and self._far(start, ego) else ()
            if len(edges) < 2:
                continue
            self._next += 1
            name = f"v{self._next}"
            self._sumo.route.add(name, edges)
            self._sumo.vehicle.add(
                name,
                name,
                kind,
                departLane="best_prob",
                departPos="random_free" if anywhere else "base",
                departSpeed="speedLimit" if not anywhere else "random",
            )
            return

    def _add_person(self, ego: tuple[float, float] | None) -> None:
        for _ in range(6):
            if len(self.walkable) < 2:
                return
            start, end = self._rng.sample(self.walkable, 2)
            if not self._far(start, ego):
                continue
            stages = self._sumo.simulation.findIntermodalRoute(start, end, "")
            if len(stages) != 1 or len(stages[0].edges) < 2 or stages[0].travelTime > 400.0:
                continue
            self._next += 1
            name = f"p{self._next}"
            length = self._sumo.lane.getLength(f"{start}_0")
            self._sumo.person.add(name, start, self._rng.uniform(0.1, 0.9) * length, typeID="walker")
            self._sumo.person.appendWalkingStage(name, stages[0].edges, -1.0)
            self._sumo.person.setSpeed(name, self._rng.uniform(0.9, 1.6))
            return

    def _remove_stuck(self, ego: tuple[float, float] | None) -> None:
        vehicle = self._sumo.vehicle
        for name in vehicle.getIDList():
            if not name.startswith("v") or vehicle.getWaitingTime(name) < PATIENCE:
                continue
            x, y = vehicle.getPosition(name)
            if ego is None or math.hypot(x - ego[0], y - ego[1]) > OUT_OF_SIGHT:
                vehicle.remove(name)


def _onward(connections: Any) -> list[Any]:
    return [
        edge
        for edge, links in connections.items()
        if edge.getFunction() in ("", "normal") and any(c.allows("passenger") for c in links)
    ]
