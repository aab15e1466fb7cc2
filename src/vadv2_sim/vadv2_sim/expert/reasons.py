"""From the chosen way to drive on to a decision in the taxonomy: two meta-actions and the one cause that bound it."""

from __future__ import annotations

import numpy as np

from vadv2_core.decision import Decision
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.taxonomy import (
    STATIC_CLASSES,
    AgentClass,
    AgentIntention,
    Cause,
    DrivingAction,
    LateralAction,
    LongitudinalAction,
    Weather,
)
from vadv2_sim.expert.prediction import STEP, Predictions
from vadv2_sim.expert.proposals import Proposals
from vadv2_sim.expert.route_frame import RouteFrame
from vadv2_sim.expert.stop_points import StopPoint

_WORKS = (AgentClass.TRAFFIC_CONE, AgentClass.BARRIER, AgentClass.CONSTRUCTION_SIGN)


def longitudinal_action(speeds: np.ndarray, step: float) -> LongitudinalAction:
    """Senna's rule on the next 3 s: below 2 m/s throughout STOP, else by a change of 3 m/s.

    A vehicle that is about to stand (at most 1 m/s at 3 s, and slowing) counts as STOP too: Senna's rule would call its
    last metres KEEP.
    """
    count = round(3.0 / step) + 1
    v = speeds[:count]
    if v.max() < 2.0 and v[-1] < 1.0:
        return LongitudinalAction.STOP
    if v[-1] < 0.3 and v[0] > v[-1]:
        return LongitudinalAction.STOP
    change = float(v[-1] - v[0])
    # Town speeds: a change of 1.5 m/s within 3 s is felt and meant.
    if change >= 1.5:
        return LongitudinalAction.ACCELERATE
    if change <= -1.5:
        return LongitudinalAction.DECELERATE
    return LongitudinalAction.KEEP


def lateral_action(scene: Scene, road: RoadMap, frame: RouteFrame, travelled: float) -> LateralAction:
    """Which way it goes within the next 4 s: a turn where the way bends by 25 degrees in a junction, or a lane change."""
    reach = frame.ego_s + max(travelled, 6.0)
    names = scene.route.lane_ids if scene.route else ()
    turn = float(np.interp(reach, frame.s, frame.yaw) - np.interp(frame.ego_s - 2.0, frame.s, frame.yaw))
    junction = any(road.lanes[n].junction is not None for n in names[:3] if n in road.lanes)
    if junction and abs(turn) > 0.44:
        return LateralAction.LEFT_TURN if turn > 0 else LateralAction.RIGHT_TURN
    for here, onward in zip(names, names[1:], strict=False):
        lane = road.lanes.get(here)
        if lane is None or here == scene.ego_lane is None:
            continue
        if onward in (lane.left, lane.right):
            target = road.lanes[onward].centerline
            s, d = frame.locate(target)
            inside = (s > frame.ego_s) & (s < reach)
            if inside.any() and np.abs(d[inside]).min() < 0.6 and abs(float(frame.locate(target[:1])[1][0])) > -1.0:
                start, off = frame.locate(lane.centerline)
                leaving = (start > frame.ego_s) & (start < reach) & (np.abs(off) > 0.6)
                if leaving.any():
                    return LateralAction.LEFT_CHANGE if onward == lane.left else LateralAction.RIGHT_CHANGE
    return LateralAction.STRAIGHT


