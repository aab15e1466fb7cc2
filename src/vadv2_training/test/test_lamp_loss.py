"""The lamp heat-map's loss: a lamp's colour counts a lamp's worth, however many tokens have none."""

import pytest
import torch

from vadv2_core.taxonomy import SignalState
from vadv2_training.losses.queries import lamp_loss

RED, GREEN = int(SignalState.RED), int(SignalState.GREEN)


def case(tokens: int, said: int, true: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One lamp among so many tokens, surely found, its state said by margin 4."""
    truth = torch.zeros(1, 1, 1, tokens, dtype=torch.long)
    truth[..., 0] = true
    logits = torch.zeros(1, 1, 1, tokens, 6)
    logits[..., 0] = 12.0
    logits[..., 0, 0] = -12.0
    logits[..., 0, said] = 4.0
    return logits, truth


@pytest.mark.parametrize("tokens", [4, 2520])
def test_a_wrong_colour_costs_the_same_in_a_large_picture(tokens):
    right, wrong = lamp_loss(*case(tokens, GREEN, GREEN)), lamp_loss(*case(tokens, RED, GREEN))
    assert right < 0.1
    assert wrong - right == pytest.approx(4.0, abs=1e-3)


def test_lamps_that_are_not_there_cost_by_how_sure_they_are_said():
    logits, truth = case(100, RED, RED)
    quiet = lamp_loss(logits, truth)
    logits[..., 50, RED] = 14.0
    sure = lamp_loss(logits, truth)
    logits[..., 50, RED] = 24.0
    assert quiet < sure < lamp_loss(logits, truth)


def test_the_tokens_around_a_lamp_are_not_asked():
    truth = torch.zeros(1, 1, 5, 5, dtype=torch.long)
    truth[..., 2, 2] = RED
    logits = torch.zeros(1, 1, 5, 5, 6, requires_grad=True)
    lamp_loss(logits, truth).backward()
    asked = logits.grad.abs().sum(-1)[0, 0] > 0
    assert asked[2, 2] and asked[0].all() and not asked[1:4, 1].any() and not asked[2, 3]


def test_a_picture_without_lamps_has_a_loss_and_gradients():
    logits = torch.zeros(1, 2, 3, 4, 6, requires_grad=True)
    loss = lamp_loss(logits, torch.zeros(1, 2, 3, 4, dtype=torch.long))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all() and logits.grad.abs().sum() > 0
