"""The table of what a model reached: red lights met, commands obeyed, rates with intervals, and parts that are kept."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vadv2_core.command import DrivingCommand
from vadv2_core.errors import InputError
from vadv2_core.language.commands import all_commands, paraphrases
from vadv2_core.taxonomy import DrivingAction, SignalState, StopControl
from vadv2_eval.closed_loop.commands import HeldOutWords, command_outcomes
from vadv2_eval.closed_loop.drive import run_drive
from vadv2_eval.closed_loop.encounters import red_light_encounters
from vadv2_eval.closed_loop.table import drive_table, planner_cpu_hz, planner_hz
from vadv2_eval.closed_loop.wheels import Pace, pace_of
from vadv2_eval.intervals import group_interval
from vadv2_eval.reasoning.records import ReasoningRecord
from vadv2_eval.reasoning.summary import reasoning_table


def ego(x: float, y: float = 0.0, speed: float = 5.0) -> SimpleNamespace:
    return SimpleNamespace(pose=SimpleNamespace(x=x, y=y, yaw=0.0), speed=speed)


def scene(x, y=0.0, speed=5.0, action=DrivingAction.LANE_FOLLOW, signals=None):
    return SimpleNamespace(ego=ego(x, y, speed), command=DrivingCommand(0, "", action), signals=signals or {})


def world(manoeuvres=(), lines=(), goal=200.0):
    """A straight route along x."""
    route = SimpleNamespace(project=lambda x, y, near=None: (x, y), manoeuvres=manoeuvres, lane_ids=("a",))
    vehicle = SimpleNamespace(length=4.6, rear_overhang=1.0)
    return SimpleNamespace(
        route=route,
        placement=SimpleNamespace(goal=goal),
        road=SimpleNamespace(stop_lines=lines),
        config=SimpleNamespace(vehicle=vehicle),
    )


def stop_line(x, signal="s", lane="a", control=StopControl.SIGNAL):
    segment = np.array([[x, 1.5], [x, -1.5]])
    return SimpleNamespace(segment=segment, signal=signal, lane=lane, control=control)


def test_held_out_words_are_of_the_test_split_and_hide_the_action():
    words = HeldOutWords(3)
    said = [words.say(DrivingCommand(k, "turn left", DrivingAction.LEFT, 30.0 - k)) for k in range(3)]
    assert {c.action for c in said} == {DrivingAction.UNKNOWN} and len({c.text for c in said}) == 1
    assert said[0].text in paraphrases(DrivingAction.LEFT, "test") and said[2].distance == 28.0
    assert said[0].text not in set(all_commands("train"))
    after = words.say(DrivingCommand(4, "stop", DrivingAction.STOP))
    assert after.text in paraphrases(DrivingAction.STOP, "test")


def test_a_turn_is_obeyed_where_the_ego_comes_out_on_the_route():
    turn = SimpleNamespace(action=DrivingAction.LEFT, start=50.0, end=65.0)
    far = SimpleNamespace(action=DrivingAction.RIGHT, start=150.0, end=160.0)
    there = [scene(x) for x in range(30, 80, 2)]
    astray = [scene(x, y=max(0.0, 0.5 * (x - 50))) for x in range(30, 80, 2)]
    never = [scene(x) for x in range(0, 30, 2)]
    assert [c.obeyed for c in command_outcomes(world((turn, far)), there)] == [True], "the far one was never reached"
    assert [c.obeyed for c in command_outcomes(world((turn,)), astray)] == [False]
    assert command_outcomes(world((turn,)), never) == []


def test_a_stop_is_obeyed_by_standing():
    stops = [scene(x, speed=v, action=DrivingAction.STOP) for x, v in ((0, 5.0), (4, 3.0), (6, 0.5))]
    rolls = [scene(x, speed=4.0, action=DrivingAction.STOP) for x in (0, 4, 8)]
    assert [c.obeyed for c in command_outcomes(world(), stops)] == [True]
    assert [c.obeyed for c in command_outcomes(world(), rolls)] == [False]


def test_only_lights_that_were_red_before_the_line_are_met():
    lines = (stop_line(50.0), stop_line(120.0, "t"), stop_line(60.0, "u", lane="other"),
             stop_line(70.0, control=StopControl.STOP_SIGN))  # fmt: skip
    xs = range(0, 160, 2)
    red = [scene(x, signals={"s": SignalState.RED, "t": SignalState.GREEN, "u": SignalState.RED}) for x in xs]
    assert red_light_encounters(world(lines=lines), red, [float(x) for x in xs]) == 1
    behind = [scene(x, signals={"s": SignalState.RED if x > 60 else SignalState.GREEN}) for x in xs]
    assert red_light_encounters(world(lines=lines), behind, [float(x) for x in xs]) == 0


def record(infractions, met=0, over=0, commands=()):
    return {
        "score": {"infractions": infractions},
        "signals": {"encounters": met, "violations": over},
        "commands": [{"action": "LEFT", "obeyed": o} for o in commands],
        "timings_ms": {"perception": 60.0, "planner": 20.0, "control": 0.0, "vlm": 400.0, "frame_cpu": 50.0},
    }


def test_rates_have_their_own_denominators():
    rows = [record({"collision_vehicle": 2}, 3, 1, (True, False)), record({"red_light": 1}, 1, 0), record({}, 0, 0)]
    table = drive_table(rows)
    assert table["at_fault_collision"].mean == pytest.approx(1 / 3) and table["at_fault_collision"].count == 3
    assert table["signal_violation"].mean == 0.25 and table["signal_violation"].count == 4
    assert table["command_obeyed"].mean == 0.5
    assert drive_table([record({}, 0, 2)])["signal_violation"].mean == 1.0, "over a line that was off the route"
    assert drive_table([record({})])["signal_violation"] is None
    assert planner_hz(rows) == pytest.approx(12.5), "the words are made beside the road"
    assert planner_cpu_hz(rows) == pytest.approx(20.0)


def said(drive, said_, true, flag, flag_true):
    return ReasoningRecord(0.0, drive, said_, true, flags={"CUT_IN": flag}, flag_truths={"CUT_IN": flag_true},
                           argued=said_[:2], statements=(4, 3), intentions=(("STAYS", "STAYS"),))  # fmt: skip


def test_the_reasoning_rows_are_what_a_person_would_count():
    keep, stop = ("KEEP", "STRAIGHT", "CLEAR"), ("STOP", "STRAIGHT", "RED_LIGHT")
    rows = [said("a", keep, keep, 0.9, True), said("b", stop, stop, 0.8, False), said("c", keep, stop, 0.1, True)]
    table = reasoning_table(rows)
    assert table["edge_recall"].mean == 0.5 and table["edge_precision"].mean == 0.5
    # KEEP 1/2 right of what is said, STOP 1 of 2 found: both F1 2/3; STRAIGHT always: 1.
    assert table["intent_f1"].mean == pytest.approx((2 / 3 + 1.0 + 2 / 3) / 3)
    assert table["agent_intent_f1"].mean == 1.0 and table["trace_accuracy"].mean == 0.75
    assert table["cot_accuracy"].mean == pytest.approx(2 / 3)
    assert table["intent_f1"].low <= table["intent_f1"].mean <= table["intent_f1"].high
    assert reasoning_table([]) == {}


def test_group_intervals_are_wider_than_those_of_their_samples():
    groups = [[0.0] * 20, [1.0] * 20, [1.0] * 20, [0.0] * 20]
    found = group_interval(groups, lambda rows: float(np.mean(rows)))
    alone = group_interval([[v] for g in groups for v in g], lambda rows: float(np.mean(rows)))
    assert found.mean == alone.mean == 0.5 and found.high - found.low > 2.0 * (alone.high - alone.low)
    assert group_interval([[1.0]], lambda rows: None) is None


def test_paces_are_whole_steps():
    assert pace_of(5.0, 1.0) == Pace(2, 10) and pace_of(10.0, 0.0) == Pace(1, 0)
    for rate, words in ((4.0, 1.0), (5.0, 0.5)):
        with pytest.raises(InputError, match=r"10, 5, 3.33|a multiple"):
            pace_of(rate, words)


@pytest.mark.long
def test_kept_parts_change_nothing(tmp_path):
    order = {"driver": "model", "town": "town_e", "scenario": "cut_in", "seed": 9000005, "seconds": 3.0,
             "models": str(tmp_path), "plan_every": 2, "words_every": 10}  # fmt: skip
    first, second = (run_drive(order) for _ in range(2))
    for row in (first, second):
        row.pop("timings_ms")
        row.pop("cpu_s")
        for said_ in row["reasoning"]:
            said_.pop("seconds")
    assert first == second and len(first["reasoning"]) == 3