def _of_agent(scene: Scene, predictions: Predictions, index: int) -> tuple[Cause, str]:
    agent = predictions.agents[index]
    if agent.blue_light or agent.cls is AgentClass.EMERGENCY_VEHICLE:
        return Cause.EMERGENCY_VEHICLE, agent.id
    if agent.cls is AgentClass.PEDESTRIAN:
        return Cause.PEDESTRIAN, agent.id
    if agent.cls in _WORKS:
        return Cause.CONSTRUCTION, agent.id
    if any(e.startswith("wrong_way") for e in scene.events) and predictions.speed[index, 0] < -1.0:
        return Cause.WRONG_WAY_VEHICLE, agent.id
    if agent.cls is AgentClass.BICYCLE:
        return Cause.CYCLIST, agent.id
    if any(e.startswith("accident") for e in scene.events) and float(np.hypot(*agent.velocity)) < 0.3:
        return Cause.ACCIDENT, agent.id
    if any(e.startswith("cut_in") for e in scene.events) and agent.intention is AgentIntention.MERGES:
        return Cause.CUT_IN, agent.id
    if agent.cls in STATIC_CLASSES or (
        float(np.hypot(*agent.velocity)) < 0.3 and agent.cause in (Cause.UNKNOWN, Cause.STOPPED_VEHICLE)
    ):
        return Cause.STOPPED_VEHICLE, agent.id
    return Cause.LEAD_VEHICLE, agent.id


def decide(
    scene: Scene,
    road: RoadMap,
    frame: RouteFrame,
    predictions: Predictions,
    proposals: Proposals,
    best: int,
    stop: StopPoint | None,
    conflict: int,
) -> Decision:
    """The decision of a chosen proposal.

    Args:
        scene: The truth.
        road: Its town.
        frame: The way.
        predictions: Of the others.
        proposals: All that were tried.
        best: The chosen one.
        stop: The place it stands before, where it does.
        conflict: Agent it comes too near to all the same; -1 for none.
    """
    v = proposals.v[best]
    longitudinal = longitudinal_action(v, STEP)
    soon = int(4.0 / STEP)
    lateral = lateral_action(scene, road, frame, float(proposals.s[best, soon] - frame.ego_s))
    cause, subject = _cause(scene, frame, predictions, proposals, best, stop, conflict, lateral)
    return Decision(longitudinal, lateral, cause, subject)


def _cause(
    scene: Scene,
    frame: RouteFrame,
    predictions: Predictions,
    proposals: Proposals,
    best: int,
    stop: StopPoint | None,
    conflict: int,
    lateral: LateralAction,
) -> tuple[Cause, str | None]:
    for i, agent in enumerate(predictions.agents):
        if agent.blue_light and -10.0 < frame.ego_s - predictions.s[i, 0] < 50.0 and abs(predictions.d[i, 0]) < 6.0:
            return Cause.EMERGENCY_VEHICLE, agent.id
    passed = proposals.offsets[best].passes
    if passed:
        return _of_agent(scene, predictions, min(passed, key=lambda i: float(predictions.s[i, 0])))
    leaders = proposals.leader[best, : int(3.0 / STEP)]
    bound = leaders[leaders != -1]
    if bound.size:
        if bound[0] == -2 and stop is not None:
            agent = stop.line if stop.line in {a.id for a in predictions.agents} else None
            return stop.cause, agent
        if bound[0] >= 0:
            return _of_agent(scene, predictions, int(bound[0]))
    if conflict >= 0:
        return _of_agent(scene, predictions, conflict)
    if lateral in (LateralAction.LEFT_CHANGE, LateralAction.RIGHT_CHANGE):
        if scene.closed_lanes:
            return Cause.CONSTRUCTION, None
        return Cause.LANE_CHANGE, None
    if lateral in (LateralAction.LEFT_TURN, LateralAction.RIGHT_TURN):
        return (Cause.ROUNDABOUT if "roundabout" in scene.command.text else Cause.TURN), None
    reach = (frame.s > frame.ego_s) & (frame.s < frame.ego_s + 3.0 * max(float(proposals.v[best, 0]), 3.0))
    if reach.any() and frame.bend_speed[reach].min() < 0.9 * frame.speed[reach].max():
        return Cause.CURVE, None
    if scene.weather in (Weather.FOG,) and scene.weather_intensity > 0.6:
        return Cause.LOW_VISIBILITY, None
    if scene.command.action is DrivingAction.STOP:
        return Cause.GOAL, None
    if abs(float(proposals.v[best, 0]) - float(np.interp(frame.ego_s, frame.s, frame.speed))) < 1.0:
        return Cause.FREE_ROAD, None
    return Cause.FREE_ROAD, None
