"""Driving beside the middle of the lane: past what stands in it, and aside for an emergency vehicle."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import shapely
from shapely import STRtree

from vadv2_core.geometry import Array
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.taxonomy import AgentClass
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.expert.prediction import Predictions
from vadv2_sim.expert.proposals import OffsetPlan
from vadv2_sim.expert.route_frame import RouteFrame

_CLEARANCE = {AgentClass.PEDESTRIAN: 1.0, AgentClass.BICYCLE: 1.0}
_REACH = 60.0


def passing_plans(
    scene: Scene, road: RoadMap, frame: RouteFrame, predictions: Predictions, vehicle: VehicleConfig
) -> list[OffsetPlan]:
    """Ways past the first slow or standing things in the ego's corridor, to the left and to the right.

    Only what will not go on by itself is passed: nobody who waits at a light or in a queue that moves.
    """
    slow = _obstacles(scene, frame, predictions, vehicle)
    if not slow:
        return []
    plans = []
    for side in (1.0, -1.0):
        plan = _around(frame, predictions, vehicle, slow, side, scene.ego.speed)
        if plan is not None and _on_road(road, frame, plan, vehicle):
            plans.append(plan)
    return plans


def _obstacles(scene: Scene, frame: RouteFrame, predictions: Predictions, vehicle: VehicleConfig) -> list[int]:
    """Agents that block the lane and will go on doing so, nearest first, together with those right behind them."""
    from vadv2_core.taxonomy import STATIC_CLASSES, AgentIntention, Cause

    waiting = (Cause.RED_LIGHT, Cause.YELLOW_LIGHT, Cause.LEAD_VEHICLE, Cause.YIELD, Cause.STOP_SIGN, Cause.PEDESTRIAN)
    half = 0.5 * vehicle.width
    found = []
    order = np.argsort(predictions.s[:, 0])
    for i in order:
        agent = predictions.agents[i]
        gap = predictions.s[i, 0] - frame.ego_s
        if not -6.0 < gap < _REACH or abs(predictions.d[i, 0]) > predictions.across[i, 0] + half + 0.5:
            continue
        stands = float(np.hypot(*agent.velocity)) < 0.3
        fixed = agent.cls in STATIC_CLASSES or agent.intention is AgentIntention.PARKED
        bicycle = agent.cls is AgentClass.BICYCLE and predictions.speed[i, 0] < 0.6 * scene.ego.speed + 1.5
        if fixed or (stands and agent.cause not in waiting and agent.cls is not AgentClass.PEDESTRIAN) or bicycle:
            if found and predictions.s[i, 0] - predictions.s[found[-1], 0] > 22.0:
                break
            found.append(int(i))
    return found


def _around(
    frame: RouteFrame, predictions: Predictions, vehicle: VehicleConfig, slow: list[int], side: float, speed: float
) -> OffsetPlan | None:
    half = 0.5 * vehicle.width
    edge = max(
        side * predictions.d[i, 0] + predictions.across[i, 0] + half + _CLEARANCE.get(predictions.agents[i].cls, 0.45)
        for i in slow
    )
    if not 0.1 < edge < 5.0:
        return None
    front = vehicle.length - vehicle.rear_overhang
    begin = min(predictions.s[i, 0] - predictions.along[i, 0] for i in slow) - front
    # What moves is passed further on than where it is now.
    end = max(predictions.s[i, 0] + predictions.along[i, 0] + 6.0 * max(predictions.speed[i, 0], 0.0) for i in slow)
    lead = float(np.clip(2.4 * speed, 7.0, 26.0))
    start = max(begin - 1.0 - lead, frame.ego_s)
    full = max(begin - 1.0, start + 4.0)
    back = end + vehicle.rear_overhang + 2.0
    s = np.array([frame.ego_s - 1.0, start, full, back, back + max(lead, 10.0), back + max(lead, 10.0) + 1.0])
    s = np.maximum.accumulate(s + 1e-3 * np.arange(6))
    d = np.array([frame.ego_d, frame.ego_d, side * edge, side * edge, 0.0, 0.0])
    return OffsetPlan("left" if side > 0 else "right", s, d, frozenset(slow))


@lru_cache(maxsize=8)
def _drivable(key: int) -> STRtree:
    return STRtree([shapely.Polygon(outline) for outline in _MAPS[key].drivable if len(outline) > 2])


_MAPS: dict[int, RoadMap] = {}


def _on_road(road: RoadMap, frame: RouteFrame, plan: OffsetPlan, vehicle: VehicleConfig) -> bool:
    """Whether both flanks of a plan stay on drivable ground where it is farthest out."""
    _MAPS[id(road)] = road
    tree = _drivable(id(road))
    s = np.arange(plan.s[1], plan.s[-1], 3.0)
    d = plan.at(s)
    flanks = []
    for side in (1.0, -1.0):
        x, y, _ = frame.at(s, d + side * (0.5 * vehicle.width + 0.05))
        flanks.append(shapely.points(np.stack([x, y], -1)))
    points = np.concatenate(flanks)
    hit = np.zeros(len(points), dtype=bool)
    hit[np.unique(tree.query(points, predicate="intersects")[0])] = True
    return bool(hit.all())


def pull_over(
    scene: Scene, road: RoadMap, frame: RouteFrame, predictions: Predictions, vehicle: VehicleConfig
) -> OffsetPlan | None:
    """As far to the right as the road goes, while a blue light comes up from behind; None otherwise."""
    for i, agent in enumerate(predictions.agents):
        behind = frame.ego_s - predictions.s[i, 0]
        if not (agent.blue_light and -8.0 < behind < 50.0 and abs(predictions.d[i, 0]) < 6.0):
            continue
        if predictions.speed[i, 0] < 0.5 and behind > 0.0 and float(np.hypot(*agent.velocity)) > 1.0:
            continue
        for target in (-0.9, -0.6, -0.3):
            length = float(np.clip(2.2 * scene.ego.speed, 6.0, 25.0))
            s: Array = np.array([frame.ego_s - 1.0, frame.ego_s, frame.ego_s + length, frame.ego_s + length + 1.0])
            plan = OffsetPlan("right", s, np.array([frame.ego_d, frame.ego_d, target, target]))
            if _on_road(road, frame, plan, vehicle):
                return plan
    return None
