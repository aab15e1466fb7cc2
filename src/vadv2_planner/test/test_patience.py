"""How long is waited where nothing holds, and what then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vadv2_core.command import DrivingCommand
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import AgentClass, DrivingAction, SignalState
from vadv2_core.tokens import SceneAhead, SceneObjects, SceneTokens
from vadv2_planner.config import PlannerConfig
from vadv2_planner.motion import motion_from_positions
from vadv2_planner.patience import Patience, somebody_ahead, urged
from vadv2_planner.planner import Observation, Planner, Proposal, Proposer

Frame = Callable[..., SceneTokens]
SECOND = 1_000_000_000
TIMES = 0.1 * np.arange(1, 81)


def at(x: float) -> Pose2:
    return Pose2(x, 0.0, 0.0)


def test_waiting_counts_from_where_it_last_came_on() -> None:
    patience = Patience()
    assert patience.waited(10 * SECOND, at(0.0)) == 0.0
    assert patience.waited(11 * SECOND, at(1.0)) == 1.0
    assert patience.waited(12 * SECOND, at(5.9)) == 2.0, "creeping is still waiting"
    assert patience.waited(13 * SECOND, at(6.1)) == 0.0
    assert patience.waited(14 * SECOND, at(6.1)) == 1.0


@pytest.mark.parametrize("later", [20 * SECOND, 9 * SECOND])
def test_a_gap_or_a_leap_back_begins_anew(later: int) -> None:
    patience = Patience()
    patience.waited(10 * SECOND, at(0.0))
    patience.waited(11 * SECOND, at(0.0))
    assert patience.waited(later, at(0.0)) == 0.0


def test_only_futures_that_stand_lose_confidence() -> None:
    stands, goes = np.zeros((80, 2)), np.stack([1.5 * TIMES, 0.0 * TIMES], -1)
    points = motion_from_positions(np.stack([stands, goes]), 0.0, 8.0)
    assert urged(points, 0.0).tolist() == [1.0, 1.0]
    assert urged(points, -3.0).tolist() == [1.0, 1.0]
    np.testing.assert_allclose(urged(points, 4.0), [np.exp(-1.0), 1.0])
    assert urged(points, 60.0).tolist() == [0.1, 1.0]


@pytest.mark.parametrize(
    ("cls", "x", "y", "speed", "waits"),
    [
        (AgentClass.CAR, 30.0, 8.0, 6.0, True),
        (AgentClass.CAR, 30.0, 8.0, 0.0, False),
        (AgentClass.CAR, -10.0, 0.0, 6.0, False),
        (AgentClass.CAR, 30.0, -20.0, 6.0, False),
        (AgentClass.PEDESTRIAN, 10.0, 4.0, 0.0, True),
        (AgentClass.PEDESTRIAN, 30.0, 4.0, 1.2, False),
    ],
)
def test_one_waits_for_who_drives_about_ahead_and_for_people_close_by(
    cls: AgentClass, x: float, y: float, speed: float, waits: bool
) -> None:
    def seen(confidence: float) -> SceneObjects:
        box, velocity = [[x, y, 0.0, 1.0, 1.0]], [[0.0, speed]]
        return SceneObjects(
            np.array([cls], np.int32), np.array([confidence], np.float32), np.array(box, np.float32),
            np.array(velocity, np.float32), np.zeros(1, np.int32), np.zeros(1, np.float32),
        )  # fmt: skip

    assert somebody_ahead(seen(0.9)) is waits
    assert not somebody_ahead(seen(0.4))


class StandsRather(Proposer):
    """Would rather stand than go."""

    model_id, sampler, steps = "stands", "none", 1

    def propose(self, seen: Observation, seed: int) -> Proposal:
        del seen, seed
        return Proposal(
            np.stack([np.zeros((80, 2)), np.stack([0.4 * TIMES**2, 0.0 * TIMES], -1)]), np.array([0.6, 0.3])
        )


@pytest.mark.parametrize(
    ("signal", "action", "distance", "patience", "goes"),
    [
        (SignalState.UNKNOWN, DrivingAction.LANE_FOLLOW, 0.0, 5.0, True),
        (SignalState.GREEN, DrivingAction.LANE_FOLLOW, 0.0, 5.0, True),
        (SignalState.RED, DrivingAction.LANE_FOLLOW, 0.0, 5.0, False),
        (SignalState.GREEN, DrivingAction.STOP, 0.0, 5.0, False),
        (SignalState.GREEN, DrivingAction.STOP, 20.0, 5.0, True),
        (SignalState.GREEN, DrivingAction.LANE_FOLLOW, 0.0, 0.0, False),
    ],
)
def test_the_planner_goes_in_the_end_unless_something_holds_it(
    frame: Frame,
    command: DrivingCommand,
    signal: SignalState,
    action: DrivingAction,
    distance: float,
    patience: float,
    goes: bool,
) -> None:
    planner = Planner(StandsRather(), PlannerConfig(patience=patience))
    shown = np.full(6, 0.02, dtype=np.float32)
    shown[int(signal)] = 0.9
    chosen = []
    for k in range(11):
        tokens = frame(speed=0.0, stamp=1_700_000_000 * SECOND + k * SECOND)
        tokens = replace(tokens, ahead=SceneAhead(shown, 0.95, 8.0, 0.0, 0.0, 0.0))
        told = replace(command, action=action, distance=distance)
        chosen.append(planner.plan(tokens, tokens.ego, told, None, None).chosen)
    # 0.6 exp(-t / 4 s) falls below 0.3 after 2.8 s more.
    assert chosen[:8] == [0] * 8
    assert (chosen[-1] == 1) is goes
