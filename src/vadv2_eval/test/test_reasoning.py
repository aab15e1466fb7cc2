"""Reasoning metrics on records whose numbers are known, and answers by their meaning."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vadv2_core.errors import InputError
from vadv2_core.language.sentences import say
from vadv2_core.language.statements import ActionStatement
from vadv2_core.meta_action import driven_action
from vadv2_core.taxonomy import LateralAction, LongitudinalAction
from vadv2_eval.reasoning.actions import argued_action
from vadv2_eval.reasoning.classes import accuracy, calibration_error, class_scores, flag_score, macro_f1
from vadv2_eval.reasoning.records import NOBODY, ReasoningRecord, record_from_json
from vadv2_eval.reasoning.summary import agent_intent_f1, reasoning_summary, stability


def test_class_scores_are_those_of_a_library():
    from sklearn.metrics import f1_score, precision_score

    rng = np.random.default_rng(0)
    true, said = (rng.choice(["KEEP", "STOP", "ACCELERATE"], 200).tolist() for _ in range(2))
    scores = class_scores(said, true)
    assert macro_f1(scores) == pytest.approx(f1_score(true, said, average="macro"))
    assert accuracy(said, true) == pytest.approx(f1_score(true, said, average="micro"))
    assert scores["STOP"].precision == pytest.approx(precision_score(true, said, labels=["STOP"], average="macro"))
    with pytest.raises(InputError, match="3 answers for 2 truths"):
        class_scores(["a"] * 3, ["a"] * 2)


def test_a_class_that_never_is_has_no_f1():
    assert class_scores([], []) == {} and macro_f1({}) is None
    nothing = flag_score([0.1, 0.2], [False, False])
    assert nothing.f1 is None and nothing.precision is None and nothing.recall is None


def test_flags_and_their_calibration():
    score = flag_score([0.9, 0.8, 0.4, 0.1], [True, False, True, False])
    assert (score.precision, score.recall, score.f1) == (0.5, 0.5, 0.5)
    honest = np.repeat([0.25, 0.75], 400)
    truth = np.concatenate([np.arange(400) % 4 == 0, np.arange(400) % 4 != 0])
    assert calibration_error(honest, truth) == pytest.approx(0.0, abs=1e-9)
    assert calibration_error(np.ones(100), np.zeros(100)) == 1.0
    assert calibration_error([], []) is None


@pytest.mark.parametrize(
    ("speeds", "yaw", "side", "expected"),
    [
        ((8.0, 8.5), 0.0, 0.0, (LongitudinalAction.KEEP, LateralAction.STRAIGHT)),
        ((8.0, 12.0), 0.0, 0.0, (LongitudinalAction.ACCELERATE, LateralAction.STRAIGHT)),
        ((9.0, 4.0), 0.0, 0.0, (LongitudinalAction.DECELERATE, LateralAction.STRAIGHT)),
        ((6.0, 0.5), 0.0, 0.0, (LongitudinalAction.STOP, LateralAction.STRAIGHT)),
        ((0.0, 0.0), 0.0, 0.0, (LongitudinalAction.STOP, LateralAction.STRAIGHT)),
        ((0.0, 6.0), 0.0, 0.0, (LongitudinalAction.ACCELERATE, LateralAction.STRAIGHT)),
        ((8.0, 8.0), 0.9, 6.0, (LongitudinalAction.KEEP, LateralAction.LEFT_TURN)),
        ((8.0, 8.0), -0.9, -6.0, (LongitudinalAction.KEEP, LateralAction.RIGHT_TURN)),
        ((8.0, 8.0), 0.02, 3.4, (LongitudinalAction.KEEP, LateralAction.LEFT_CHANGE)),
        ((8.0, 8.0), -0.02, -3.4, (LongitudinalAction.KEEP, LateralAction.RIGHT_CHANGE)),
    ],
)
def test_meta_actions_of_driven_paths(speeds, yaw, side, expected):
    t = np.arange(0, 4.01, 0.1)
    v = np.interp(t, [0.0, 3.0], speeds)
    x = np.concatenate([[0.0], np.cumsum(0.5 * (v[1:] + v[:-1]) * 0.1)])
    poses = np.column_stack([x, side * (t / 4.0) ** 2, yaw * t / 4.0])
    assert driven_action(t, poses, v) == expected


def test_a_bend_beyond_four_seconds_is_no_turn_now():
    t = np.arange(0.0, 8.01, 0.1)
    yaw = np.where(t > 4.0, 0.2 * (t - 4.0), 0.0)
    steps = np.stack([np.cos(yaw), np.sin(yaw)], -1) * 0.8
    poses = np.column_stack([np.concatenate([[[0.0, 0.0]], np.cumsum(steps[:-1], axis=0)]), yaw])
    assert driven_action(t, poses, np.full_like(t, 8.0)) == (LongitudinalAction.KEEP, LateralAction.STRAIGHT)
    assert driven_action(t[:41], poses[40:], np.full(41, 8.0))[1] is LateralAction.LEFT_TURN


def test_what_a_trace_argues_for_is_its_last_parsed_action():
    keep = say(ActionStatement(LongitudinalAction.KEEP, LateralAction.STRAIGHT))
    stop = say(ActionStatement(LongitudinalAction.STOP, LateralAction.STRAIGHT))
    assert argued_action(f"{keep} {stop}") == (LongitudinalAction.STOP, LateralAction.STRAIGHT)
    assert argued_action("Never stop thinking about stop signs.") is None


def _record(time, said, true=("KEEP", "STRAIGHT", "FREE_ROAD"), **more):
    return ReasoningRecord(time, "d", said, true, **more)


def test_the_summary_of_known_records():
    keep, stop = ("KEEP", "STRAIGHT", "FREE_ROAD"), ("STOP", "STRAIGHT", "RED_LIGHT")
    records = [
        _record(0.0, keep, argued=("KEEP", "STRAIGHT"), driven=("KEEP", "STRAIGHT"), statements=(4, 3),
                kinds={"object": (3, 2), "ego": (1, 1)}),
        _record(1.0, stop, argued=("KEEP", "STRAIGHT"), driven=("KEEP", "STRAIGHT"), statements=(4, 4),
                kinds={"object": (1, 1), "signal": (3, 3)}),
        _record(2.0, stop, stop, argued=("STOP", "STRAIGHT"), intentions=(("STOPS", "STOPS"), ("KEEPS", "STOPS"))),
        _record(9.0, keep, flags={"CUT_IN": 0.9}, flag_truths={"CUT_IN": True}, unread=2),
    ]  # fmt: skip
    summary = reasoning_summary(records)
    assert summary["intent"]["exact_accuracy"]["mean"] == 0.75
    assert summary["intent"]["cause"]["classes"]["RED_LIGHT"]["precision"] == 0.5
    assert summary["trace_accuracy"]["mean"] == pytest.approx(7 / 8)
    by_kind = {kind: (found["mean"], found["count"]) for kind, found in summary["statements"].items()}
    assert by_kind == {"ego": (1.0, 1), "object": (0.75, 4), "signal": (1.0, 3)}
    assert record_from_json(json.loads(json.dumps(records[0].to_json())), "here") == records[0]
    assert summary["cot_accuracy"]["mean"] == 1.0 and summary["cot_accuracy"]["count"] == 3
    assert summary["agreement"]["mean"] == 0.5
    assert summary["intentions"]["classes"]["STOPS"]["recall"] == 0.5
    assert summary["flags"]["CUT_IN"]["f1"] == 1.0 and summary["unread_sentences"] == 2
    assert stability(records) == (0, 1)
    assert reasoning_summary([])["trace_accuracy"] is None


def test_an_intention_of_nobody_costs_the_precision_of_what_was_said_and_is_no_class_of_the_mean():
    keep = ("KEEP", "STRAIGHT", "FREE_ROAD")
    pairs = (("STOPS", "STOPS"), ("KEEPS", "KEEPS"))
    honest = [_record(0.0, keep, intentions=pairs)]
    dreams = [_record(0.0, keep, intentions=(*pairs, ("STOPS", NOBODY)))]
    assert agent_intent_f1(honest) == 1.0
    stops = reasoning_summary(dreams)["intentions"]["classes"]["STOPS"]
    assert (stops["precision"], stops["recall"]) == (0.5, 1.0)
    assert agent_intent_f1(dreams) == pytest.approx((2 / 3 + 1.0) / 2)
    summary = reasoning_summary(dreams)["intentions"]
    assert summary["macro_f1"] == agent_intent_f1(dreams) and summary["pairs"] == 3
    assert summary["classes"][NOBODY]["false_negatives"] == 1
    assert agent_intent_f1([_record(0.0, keep, intentions=(("STOPS", NOBODY),))]) is None


def test_records_survive_json_and_bad_ones_are_named():
    record = _record(1.0, ("KEEP", "STRAIGHT", "TURN"), flags={"CUT_IN": 0.5}, intentions=(("KEEPS", "STOPS"),))
    assert record_from_json(record.to_json(), "here") == record
    with pytest.raises(InputError, match="here: not a reasoning record"):
        record_from_json({"time": 1.0, "colour": "red"}, "here")
