"""The world: deterministic in two processes, physical, and one that reacts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from vadv2_core.drive import VehicleCommand
from vadv2_core.errors import InputError
from vadv2_core.taxonomy import AgentIntention
from vadv2_sim.drive_events import EventKind
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
    digests = [
        subprocess.run(
            [sys.executable, "-c", _HASH], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert len(digests[0]) == 64
    assert digests[0] == digests[1]


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


def test_sumo_dying_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import vadv2_sim.sumo_session as session

    world = World("town_b", "free", 1, QUICK)
    scene = world.reset()

    def die() -> None:
        raise session.libsumo.TraCIException("connection closed")

    monkeypatch.setattr(session.libsumo, "simulationStep", die)
    with pytest.raises(InputError, match="SUMO died: connection closed"):
        world.step(VehicleCommand(scene.stamp, 0, 0.0, 0.0, 0.0, 0.0))
