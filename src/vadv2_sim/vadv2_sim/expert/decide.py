"""A plan in words of the taxonomy: what it does over the next seconds, and the one cause that binds it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from vadv2_core.decision import Decision
from vadv2_core.geometry import Array
from vadv2_core.meta_action import HORIZON, longitudinal_of
from vadv2_core.scene import Agent, Scene
from vadv2_core.taxonomy import (
    AgentClass,
    AgentIntention,
    Cause,
    DrivingAction,
    LaneKind,
    LateralAction,
    LongitudinalAction,
    SignalState,
    Weather,
)
from vadv2_sim.expert.config import ExpertConfig
from vadv2_sim.expert.gates import Gate
from vadv2_sim.expert.lateral import Candidate, Way
from vadv2_sim.expert.motion import Movers
from vadv2_sim.expert.route_path import LaneSpan, RoutePath
from vadv2_sim.expert.speed import DT, Profiles


def longitudinal_action(profile: Profiles) -> LongitudinalAction:
    """Keep, accelerate, decelerate or stop, by the speed in 3 s."""
    return LongitudinalAction(int(longitudinal_of(profile.v[0, 0], profile.v[0, round(HORIZON / DT)])))


def _span_at(path: RoutePath, s: float) -> LaneSpan | None:
    for span in path.spans:
        if span.start <= s < span.end:
            return span
    return None


def lateral_of(scene: Scene, path: RoutePath, way: Candidate, profile: Profiles) -> LateralAction:
    """Straight on, a turn at a junction, or a change to another lane, within the next seconds."""
    here = float(profile.s[0, 0])
    reach = max(float(profile.s[0, round(HORIZON / DT)]), here + 4.0)
    turns = (LateralAction.LEFT_TURN, LateralAction.RIGHT_TURN)
    for span in path.spans:
        if span.lane.kind is LaneKind.CONNECTOR and span.lane.turn in turns and span.start < reach and span.end > here:
            return span.lane.turn
    if way.way in (Way.LEFT, Way.RIGHT):
        a = float(np.interp(here, path.along, way.offset))
        b = float(np.interp(max(reach, here + 8.0), path.along, way.offset))
        if abs(b - a) > 1.2:
            return LateralAction.LEFT_CHANGE if b > a else LateralAction.RIGHT_CHANGE
    if way.way is not Way.STAY and scene.command.action in (
        DrivingAction.CHANGE_LEFT,
        DrivingAction.CHANGE_RIGHT,
    ):
        for first, second in pairwise(path.spans):
            if first.lane.id == scene.ego_lane and second.lane.id in (
                first.lane.left,
                first.lane.right,
            ):
                at = np.array([[scene.ego.pose.x, scene.ego.pose.y]])
                gap = np.hypot(*(np.asarray(first.lane.centerline) - at).T).min()
                if scene.command.distance < 0.5 * (reach - here) or gap > 0.5:
                    left = second.lane.id == first.lane.left
                    return LateralAction.LEFT_CHANGE if left else LateralAction.RIGHT_CHANGE
    return LateralAction.STRAIGHT


def _agent_cause(agent: Agent, speed: float, turn: float, on_way: bool) -> Cause:
    if agent.cls is AgentClass.PEDESTRIAN:
        return Cause.PEDESTRIAN
    if agent.cls in (
        AgentClass.TRAFFIC_CONE,
        AgentClass.BARRIER,
        AgentClass.CONSTRUCTION_SIGN,
    ):
        return Cause.CONSTRUCTION
    if agent.cause in (
        Cause.ACCIDENT,
        Cause.STOPPED_VEHICLE,
        Cause.CONSTRUCTION,
        Cause.CUT_IN,
    ):
        return agent.cause
    if agent.blue_light:
        return Cause.EMERGENCY_VEHICLE
    if speed < -1.5 and abs(turn) > 2.4:
        # Oncoming traffic on its own lanes has the right of way; only on the ego's is it wrong.
        return Cause.WRONG_WAY_VEHICLE if on_way else Cause.YIELD
    if agent.cls is AgentClass.BICYCLE:
        return Cause.CYCLIST
    if not on_way and abs(np.sin(turn)) > 0.6 and np.hypot(*agent.velocity) > 1.0:
        return Cause.YIELD  # it drives across before the ego, not ahead of it
    if agent.intention is AgentIntention.PARKED:
        return Cause.STOPPED_VEHICLE
    if agent.intention is AgentIntention.MERGES:
        return Cause.CUT_IN
    return Cause.LEAD_VEHICLE


def _because_of(movers: Movers, k: int, path: RoutePath) -> tuple[Cause, str]:
    agent = movers.agents[k]
    on_way = any(span.lane.id == agent.lane for span in path.spans)
    return _agent_cause(agent, float(movers.speed[k]), float(movers.turn[k]), on_way), agent.id


def _open_cause(scene: Scene, path: RoutePath, profile: Profiles, limits: Array) -> Cause:
    """Why nobody holds the ego back: a bend, a turn, a green light it starts at, or the free road."""
    here = float(profile.s[0, 0])
    v = float(profile.v[0, 0])
    reach = here + max(HORIZON * v, 8.0)
    for span in path.spans:
        if span.lane.kind is not LaneKind.CONNECTOR or not (span.start < reach and span.end > here):
            continue
        green = scene.signals.get(span.lane.signal or "") is SignalState.GREEN
        if green and v < 5.0 and span.start > here - 2.0:
            return Cause.GREEN_LIGHT
        if span.lane.turn in (LateralAction.LEFT_TURN, LateralAction.RIGHT_TURN):
            return Cause.TURN
    if scene.command.action in (DrivingAction.CHANGE_LEFT, DrivingAction.CHANGE_RIGHT):
        lanes = [s.lane.id for s in path.spans]
        if scene.ego_lane in lanes and scene.command.distance < reach - here:
            return Cause.LANE_CHANGE
    near = limits[(path.along > here) & (path.along < reach)]
    if len(near) and float(near.min()) < v - 0.5:
        bend = float(np.abs(path.curvature[(path.along > here) & (path.along < reach)]).max(initial=0.0))
        return Cause.CURVE if bend > 0.02 else Cause.SPEED_LIMIT
    if scene.weather in (Weather.FOG,) and scene.weather_intensity > 0.6:
        return Cause.LOW_VISIBILITY
    return Cause.FREE_ROAD


def decide(
    scene: Scene,
    path: RoutePath,
    way: Candidate,
    profile: Profiles,
    movers: Movers,
    gates: list[Gate],
    limits: Array,
    front: float,
    config: ExpertConfig,
    foe: int | None = None,
) -> Decision:
    """The decision behind a chosen plan; the cause is what asks for the hardest braking over the next 3 s.

    Args:
        scene: The moment.
        path: The way.
        way: The lateral candidate driven.
        profile: Its motion.
        movers: The others.
        gates: Closed gates, in the order of the profile's rows after the others.
        limits: (n,) highest speeds along the path.
        front: base_link to the front bumper, m.
        config: Manner.
        foe: Whom of the others it would run into, did it not brake harder than its profile asked for.
    """
    longitudinal = longitudinal_action(profile)
    lateral = lateral_of(scene, path, way, profile)
    held = int(profile.held[0])
    if way.way in (Way.LEFT, Way.RIGHT, Way.ROOM):
        return Decision(longitudinal, lateral, way.cause, way.subject)
    if held >= 0 and float(profile.demand[0]) < 0.5:
        if held < len(movers.agents):
            return Decision(longitudinal, lateral, *_because_of(movers, held, path))
        if held - len(movers.agents) < len(gates):
            gate = gates[held - len(movers.agents)]
            return Decision(longitudinal, lateral, gate.cause, gate.subject)
        return Decision(longitudinal, lateral, Cause.LANE_CHANGE, None)
    if foe is not None and longitudinal in (LongitudinalAction.STOP, LongitudinalAction.DECELERATE):
        return Decision(longitudinal, lateral, *_because_of(movers, foe, path))
    return Decision(longitudinal, lateral, _open_cause(scene, path, profile, limits), None)
