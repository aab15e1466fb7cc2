"""Which edge cases a moment is: each a rule on the Scene that a person could check on the pictures."""

from __future__ import annotations

from vadv2_core.taxonomy import AgentClass, AgentIntention, Cause, EdgeCaseFlag, Weather
from vadv2_sim.narrator.facts import SceneFacts, SeenAgent

_WORKS = (AgentClass.TRAFFIC_CONE, AgentClass.BARRIER, AgentClass.CONSTRUCTION_SIGN)
_VEHICLES = (AgentClass.CAR, AgentClass.TRUCK, AgentClass.BUS, AgentClass.MOTORCYCLE, AgentClass.EMERGENCY_VEHICLE)
_POOR_FROM = {Weather.FOG: 0.3, Weather.RAIN: 0.7, Weather.GLARE: 0.5, Weather.NIGHT: 0.9}
"""Weather from which on visibility counts as low, as intensity."""
_WAITS = (Cause.RED_LIGHT, Cause.YELLOW_LIGHT, Cause.LEAD_VEHICLE, Cause.YIELD, Cause.STOP_SIGN)


def _ahead(seen: SeenAgent, reach: float, aside: float) -> bool:
    if seen.along == seen.along:  # on a route
        return 0.0 < seen.along < reach and abs(seen.offset) < aside
    return 0.0 < seen.x < reach and abs(seen.y) < aside


def edge_cases(facts: SceneFacts, camera_fault: bool = False) -> tuple[bool, ...]:
    """Truth of every `EdgeCaseFlag`, by its value.

    Rules (of whoever the cameras see): cones, barriers or construction signs within 50 m and 8 m of the way; a blue
    light within `SIGHT`; a crashed vehicle (cause ACCIDENT) within 50 m ahead; a pedestrian who walks across the
    roadway more than 3 m from every crossing, within 35 m ahead; a vehicle against its lane's direction within 60 m
    ahead; a bus that stands for no light, queue or right of way within 45 m ahead; a vehicle that moves into the way
    from beside within 25 m; a vehicle on the way within 45 m that brakes harder than 4 m/s^2; fog, heavy rain, strong
    glare or the darkest night.

    Args:
        facts: Of the moment.
        camera_fault: Whether a camera fails, which the Scene does not know.
    """
    found = dict.fromkeys(EdgeCaseFlag, False)
    scene = facts.scene
    for seen in facts.agents:
        agent, moving = seen.agent, seen.speed > 0.5
        if agent.cls in _WORKS and _ahead(seen, 50.0, 8.0):
            found[EdgeCaseFlag.CONSTRUCTION_ZONE] = True
        if agent.blue_light:
            found[EdgeCaseFlag.EMERGENCY_VEHICLE] = True
        if agent.cause is Cause.ACCIDENT and not moving and _ahead(seen, 50.0, 10.0):
            found[EdgeCaseFlag.ACCIDENT] = True
        if agent.cls is AgentClass.PEDESTRIAN and _jaywalks(facts, seen):
            found[EdgeCaseFlag.JAYWALKER] = True
        if agent.cls in _VEHICLES:
            if _ahead(seen, 60.0, 8.0) and facts.wrong_way(seen):
                found[EdgeCaseFlag.WRONG_WAY_VEHICLE] = True
            if agent.cls is AgentClass.BUS and not moving and _ahead(seen, 45.0, 4.5) and agent.cause not in _WAITS:
                found[EdgeCaseFlag.STOPPED_BUS] = True
            if _cuts_in(seen):
                found[EdgeCaseFlag.CUT_IN] = True
            if seen.in_the_way(45.0) and moving and agent.acceleration < -4.0:
                found[EdgeCaseFlag.HARD_BRAKE_AHEAD] = True
    low = scene.weather in _POOR_FROM and scene.weather_intensity >= _POOR_FROM[scene.weather]
    found[EdgeCaseFlag.LOW_VISIBILITY] = low
    # The scenario names its fault "camera_fault:<camera>:<kind>" while it lasts.
    found[EdgeCaseFlag.CAMERA_FAULT] = camera_fault or any(e.startswith("camera_fault") for e in scene.events)
    return tuple(found[flag] for flag in EdgeCaseFlag)


def _jaywalks(facts: SceneFacts, seen: SeenAgent) -> bool:
    if not _ahead(seen, 35.0, 9.0) or abs(seen.vy) < max(0.3, 0.7 * abs(seen.vx)):
        return False
    crosses = seen.agent.intention is AgentIntention.CROSSES
    on_road = facts.from_roadway(seen) < (1.0 if crosses else -0.3)
    return on_road and facts.off_crossings(seen, 3.0)


def _cuts_in(seen: SeenAgent) -> bool:
    if not 2.0 < seen.along < 25.0 or seen.vx < 1.0:
        return False
    if seen.agent.cause is Cause.CUT_IN:
        return abs(seen.offset) < 4.5
    toward = -seen.vy if seen.offset > 0.0 else seen.vy
    return seen.agent.intention is AgentIntention.MERGES and 0.8 < abs(seen.offset) < 4.0 and toward > 0.4
