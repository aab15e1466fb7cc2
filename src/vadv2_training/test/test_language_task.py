"""What the words of a decision count in the reasoner's loss."""

from __future__ import annotations

import pytest

from vadv2_core.command import DrivingCommand
from vadv2_core.decision import Decision
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import Cause, DrivingAction, LateralAction, LongitudinalAction
from vadv2_training.language_task import RAREST, rarities
from vadv2_vlm.samples import ReasoningTruth

EGO = EgoState(0, Pose2(0.0, 0.0, 0.0), (8.0, 0.0), (0.0, 0.0), 0.0, 0.0)


def because(cause: Cause | None) -> ReasoningTruth:
    made = None if cause is None else Decision(LongitudinalAction.KEEP, LateralAction.STRAIGHT, cause)
    return ReasoningTruth(DrivingCommand(0, "", DrivingAction.LANE_FOLLOW), EGO, made)


def test_rare_causes_count_more_by_the_root_and_not_without_end() -> None:
    truths = [because(c) for c in (Cause.FREE_ROAD,) * 36 + (Cause.TURN,) * 9 + (Cause.CUT_IN,) + (None,) * 5]
    found = rarities(truths)
    assert found == {Cause.FREE_ROAD: 1.0, Cause.TURN: pytest.approx(2.0), Cause.CUT_IN: RAREST}


def test_without_decisions_nothing_is_rare() -> None:
    assert rarities([because(None)]) == {}
