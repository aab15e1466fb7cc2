"""The gains against the vehicle model with its lags: the bounds a vehicle team would hold them to."""

import math
from dataclasses import replace

import numpy as np
import pytest

from vadv2_control.configuration import ControlConfig, LateralConfig
from vadv2_control.manoeuvres import MANOEUVRES, drive_course, slalom, stop, turn
from vadv2_control.pid import PidController, scheduled
from vadv2_core.errors import InputError
from vadv2_core.vehicle import VehicleConfig


def test_slalom_at_50_km_h_stays_on_its_line():
    summary = drive_course(slalom(), ControlConfig(), VehicleConfig()).summary()
    assert summary["lateral_p95_m"] <= 0.15
    assert summary["lateral_max_m"] <= 0.40


@pytest.mark.parametrize("radius", [6.0, 8.0, 12.0])
def test_tight_turns_stay_on_their_line(radius):
    summary = drive_course(turn(radius, speed=min(5.0, 0.6 * radius)), ControlConfig(), VehicleConfig()).summary()
    assert summary["lateral_p95_m"] <= 0.15
    assert summary["lateral_max_m"] <= 0.40


@pytest.mark.parametrize(("speed", "deceleration"), [(5.0, 1.0), (10.0, 2.0), (14.0, 2.0), (14.0, 3.5), (20.0, 2.5)])
def test_stops_where_asked_and_stays(speed, deceleration):
    result = drive_course(stop(speed, deceleration), ControlConfig(), VehicleConfig())
    assert abs(result.stop_error) <= 0.3
    standing = np.flatnonzero(result.speeds <= 0.01)
    assert standing.size, "never came to stand"
    assert (result.speeds[standing[0] :] <= 0.02).all(), "crept after stopping"
    braking = result.speeds[result.times > 5.0]
    assert (np.diff(braking) <= 1e-3).all(), "the speed rises again while stopping"


def test_no_limit_cycle_on_a_straight_line():
    result = drive_course(MANOEUVRES["step"](), ControlConfig(), VehicleConfig())
    settled = result.times > 9.0
    assert np.abs(result.lateral_errors[settled]).max() < 0.02
    assert np.ptp(result.steering[settled]) < 2e-3
    assert result.lateral_errors.max() < 0.5 * 0.15, "overshoots the line by more than 15 % of the step"


def test_every_command_of_every_course_is_within_the_vehicle():
    vehicle, config = VehicleConfig(), ControlConfig()
    for course in MANOEUVRES.values():
        result = drive_course(course(), config, vehicle)
        assert np.abs(result.steering).max() <= vehicle.max_steering_angle
        rate = np.abs(np.diff(result.steering)) / config.period
        assert rate.max() <= vehicle.max_steering_rate + 1e-9


def test_feedforward_is_what_holds_the_slalom():
    weak = replace(LateralConfig(), cross_track_gain=(0.0,) * 5, heading_gain=(0.0,) * 5, integral_gain=(0.0,) * 5)
    result = drive_course(slalom(), replace(ControlConfig(), lateral=weak), VehicleConfig())
    assert result.summary()["lateral_max_m"] > 0.4, "without feedback the test course must be missed"


def test_pid_does_not_wind_up_at_a_limit():
    pid = PidController()
    for _ in range(1000):
        pid.update(5.0, 0.0, kp=1.0, ki=1.0, kd=0.0, feedforward=0.0, dt=0.03, limits=(-1.0, 1.0))
    assert pid.saturated
    output = pid.update(-0.5, 0.0, kp=1.0, ki=1.0, kd=0.0, feedforward=0.0, dt=0.03, limits=(-1.0, 1.0))
    assert output < 0.0, "the integral holds the output up after the error changed sign"


def test_pid_terms_add_up():
    pid = PidController()
    output = pid.update(0.2, -0.1, kp=2.0, ki=0.5, kd=1.0, feedforward=0.3, dt=0.1, limits=(-9.0, 9.0))
    assert output == pytest.approx(0.4 + 0.01 - 0.1 + 0.3)
    assert output == pytest.approx(pid.p + pid.i + pid.d + pid.f)


def test_gains_are_held_beyond_their_table():
    assert scheduled(0.0, (1.0, 2.0), (5.0, 3.0)) == 5.0
    assert scheduled(9.0, (1.0, 2.0), (5.0, 3.0)) == 3.0
    assert math.isclose(scheduled(1.5, (1.0, 2.0), (5.0, 3.0)), 4.0)


def test_a_gain_table_of_another_length_is_named():
    with pytest.raises(InputError, match=r"cross_track_gain has 2 entries.*5, one a speed"):
        LateralConfig(cross_track_gain=(0.1, 0.2))
