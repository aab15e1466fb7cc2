"""Teaching a planner to read commands, from the training wordings alone; before it drives, in seconds.

Among the terms of driving it would not be learned: they are a hundred times larger and share its clipped gradient.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vadv2_core.language.commands import command_text, paraphrases
from vadv2_core.taxonomy import DrivingAction
from vadv2_planner.command_reader import CommandReader
from vadv2_planner.networks import PlannerNetwork
from vadv2_planner.text import command_ids

STEPS = 300
"""More fit the training wordings better and other wordings no better."""
TEXTS = 8
"""Of every action in one step."""
_FARTHEST = 100
"""m, the longest distance said before a command."""


def _lessons() -> list[tuple[int, Tensor]]:
    """Every action with the ids of its training wordings, each also after a distance: (texts, TEXT_LENGTH)."""
    draw = np.random.default_rng(0)
    found = []
    for action in DrivingAction:
        if action is not DrivingAction.UNKNOWN:
            plain = paraphrases(action)
            far = [command_text(action, float(draw.integers(10, _FARTHEST)), draw) for _ in plain]
            ids = torch.from_numpy(np.stack([command_ids(text) for text in (*plain, *far)]))
            # What is cut off could not be read by anybody.
            whole = (torch.arange(len(ids)) < len(plain)) | (ids[:, -1] == 0)
            found.append((int(action), ids[whole]))
    return found


def teach_reading(network: PlannerNetwork, seed: int = 0) -> float | None:
    """Train the network's `CommandReader` in place.

    Args:
        network: A planner.
        seed: Of the order of the texts.

    Returns:
        The share of the training wordings that it then reads right; None for a network that does not read commands.
    """
    reader = next((part for part in network.modules() if isinstance(part, CommandReader)), None)
    if reader is None:
        return None
    lessons = _lessons()
    truth = torch.tensor([action for action, _ in lessons]).repeat_interleave(TEXTS)
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(reader.parameters(), 1e-3, weight_decay=0.05)
    with torch.enable_grad():
        for _ in range(STEPS):
            texts = [ids[torch.randint(len(ids), (TEXTS,), generator=order)] for _, ids in lessons]
            loss = F.cross_entropy(reader(torch.cat(texts)), truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        right = torch.cat([reader(ids).argmax(1) == action for action, ids in lessons])
    return float(right.float().mean())
