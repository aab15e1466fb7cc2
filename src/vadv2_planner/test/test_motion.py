import numpy as np
import pytest

from vadv2_core.drive import VehicleCommand
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2, wrap_angle
from vadv2_core.vehicle import VehicleConfig, VehicleState, step_vehicle
from vadv2_planner.motion import motion_from_positions, positions_from_waypoints, present_motion

TIMES = np.arange(1, 81) / 10.0


def driven(speed, steering, acceleration):
    state, out = VehicleState(speed=speed, steering_angle=steering, acceleration=acceleration), []
    for _ in range(80):
        state = step_vehicle(state, VehicleCommand(0, 0, steering, 0.0, acceleration, 0.0), VehicleConfig(), 0.1)
        out.append([state.pose.x, state.pose.y, state.pose.yaw, state.speed])
    return np.array(out)


@pytest.mark.parametrize(
    ("speed", "steering", "acceleration"), [(10.0, 0.05, 0.0), (5.0, -0.15, 0.3), (15.0, 0.02, -1.5)]
)
def test_waypoints_of_a_bicycle_give_the_bicycles_motion(speed, steering, acceleration):
    truth = driven(speed, steering, acceleration)
    rate = speed * np.tan(steering) / VehicleConfig().wheel_base
    positions = positions_from_waypoints(
        truth[4::5, :2], np.array([speed, 0.0]), np.array([acceleration, speed * rate])
    )
    points = motion_from_positions(positions, speed, 8.0)
    assert np.hypot(*(points[:, 1:3] - truth[:, :2]).T).max() < 0.06
    assert np.abs(wrap_angle(points[:, 3] - truth[:, 2])).max() < 0.02
    assert np.abs(points[:, 4] - truth[:, 3]).max() < 0.15


def test_speed_acceleration_and_yaw_are_derivatives_of_the_positions():
    rng = np.random.default_rng(0)
    waypoints = np.stack([8.0 * TIMES[4::5] + rng.normal(0, 0.2, 16), rng.normal(0, 0.2, 16).cumsum()], -1)
    positions = positions_from_waypoints(waypoints, np.array([8.0, 0.0]), np.zeros(2))
    points = motion_from_positions(positions, 8.0, 8.0)
    np.testing.assert_allclose(points[:, 0], TIMES)
    step = np.diff(points[:, 1:3], axis=0)
    assert np.abs(np.hypot(*step.T) / 0.1 - 0.5 * (points[1:, 4] + points[:-1, 4])).max() < 0.1
    assert np.abs(np.diff(points[:, 4]) / 0.1 - 0.5 * (points[1:, 5] + points[:-1, 5])).max() < 0.3
    bearing = np.arctan2(step[:, 1], step[:, 0])
    assert np.abs(wrap_angle(bearing - 0.5 * (points[1:, 3] + points[:-1, 3]))).max() < 0.03


def test_noise_of_the_waypoints_does_not_become_acceleration():
    rng = np.random.default_rng(1)
    waypoints = np.stack([10.0 * TIMES[4::5], 0.0 * TIMES[4::5]], -1) + rng.normal(0, 0.05, (16, 2))
    points = motion_from_positions(positions_from_waypoints(waypoints, np.array([10.0, 0.0]), np.zeros(2)), 10.0, 8.0)
    assert points[:, 5].std() < 0.3
    assert np.abs(np.diff(points[:, 5]) / 0.1).max() < 5.0


def test_standing_still_holds_the_yaw_and_has_no_speed():
    rng = np.random.default_rng(2)
    positions = positions_from_waypoints(rng.normal(0, 0.005, (16, 2)), np.zeros(2), np.zeros(2))
    points = motion_from_positions(positions, 0.0, 8.0)
    assert np.abs(points[:, 3]).max() < 0.1
    assert (points[:, 4] >= 0.0).all()
    assert points[:, 4].max() < 0.05


def test_yaw_is_held_at_a_stop_after_a_turn():
    truth = driven(6.0, 0.25, -1.5)
    positions = positions_from_waypoints(truth[4::5, :2], np.array([6.0, 0.0]), np.array([-1.5, 3.4]))
    points = motion_from_positions(positions, 6.0, 8.0)
    assert points[-1, 4] < 0.05
    assert abs(points[-1, 3] - truth[-1, 2]) < 0.1


@pytest.mark.parametrize("horizon", [2.0, 4.0, 8.0])
def test_horizon_cuts_the_motion_and_changes_nothing_before(horizon):
    positions = np.stack([5.0 * TIMES, 0.1 * TIMES**2], -1)
    whole, cut = motion_from_positions(positions, 5.0, 8.0), motion_from_positions(positions, 5.0, horizon)
    assert len(cut) == round(horizon * 10)
    np.testing.assert_array_equal(cut, whole[: len(cut)])


def test_motion_begins_without_the_accelerometers_slope_at_rest():
    ego = EgoState(0, Pose2(0, 0, 0), (0.0, 0.0), (0.8, 0.2), 0.0)
    velocity, acceleration = present_motion(ego)
    assert not velocity.any()
    assert not acceleration.any()


def test_a_stop_is_not_overshot_and_taken_back():
    t = np.arange(1, 17) * 0.5
    # Brakes at 4 m/s^2 from 8 m/s on a bend and stands from 2 s on.
    s = np.where(t < 2.0, 8.0 * t - 2.0 * t**2, 8.0)
    waypoints = np.stack([20 * np.sin(s / 20), 20 * (1 - np.cos(s / 20))], -1)
    positions = positions_from_waypoints(waypoints, np.array([8.0, 0.0]), np.array([-4.0, 3.2]))
    points = motion_from_positions(positions, 8.0, 8.0)
    way = np.diff(points[:, 1:3], axis=0)
    along = way[:, 0] * np.cos(points[1:, 3]) + way[:, 1] * np.sin(points[1:, 3])
    assert along.min() > -1e-3
    assert np.hypot(*(points[-1, 1:3] - waypoints[-1])) < 0.1
    assert np.abs(points[25:, 3] - 0.4).max() < 0.05
    assert points[30:, 4].max() < 0.1
