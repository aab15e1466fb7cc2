"""Ways beside the way: keep to it, stay in the lane before a lane change, pass an obstacle left or right, make room."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np
import shapely
from shapely.geometry import Polygon
from shapely.ops import unary_union

from vadv2_core.geometry import Array
from vadv2_core.scene import Agent, RoadMap, Scene
from vadv2_core.taxonomy import AgentClass, AgentIntention, Cause, LaneKind
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.expert.config import ExpertConfig
from vadv2_sim.expert.motion import Movers
from vadv2_sim.expert.route_path import RoutePath

QUEUE_CAUSES = frozenset(
    {
        Cause.RED_LIGHT,
        Cause.YELLOW_LIGHT,
        Cause.LEAD_VEHICLE,
        Cause.YIELD,
        Cause.STOP_SIGN,
        Cause.PEDESTRIAN,
    }
)
"""Who stands for one of these is waited for, not driven round."""
BLOCKED_CAUSES = frozenset({Cause.STOPPED_VEHICLE, Cause.ACCIDENT, Cause.CONSTRUCTION})


class Way(Enum):
    """Kinds of candidates."""

    KEEP = "keep"
    STAY = "stay"
    LEFT = "left"
    RIGHT = "right"
    ROOM = "room"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A lateral plan.

    Attributes:
        way: Its kind.
        offset: (n,) metres left of the path, at the path's points.
        end: The ego must not pass this distance on it, m.
        cost: What it costs before anything is met, in metres of progress.
        cause: Why it would be driven.
        subject: Agent it is driven for.
    """

    way: Way
    offset: Array
    end: float = np.inf
    cost: float = 0.0
    cause: Cause = Cause.UNKNOWN
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Obstacles that stand together on the way: limits along and across it, m; the first one's id and why it stands."""

    low: float
    high: float
    right: float
    left: float
    subject: str
    cause: Cause


def waits_long(agent: Agent, stands: float) -> bool:
    """Whether a person has stood and let others go for so long that the ego goes round."""
    return agent.cls is AgentClass.PEDESTRIAN and agent.intention is AgentIntention.YIELDS and stands > 5.0


