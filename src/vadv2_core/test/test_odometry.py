"""Interpolation, extrapolation and fitted acceleration of odometry."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.odometry import OdometryBuffer, OdometryConfig

MS = 1_000_000


def on_circle(t: float, speed: float = 8.0, radius: float = 40.0) -> EgoState:
    a = speed * t / radius
    pose = Pose2(radius * math.sin(a), radius * (1 - math.cos(a)), math.remainder(a, math.tau))
    return EgoState(round(t * 1e9), pose, (speed, 0.0), (0.0, speed**2 / radius), speed / radius)


def test_interpolates_a_circle_and_is_exact_at_samples() -> None:
    buffer = OdometryBuffer()
    for i in range(50):
        buffer.push(on_circle(0.02 * i))
    sample = on_circle(0.4)
    assert buffer.at(sample.stamp) == sample
    between = buffer.at(round(0.413e9))
    truth = on_circle(0.413)
    assert between is not None
    assert math.hypot(between.pose.x - truth.pose.x, between.pose.y - truth.pose.y) < 1e-3
    assert between.pose.yaw == pytest.approx(truth.pose.yaw, abs=1e-6)


def test_yaw_goes_the_short_way_round() -> None:
    buffer = OdometryBuffer()
    for i, yaw in enumerate((math.pi - 0.01, -math.pi + 0.01)):
        buffer.push(EgoState(i * 100 * MS, Pose2(0, 0, yaw), (0, 0), (0, 0), 0.2))
    middle = buffer.at(50 * MS)
    assert middle is not None and abs(abs(middle.pose.yaw) - math.pi) < 1e-9


def test_carries_on_a_little_and_then_says_none() -> None:
    buffer = OdometryBuffer(OdometryConfig(max_extrapolation=0.1))
    buffer.push(on_circle(1.0))
    ahead, truth = buffer.at(round(1.1e9)), on_circle(1.1)
    assert ahead is not None
    assert math.hypot(ahead.pose.x - truth.pose.x, ahead.pose.y - truth.pose.y) < 1e-3
    assert buffer.at(round(1.11e9)) is None and buffer.at(round(0.89e9)) is None
    assert OdometryBuffer().at(0) is None


def test_fits_acceleration_where_odometry_has_none() -> None:
    buffer = OdometryBuffer()
    rng = np.random.default_rng(0)
    kept = None
    for i in range(40):
        t = 0.02 * i
        speed = 10.0 - 3.0 * t + rng.normal(0, 0.02)
        kept = buffer.push(
            EgoState(round(t * 1e9), Pose2(0, 0, 0), (speed, 0.0), (math.nan, math.nan), 0.1), has_acceleration=False
        )
    assert kept is not None
    assert kept.acceleration[0] == pytest.approx(-3.0, abs=0.3)
    assert kept.acceleration[1] == pytest.approx(kept.velocity[0] * 0.1)


def test_bad_states_are_counted_and_breaks_empty_the_buffer() -> None:
    buffer = OdometryBuffer()
    buffer.push(on_circle(5.0))
    assert buffer.push(on_circle(4.9)) is None
    assert buffer.push(EgoState(0, Pose2(math.nan, 0, 0), (0, 0), (0, 0), 0)) is None
    assert (buffer.counters.out_of_order, buffer.counters.not_finite) == (1, 1)
    buffer.push(on_circle(6.5))
    assert len(buffer) == 1
    buffer.push(on_circle(0.5))
    assert len(buffer) == 1 and buffer.counters.restarts == 2
