"""How far a manoeuvre still is, where a command is announced once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vadv2_core.command import DrivingCommand
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import DrivingAction
from vadv2_planner.command_track import CommandTrack

SECOND = 1_000_000_000
STOP = DrivingCommand(100 * SECOND, "stop at the end of the route", DrivingAction.STOP, 18.0)


def ego(seconds: float, x: float, speed: float = 8.0) -> EgoState:
    return EgoState(round((100 + seconds) * SECOND), Pose2(x, 0.0, 0.0), (speed, 0.0), (0.0, 0.0), 0.0, None)


def test_a_stop_that_was_announced_once_comes_nearer_and_is_reached() -> None:
    track = CommandTrack()
    left = [track.carried(STOP, ego(0.1 * i, 0.8 * i)).distance for i in range(40)]
    assert left[0] == 18.0
    assert left[10] == pytest.approx(10.0)
    assert left[-1] == 0.0


def test_the_way_before_it_was_heard_counts_by_speed() -> None:
    assert CommandTrack().carried(STOP, ego(0.5, 100.0)).distance == pytest.approx(14.0)


def test_a_command_of_this_very_frame_is_as_it_was_said() -> None:
    track = CommandTrack()
    for i in range(3):
        said = replace(STOP, stamp=ego(0.1 * i, 0.0).stamp, distance=18.0 - 0.8 * i)
        assert track.carried(said, ego(0.1 * i, 0.8 * i)) is said


def test_the_same_command_again_is_no_new_one_and_another_is() -> None:
    track = CommandTrack()
    track.carried(STOP, ego(0.0, 0.0))
    assert track.carried(replace(STOP), ego(0.5, 3.0)).distance == pytest.approx(15.0)
    nearer = replace(STOP, stamp=ego(0.5, 3.0).stamp, distance=14.0)
    assert track.carried(nearer, ego(0.5, 3.0)).distance == 14.0


def test_who_stands_comes_no_nearer() -> None:
    track = CommandTrack()
    assert [track.carried(STOP, ego(float(i), 0.0, 0.0)).distance for i in range(5)] == [18.0] * 5


def test_across_a_gap_the_speed_says_how_far() -> None:
    track = CommandTrack()
    track.carried(STOP, ego(0.0, 0.0))
    assert track.carried(STOP, ego(2.0, 500.0, 4.0)).distance == pytest.approx(10.0), "places may have jumped"
    assert track.carried(STOP, ego(1.0, 500.0, 4.0)).distance == pytest.approx(10.0), "time went back"
