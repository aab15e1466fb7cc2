import numpy as np
import pytest

from vadv2_core.command import Route
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import DrivingAction
from vadv2_planner import Commander, CommanderConfig
from vadv2_planner.commander import action_of_text, text_of_action
from vadv2_planner.text import command_ids, command_tokenizer

POSE = Pose2(40.0, 10.0, 0.7)


def ego():
    return EgoState(7, POSE, (8.0, 0.0), (0.0, 0.0), 0.0)


def turned(sign, at=30.0, radius=9.0):
    arc = np.linspace(0, np.pi / 2, 20)
    bend = np.stack([at + radius * np.sin(arc), sign * radius * (1 - np.cos(arc))], -1)
    out = np.stack([np.full(40, at + radius), sign * (radius + np.linspace(1, 80, 40))], -1)
    return np.concatenate([np.stack([np.linspace(-20, at - 1, 40), np.zeros(40)], -1), bend, out])


def command(local, text=None):
    return Commander().command(Route(7, POSE.transform(local)), ego(), text)


def test_a_turn_is_announced_with_its_distance():
    left, right = command(turned(1)), command(turned(-1))
    assert left.action is DrivingAction.LEFT
    assert right.action is DrivingAction.RIGHT
    assert left.distance == pytest.approx(30.0, abs=5.0)
    assert left.text == "in 30 meters, turn left at the next intersection"
    assert left.stamp == 7


def test_a_turn_under_way_counts_until_it_is_done():
    assert command(turned(1, at=-6.0)).action is DrivingAction.LEFT
    assert command(turned(1, at=-25.0)).action is not DrivingAction.RIGHT


def test_a_turn_far_ahead_does_not_count_yet():
    assert command(turned(1, at=100.0)).action is DrivingAction.LANE_FOLLOW


def test_a_long_bend_of_the_road_is_the_lane():
    arc = np.linspace(0, np.pi / 2, 200)
    assert command(np.stack([150 * np.sin(arc), 150 * (1 - np.cos(arc))], -1)).action is DrivingAction.LANE_FOLLOW


@pytest.mark.parametrize(("sign", "action"), [(1, DrivingAction.CHANGE_LEFT), (-1, DrivingAction.CHANGE_RIGHT)])
def test_a_sideways_step_is_a_lane_change(sign, action):
    x = np.linspace(-10, 120, 260)
    y = sign * 3.5 / (1 + np.exp(-(x - 30.0) / 3.0))
    assert command(np.stack([x, y], -1)).action is action


def test_the_end_of_the_route_is_a_stop():
    said = command(np.stack([np.linspace(-30, 20, 50), np.zeros(50)], -1))
    assert said.action is DrivingAction.STOP
    assert said.distance == pytest.approx(20.0, abs=0.5)


def test_a_person_goes_before_the_route():
    said = command(turned(1), "  please change   to the right lane ")
    assert said.text == "please change to the right lane"
    assert said.action is DrivingAction.CHANGE_RIGHT
    assert command(turned(1), "   ").action is DrivingAction.LEFT


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("Turn left at the next intersection", DrivingAction.LEFT),
        ("take the second right", DrivingAction.RIGHT),
        ("go straight on", DrivingAction.STRAIGHT),
        ("move over to the left lane", DrivingAction.CHANGE_LEFT),
        ("pull over and stop", DrivingAction.STOP),
        ("keep following the lane", DrivingAction.LANE_FOLLOW),
        ("don't turn left", DrivingAction.UNKNOWN),
        ("左に曲がって", DrivingAction.UNKNOWN),
        ("sing a song", DrivingAction.UNKNOWN),
    ],
)
def test_words_of_a_person(text, action):
    assert action_of_text(text) is action


@pytest.mark.parametrize("action", list(DrivingAction))
def test_every_template_is_understood_again(action):
    expected = action if action is not DrivingAction.UNKNOWN else None
    for distance in (0.0, 45.0):
        understood = action_of_text(text_of_action(action, distance))
        assert expected is None or understood is action


def test_tokenizer_reads_any_text_and_splits_its_own_sentences_into_words():
    ids = command_ids("In 40 meters, turn LEFT at the next intersection")
    assert (ids > 0).sum() <= 12
    assert (
        command_tokenizer().decode([i for i in ids if i]).strip() == "in 40 meters, turn left at the next intersection"
    )
    assert (command_ids("左に曲がって") > 0).all()
    assert not command_ids("").any()
    assert len(command_ids("word " * 500)) == 16


def test_config_out_of_range_is_refused():
    from vadv2_core.errors import InputError

    with pytest.raises(InputError, match="look_ahead"):
        CommanderConfig(look_ahead=-1.0)
