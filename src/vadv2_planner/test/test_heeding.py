"""The reasoner's decision against the planner's scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vadv2_core.meta_action import driven_action
from vadv2_core.taxonomy import LongitudinalAction
from vadv2_planner.heeding import heeded, longitudinal_actions

TIMES = np.arange(0.1, 8.01, 0.1)


def future(speed, end):
    v = speed + (end - speed) * np.minimum(TIMES / 3.0, 1.0)
    zero = np.zeros_like(v)
    return np.column_stack([TIMES, np.cumsum(v) * 0.1, zero, zero, v, zero])


def opinion(action, sure=0.9):
    p = np.full(len(LongitudinalAction), (1.0 - sure) / 3.0)
    p[int(action)], p[0] = sure, 0.0
    return p


@pytest.mark.parametrize("speed", [0.0, 1.0, 5.0, 12.0])
def test_actions_are_those_of_the_rule(speed):
    points = np.stack([future(speed, end) for end in (0.0, 1.5, 2.5, 4.0, 8.0, 12.0, 16.0)])
    one_by_one = [int(driven_action(p[:, 0], p[:, 1:4], np.concatenate([[speed], p[1:, 4]]))[0]) for p in points]
    assert longitudinal_actions(points, speed).tolist() == one_by_one


def test_what_was_decided_keeps_its_score_and_the_rest_loses():
    points = np.stack([future(8.0, 8.0), future(8.0, 0.0)])
    factor = heeded(points, 8.0, opinion(LongitudinalAction.STOP), 0.5)
    assert factor[1] == 1.0 and factor[0] == pytest.approx((0.1 / 3.0 / 0.9) ** 0.5)
    np.testing.assert_array_equal(heeded(points, 8.0, opinion(LongitudinalAction.STOP), 0.0), [1.0, 1.0])


def test_a_reasoner_that_is_sure_forbids_nothing():
    points = np.stack([future(8.0, 8.0), future(8.0, 0.0)])
    factor = heeded(points, 8.0, opinion(LongitudinalAction.STOP, 1.0), 1.0)
    assert factor[0] == pytest.approx(0.01)


def test_a_planner_heeds_less_what_is_older(planner_with_scores):
    plan = planner_with_scores
    fresh, old, none = plan(0.0), plan(2.0), plan(None)
    decided = longitudinal_actions(fresh.points, 8.0) == int(LongitudinalAction.STOP)
    assert decided.any() and not decided.all()
    np.testing.assert_array_equal(fresh.confidences[decided], none.confidences[decided])
    others = ~decided & (none.confidences > 0.0)
    assert (fresh.confidences[others] < old.confidences[others]).all()
    assert (old.confidences[others] < none.confidences[others]).all()


@pytest.fixture
def planner_with_scores():
    """Plans with an opinion of an age to stop; the futures and their scores are the same."""
    from vadv2_core.command import DrivingCommand
    from vadv2_core.ego import EgoState
    from vadv2_core.geometry import Pose2
    from vadv2_core.reasoning import ReasoningEmbedding
    from vadv2_core.taxonomy import DrivingAction
    from vadv2_planner.config import PlannerConfig
    from vadv2_planner.planner import Observation, Planner, Proposal, Proposer

    class Two(Proposer):
        """Keeps on or stops."""

        model_id, encoder_hash, reasoning_model = "two", "", ""
        needs_pictures, reasoning_channels = False, 4
        sampler, steps = "two", 1

        def propose(self, seen: Observation, seed: int) -> Proposal:
            return Proposal(np.stack([future(8.0, v)[:, 1:3] for v in (8.0, 0.0)]), np.array([0.6, 0.5]))

    def plan(age):
        planner = Planner(Two(), replace(PlannerConfig(), heeding=0.5))
        stamp = 10_000_000_000
        told = None
        if age is not None:
            then = stamp - int(age * 1e9)
            told = ReasoningEmbedding(then, np.zeros(4, np.float32), "m", opinion(LongitudinalAction.STOP))
        ego = EgoState(stamp, Pose2(0.0, 0.0, 0.0), (8.0, 0.0), (0.0, 0.0), 0.0, 0.0)
        return planner.plan(None, ego, DrivingCommand(stamp, "", DrivingAction.UNKNOWN), None, told)

    return plan