class LateralPlanner:
    """Makes candidates.

    Args:
        road: The map.
        vehicle: The ego.
        config: Manner.
    """

    def __init__(self, road: RoadMap, vehicle: VehicleConfig, config: ExpertConfig) -> None:
        self._road, self._vehicle, self._config = road, vehicle, config
        self._area = unary_union([Polygon(p).buffer(0.0) for p in road.drivable if len(p) > 2]).buffer(0.1)
        shapely.prepare(self._area)
        self._front = vehicle.length - vehicle.rear_overhang

    def blocks(self, movers: Movers, standing: dict[str, float], here: float, still: float) -> list[Block]:
        """What stands on the way ahead and may be driven round.

        Args:
            movers: The others.
            standing: How long each agent has stood, s.
            here: The ego's distance along the path.
            still: How long the ego itself has stood, s.
        """
        half = self._vehicle.width / 2 + 0.3
        found: list[Block] = []
        for k, agent in enumerate(movers.agents):
            if movers.high[k, 0] < here - 1.0 or movers.low[k, 0] > here + 70.0:
                continue
            if movers.right[k, 0] > half or movers.left[k, 0] < -half:
                continue
            stands = standing.get(agent.id, 0.0)
            if agent.cls is AgentClass.PEDESTRIAN:
                if not waits_long(agent, stands):
                    continue
                stands = np.inf
            broken = agent.indicator == 2 or agent.cause in BLOCKED_CAUSES
            queue = agent.cause in QUEUE_CAUSES and not broken
            queue = queue and agent.cls is not AgentClass.PEDESTRIAN
            gives = queue and (agent.cause is Cause.YIELD or agent.intention is AgentIntention.YIELDS)
            patience = 25.0 if queue else (0.5 if broken else self._config.patience)
            slow = agent.cls is AgentClass.BICYCLE and 0.3 < movers.speed[k] < 5.5
            waited = stands > patience and not (queue and still < 20.0)
            # Two who give way to each other stand for ever: one of them goes round.
            if not (movers.static[k] or waited or slow or (gives and stands > 2.0 and still > 7.0)):
                continue
            cause = agent.cause if agent.cause in BLOCKED_CAUSES else Cause.STOPPED_VEHICLE
            if movers.static[k] and agent.cls not in (
                AgentClass.CAR,
                AgentClass.TRUCK,
                AgentClass.BUS,
            ):
                cause = Cause.CONSTRUCTION
            if slow:
                cause = Cause.CYCLIST
            if agent.cls is AgentClass.PEDESTRIAN:
                cause = Cause.PEDESTRIAN
            high = movers.high[k, 0] + (2.5 * movers.speed[k] if slow else 0.0)
            found.append(
                Block(
                    float(movers.low[k, 0]), float(high), float(movers.right[k, 0]), float(movers.left[k, 0]),
                    agent.id, cause,
                )
            )  # fmt: skip
        found.sort(key=lambda b: b.low)
        merged: list[Block] = []
        for block in found:
            if merged and block.low - merged[-1].high < 14.0:
                a = merged[-1]
                merged[-1] = Block(
                    a.low, max(a.high, block.high), min(a.right, block.right), max(a.left, block.left), a.subject,
                    a.cause,
                )  # fmt: skip
            else:
                merged.append(block)
        return merged

    def candidates(
        self,
        scene: Scene,
        path: RoutePath,
        here: float,
        offset: float,
        blocks: list[Block],
        rescue: str | None,
    ) -> list[Candidate]:
        """Ways to choose from; the first keeps to the path."""
        n = len(path.along)
        found = [Candidate(Way.KEEP, np.zeros(n))]
        stay = self._stay(scene, path, here)
        if stay is not None:
            found.append(stay)
        for block in blocks[:1]:
            for way in (Way.LEFT, Way.RIGHT):
                passing = self._pass(path, here, offset, block, way, blocks)
                if passing is not None:
                    found.append(passing)
        if rescue is not None:
            # To the nearer edge: right of the way, left only where the right is not road.
            for side in (-0.75, 0.75):
                if self._on_road(path, np.full(n, side), here, here + 25.0):
                    found = [
                        Candidate(
                            Way.ROOM,
                            np.full(n, side),
                            cause=Cause.EMERGENCY_VEHICLE,
                            subject=rescue,
                        )
                    ]
                    break
        return found

    def _stay(self, scene: Scene, path: RoutePath, here: float) -> Candidate | None:
        """Where the path is about to change lanes: the lane the ego is on, to its end."""
        spans = path.spans
        for first, second in pairwise(spans):
            if LaneKind.CONNECTOR in (first.lane.kind, second.lane.kind):
                continue
            if first.lane.id != scene.ego_lane and second.lane.id != scene.ego_lane:
                continue
            beside = (first.lane.left, first.lane.right)
            if second.lane.id not in beside:
                continue
            s, d = path.project(first.lane.centerline)
            order = np.argsort(s)
            along, off = s[order], d[order]
            good = np.abs(off) < 8.0
            if good.sum() < 2 or scene.ego_lane == second.lane.id:
                continue
            offset = np.interp(path.along, along[good], off[good])
            end = first.end if np.isfinite(first.end) else float(along[good][-1])
            if not np.isfinite(end) or end < here + 5.0:
                continue
            # Behind the point where the path has changed, its own lane is the other one.
            return Candidate(Way.STAY, offset, end - self._front - 6.0, 4.0, Cause.LANE_CHANGE)
        return None

    def _pass(
        self,
        path: RoutePath,
        here: float,
        offset: float,
        block: Block,
        way: Way,
        blocks: list[Block],
    ) -> Candidate | None:
        half = self._vehicle.width / 2
        room = self._config.clearance
        side = max(block.left + half + room, 0.0) if way is Way.LEFT else min(block.right - half - room, 0.0)
        if abs(side) > 6.5:
            return None
        low, high = (
            block.low - self._front - 1.5,
            block.high + self._vehicle.rear_overhang + 1.5,
        )
        for other in blocks[1:]:
            # Further obstacles close behind are passed on the same side in one go.
            if other.low < high + 22.0:
                high = other.high + self._vehicle.rear_overhang + 1.5
                reach = other.left + half + room if way is Way.LEFT else other.right - half - room
                side = max(side, reach) if way is Way.LEFT else min(side, reach)
        ramp = float(np.clip(abs(side) * 5.0, 7.0, 20.0))
        a, b = path.along, np.zeros(len(path.along))
        up = np.clip((a - (low - ramp)) / ramp, 0.0, 1.0)
        down = np.clip((high + ramp - a) / ramp, 0.0, 1.0)
        u = np.minimum(up, down)
        b = side * u * u * (3 - 2 * u)
        if not self._on_road(path, b, max(low - 2.0, here), high):
            return None
        cost = 3.0 + 1.2 * abs(side) + (1.5 if way is Way.RIGHT else 0.0)
        return Candidate(way, b, cost=cost, cause=block.cause, subject=block.subject)

    def _on_road(self, path: RoutePath, offset: Array, low: float, high: float) -> bool:
        s = np.arange(max(low, 0.0), min(high, path.length), 3.0)
        if not len(s):
            return True
        d = np.interp(s, path.along, offset)
        half = self._vehicle.width / 2 - 0.05
        points = np.concatenate([path.place(s, d + half), path.place(s, d - half)])
        return bool(shapely.contains_xy(self._area, points[:, 0], points[:, 1]).all())
