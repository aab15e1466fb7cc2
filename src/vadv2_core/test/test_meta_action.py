"""What a path comes to in two words."""

from __future__ import annotations

import numpy as np
import pytest

from vadv2_core.geometry import Pose2
from vadv2_core.meta_action import IN_FORCE, as_asked, driven_action, planned_action
from vadv2_core.taxonomy import DrivingAction, LateralAction, LongitudinalAction
from vadv2_core.trajectory import Trajectory

TIMES = np.arange(0.1, 8.01, 0.1)
SECOND = 1_000_000_000


def plan(speed, end, yaw_rate=0.0, stamp=SECOND):
    v = speed + (end - speed) * np.minimum(TIMES / 3.0, 1.0)
    yaw = yaw_rate * TIMES
    x, y = np.cumsum(v * np.cos(yaw)) * 0.1, np.cumsum(v * np.sin(yaw)) * 0.1
    return Trajectory(stamp, Pose2(0.0, 0.0, 0.0), np.column_stack([TIMES, x, y, yaw, v, np.zeros_like(v)]), 1.0)


@pytest.mark.parametrize(
    ("speed", "end", "yaw_rate", "action"),
    [
        (8.0, 8.0, 0.0, (LongitudinalAction.KEEP, LateralAction.STRAIGHT)),
        (3.0, 9.0, 0.2, (LongitudinalAction.ACCELERATE, LateralAction.LEFT_TURN)),
        (9.0, 4.0, -0.2, (LongitudinalAction.DECELERATE, LateralAction.RIGHT_TURN)),
        (9.0, 0.0, 0.0, (LongitudinalAction.STOP, LateralAction.STRAIGHT)),
        (0.0, 0.0, 0.0, (LongitudinalAction.STOP, LateralAction.STRAIGHT)),
    ],
)
def test_a_plan_in_two_words(speed, end, yaw_rate, action):
    assert planned_action(plan(speed, end, yaw_rate), SECOND, speed, DrivingAction.UNKNOWN) == action


def test_a_plan_is_in_force_for_half_a_second():
    made = plan(8.0, 8.0)
    late = SECOND + int((IN_FORCE + 0.1) * SECOND)
    assert planned_action(made, late, 8.0, DrivingAction.UNKNOWN) is None
    assert planned_action(made, SECOND - 1, 8.0, DrivingAction.UNKNOWN) is None
    assert planned_action(None, SECOND, 8.0, DrivingAction.UNKNOWN) is None
    assert planned_action(made, SECOND + SECOND // 10, 8.0, DrivingAction.UNKNOWN) is not None


@pytest.mark.parametrize(
    ("asked", "lateral"),
    [
        (DrivingAction.LEFT, LateralAction.LEFT_TURN),
        (DrivingAction.UNKNOWN, LateralAction.LEFT_TURN),
        (DrivingAction.LANE_FOLLOW, LateralAction.STRAIGHT),
        (DrivingAction.RIGHT, LateralAction.STRAIGHT),
    ],
)
def test_a_bend_is_a_turn_where_one_was_asked_for(asked, lateral):
    bent = (LongitudinalAction.KEEP, LateralAction.LEFT_TURN)
    assert as_asked(bent, asked) == (LongitudinalAction.KEEP, lateral)
    changed = (LongitudinalAction.KEEP, LateralAction.LEFT_CHANGE)
    assert as_asked(changed, asked) == changed, "a change of lane is not the road's"


def test_a_shift_to_the_side_is_a_change():
    poses = np.column_stack([8.0 * TIMES, 3.5 * np.minimum(TIMES / 4.0, 1.0), np.zeros_like(TIMES)])
    assert driven_action(TIMES, poses, np.full(80, 8.0))[1] is LateralAction.LEFT_CHANGE
