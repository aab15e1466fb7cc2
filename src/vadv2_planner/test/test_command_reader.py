"""Commands in words: read by wordings alone, and put in the place of an unknown action."""

from __future__ import annotations

import numpy as np
import torch

from vadv2_core.language.commands import paraphrases
from vadv2_core.taxonomy import DrivingAction
from vadv2_planner.command_reader import CommandReader
from vadv2_planner.text import TEXT_LENGTH, command_ids

LEFT = torch.from_numpy(command_ids("turn left at the next junction"))[None]


def test_a_known_action_is_asked_for_whatever_the_words_say():
    asked = CommandReader(32, 4).asked(torch.tensor([int(DrivingAction.STOP)]), LEFT)
    assert asked.argmax() == int(DrivingAction.STOP) and float(asked.max()) == 1.0


def test_words_stand_in_for_an_unknown_action():
    reader = CommandReader(32, 4)
    unknown = torch.tensor([int(DrivingAction.UNKNOWN)])
    torch.testing.assert_close(reader.asked(unknown, LEFT), reader(LEFT).softmax(-1))
    silent = reader.asked(unknown, torch.zeros(1, TEXT_LENGTH, dtype=torch.int64))
    assert silent.argmax() == int(DrivingAction.UNKNOWN) and float(silent.max()) == 1.0
    assert not reader.asked(unknown, LEFT).requires_grad


def test_wordings_can_be_learned_and_held_out_ones_mostly_understood():
    torch.manual_seed(0)
    reader = CommandReader(64, 4)
    kinds = [a for a in DrivingAction if a is not DrivingAction.UNKNOWN]

    def ids(split):
        texts = [(t, int(a)) for a in kinds for t in paraphrases(a, split)]
        return torch.from_numpy(np.stack([command_ids(t) for t, _ in texts])), torch.tensor([a for _, a in texts])

    text, truth = ids("train")
    optimizer = torch.optim.AdamW(reader.parameters(), 3e-3)
    by_action = [torch.nonzero(truth == int(a)).flatten() for a in kinds]
    for _ in range(100):
        rows = torch.cat([of[torch.randint(len(of), (8,))] for of in by_action])
        loss = torch.nn.functional.cross_entropy(reader(text[rows]), truth[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float((reader(text).argmax(1) == truth).float().mean()) > 0.9
    unheard, meant = ids("test")
    assert float((reader(unheard).argmax(1) == meant).float().mean()) > 0.6
