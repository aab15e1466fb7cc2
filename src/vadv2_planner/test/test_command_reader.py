"""Commands in words: read by wordings alone, and put in the place of an unknown action."""

from __future__ import annotations

import torch

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
