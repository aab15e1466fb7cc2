"""All public cases: every stage, flag, step, sub-score and score as the original gives it."""

from __future__ import annotations

import numpy as np
import pytest
from case_comparison import differences

from vadv2_eval.pdms.benchmark import spread_proposals
from vadv2_eval.pdms.case_result import CANDIDATE, case_result, score_case
from vadv2_eval.pdms.scene_case import parse_case
from vadv2_eval.pdms.score import score_proposals


@pytest.mark.parametrize("index", range(60))
def test_case_is_the_originals(raw_cases, index):
    raw = raw_cases[index]
    got = case_result(parse_case(raw, "test"))
    assert got["id"] == raw["id"]
    assert differences({k: got[k] for k in ("v1", "v2")}, raw["expected"]) == []


@pytest.mark.parametrize("index", [0, 7, 11, 31, 53])
def test_a_batch_gives_the_numbers_of_single_proposals(raw_cases, index):
    case = parse_case(raw_cases[index], "test")
    poses = spread_proposals(case.candidate, 600, seed=index)
    together = score_proposals(case.scene, poses, case.candidate.dt, case.reference)
    assert len(set(together.batch.progress.round(6).tolist())) > 100
    for i in (0, 1, 17, 255, 256, 599):
        alone = score_proposals(case.scene, poses[i : i + 1], case.candidate.dt, case.reference)
        assert together.score[i + 1] == pytest.approx(alone.score[1], abs=1e-9)
        assert together.ttc.step[i + 1] == alone.ttc.step[1]
        assert np.array_equal(together.batch.flags.multiple_lanes[i + 1], alone.batch.flags.multiple_lanes[1])
        assert np.allclose(together.batch.rollout.states[i + 1], alone.batch.rollout.states[1], atol=1e-9)


def test_moving_and_turning_the_world_changes_no_score(raw_cases):
    for raw in raw_cases[:12]:
        before = score_case(parse_case(raw, "test"))
        after = score_case(parse_case(_turned(raw, 2.4, (-300.0, 120.0)), "test"))
        assert after.v1.score[CANDIDATE] == pytest.approx(before.v1.score[CANDIDATE], abs=1e-3), raw["id"]


def _turned(raw, angle, shift):
    """The case in a world turned and moved."""
    import copy

    c, s = np.cos(angle), np.sin(angle)

    def move(row):
        x, y, *rest = row
        moved = [c * x - s * y + shift[0], s * x + c * y + shift[1]]
        if rest:
            moved.append(float((rest[0] + angle + np.pi) % (2 * np.pi) - np.pi))
        if len(rest) == 3:
            moved += [c * rest[1] - s * rest[2], s * rest[1] + c * rest[2]]
        return moved

    case = copy.deepcopy(raw)
    for ego in (case["ego"], case["previous"]["ego"], *case["history"]):
        ego["rear_axle"] = move(ego["rear_axle"])
    for polygon in case["map"]["polygons"]:
        polygon["exterior"] = [move(p) for p in polygon["exterior"]]
    case["map"]["centerline"] = [move(p) for p in case["map"]["centerline"]]
    for track in case["tracks"]:
        track["states_2hz"] = [None if r is None else move(r) for r in track["states_2hz"]]
    return case
