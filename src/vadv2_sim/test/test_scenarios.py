"""Scenarios: the twenty of the list, with their words, a place in every town where geometry allows, and a trigger."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from vadv2_core.errors import InputError
from vadv2_core.scene import Scene
from vadv2_core.taxonomy import AgentClass, AgentIntention, SignalState, Weather
from vadv2_sim.lane_follower import LaneFollower
from vadv2_sim.plan_tracker import PlanTracker
from vadv2_sim.scenarios import SCENARIOS, make_scenario
from vadv2_sim.scenarios_junctions import UnprotectedLeft
from vadv2_sim.town import TOWN_NAMES
from vadv2_sim.traffic import TrafficConfig
from vadv2_sim.world import World, WorldConfig

NAMES = (
    "red_light",
    "stop_sign",
    "unprotected_left",
    "pedestrian_crossing",
    "jaywalker",
    "cut_in",
    "hard_brake",
    "stopped_bus",
    "construction",
    "emergency_behind",
    "emergency_crossing",
    "accident",
    "wrong_way",
    "cyclist",
    "roundabout",
    "merge",
    "lane_change",
    "text_command",
    "weather",
    "camera_fault",
)
SPARSE = WorldConfig(traffic=TrafficConfig(warmup=2.0, vehicles=6, pedestrians=4))


def play(name: str, town: str, seconds: float, seed: int = 1, config: WorldConfig = SPARSE) -> list[Scene]:
    world = World(town, name, seed, config)
    scene = world.reset()
    driver, tracker = LaneFollower(world.road), PlanTracker(world.config.vehicle)
    scenes = [scene]
    for k in range(int(10 * seconds)):
        if k % 2 == 0:
            tracker.take(driver.plan(scene))
        scene = world.step(tracker.command(scene.ego))
        scenes.append(scene)
        if world.finished:
            break
    return scenes


def test_all_twenty_and_plain_traffic() -> None:
    assert set(SCENARIOS) == {*NAMES, "free"}
    for scenario in SCENARIOS.values():
        info = scenario.info
        assert info.description.endswith(".")
        assert info.trigger
        assert info.success
        assert all(p.low <= p.high for p in info.parameters.values())


def test_parameters_are_drawn_by_seed_and_may_be_set() -> None:
    one, same, other = (make_scenario("cut_in", seed) for seed in (1, 1, 2))
    assert one.values == same.values
    assert one.values != other.values
    assert make_scenario("cut_in", 1, {"gap": 12.5}).values["gap"] == 12.5
    with pytest.raises(InputError, match="unknown parameter"):
        make_scenario("cut_in", 1, {"colour": 1.0})


@pytest.mark.long
@pytest.mark.parametrize("town", TOWN_NAMES)
def test_a_place_in_every_town(town: str) -> None:
    for name in NAMES:
        if name == "roundabout" and town in ("town_a", "town_b", "town_d"):
            continue  # no roundabout in them
        for seed in range(3):
            scene = World(town, name, seed, SPARSE).reset()
            assert scene.scenario == name


def test_the_light_turns_red_before_the_ego() -> None:
    scenes = play("red_light", "town_a", 14.0)
    assert "red_light" in scenes[-1].events
    assert scenes[-1].ego.speed < 0.3
    assert SignalState.RED in scenes[-1].signals.values()


def test_a_jaywalker_crosses_and_says_so() -> None:
    scenes = play("jaywalker", "town_b", 12.0)
    walks = [a for s in scenes for a in s.agents if a.id == "jaywalker" and a.intention == AgentIntention.CROSSES]
    assert walks
    assert all(a.cls == AgentClass.PEDESTRIAN and abs(a.velocity[0]) + abs(a.velocity[1]) > 1.0 for a in walks)


def test_a_car_cuts_in() -> None:
    scenes = play("cut_in", "town_a", 9.0)
    assert "cut_in" in scenes[-1].events
    sides = []
    for scene in scenes:
        for agent in scene.agents:
            if agent.id == "cutter":
                sides.append(float(scene.ego.pose.inverse_transform((agent.x, agent.y))[1]))
    assert abs(sides[0]) > 2.5
    assert min(abs(v) for v in sides) < 0.6


def test_the_car_that_cuts_in_brakes_as_a_car_can() -> None:
    scenes = play("cut_in", "town_f", 9.0, 4043, WorldConfig())
    speeds = [float(np.hypot(*a.velocity)) for s in scenes for a in s.agents if a.id == "cutter"]
    assert min(speeds) < 5.0  # it stops before a red light
    assert min(np.diff(speeds)) > -0.55


def test_the_car_ahead_brakes_to_a_standstill() -> None:
    scenes = play("hard_brake", "town_c", 9.0)
    speeds = [a.velocity for s in scenes for a in s.agents if a.id == "braker"]
    assert max(abs(vx) + abs(vy) for vx, vy in speeds) > 5.0
    assert min(abs(vx) + abs(vy) for vx, vy in speeds) < 0.2


def test_works_close_a_lane() -> None:
    scene = play("construction", "town_f", 0.2)[0]
    cones = [a for a in scene.agents if a.cls == AgentClass.TRAFFIC_CONE]
    assert len(cones) >= 6
    assert {a.lane for a in cones} <= scene.closed_lanes


def test_blue_lights_and_weather() -> None:
    scenes = play("emergency_behind", "town_e", 8.0)
    assert any(a.cls == AgentClass.EMERGENCY_VEHICLE and a.blue_light for s in scenes for a in s.agents)
    assert play("weather", "town_d", 0.2)[0].weather != Weather.DAY


def test_a_camera_fails_for_a_while() -> None:
    events = [s.events for s in play("camera_fault", "town_a", 8.0)]
    assert events[0] == ()
    assert any(e and e[0].startswith("camera_fault:") for e in events)


@pytest.mark.parametrize(
    ("town", "seed"),
    [
        ("town_d", 3),  # a walker came from a crossing onto the area its stage led to, of which SUMO died
        ("town_e", 9000042),  # the ego began on a road without a sidewalk, on which SUMO could not book a walker in
    ],
)
def test_walkers_cross_in_towns_where_sumo_once_died(town: str, seed: int) -> None:
    program = f"""
from vadv2_core.drive import VehicleCommand
from vadv2_sim.world import World
world = World({town!r}, "pedestrian_crossing", {seed})
world.reset()
walkers = world.scenario._walkers
for walker in walkers:
    walker.speed = 1.5
while world.scenario._walkers and world.time < 30.0:
    world.step(VehicleCommand(0, 0, 0.0, 0.0, -7.0, 0.0))
print(len(world.scenario._walkers))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, "0"), ended.stderr


def test_oncoming_cars_of_a_left_turn_come_from_open_lanes() -> None:
    world = World("town_f", "unprotected_left", 9000049, SPARSE)
    world.reset()
    assert isinstance(world.scenario, UnprotectedLeft)
    assert world.scenario._oncoming is not None
    assert world.traffic.closed
    assert not world.traffic.closed.intersection(world.scenario._oncoming.predecessors)
