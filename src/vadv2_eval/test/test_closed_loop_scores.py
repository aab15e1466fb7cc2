"""Closed-loop scores of made drives whose numbers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vadv2_core.command import DrivingCommand
from vadv2_core.drive import DriveState
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.scene import Agent, Scene
from vadv2_core.taxonomy import AgentClass, DrivingAction
from vadv2_eval.closed_loop.scores import comfort, drive_score, efficiency, fall_backs, infractions, take_over_rate
from vadv2_eval.closed_loop.trace import DriveEventRecord, DriveTrace, time_to_collision, traffic_speed
from vadv2_eval.pdms.scene import PACIFICA


def smooth(n: int = 201, speed: float = 10.0) -> DriveTrace:
    t = np.arange(n) * 0.1
    return DriveTrace(
        0.1, np.full(n, speed), np.zeros((n, 2)), np.zeros(n), speed * t, 0.0, speed * t[-1],
        np.full(n, 8.0), np.zeros(n, dtype=bool), np.full(n, np.inf), reason="goal", success=True,
    )  # fmt: skip


def test_a_clean_drive_scores_one():
    score = drive_score(smooth())
    assert (score.route_completion, score.infraction_score, score.driving_score) == (1.0, 1.0, 1.0)
    assert score.success and score.comfort == 1.0 and score.efficiency == pytest.approx(1.25)
    assert score.min_ttc_s is None and score.take_overs == 0 and score.metres == pytest.approx(200.0)


def test_penalties_multiply_and_only_fault_costs():
    events = (
        DriveEventRecord(1.0, "collision", "pedestrian p1 at 3.0 m/s", True),
        DriveEventRecord(2.0, "collision", "car v1 at 3.0 m/s", True),
        DriveEventRecord(3.0, "collision", "car v2 at 3.0 m/s", False),
        DriveEventRecord(4.0, "collision", "traffic_cone c at 3.0 m/s", True),
        DriveEventRecord(5.0, "red_light", "signal s", True),
        DriveEventRecord(6.0, "red_light", "signal s", True),
        DriveEventRecord(7.0, "stop_sign", "line", True),
        DriveEventRecord(8.0, "speeding", "9 m/s", True),
    )
    score = drive_score(replace(smooth(), events=events))
    assert score.infraction_score == pytest.approx(0.5 * 0.6 * 0.65 * 0.7**2 * 0.8)
    assert score.infractions["red_light"] == 2 and score.infractions["collision_vehicle"] == 1
    assert not score.success and score.take_overs == 3


def test_a_time_out_costs_and_half_a_route_is_half():
    trace = smooth()
    half = replace(trace, goal=2 * trace.goal, reason="time", success=False)
    score = drive_score(half)
    assert score.route_completion == pytest.approx(0.5)
    assert score.infraction_score == 0.7 and score.driving_score == pytest.approx(0.35)
    assert infractions(half) == {"time": 1}


def test_metres_off_the_road_and_going_back_do_not_complete_the_route():
    trace = smooth()
    off = trace.off_road.copy()
    off[51:101] = True
    assert drive_score(replace(trace, off_road=off)).route_completion == pytest.approx(0.75)
    back = np.concatenate([trace.progress[:101], trace.progress[100::-1]])
    there = replace(trace, progress=back[:201])
    assert drive_score(there).route_completion == pytest.approx(0.5)


def test_comfort_counts_segments():
    trace = smooth(200)
    hard = trace.accelerations.copy()
    hard[45, 0] = -6.0
    assert comfort(replace(trace, accelerations=hard)) == pytest.approx(0.9)
    assert comfort(smooth(10)) is None


def test_efficiency_needs_moving_traffic():
    trace = smooth()
    assert efficiency(replace(trace, traffic_speeds=np.full(201, np.nan))) is None
    assert efficiency(replace(trace, traffic_speeds=np.full(201, 0.1))) is None
    jam = np.where(np.arange(201) < 100, 20.0, np.nan)
    assert efficiency(replace(trace, traffic_speeds=jam)) == pytest.approx(0.5)


def test_fall_backs_count_entries_and_the_rate_is_per_kilometre():
    d, s, e = DriveState.DRIVING, DriveState.SOFT_STOP, DriveState.EMERGENCY
    assert fall_backs([d, s, s, e, d, e, d]) == 2
    assert fall_backs([]) == 0
    assert take_over_rate(3, 1500.0) == pytest.approx(2.0)
    assert take_over_rate(0, 0.0) is None


def _scene(*agents: Agent, speed: float = 10.0) -> Scene:
    ego = EgoState(0, Pose2(0.0, 0.0, 0.0), (speed, 0.0), (0.0, 0.0), 0.0)
    return Scene(0, ego, agents, {}, DrivingCommand(0, "", DrivingAction.LANE_FOLLOW), None)


def _car(x: float, y: float, vx: float = 0.0, vy: float = 0.0, cls: AgentClass = AgentClass.CAR) -> Agent:
    return Agent("a", cls, x, y, 0.0, 4.0, 2.0, 1.5, (vx, vy))


def test_time_to_collision_of_known_meetings():
    gap = 30.0 - 2.0 - PACIFICA.front
    assert time_to_collision(_scene(_car(30.0, 0.0)), PACIFICA) == pytest.approx(gap / 10.0, abs=0.11)
    assert time_to_collision(_scene(_car(30.0, 0.0, vx=10.0)), PACIFICA) == np.inf
    assert time_to_collision(_scene(_car(-20.0, 0.0, vx=30.0)), PACIFICA) == np.inf
    assert time_to_collision(_scene(_car(30.0, 8.0)), PACIFICA) == np.inf
    assert time_to_collision(_scene(_car(20.0, 10.0, vy=-5.0)), PACIFICA) == pytest.approx(1.6, abs=0.35)
    assert time_to_collision(_scene(), PACIFICA) == np.inf


def test_traffic_speed_is_of_vehicles_nearby():
    near, far = _car(10.0, 0.0, vx=6.0), _car(50.0, 0.0, vx=20.0)
    walker = _car(5.0, 0.0, vx=1.0, cls=AgentClass.PEDESTRIAN)
    assert traffic_speed(_scene(near, far, walker)) == pytest.approx(6.0)
    assert np.isnan(traffic_speed(_scene(walker)))
