"""Learning what a command in words asks for, from the training wordings alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vadv2_core.language.commands import command_text, paraphrases
from vadv2_core.taxonomy import DrivingAction
from vadv2_planner.command_reader import CommandReader
from vadv2_planner.networks import PlannerNetwork
from vadv2_planner.text import command_ids

LESSONS = 8
"""Texts of every action in one step."""
_FARTHEST = 100
"""m, the longest distance said before a command."""


@cache
def _lessons() -> tuple[tuple[int, Tensor], ...]:
    """Every action with the ids of its training wordings, half of them after a distance: (texts, TEXT_LENGTH)."""
    draw = np.random.default_rng(0)
    found = []
    for action in DrivingAction:
        if action is DrivingAction.UNKNOWN:
            continue
        plain = paraphrases(action)
        far = [command_text(action, float(draw.integers(10, _FARTHEST)), draw) for _ in plain]
        found.append((int(action), torch.from_numpy(np.stack([command_ids(text) for text in (*plain, *far)]))))
    return tuple(found)


def reading_loss(network: PlannerNetwork) -> Tensor | None:
    """Cross-entropy of what the network reads in `LESSONS` texts of every action, drawn by torch's seed.

    None for a network that does not read commands.
    """
    reader = next((part for part in network.modules() if isinstance(part, CommandReader)), None)
    if reader is None:
        return None
    device = reader.answer.weight.device
    texts = torch.cat([ids[torch.randint(len(ids), (LESSONS,))] for _, ids in _lessons()]).to(device)
    truth = torch.tensor([action for action, _ in _lessons()], device=device).repeat_interleave(LESSONS)
    return F.cross_entropy(reader(texts), truth, label_smoothing=0.05)
