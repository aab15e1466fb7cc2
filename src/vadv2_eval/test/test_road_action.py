"""The lateral action of a path on its map: bends, turns, changes of lane, and passing, on a made town."""

from __future__ import annotations

import numpy as np
import pytest

from vadv2_core.command import DrivingCommand
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2, arc_length, heading_at, point_at, wrap_angle
from vadv2_core.meta_action import driven_action
from vadv2_core.reasoning import Reasoning
from vadv2_core.scene import Lane, RoadMap, Scene
from vadv2_core.stamps import NANOSECONDS
from vadv2_core.taxonomy import Cause, DrivingAction, LaneKind, LateralAction, LongitudinalAction
from vadv2_eval.closed_loop.reasoning import FUTURE_SCENES, driven_between, judged_reasoning
from vadv2_eval.reasoning.road_action import action_on_road, lateral_on_road
from vadv2_eval.scenes.plans import planned_on_road

TIMES = np.arange(81) * 0.1
QUARTER = np.linspace(0.0, 0.5 * np.pi, 30)


def arc(start, radius: float, sign: float = 1.0):
    """A quarter circle that begins eastwards at ``start`` and turns left, or right for sign -1."""
    return np.column_stack(
        [start[0] + radius * np.sin(QUARTER), start[1] + sign * radius * (1.0 - np.cos(QUARTER))]
    )  # fmt: skip


def town(turned: float = 0.0) -> RoadMap:
    """Two lanes east to a junction at x = 100, one lane west beside them, and far off a road that bends by 90 degrees.

    All of it is turned about the origin by ``turned``, so that headings lie anywhere.
    """
    ends = {
        "right": ([[-100.0, 0.0], [100.0, 0.0]], LaneKind.ROAD, LateralAction.STRAIGHT, ("go", "off")),
        "left": ([[-100.0, 3.5], [100.0, 3.5]], LaneKind.ROAD, LateralAction.STRAIGHT, ("turn",)),
        "west": ([[100.0, 7.0], [-100.0, 7.0]], LaneKind.ROAD, LateralAction.STRAIGHT, ()),
        "go": ([[100.0, 0.0], [120.0, 0.0]], LaneKind.CONNECTOR, LateralAction.STRAIGHT, ("east",)),
        "off": (arc((100.0, 0.0), 9.0, -1.0), LaneKind.CONNECTOR, LateralAction.RIGHT_TURN, ("south",)),
        "turn": (arc((100.0, 3.5), 12.0), LaneKind.CONNECTOR, LateralAction.LEFT_TURN, ("north",)),
        "east": ([[120.0, 0.0], [250.0, 0.0]], LaneKind.ROAD, LateralAction.STRAIGHT, ()),
        "south": ([[109.0, -9.0], [109.0, -150.0]], LaneKind.ROAD, LateralAction.STRAIGHT, ()),
        "north": ([[112.0, 15.5], [112.0, 150.0]], LaneKind.ROAD, LateralAction.STRAIGHT, ()),
        "bend": (arc((0.0, 500.0), 25.0), LaneKind.ROAD, LateralAction.STRAIGHT, ()),
    }
    beside = {"right": ("left", None), "left": (None, "right")}
    frame = Pose2(0.0, 0.0, turned)
    lanes = {
        name: Lane(name, kind, frame.transform(line), 3.5, 13.9, onward, (), *beside.get(name, (None, None)), turn=turn)
        for name, (line, kind, turn, onward) in ends.items()
    }
    return RoadMap("made", "0" * 64, lanes)


def along(*lines, start: float, speed: float, swing=None):
    """Poses of 8 s along lines in a row; ``swing(x)`` is how far to the left of them they run."""
    line = np.concatenate([np.asarray(piece, dtype=np.float64) for piece in lines])
    line = line[np.concatenate([[True], np.linalg.norm(np.diff(line, axis=0), axis=1) > 1e-6])]
    s = start + speed * TIMES
    yaw, middle = heading_at(line, s), point_at(line, s)
    assert s[-1] <= arc_length(line)[-1], "the path is meant to stay on the lines"
    poses = np.column_stack([middle, yaw])
    if swing is not None:
        offset = swing(middle[:, 0])
        poses[:, :2] += offset[:, None] * np.column_stack([-np.sin(yaw), np.cos(yaw)])
        poses[:, 2] += np.arctan(np.gradient(offset, s))
    return poses


