"""The world: deterministic in two processes, physical, and one that reacts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from two_processes import assert_equal_digests

from vadv2_core.drive import VehicleCommand
from vadv2_core.errors import InputError
from vadv2_core.taxonomy import AgentClass, AgentIntention, DrivingAction
from vadv2_sim.drive_events import EventKind
from vadv2_sim.expert import Expert
from vadv2_sim.lane_follower import LaneFollower
from vadv2_sim.plan_tracker import PlanTracker
from vadv2_sim.traffic import TrafficConfig
from vadv2_sim.world import STEP_NS, World, WorldConfig

QUICK = WorldConfig(traffic=TrafficConfig(warmup=8.0), seconds=30.0)

_HASH = """
import hashlib
from vadv2_core.drive import VehicleCommand
from vadv2_sim.world import World, WorldConfig
from vadv2_sim.traffic import TrafficConfig
digest = hashlib.sha256()
for town, scenario in (("town_a", "cut_in"), ("town_d", "free")):
    world = World(town, scenario, 5, WorldConfig(traffic=TrafficConfig(warmup=8.0)))
    scene = world.reset()
    for k in range(80):
        digest.update(repr(scene).encode())
        scene = world.step(VehicleCommand(scene.stamp, 0, 0.02, 0.0, 0.4 if k < 40 else -0.6, 0.0))
