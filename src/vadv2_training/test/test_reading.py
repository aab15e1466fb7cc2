"""A planner that has been taught to read understands wordings that it was not taught."""

from __future__ import annotations

import numpy as np
import torch

from vadv2_core.language.commands import paraphrases
from vadv2_core.taxonomy import DrivingAction
from vadv2_planner.command_reader import CommandReader
from vadv2_planner.registry import make_network
from vadv2_planner.text import command_ids
from vadv2_training.reading import teach_reading


def test_wordings_are_learned_and_most_held_out_ones_understood():
    network = make_network("truncated_diffusion")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    read = teach_reading(network)
    assert read is not None and read > 0.95
    reader = next(part for part in network.modules() if isinstance(part, CommandReader))
    texts = [(t, int(a)) for a in DrivingAction if a is not DrivingAction.UNKNOWN for t in paraphrases(a, "test")]
    ids = torch.from_numpy(np.stack([command_ids(text) for text, _ in texts]))
    right = reader(ids).argmax(1) == torch.tensor([action for _, action in texts])
    assert float(right.float().mean()) > 0.75
    changed = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    assert changed and all("command_reader" in name for name in changed), "nothing but reading is touched"


def test_teaching_twice_is_the_same_and_a_planner_that_reads_nothing_is_left():
    first, second = (make_network("truncated_diffusion") for _ in range(2))
    assert teach_reading(first, 3) == teach_reading(second, 3)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0.0, atol=0.0)
    assert teach_reading(make_network("ego_status")) is None
