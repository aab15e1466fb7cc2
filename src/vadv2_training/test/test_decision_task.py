"""The token door learns decisions from slots alone; what is not known teaches nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vadv2_core.command import DrivingCommand
from vadv2_core.decision import Decision
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import Cause, DrivingAction, LateralAction, LongitudinalAction, SignalState
from vadv2_training.decision_task import COMMAND_FEATURES, DecisionModule, DecisionTask, command_features
from vadv2_training.optimization import OptimizationConfig
from vadv2_training.trainer import train
from vadv2_vlm.config import SlotConfig
from vadv2_vlm.projector import TokenProjector
from vadv2_vlm.samples import ReasoningTruth
from vadv2_vlm.slots import AHEAD_FEATURES, EGO_FEATURES, MAP_FEATURES, OBJECT_FEATURES, WAY_FEATURES, SceneSlots

DOOR = SlotConfig(
    image_channels=4, query_channels=8, objects=2, map_elements=2, summaries=1, cameras=1, width=32, layers=1
)
EGO = EgoState(0, Pose2(0.0, 0.0, 0.0), (8.0, 0.0), (0.0, 0.0), 0.0, 0.0)
STOP = Decision(LongitudinalAction.STOP, LateralAction.STRAIGHT, Cause.RED_LIGHT)
GO = Decision(LongitudinalAction.KEEP, LateralAction.LEFT_TURN, Cause.TURN)


def command(action, distance=0.0):
    return DrivingCommand(0, "", action, distance)


def samples(count, seed, known=True):
    """Slots of noise in which a red light means to stop, and a green one to go where the command says."""
    draw = np.random.default_rng(seed)

    def noise(*shape):
        return (0.3 * draw.standard_normal(shape)).astype(np.float16)

    slots, truths = [], []
    for i in range(count):
        red = i % 2 == 0
        ahead = noise(AHEAD_FEATURES)
        ahead[SignalState.RED], ahead[SignalState.GREEN] = float(red), float(not red)
        slots.append(
            SceneSlots(
                noise(EGO_FEATURES), ahead, noise(WAY_FEATURES), noise(2, OBJECT_FEATURES), noise(2, MAP_FEATURES),
                noise(3, 8), noise(1, 4), noise(1, 3),
            )
        )  # fmt: skip
        action = DrivingAction.STRAIGHT if red else DrivingAction.LEFT
        decision = (STOP if red else GO) if known else None
        truths.append(ReasoningTruth(command(action), EGO, decision, (red if known else None,) * 10))
    return SimpleNamespace(slots=slots, truths=truths)


def module():
    torch.manual_seed(0)
    return DecisionModule(TokenProjector(DOOR, hidden=48))


def test_a_command_is_its_action_its_distance_and_whether_it_is_at_hand():
    near, far = command_features(command(DrivingAction.LEFT)), command_features(command(DrivingAction.LEFT, 25.0))
    assert len(near) == COMMAND_FEATURES and near[int(DrivingAction.LEFT)] == 1.0 and sum(near[:-2]) == 1.0
    assert near[-2:] == [0.0, 1.0] and far[-2:] == [0.5, 0.0]


def test_the_door_learns_what_the_scene_asks_for(tmp_path):
    fitted = module()
    config = OptimizationConfig(steps=150, batch_size=16, learning_rate=3e-3, warmup_steps=5, precision="no")
    train(DecisionTask(fitted, samples(200, 0)), config, tmp_path)
    unseen = DecisionTask(fitted, samples(64, 1))
    with torch.no_grad():
        losses = fitted.eval()(unseen.batch(torch.arange(64)))
    assert set(losses) == {"longitudinal", "lateral", "cause", "flags", "total"}
    assert float(losses["longitudinal"]) < 0.2 and float(losses["cause"]) < 0.2 and float(losses["flags"]) < 0.2


def test_what_is_not_known_teaches_nothing():
    fitted = module()
    losses = fitted(DecisionTask(fitted, samples(8, 0, known=False)).batch(torch.arange(8)))
    losses["total"].backward()
    assert float(losses["total"].detach()) == 0.0
    assert all(p.grad is None or p.grad.abs().max() == 0.0 for p in fitted.parameters())


def test_slots_read_one_another():
    door = module().projector
    slots = DecisionTask(module(), samples(2, 0)).batch(torch.arange(2))[0]
    before = door(slots)[0, 0]
    slots.ahead[:, int(SignalState.RED)] += 1.0
    assert not torch.allclose(door(slots)[0, 0], before)
    assert before.pow(2).mean().sqrt().item() == pytest.approx(door.scale.item(), rel=1e-4)
