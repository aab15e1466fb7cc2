"""What the others are about to do and why, read from their routes, signals and right of way in the traffic model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vadv2_core.taxonomy import AgentIntention, Cause, LateralAction

HORIZON = 3.0
"""An intention is what happens within this time, s."""

Intent = tuple[AgentIntention, Cause]

_LETTERS = {LateralAction.LEFT_TURN: "l", LateralAction.RIGHT_TURN: "r"}
_LEFT, _RIGHT = frozenset("lLt"), frozenset("rR")
_RED, _YELLOW = frozenset("ru"), frozenset("yY")


def vehicle_intent(
    sumo: Any, turns: Mapping[str, LateralAction], name: str, speed: float, acceleration: float, lane: str, signals: int
) -> Intent:
    """Intention and cause of one moving vehicle.

    Args:
        sumo: The libsumo module.
        turns: Which way each SUMO lane inside a junction goes.
        name: The vehicle.
        speed: m/s.
        acceleration: m/s^2.
        lane: SUMO lane it is on.
        signals: SUMO's signal bits (1 right, 2 left indicator).
    """
    vehicle = sumo.vehicle
    links = vehicle.getNextLinks(name)
    reach = max(8.0, HORIZON * speed)
    turn = AgentIntention.KEEPS
    if lane.startswith(":"):
        direction = _LETTERS.get(turns.get(lane, LateralAction.STRAIGHT), "s")
        gap = 0.0
    else:
        direction = links[0][6] if links else "s"
        gap = sumo.lane.getLength(lane) - vehicle.getLanePosition(name)
        if gap > reach:
            direction = "s"
    if direction in _LEFT:
        turn = AgentIntention.TURNS_LEFT
    elif direction in _RIGHT:
        turn = AgentIntention.TURNS_RIGHT
    leader = vehicle.getLeader(name, 30.0)
    close = leader is not None and leader[0] and leader[1] < max(6.0, 1.5 * speed)
    slow = speed < 0.5 or acceleration < -0.8
    if slow and links and gap < reach + 6.0 and not lane.startswith(":"):
        _, _, is_open, _, _, state, _, _ = links[0]
        if state in _RED and not close:
            return AgentIntention.STOPS, Cause.RED_LIGHT
        if state in _YELLOW and not close:
            return AgentIntention.STOPS, Cause.YELLOW_LIGHT
        if not is_open and not close:
            return AgentIntention.YIELDS, Cause.STOP_SIGN if state in "sw" else Cause.YIELD
    if speed < 0.5 and close:
        return AgentIntention.STOPS, Cause.LEAD_VEHICLE
    if speed < 0.5 and lane.startswith(":"):
        return AgentIntention.YIELDS, Cause.YIELD
    if turn != AgentIntention.KEEPS:
        return turn, Cause.TURN
    if signals & 3:
        return AgentIntention.MERGES, Cause.LANE_CHANGE
    if acceleration < -1.0 and speed + HORIZON * acceleration < 0.5:
        return AgentIntention.STOPS, Cause.LEAD_VEHICLE if close else Cause.UNKNOWN
    return AgentIntention.KEEPS, Cause.LEAD_VEHICLE if close else Cause.FREE_ROAD


def person_intent(lane: str, speed: float, next_edge: str) -> Intent:
    """Intention and cause of a person: crossing, about to cross, waiting or walking on."""
    if "_c" in lane and lane.startswith(":"):
        return AgentIntention.CROSSES, Cause.FREE_ROAD
    heads_across = next_edge.startswith(":") and "_c" in next_edge
    if heads_across and speed < 0.1:
        return AgentIntention.YIELDS, Cause.YIELD
    if heads_across and "_w" in lane:
        return AgentIntention.CROSSES, Cause.FREE_ROAD
    return AgentIntention.KEEPS, Cause.FREE_ROAD
