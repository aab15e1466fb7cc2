"""What perception says against a future, and what is driven then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vadv2_core.command import DrivingCommand
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import AgentClass, DrivingAction, SignalState
from vadv2_core.tokens import SceneAhead, SceneObjects, SceneTokens
from vadv2_core.vehicle import VehicleConfig
from vadv2_planner.config import PlannerConfig, RescoringConfig
from vadv2_planner.motion import motion_from_positions
from vadv2_planner.planner import Observation, Planner, Proposal, Proposer
from vadv2_planner.rescoring import Objection, Rescorer

Frame = Callable[..., SceneTokens]
STAMP = 1_700_000_000_000_000_000
TIMES = 0.1 * np.arange(1, 81)
VEHICLE = VehicleConfig()
FRONT = VEHICLE.length - VEHICLE.rear_overhang


def straight(speed: float, brakes: float = 0.0, sideways: float = 0.0) -> np.ndarray:
    """(80, 2) positions that begin at ``speed``, brake to rest and reach ``sideways`` metres left after 2 s."""
    stop = speed / brakes if brakes else np.inf
    t = np.minimum(TIMES, stop)
    return np.stack([speed * t - 0.5 * brakes * t**2, sideways * np.minimum(TIMES / 2.0, 1.0)], -1)


def futures(*paths: np.ndarray, speed: float = 8.0) -> np.ndarray:
    return motion_from_positions(np.stack(paths), speed, 8.0)


def seeing(tokens: SceneTokens, *boxes: tuple[float, ...], confidence: float = 0.9) -> SceneTokens:
    """Tokens that see cars: x, y, yaw, length, width, vx, vy each."""
    rows = np.array(boxes, dtype=np.float32).reshape(-1, 7)
    n = len(rows)
    objects = SceneObjects(
        np.full(n, int(AgentClass.CAR), np.int32), np.full(n, confidence, np.float32), rows[:, :5], rows[:, 5:],
        np.zeros(n, np.int32), np.zeros(n, np.float32),
    )  # fmt: skip
    return replace(tokens, objects=objects)


def at_light(tokens: SceneTokens, state: SignalState, distance: float, confidence: float = 0.9) -> SceneTokens:
    signal = np.full(6, (1.0 - confidence) / 5.0, dtype=np.float32)
    signal[int(state)] = confidence
    return replace(tokens, ahead=SceneAhead(signal, 0.95, distance, 0.0, 0.0, 0.0))


@pytest.fixture
def rescorer() -> Rescorer:
    return Rescorer(RescoringConfig(), VEHICLE)


def standing_car(x: float, y: float = 0.0) -> tuple[float, ...]:
    return (x, y, 0.0, 4.5, 1.8, 0.0, 0.0)


def test_a_standing_car_speaks_against_who_runs_into_it_alone(rescorer: Rescorer, tokens: SceneTokens) -> None:
    points = futures(straight(8.0), straight(8.0, brakes=3.0), straight(8.0, sideways=3.5))
    into, stops, passes = rescorer.objections(points, seeing(tokens, standing_car(20.0)), 8.0)
    assert into is not None and into.meets
    # Its rear is 17.75 m ahead of the rear axle, the bumper FRONT: they overlap by 0.3 m after 1.81 s.
    touch = (20.0 - 2.25 + 0.3 - FRONT) / 8.0
    assert into.words == "meets a car in 2.0 s" and touch <= 2.0 <= touch + 0.2
    # It would have to come to rest a metre before where they do not meet yet.
    assert into.within == pytest.approx(8.0 * 1.8 - 1.0) and into.grade == -into.within
    assert stops is None and passes is None


def test_a_class_that_is_none_of_ours_is_an_object(rescorer: Rescorer, tokens: SceneTokens) -> None:
    seen = seeing(tokens, standing_car(20.0))
    strange = replace(seen, objects=replace(seen.objects, classes=np.array([77], dtype=np.int32)))
    (met,) = rescorer.objections(futures(straight(8.0)), strange, 8.0)
    assert met is not None and met.words.startswith("meets an object in ")


def test_others_are_carried_on_at_their_velocity(rescorer: Rescorer, tokens: SceneTokens) -> None:
    points = futures(straight(8.0))
    leader = (12.0, 0.0, 0.0, 4.5, 1.8, 8.0, 0.0)
    assert rescorer.objections(points, seeing(tokens, leader), 8.0) == (None,)
    crossing = (16.0, -10.0, 0.5 * np.pi, 4.5, 1.8, 0.0, 5.0)
    (met,) = rescorer.objections(points, seeing(tokens, crossing), 8.0)
    assert met is not None and met.meets
    assert rescorer.objections(points, seeing(tokens, (*crossing[:6], -5.0)), 8.0) == (None,)


def test_nobody_is_met_from_behind_or_at_rest(rescorer: Rescorer, tokens: SceneTokens) -> None:
    fast_behind = (-12.0, 0.0, 0.0, 4.5, 1.8, 14.0, 0.0)
    assert rescorer.objections(futures(straight(6.0), speed=6.0), seeing(tokens, fast_behind), 6.0)[0] is None
    towards = (10.0, 0.0, np.pi, 4.5, 1.8, -6.0, 0.0)
    assert rescorer.objections(futures(straight(0.0), speed=0.0), seeing(tokens, towards), 0.0) == (None,)


@pytest.mark.parametrize(("confidence", "opposed"), [(0.51, True), (0.49, False)])
def test_who_is_hardly_seen_is_not_held_against_a_future(
    rescorer: Rescorer, tokens: SceneTokens, confidence: float, opposed: bool
) -> None:
    said = rescorer.objections(futures(straight(8.0)), seeing(tokens, standing_car(20.0), confidence=confidence), 8.0)
    assert (said[0] is not None) is opposed


@pytest.mark.parametrize(
    ("state", "confidence", "opposed"),
    [
        (SignalState.RED, 0.9, True),
        (SignalState.YELLOW, 0.9, True),
        (SignalState.RED_YELLOW, 0.9, True),
        (SignalState.GREEN, 0.9, False),
        (SignalState.UNKNOWN, 0.9, False),
        (SignalState.OFF, 0.9, False),
    ],
)
def test_a_light_that_holds_speaks_against_who_drives_over_its_line(
    rescorer: Rescorer, tokens: SceneTokens, state: SignalState, confidence: float, opposed: bool
) -> None:
    rescorer.config = RescoringConfig(line_view=0.0)
    points = futures(straight(8.0), straight(8.0, brakes=3.0))
    goes, stops = rescorer.objections(points, at_light(tokens, state, 15.0, confidence), 8.0)
    assert (goes is not None) is opposed
    assert stops is None
    if goes is not None:
        assert not goes.meets
        assert goes.words == "over the stop line at a red light in 2.0 s"
        assert goes.grade == pytest.approx(3.0 * 8.0 - 15.5)


def test_a_red_light_is_waited_for_where_its_lamp_is_in_the_pictures(rescorer: Rescorer, tokens: SceneTokens) -> None:
    red = at_light(tokens, SignalState.RED, 9.0)
    to_line, earlier = straight(4.0, brakes=1.0), straight(4.0, brakes=2.0)
    assert to_line[-1, 0] == pytest.approx(8.0) and earlier[-1, 0] == pytest.approx(4.0)
    too_far, well = rescorer.objections(futures(to_line, earlier, speed=4.0), red, 4.0)
    assert too_far is not None and too_far.words.startswith("over the stop line at a red light") and well is None
    # Who came nearer than that stays where he is; who cannot stop so early any more may stop later, before the line.
    near = at_light(tokens, SignalState.RED, 3.0)
    creeps, stands = rescorer.objections(futures(straight(1.0), straight(0.0), speed=0.0), near, 0.0)
    assert creeps is not None and stands is None
    assert rescorer.objections(futures(earlier, speed=4.0), at_light(tokens, SignalState.RED, 5.0), 4.0)[0] is not None
    assert rescorer.objections(futures(straight(4.0, brakes=3.0), speed=4.0), near, 4.0) == (None,)


def test_a_stop_that_was_begun_is_gone_on_with_and_one_that_was_not_is_not_begun_late(
    rescorer: Rescorer, frame: Frame
) -> None:
    points = futures(straight(8.0))
    near, later = frame(speed=8.0), frame(speed=8.0, stamp=STAMP + 100_000_000)
    # 4.5 m/s^2 from 8 m/s take 7.1 m; up to 6.3 m/s^2, 5.1 m, a stop that was begun goes on.
    assert rescorer.objections(points, at_light(near, SignalState.RED, 9.0), 8.0)[0] is not None
    assert rescorer.objections(points, at_light(later, SignalState.RED, -1.0), 8.0)[0] is not None
    rescorer.reset()
    assert rescorer.objections(points, at_light(near, SignalState.RED, 6.0), 8.0) == (None,)
    assert rescorer.objections(points, at_light(later, SignalState.RED, 6.0), 8.0) == (None,)


@pytest.mark.parametrize("distance", [-0.6, 2.0])
def test_who_is_over_the_line_or_cannot_stop_before_it_drives_on(
    rescorer: Rescorer, tokens: SceneTokens, distance: float
) -> None:
    assert rescorer.objections(futures(straight(8.0)), at_light(tokens, SignalState.RED, distance), 8.0) == (None,)


def test_the_order_is_unopposed_first_then_lights_then_whom_it_meets_last(rescorer: Rescorer) -> None:
    confidences = np.array([0.9, 0.8, 0.1, 0.2, 0.7])
    said = (Objection(True, -1.0, "", 1.0), Objection(True, -2.0, "", 2.0), None, None, Objection(False, 0.5, "", 9.0))
    assert rescorer.order(confidences, said) == [3, 2, 4, 1, 0]


def test_of_those_beyond_a_line_the_least_far_is_tried_first(rescorer: Rescorer, tokens: SceneTokens) -> None:
    points = futures(straight(3.0), straight(1.0), straight(2.0), speed=0.0)
    said = rescorer.objections(points, at_light(tokens, SignalState.RED, 2.0), 0.0)
    assert all(o is not None for o in said)
    assert rescorer.order(np.array([0.9, 0.1, 0.5]), said) == [1, 2, 0]


def test_what_was_not_there_in_the_frame_before_is_not_believed_yet(rescorer: Rescorer, frame: Frame) -> None:
    points = futures(straight(8.0))
    first, second, third = (frame(speed=8.0, stamp=STAMP + i * 100_000_000) for i in range(3))
    assert rescorer.objections(points, first, 8.0) == (None,)
    assert rescorer.objections(points, seeing(second, standing_car(20.0)), 8.0) == (None,)
    assert rescorer.objections(points, seeing(third, standing_car(19.2)), 8.0)[0] is not None
    rescorer.reset()
    assert rescorer.objections(points, seeing(third, standing_car(19.2)), 8.0)[0] is not None


def test_the_frame_before_is_compared_in_odom(rescorer: Rescorer, frame: Frame) -> None:
    points = futures(straight(8.0))
    first, second = frame(speed=8.0), frame(speed=8.0, stamp=STAMP + 500_000_000)
    pose = second.ego.pose
    x, y = pose.transform((4.0, 0.0))
    second = replace(second, ego=replace(second.ego, pose=Pose2(float(x), float(y), pose.yaw)))
    assert rescorer.objections(points, seeing(first, standing_car(24.0)), 8.0)[0] is not None
    assert rescorer.objections(points, seeing(second, standing_car(20.0)), 8.0)[0] is not None
    late = replace(second, stamp=STAMP + 1_000_000_000)
    jumped = seeing(replace(late, ego=replace(late.ego, stamp=late.stamp)), standing_car(16.0))
    assert rescorer.objections(points, jumped, 8.0) == (None,)


@pytest.mark.parametrize("said", [0.0, 6.0])
def test_who_has_stood_for_a_second_stands_whatever_is_said_of_him(
    rescorer: Rescorer, frame: Frame, said: float
) -> None:
    for k in range(7):
        x = 1.4 * k
        tokens = frame(speed=7.0, stamp=STAMP + k * 200_000_000)
        tokens = replace(tokens, ego=replace(tokens.ego, pose=Pose2(x, 0.0, 0.0)))
        bus = (32.0 - x, 0.0, 0.0, 10.0, 2.5, said, 0.0)
        (met,) = rescorer.objections(futures(straight(7.0), speed=7.0), seeing(tokens, bus), 7.0)
    assert met is not None and met.meets


def test_a_light_is_believed_by_the_mean_of_two_frames(rescorer: Rescorer, frame: Frame) -> None:
    points = futures(straight(8.0))
    first, second = frame(speed=8.0), frame(speed=8.0, stamp=STAMP + 100_000_000)
    assert rescorer.objections(points, at_light(first, SignalState.GREEN, 15.0), 8.0) == (None,)
    assert rescorer.objections(points, at_light(second, SignalState.RED, 14.2, 0.8), 8.0) == (None,)
    rescorer.reset()
    assert rescorer.objections(points, at_light(first, SignalState.RED, 15.0), 8.0)[0] is not None
    assert rescorer.objections(points, at_light(second, SignalState.GREEN, 14.2, 0.6), 8.0)[0] is not None


def test_the_light_is_followed_also_while_nothing_is_held_against_a_future(rescorer: Rescorer, frame: Frame) -> None:
    rescorer.config = replace(rescorer.config, enabled=False)
    for stamp in (STAMP, STAMP + 100_000_000):
        rescorer.objections(futures(straight(8.0)), at_light(frame(stamp=stamp), SignalState.RED, 10.0), 8.0)
    assert rescorer.held > 0.5, "patience asks for it"


def test_nothing_seen_or_switched_off_says_nothing(rescorer: Rescorer, tokens: SceneTokens) -> None:
    points = futures(straight(8.0))
    assert rescorer.objections(points, None, 8.0) == (None,)
    assert rescorer.objections(points, tokens, 8.0) == (None,)
    rescorer.config = RescoringConfig(enabled=False)
    assert rescorer.objections(points, seeing(tokens, standing_car(20.0)), 8.0) == (None,)


class GoOrBrake(Proposer):
    """Would rather go than brake."""

    model_id, sampler, steps = "go-or-brake", "none", 1

    def propose(self, seen: Observation, seed: int) -> Proposal:
        del seen, seed
        return Proposal(np.stack([straight(8.0), straight(8.0, brakes=3.0)]), np.array([0.9, 0.2]))


def test_the_planner_brakes_for_what_it_sees_and_says_why(frame: Frame, command: DrivingCommand) -> None:
    planner = Planner(GoOrBrake(), PlannerConfig())
    tokens = frame(speed=8.0)
    free = planner.plan(tokens, tokens.ego, command, None, None)
    assert (free.chosen, free.objections) == (0, ("", ""))
    planner.reset()
    blocked = seeing(tokens, standing_car(20.0))
    plan = planner.plan(blocked, blocked.ego, command, None, None)
    assert plan.chosen == 1
    assert plan.objections[0].startswith("meets a car in ") and plan.objections[1] == ""
    # The scores stay the network's own.
    assert plan.confidences.tolist() == [0.9, 0.2]
    planner.configure(replace(planner.config, rescoring=RescoringConfig(enabled=False)))
    planner.reset()
    assert planner.plan(blocked, blocked.ego, command, None, None).chosen == 0


@pytest.mark.parametrize("distance", [14.0, 20.0])
def test_the_planner_stops_where_it_is_told_to(frame: Frame, command: DrivingCommand, distance: float) -> None:
    planner = Planner(GoOrBrake(), PlannerConfig())
    tokens = frame(speed=8.0)
    told = replace(command, action=DrivingAction.STOP, distance=distance)
    driven = planner.plan(tokens, tokens.ego, told, None, None)
    points = driven.trajectory().points
    assert driven.chosen == 0 and driven.objections == ("", "")
    assert points[-1, 4] < 0.1 and distance - 0.6 < points[-1, 1] < distance + 0.2
    planner.reset()
    at_once = planner.plan(tokens, tokens.ego, replace(told, distance=0.0), None, None).trajectory().points
    assert at_once[-1, 4] < 0.1 and at_once[-1, 1] == pytest.approx(8.0**2 / 5.0, abs=0.6)


class OnlyOn(Proposer):
    """Knows nothing but to go on, the faster the surer."""

    model_id, sampler, steps = "only-on", "none", 1

    def propose(self, seen: Observation, seed: int) -> Proposal:
        del seen, seed
        return Proposal(np.stack([straight(8.0), straight(9.0), straight(7.5)]), np.array([0.5, 0.9, 0.2]))


def test_where_every_future_meets_somebody_it_brakes_to_rest_before_him(frame: Frame, command: DrivingCommand) -> None:
    planner = Planner(OnlyOn(), PlannerConfig())
    tokens = seeing(frame(speed=8.0), standing_car(20.0))
    plan = planner.plan(tokens, tokens.ego, command, None, None)
    driven = plan.trajectory().points
    rear = 20.0 - 2.25
    assert driven[-1, 4] < 0.1 and rear - 3.0 < driven[-1, 1] + FRONT < rear
    assert all(words.startswith("meets a car") for words in plan.objections)
