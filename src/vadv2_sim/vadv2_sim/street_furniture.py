"""What stands in the streets and never drives: parked vehicles, cones, barriers and signs of road works."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np

from vadv2_core.geometry import arc_length, heading_at, point_at
from vadv2_core.scene import Agent, Lane, RoadMap
from vadv2_core.taxonomy import AgentClass, AgentIntention, Cause, LaneKind

Size = tuple[float, float, float]
Color = tuple[int, int, int]

CAR_COLORS = (
    (225, 225, 228),
    (28, 30, 34),
    (128, 132, 138),
    (176, 30, 34),
    (32, 66, 142),
    (70, 76, 84),
    (198, 190, 172),
    (24, 84, 60),
    (214, 148, 38),
    (92, 40, 52),
)
"""Paints of cars, (r, g, b)."""

PARKING_PITCH = 6.4
"""From one parked vehicle's centre to the next, m."""
WORKS_LEAD = 45.0
"""Open length of a closed lane before its first cone, so that one can leave it, m."""


@dataclass(frozen=True, slots=True)
class RoadWorks:
    """Works on one lane.

    Attributes:
        lane: The closed lane.
        start: Distance along the lane to the first cone, m.
        end: Distance along the lane to the last cone, m.
        agents: Cones, barriers and signs.
    """

    lane: str
    start: float
    end: float
    agents: tuple[Agent, ...]


def parked_vehicles(road: RoadMap, seed: int, share: float) -> tuple[Agent, ...]:
    """Vehicles parked on the town's parking strips; the same for every drive in it."""
    rng = random.Random(seed)
    parked = []
    for lane in road.lanes.values():
        if lane.kind != LaneKind.PARKING or lane.width < 1.9:
            continue
        length = arc_length(lane.centerline)[-1]
        for k in range(int(max(0.0, length - 16.0) // PARKING_PITCH)):
            taken, large = rng.random() < share, rng.random() < 0.12
            size = (5.2, 2.0, 2.1) if large else (rng.uniform(3.9, 4.6), rng.uniform(1.7, 1.85), rng.uniform(1.4, 1.6))
            color = rng.choice(CAR_COLORS)
            s = 8.0 + (k + 0.5) * PARKING_PITCH + rng.uniform(-0.4, 0.4)
            turned = math.pi if rng.random() < 0.05 else 0.0
            if taken:
                parked.append(
                    _stand(
                        f"parked:{lane.id}:{k}", AgentClass.CAR, lane, s, rng.uniform(-0.12, 0.12), size, color, turned
                    )
                )
    return tuple(parked)


def road_works(lane: Lane, rng: random.Random) -> RoadWorks:
    """Works that close a lane: a sign, a taper of cones, a line of cones, barriers and a heap behind them."""
    length = float(arc_length(lane.centerline)[-1])
    start = min(WORKS_LEAD, 0.45 * length)
    end = max(start + 12.0, min(length - 12.0, start + rng.uniform(25.0, 45.0)))
    inner = -1.0 if lane.left is not None else 1.0  # cones taper from the lane's outer edge towards traffic
    half = 0.5 * lane.width
    agents: list[Agent] = []

    def stand(tag: str, cls: AgentClass, s: float, offset: float, size: Size, color: Color) -> None:
        agents.append(_stand(f"works:{lane.id}:{tag}", cls, lane, s, offset, size, color))

    cone, orange = (0.4, 0.4, 0.75), (240, 90, 20)
    sign = (0.3, 0.9, 1.6)
    stand("sign", AgentClass.CONSTRUCTION_SIGN, start - 12.0, inner * (half - 0.5), sign, (230, 140, 20))
    for k in range(5):
        stand(f"taper{k}", AgentClass.TRAFFIC_CONE, start + 2.2 * k, inner * half * (0.8 - 0.4 * k), cone, orange)
    for k, s in enumerate(np.arange(start + 13.0, end, 4.0).tolist()):
        stand(f"cone{k}", AgentClass.TRAFFIC_CONE, s, -inner * 0.8 * half, cone, orange)
    for tag, s in (("first", start + 13.5), ("last", end)):
        stand(tag, AgentClass.BARRIER, s, inner * 0.3, (0.4, 2.0, 1.0), (230, 60, 40))
    heap = (3.0, 1.6, 1.2)
    stand("heap", AgentClass.GENERIC_OBJECT, 0.5 * (start + end) + 5.0, inner * 0.4, heap, (130, 100, 70))
    return RoadWorks(lane.id, start, end, tuple(agents))


def _stand(
    name: str,
    cls: AgentClass,
    lane: Lane,
    s: float,
    offset: float,
    size: tuple[float, float, float],
    color: tuple[int, int, int],
    turned: float = 0.0,
) -> Agent:
    """A thing at distance ``s`` along a lane, ``offset`` m left of its centre."""
    x, y = point_at(lane.centerline, s)
    yaw = float(heading_at(lane.centerline, s))
    parked = cls == AgentClass.CAR
    return Agent(
        name,
        cls,
        float(x) - offset * math.sin(yaw),
        float(y) + offset * math.cos(yaw),
        yaw + turned,
        *size,
        (0.0, 0.0),
        lane=lane.id,
        intention=AgentIntention.PARKED if parked else AgentIntention.UNKNOWN,
        cause=Cause.UNKNOWN,
        color=color,
    )
