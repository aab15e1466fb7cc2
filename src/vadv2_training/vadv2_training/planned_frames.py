"""What the trained planner would do in every cached frame, in two words: the reasoner explains the plan in force."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_core.meta_action import MetaAction, action_of, as_asked
from vadv2_core.taxonomy import DrivingAction, LateralAction, LongitudinalAction
from vadv2_planner.motion import motion_from_positions
from vadv2_training.perceived_frames import made_of
from vadv2_training.planner_task import PlannerModule, PlannerTask, SeenStore

_CHUNK = 64


def write_planned(
    module: PlannerModule, seen: SeenStore, directory: Path, planner_hash: str, seed: int = 0
) -> Iterator[int]:
    """Plan every frame of a store that has no plans of this planner yet; yields the number of shards done.

    The likeliest future counts, without reasoning and before any check: a plan of the road that was changed on the way
    is another plan for the words, not another truth.

    Args:
        module: The planner.
        seen: Every frame of the store, with what perception says of it.
        directory: Where to keep them: (frames, 2) uint8 of `MetaAction` a shard.
        planner_hash: Of its weights.
        seed: Of the sampler's noise.
    """
    made = {"planner": planner_hash}
    module.eval()
    task = PlannerTask(module, seen)
    places: dict[int, list[int]] = {}
    for row, (shard, _, _) in enumerate(seen.rows):
        places.setdefault(shard, []).append(row)
    for done, shard in enumerate(seen.frames.shards_in_turn(), start=1):
        path = directory / f"{seen.frames.names[shard]}.safetensors"
        if made_of(path) != made:
            rows = places[shard]
            parts = [_actions(task, rows[i : i + _CHUNK], seed) for i in range(0, len(rows), _CHUNK)]
            directory.mkdir(parents=True, exist_ok=True)
            write_bytes_atomic(path, save({"planned": np.concatenate(parts)}, made))
        yield done


def _actions(task: PlannerTask, rows: list[int], seed: int) -> NDArray[np.uint8]:
    module = cast(PlannerModule, task.module)
    network = module.planner
    batch = module.inputs(task.batch(torch.tensor(rows)))
    noise = torch.randn((len(rows), *network.noise_shape), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        said = network.propose(batch, noise, network.plan_of("as_intended", network.default_steps))
        best = said.logits.argmax(1)
        futures = network.positions(said.waypoints, batch)[torch.arange(len(rows)), best].double().numpy()
    actions = []
    asked = [DrivingAction(int(a)) for a in batch.action]
    for positions, velocity, command in zip(futures, batch.velocity[:, 0].tolist(), asked, strict=True):
        points = motion_from_positions(positions[None], velocity, 0.1 * len(positions))[0]
        actions.append([int(a) for a in as_asked(action_of(points, velocity), command)])
    return np.array(actions, dtype=np.uint8)


def read_planned(directory: Path, name: str) -> list[MetaAction]:
    """The plans of a shard's frames.

    Raises:
        InputError: where there are none.
    """
    path = directory / f"{name}.safetensors"
    if not path.exists():
        raise InputError("no such file", str(path), "the plans of `vadv2 train --until perceive`")
    rows = load(path.read_bytes())["planned"]
    return [(LongitudinalAction(int(a)), LateralAction(int(b))) for a, b in rows]
