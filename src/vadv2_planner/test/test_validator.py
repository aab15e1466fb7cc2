from dataclasses import replace

import numpy as np
import pytest

from vadv2_core.drive import VehicleCommand
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.trajectory import Trajectory
from vadv2_core.vehicle import VehicleConfig, VehicleState, step_vehicle
from vadv2_planner.config import ValidatorConfig
from vadv2_planner.validator import CHECKS, Validator

POSE = Pose2(300.0, -20.0, 1.0)
STAMP = 5_000_000_000


def ego(speed=10.0, yaw_rate=0.0):
    return EgoState(STAMP, POSE, (speed, 0.0), (0.0, 0.0), yaw_rate)


def straight(speed=10.0):
    t = np.arange(1, 81) / 10
    return np.stack([t, speed * t, 0 * t, 0 * t, np.full(80, speed), 0 * t], -1)


def check(points, now=STAMP, previous=None, state=None, config=None, stamp=STAMP):
    validator = Validator(config or ValidatorConfig(), VehicleConfig())
    return validator.check(points, state or ego(), previous, POSE, now, stamp)


def curved(kappa, speed=10.0):
    t = np.arange(1, 81) / 10
    s = speed * t
    return np.stack(
        [t, np.sin(kappa * s) / kappa, (1 - np.cos(kappa * s)) / kappa, kappa * s, 0 * t + speed, 0 * t], -1
    )


@pytest.mark.parametrize("speed", [0.0, 0.3, 3.0, 10.0, 20.0])
def test_straight_driving_is_valid(speed):
    assert check(straight(speed), state=ego(speed)) == (True, "")


@pytest.mark.parametrize(
    ("speed", "steering", "acceleration"), [(8.0, 0.1, 0.5), (3.0, 0.5, 0.0), (15.0, 0.0, -6.0), (0.0, 0.0, 2.0)]
)
def test_what_the_vehicle_can_drive_is_valid(speed, steering, acceleration):
    state, rows = VehicleState(speed=speed), []
    for _ in range(80):
        state = step_vehicle(state, VehicleCommand(0, 0, steering, 0.0, acceleration, 0.0), VehicleConfig(), 0.1)
        rows.append([state.pose.x, state.pose.y, state.pose.yaw, state.speed, state.acceleration])
        if abs(state.speed**2 * np.tan(state.steering_angle) / 2.7) > 3.5:
            acceleration = -1.0
    points = np.concatenate([np.arange(1, 81)[:, None] / 10, np.array(rows)], axis=1)
    points[:, 3] = np.unwrap(points[:, 3])
    ok, why = check(points, state=ego(speed))
    assert ok, why


def bad_plans():
    nan = straight()
    nan[7, 2] = np.nan
    yield "finite", nan, {}
    yield "length", straight()[:5], {}
    late = straight()
    late[30:, 0] += 0.05
    yield "time_spacing", late, {}
    leap = straight()
    leap[40:, 1] += 6.0
    yield "space_spacing", leap, {}
    yield "curvature", curved(0.4, 2.0), {"state": ego(2.0, 0.8)}
    yield "lateral_acceleration", curved(0.06, 12.0), {"state": ego(12.0, 0.72)}
    swerve = curved(0.03)
    swerve[::2, 3] += 0.01
    yield "lateral_jerk", swerve, {"state": ego(yaw_rate=0.3)}
    t = np.arange(1, 81) / 10
    rush = np.stack([t, 5 * t + 2.75 * t**2, 0 * t, 0 * t, 5 + 5.5 * t, 0 * t + 5.5], -1)
    rush = rush[rush[:, 4] < 35]
    yield "longitudinal_acceleration", rush, {"state": ego(5.0)}
    liar = straight()
    liar[:, 5] = -9.5
    yield "longitudinal_acceleration", liar, {}
    jerky = straight()
    jerky[::2, 5] = 3.9
    yield "longitudinal_jerk", jerky, {}
    yield "deviation", straight(14.0), {"state": ego(10.0)}
    aside = straight()
    aside[:, 2] += 1.5
    yield "deviation", aside, {}
    yield "age", straight(), {"now": STAMP + 1_500_000_000, "state": replace(ego(), pose=POSE.compose(Pose2(15, 0, 0)))}
    lane = straight()
    lane[:, 2] = 4.0
    old = Trajectory(STAMP - 100_000_000, POSE.compose(Pose2(-1.0, 0, 0)), lane, 1.0)
    yield "jump", straight(), {"previous": old}
    yield "jump", straight(), {"previous": replace(old, points=straight(4.0))}


@pytest.mark.parametrize(("name", "points", "context"), list(bad_plans()))
def test_each_check_withholds_and_says_why(name, points, context):
    ok, why = check(points, **context)
    assert not ok
    assert why.startswith(f"{name}: ")
    assert len(why) > len(name) + 10


def test_braking_hard_after_a_plan_to_go_on_is_no_jump():
    old = Trajectory(STAMP - 100_000_000, POSE.compose(Pose2(-1.0, 0, 0)), straight(10.0), 1.0)
    t = np.arange(1, 81) / 10
    s = np.where(t < 10 / 6, 10 * t - 3 * t**2, 50 / 6)
    v = np.maximum(10 - 6 * t, 0)
    a = np.where(v > 0, -6.0, 0.0)
    # Brakes build up over two tenths of a second.
    a[:2] = [-2.0, -4.0]
    assert check(np.stack([t, s, 0 * t, 0 * t, v, a], -1), previous=old) == (True, "")


def test_steering_and_its_rate():
    config = replace(ValidatorConfig(), max_curvature=1.0, max_lateral_acceleration=12.0, max_lateral_jerk=100.0)
    ok, why = check(curved(0.35, 2.0), state=ego(2.0, 0.7), config=config)
    assert why.startswith("steering: ")
    weave = curved(0.001, 3.0)
    weave[:, 3] = 0.02 * (np.arange(80) % 4 < 2)
    ok, why = check(weave, state=ego(3.0), config=config)
    assert not ok
    assert why.startswith("steering_rate: ")


def test_a_plan_that_ends_short_of_any_possible_stop_is_withheld():
    t = np.arange(1, 81) / 10
    frozen = np.stack([t, 0.05 * np.minimum(t, 0.5), 0 * t, 0 * t, 0 * t, 0 * t], -1)
    config = replace(ValidatorConfig(), max_speed_deviation=20.0, max_deviation=5.0)
    _, why = check(frozen, state=ego(12.0), config=config)
    assert why.startswith("forward_length: ")


def test_a_plan_a_little_old_is_compared_with_where_the_vehicle_is_now():
    then = replace(ego(), pose=POSE.compose(Pose2(3.0, 0.0, 0.0)), stamp=STAMP + 300_000_000)
    assert check(straight(), now=STAMP + 300_000_000, state=then)[0]
    assert not check(straight(), now=STAMP + 300_000_000, state=ego())[0]


def test_counts_by_check_and_switching_off():
    validator = Validator(ValidatorConfig(), VehicleConfig())
    validator.check(straight(14.0), ego(), None, POSE, STAMP)
    assert validator.counts["deviation"] == 1
    assert set(validator.counts) == set(CHECKS)
    off = Validator(replace(ValidatorConfig(), enabled=False), VehicleConfig())
    assert off.check(straight(14.0), ego(), None, POSE, STAMP) == (True, "")