RIGHT, LEFT = [[-100.0, 0.0], [100.0, 0.0]], [[-100.0, 3.5], [100.0, 3.5]]
TURN, NORTH = arc((100.0, 3.5), 12.0), [[112.0, 15.5], [112.0, 150.0]]
OFF, SOUTH = arc((100.0, 0.0), 9.0, -1.0), [[109.0, -9.0], [109.0, -150.0]]


def shift(begin: float, length: float, side: float):
    """From 0 to ``side`` m to the left between two places."""

    def swing(x):
        u = np.clip((x - begin) / length, 0.0, 1.0)
        return side * u * u * (3.0 - 2.0 * u)

    return swing


def bump(begin: float, end: float, side: float):
    """Out to ``side`` m at ``begin`` and back at ``end``, over 15 m each."""
    return lambda x: shift(begin, 15.0, side)(x) - shift(end, 15.0, side)(x)


def standing(x: float, y: float, yaw: float):
    """Poses of 8 s in one place."""
    return np.tile([x, y, yaw], (len(TIMES), 1))


CASES = {
    "a road that bends is no turn": (along(arc((0.0, 500.0), 25.0), start=0.0, speed=4.5), "STRAIGHT"),
    "a turn that comes within 3 s": (along(LEFT, TURN, NORTH, start=180.0, speed=7.0), "LEFT_TURN"),
    "a turn that comes later": (along(LEFT, TURN, NORTH, start=170.0, speed=7.0), "STRAIGHT"),
    "a turn that comes later, and at 8 s": (along(LEFT, TURN, NORTH, start=150.0, speed=7.0), "STRAIGHT"),
    "a turn under way": (along(LEFT, TURN, NORTH, start=209.0, speed=5.0), "LEFT_TURN"),
    "a turn that is done": (along(LEFT, TURN, NORTH, start=221.0, speed=5.0), "STRAIGHT"),
    "a turn to the right": (along(RIGHT, OFF, SOUTH, start=190.0, speed=5.0), "RIGHT_TURN"),
    "straight over a junction in which others turn": (
        along(RIGHT, [[100.0, 0.0], [250.0, 0.0]], start=190.0, speed=8.0), "STRAIGHT",
    ),
    "a turn just ahead of one who creeps": (along(LEFT, TURN, NORTH, start=197.0, speed=0.6), "LEFT_TURN"),
    "standing at the line": (along(LEFT, start=194.0, speed=0.0), "STRAIGHT"),
    "over to the lane beside": (along(RIGHT, start=20.0, speed=10.0, swing=shift(-60.0, 35.0, 3.5)), "LEFT_CHANGE"),
    "over to the right": (along(LEFT, start=20.0, speed=10.0, swing=shift(-60.0, 35.0, -3.5)), "RIGHT_CHANGE"),
    "over only after 5 s": (along(RIGHT, start=20.0, speed=10.0, swing=shift(-25.0, 35.0, 3.5)), "STRAIGHT"),
    "over already, not yet in the middle": (
        along(RIGHT, start=20.0, speed=10.0, swing=shift(-100.0, 38.0, 3.5)), "STRAIGHT",
    ),
    "past something over the other way's lane": (
        along(LEFT, start=50.0, speed=6.0, swing=bump(-45.0, -15.0, 3.0)), "LEFT_CHANGE",
    ),
    "back from there": (along(LEFT, start=75.0, speed=6.0, swing=bump(-45.0, -18.0, 3.0)), "RIGHT_CHANGE"),
    "past something in the own lane": (along(LEFT, start=50.0, speed=6.0, swing=bump(-45.0, -15.0, 1.0)), "STRAIGHT"),
    "not quite in the middle": (along(LEFT, start=50.0, speed=8.0, swing=lambda x: 0.6 * np.sin(x / 6.0)), "STRAIGHT"),
    "over the line for a moment": (along(RIGHT, start=40.0, speed=10.0, swing=bump(-58.0, -43.0, 1.9)), "STRAIGHT"),
    "slowly past something": (along(LEFT, start=50.0, speed=1.2, swing=shift(-49.0, 7.0, 3.0)), "LEFT_CHANGE"),
    "between two that part, headed for the turn": (standing(104.0, -0.40, -0.44), "RIGHT_TURN"),
    "between two that part, headed straight on": (standing(104.0, -0.55, 0.0), "STRAIGHT"),
    "along the kerb": (along([[-50.0, -4.0], [50.0, -4.0]], start=0.0, speed=8.0), "STRAIGHT"),
    "along the other kerb": (along([[50.0, 11.0], [-50.0, 11.0]], start=0.0, speed=8.0), "STRAIGHT"),
    "across all lanes": (along([[0.0, -3.0], [0.0, 10.0]], start=0.0, speed=1.5), "UNKNOWN"),
    "on no lane": (along([[0.0, -300.0], [100.0, -300.0]], start=0.0, speed=8.0), "UNKNOWN"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("turned", [0.0, 2.0, np.pi])
def test_what_a_path_does_on_its_road(name, turned):
    poses, expected = CASES[name]
    world = Pose2(0.0, 0.0, turned)
    poses = np.column_stack([world.transform(poses[:, :2]), wrap_angle(poses[:, 2] + turned)])
    assert lateral_on_road(town(turned), TIMES, poses).name == expected


def test_what_the_bend_alone_gets_wrong():
    bend, _ = CASES["a road that bends is no turn"]
    assert driven_action(TIMES, bend, np.full(81, 4.5))[1] is LateralAction.LEFT_TURN
    begun, _ = CASES["a turn just ahead of one who creeps"]
    assert driven_action(TIMES, begun - begun[0], np.full(81, 0.6))[1] is LateralAction.STRAIGHT


def test_a_map_without_lanes_says_nothing():
    assert lateral_on_road(RoadMap("empty", "0" * 64, {}), TIMES, CASES["a turn under way"][0]) is LateralAction.UNKNOWN


def test_the_speeds_make_the_longitudinal_action():
    poses, _ = CASES["a turn that comes within 3 s"]
    slower = np.linspace(9.0, 3.0, 81) * (TIMES < 2.0)
    assert action_on_road(town(), TIMES, poses, np.full(81, 7.0))[0] is LongitudinalAction.KEEP
    assert action_on_road(town(), TIMES, poses, slower) == (LongitudinalAction.STOP, LateralAction.LEFT_TURN)


def ego(pose, speed: float, stamp: int = 0) -> EgoState:
    return EgoState(stamp, Pose2(*(float(v) for v in pose)), (speed, 0.0), (0.0, 0.0), 0.0)


def test_a_plan_is_judged_where_it_leads_on_the_map():
    poses, _ = CASES["a turn that comes within 3 s"]
    now = Pose2(*poses[0])
    points = np.column_stack(
        [TIMES[1:], now.inverse_transform(poses[1:, :2]), poses[1:, 2] - now.yaw, np.full(80, 7.0), np.zeros(80)]
    )
    said = planned_on_road(town(), ego(poses[0], 7.0), points)
    assert said == (LongitudinalAction.KEEP, LateralAction.LEFT_TURN)
    there = planned_on_road(town(), ego((0.0, 0.0, 0.0), 7.0), points)
    assert there[1] is not LateralAction.LEFT_TURN, "the same plan elsewhere is another action"
    assert planned_on_road(town(), ego(poses[0], 1.0), points)[0] is LongitudinalAction.ACCELERATE


def test_a_recording_is_judged_on_the_map_where_there_is_one():
    poses, _ = CASES["a road that bends is no turn"]
    rows = np.column_stack([poses, np.full(81, 4.5)])

    def recorded(stamps):
        k = np.round(np.asarray(stamps) * 10 / NANOSECONDS).astype(int)
        return np.where((k < 60)[:, None], rows[np.minimum(k, 80)], np.nan)

    assert driven_between(recorded, 0) == ("KEEP", "LEFT_TURN")
    assert driven_between(recorded, 0, town()) == ("KEEP", "STRAIGHT")
    assert driven_between(recorded, 4 * NANOSECONDS, town()) == (), "less than 3 s are left"


def test_what_was_driven_is_judged_on_the_drives_map():
    poses, _ = CASES["a road that bends is no turn"]
    command = DrivingCommand(0, "go on", DrivingAction.LANE_FOLLOW)
    scenes = [
        Scene(k * NANOSECONDS // 10, ego(pose, 4.5, k * NANOSECONDS // 10), (), {}, command, None)
        for k, pose in enumerate(poses)
    ]
    said = Reasoning(
        0, "", "", Cause.FREE_ROAD, np.zeros(10, np.float32), "", LongitudinalAction.KEEP, 0.9, LateralAction.STRAIGHT,
        0.9, "made", 0.05, False,
    )  # fmt: skip
    assert len(scenes) == FUTURE_SCENES
    assert judged_reasoning(said, scenes, town(), None, "d", 0.0).driven == ("KEEP", "STRAIGHT")
    assert judged_reasoning(said, scenes[:30], town(), None, "d", 0.0).driven == ()