print(digest.hexdigest())
"""


def test_same_seed_same_states_in_two_processes() -> None:
    assert_equal_digests(_HASH)


def test_another_seed_is_another_drive() -> None:
    first, second = (World("town_a", "free", seed, QUICK).reset() for seed in (1, 2))
    assert first.ego.pose != second.ego.pose
    assert {a.id for a in first.agents} != {a.id for a in second.agents} or first.signals != second.signals


def test_a_drive_goes_along_its_route() -> None:
    world = World("town_c", "free", 3, QUICK)
    scene = world.reset()
    driver, tracker = LaneFollower(world.road), PlanTracker(world.config.vehicle)
    offsets = []
    begin, stamp = world.s, scene.stamp
    for k in range(150):
        if k % 2 == 0:
            tracker.take(driver.plan(scene))
        scene = world.step(tracker.command(scene.ego))
        stamp += STEP_NS
        assert scene.stamp == stamp
        assert scene.route is not None
        assert scene.command.text
        offsets.append(abs(world.route.project(scene.ego.pose.x, scene.ego.pose.y, world.s)[1]))
        if world.finished:
            break
    assert world.s > begin + 20.0
    assert np.median(offsets) < 0.3
    assert not [e for e in world.events if e.kind in (EventKind.OFF_ROAD, EventKind.WRONG_WAY)]
    assert any(a.intention != AgentIntention.UNKNOWN for a in scene.agents)


@pytest.mark.parametrize("brakes", [False, True])
def test_a_text_command_to_stop_is_passed_by_who_comes_to_rest_at_the_goal(brakes: bool) -> None:
    world = World("town_a", "text_command", 5, QUICK)
    scene = world.reset()
    driver, tracker = Expert(world.road, world.config.vehicle), PlanTracker(world.config.vehicle)
    asked = []
    while not world.finished:
        told = scene.command.action is DrivingAction.STOP
        asked += [scene.command.distance] if told else []
        deaf = replace(scene, command=replace(scene.command, action=DrivingAction.LANE_FOLLOW))
        tracker.take(driver.plan(scene if brakes else deaf))
        scene = world.step(tracker.command(scene.ego))
    assert asked[0] > 40.0 and world.reason == "goal"
    assert world.success is brakes
    assert (scene.ego.speed < 2.0) is brakes


def test_traffic_brakes_for_a_standing_ego() -> None:
    world = World("town_a", "stopped_bus", 2, WorldConfig(traffic=TrafficConfig(warmup=15.0), seconds=200.0))
    scene = world.reset()
    for _ in range(250):
        scene = world.step(VehicleCommand(scene.stamp, 0, 0.0, 0.0, -7.0, 0.0))
    assert scene.ego.speed == 0.0
    assert not [e for e in world.events if e.kind == EventKind.COLLISION]


def test_a_command_that_is_not_finite_brakes() -> None:
    world = World("town_b", "free", 1, QUICK)
    scene = world.reset()
    for _ in range(60):
        scene = world.step(VehicleCommand(scene.stamp, 0, float("nan"), 0.0, float("inf"), 0.0))
    assert scene.ego.speed == 0.0
    assert np.isfinite([scene.ego.pose.x, scene.ego.pose.y, scene.ego.pose.yaw]).all()


def test_bad_input() -> None:
    with pytest.raises(InputError, match="unknown scenario"):
        World("town_a", "flying")
    with pytest.raises(InputError, match="unknown town"):
        World("town_z")
    with pytest.raises(InputError, match="unknown parameter"):
        World("town_a", "jaywalker", values={"speed": 3.0})
    with pytest.raises(InputError, match="no place"):
        World("town_a", "roundabout", config=QUICK).reset()
    with pytest.raises(InputError, match="before the first reset"):
        World("town_a").step(VehicleCommand(0, 0, 0.0, 0.0, 0.0, 0.0))


@pytest.mark.parametrize("death", ["TraCIException", "FatalTraCIError"])
def test_sumo_dying_is_one_line(monkeypatch: pytest.MonkeyPatch, death: str) -> None:
    import vadv2_sim.sumo_session as session

    world = World("town_b", "free", 1, QUICK)
    scene = world.reset()

    def die() -> None:
        raise getattr(session.libsumo, death)("connection closed")

    monkeypatch.setattr(session.libsumo, "simulationStep", die)
    with pytest.raises(InputError, match="SUMO died: connection closed"):
        world.step(VehicleCommand(scene.stamp, 0, 0.0, 0.0, 0.0, 0.0))


def test_a_person_against_the_flank_of_a_standing_ego_steps_back() -> None:
    world = World("town_a", "free", 1, QUICK)
    scene = world.reset()
    brake = VehicleCommand(0, 0, 0.0, 0.0, -7.0, 0.0)
    while scene.ego.speed > 0.0:
        scene = world.step(brake)
    person = world.traffic.sumo.person
    side = -0.5 * world.config.vehicle.width - 0.35
    x, y = (float(v) for v in scene.ego.pose.transform((1.5, side)))
    person.add("p9999", world.route.edges[0], 1.0, typeID="walker")
    person.appendWaitingStage("p9999", 1000.0)
    person.moveToXY("p9999", "", x, y, keepRoute=2)
    gaps = []
    for _ in range(120):
        scene = world.step(brake)
        gaps += [scene.ego.pose.inverse_transform((a.x, a.y))[1] for a in scene.agents if a.id == "p9999"]
    assert gaps[0] == pytest.approx(side, abs=0.1)
    assert gaps[-1] < side - 0.6
    assert max(np.diff(gaps)) < 0.02  # never towards the ego


@pytest.mark.parametrize(
    ("town", "scenario", "seed"),
    [
        ("town_f", "cut_in", 4043),  # the car that cuts in once braked by 2.5 m/s within a step
        ("town_b", "pedestrian_crossing", 4054),  # somebody once walked before the bumper when the drive began
        ("town_e", "stop_sign", 1114),  # a car that turns left and the ego once gave way to each other for ever
        pytest.param("town_d", "lane_change", 1122, marks=pytest.mark.long),
        pytest.param("town_d", "red_light", 1065, marks=pytest.mark.long),
        pytest.param("town_b", "free", 100077, marks=pytest.mark.long),  # a person at its flank
    ],
)
def test_drives_that_once_ended_badly_come_to_their_goal(town: str, scenario: str, seed: int) -> None:
    from vadv2_sim.expert.table import drive_once

    row = drive_once(town, scenario, seed)
    assert (row.reason, row.at_fault) == ("goal", ())


def test_nobody_crosses_before_the_bumper_when_a_drive_begins() -> None:
    world = World("town_b", "pedestrian_crossing", 4054)
    scene = world.reset()
    near = [
        scene.ego.pose.inverse_transform((a.x, a.y))
        for a in scene.agents
        if a.cls == AgentClass.PEDESTRIAN and not a.id.startswith("crosser")
    ]
    assert not [p for p in near if 0.0 < p[0] < 12.0 and abs(p[1]) < 2.0]
