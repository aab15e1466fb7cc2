"""What asks for too much is driven as far as the vehicle goes; what does not is left alone."""

from dataclasses import replace

import numpy as np
import pytest

from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.vehicle import VehicleConfig
from vadv2_planner.config import PlannerConfig, ValidatorConfig
from vadv2_planner.following import bounds_of, followed
from vadv2_planner.motion import motion_from_positions
from vadv2_planner.planner import Planner, Proposal, Proposer
from vadv2_planner.validator import Validator

POSE = Pose2(40.0, 10.0, 0.7)
TIMES = np.arange(1, 81) / 10
BOUNDS = bounds_of(ValidatorConfig(), VehicleConfig())


def ego(speed):
    return EgoState(5_000_000_000, POSE, (speed, 0.0), (0.0, 0.0), 0.0)


def plan(way, turn, speed):
    """A future that is ``way`` (80,) m along an arc of curvature ``turn``."""
    s = np.asarray(way, dtype=np.float64)
    places = np.stack([s, 0 * s], -1) if turn == 0.0 else np.stack([np.sin(turn * s), 1 - np.cos(turn * s)], -1) / turn
    return motion_from_positions(places, speed, 8.0)


def starting(acceleration, top=8.0):
    return np.cumsum(np.minimum(acceleration * TIMES, top)) / 10


def stopping(speed, braking):
    return np.cumsum(np.maximum(speed - braking * TIMES, 0.0)) / 10


def why_not(points, speed):
    return Validator(ValidatorConfig(), VehicleConfig()).check(points, ego(speed), None, POSE, 5_000_000_000)[1]


@pytest.mark.parametrize(
    ("way", "turn", "speed", "check"),
    [
        (starting(5.5), 0.0, 0.0, "longitudinal_acceleration"),
        (stopping(9.0, 14.0), 0.0, 9.0, "longitudinal_acceleration"),
        (starting(2.0, 4.0), -0.4, 0.0, "curvature"),
        (9.0 * TIMES, 0.12, 9.0, "lateral_acceleration"),
    ],
)
def test_too_much_becomes_what_the_vehicle_can(way, turn, speed, check):
    asked = plan(way, turn, speed)
    assert why_not(asked, speed).startswith(check)
    driven, _ = followed(asked, ego(speed), BOUNDS)
    assert driven.shape == asked.shape
    assert why_not(driven, speed) == ""
    assert np.sign(driven[-1, 2]) == np.sign(asked[-1, 2])
    assert np.diff(driven[:, 4]).max() * 10 <= VehicleConfig().max_acceleration
    assert -np.diff(driven[:, 4]).min() * 10 <= VehicleConfig().max_deceleration


def test_a_stop_that_is_too_short_becomes_the_shortest_one():
    driven, aside = followed(plan(stopping(9.0, 14.0), 0.0, 9.0), ego(9.0), BOUNDS)
    shortest = 9.0**2 / (2 * VehicleConfig().max_deceleration)
    assert shortest < driven[-1, 1] < shortest + 9.0 * 0.4
    assert driven[-1, 4] == pytest.approx(0.0, abs=0.05)
    assert np.abs(driven[:, 2]).max() < 0.01 and aside < 0.2


@pytest.mark.parametrize(("turn", "speed"), [(0.0, 12.0), (0.05, 6.0), (-0.15, 4.0)])
def test_a_future_within_the_bounds_is_followed_closely(turn, speed):
    asked = plan(speed * TIMES, turn, speed)
    driven, aside = followed(asked, replace(ego(speed), yaw_rate=turn * speed), BOUNDS)
    assert aside < 0.3
    assert np.hypot(*(driven - asked)[:40, 1:3].T).max() < 0.3


class Fixed(Proposer):
    """The same futures every time."""

    model_id, sampler, steps, needs_pictures = "fixed", "fixed", 0, False

    def __init__(self, *positions):
        self.positions = np.stack(positions)

    def propose(self, seen, seed):
        return Proposal(self.positions, np.linspace(0.9, 0.1, len(self.positions)))


def test_the_planner_starts_as_fast_as_it_can_instead_of_staying(command):
    quickly = starting(5.5)
    proposer = Fixed(np.stack([quickly, 0 * quickly], -1), np.zeros((80, 2)))
    config = PlannerConfig()
    out = Planner(proposer, config).plan(None, ego(0.0), command, None, None)
    assert out.chosen == 0 and out.points[0, -1, 1] > 30.0
    strict = replace(config, validator=replace(config.validator, follow=False))
    planner = Planner(proposer, strict)
    assert planner.plan(None, ego(0.0), command, None, None).chosen == 1
    assert planner.followed == 0 and planner.withheld["longitudinal_acceleration"] == 1


ALONG = starting(2.0, 6.0)


@pytest.mark.parametrize(
    "positions",
    [np.stack([3.0 + ALONG, 0 * ALONG], -1), np.stack([np.sin(0.8 * ALONG), 1 - np.cos(0.8 * ALONG)], -1) / 0.8],
    ids=["begins elsewhere", "turns three times as sharply as the wheels"],
)
def test_what_following_cannot_mend_stays_withheld(positions, command):
    planner = Planner(Fixed(positions), PlannerConfig())
    assert planner.plan(None, ego(0.0), command, None, None).chosen is None and planner.followed == 0
