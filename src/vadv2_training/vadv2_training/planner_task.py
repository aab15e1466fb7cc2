"""The planner alone as a training task: what a frozen perception says of cached frames is kept, and read again.

Perception is most of a training step; planners that differ in nothing but themselves (ablations, peers) share it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save
from torch import Tensor, nn

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_core.language.commands import command_text
from vadv2_core.taxonomy import DrivingAction
from vadv2_core.vehicle import VehicleConfig
from vadv2_perception.model import SceneModel
from vadv2_planner.batch import PlannerBatch
from vadv2_planner.networks import PlannerNetwork
from vadv2_planner.text import command_ids
from vadv2_training.driving_module import (
    PLAN_KEYS,
    PLANNER_TARGET_KEYS,
    SCENE_KEYS,
    see,
    token_projections,
)
from vadv2_training.frame_store import FrameStore, Window
from vadv2_training.losses import PlannerTargets, PlanningLossConfig, planning_losses

SEEN_NAMES = ("tokens", "projection", "camera_valid", "queries", "aux")
"""Fields of `PlannerBatch` that perception fills."""
_CHUNK = 12
WORDS_ALONE = 0.15
"""Share of the samples that are told what to do in words alone, without action and route: a planner that has always had
either never learns to read (docs/training.md)."""


@dataclass(frozen=True, slots=True)
class SeenStore:
    """Frames of a store that perception was asked about.

    Attributes:
        frames: The store.
        directory: Of the kept answers, one file a shard.
        rows: (shard, frame, row in the shard's file) of each.
    """

    frames: FrameStore
    directory: Path
    rows: tuple[tuple[int, int, int], ...]


def picked_frames(store: FrameStore, limit: int) -> list[list[int]]:
    """Frames of every shard, evenly spaced, so that at most about ``limit`` are picked in all."""
    total = sum(store.count(shard) for shard in range(len(store.names)))
    step = max(1, -(-total // limit))
    picked, phase = [], 0
    for shard in range(len(store.names)):
        count = store.count(shard)
        picked.append(list(range(phase, count, step)))
        phase = (phase - count) % step
    return picked


def perceive_frames(
    model: SceneModel,
    store: FrameStore,
    directory: Path,
    limit: int,
    *,
    past: bool = True,
    on_shard: Callable[[int], None] | None = None,
) -> SeenStore:
    """Ask perception about at most ``limit`` frames; shards that were asked about before are left.

    Args:
        model: Perception.
        store: Of cached frames.
        directory: Where to keep what it says: one folder for each perception, limit and ``past``.
        limit: Frames in all.
        past: Whether it sees the frames before; False is a perception without history.
        on_shard: Told of every shard that is done.
    """
    model.eval()
    picked = picked_frames(store, limit)
    for done, shard in enumerate(store.shards_in_turn(), start=1):
        path = directory / f"{store.names[shard]}.safetensors"
        if picked[shard] and not path.exists():
            write_bytes_atomic(path, save(_seen(model, store, shard, picked[shard], past)))
        if on_shard is not None:
            on_shard(done)
    rows = [(shard, frame, row) for shard, wanted in enumerate(picked) for row, frame in enumerate(wanted)]
    return SeenStore(store, directory, tuple(rows))


def _seen(model: SceneModel, store: FrameStore, shard: int, wanted: list[int], past: bool) -> dict[str, NDArray[Any]]:
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in SEEN_NAMES}
    warm = len(model.config.history_ages) + 1 if past else 0
    spans: list[tuple[int, int, list[int]]] = []
    for start in range(0, store.count(shard), _CHUNK):
        stop = min(start + _CHUNK, store.count(shard))
        inside = [f for f in wanted if start <= f < stop]
        if inside:
            first = max(inside[0] - warm, 0)
            # Two frames at least: of one alone nothing says how far the next would be away.
            spans.append((first, max(inside[-1] + 1, min(first + 2, store.count(shard))), inside))
    for first, stop, inside in spans:
        rows = store.read(Window(shard, first, stop - first), SCENE_KEYS)
        batch = {k: (v.float() if v.dtype is torch.bfloat16 else v)[None] for k, v in rows.items()}
        if not past:
            # Frames a millisecond apart have nothing in common with any age of the history.
            batch["stamps"] = torch.arange(stop - first)[None] * 1_000_000
        with torch.no_grad():
            seen = see(model, batch)
        said = {
            "tokens": seen.output.tokens,
            "projection": token_projections(seen.k.float(), seen.rig.t_base_camera.float()),
            "camera_valid": seen.rig.valid.float(),
            "queries": seen.output.queries,
            "aux": seen.output.aux,
        }
        at = torch.tensor([f - first for f in inside])
        for name, value in said.items():
            half = np.float32 if name == "projection" else np.float16
            parts[name].append(value[at].float().cpu().numpy().astype(half))
    return {name: np.concatenate(values) for name, values in parts.items()}


def in_words_alone(row: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sample with its action said in other words, the action itself unknown and no route; drawn by torch's seed."""
    action = DrivingAction(int(row["action"]))
    if action is DrivingAction.UNKNOWN:
        return row
    text = command_text(action, 0.0, np.random.default_rng(int(torch.randint(2**31, ()))))
    return row | {
        "action": torch.zeros_like(row["action"]),
        "text": torch.from_numpy(command_ids(text)).to(row["text"].dtype),
        "route": torch.zeros_like(row["route"]),
        "route_valid": torch.zeros_like(row["route_valid"]),
    }


class PlannerModule(nn.Module):
    """A planner with its losses, on what perception said before; with a reasoning where the rows hold one."""

    def __init__(self, planner: PlannerNetwork, losses: PlanningLossConfig, vehicle: VehicleConfig) -> None:
        super().__init__()
        self.planner, self.losses, self.vehicle = planner, losses, vehicle

    def forward(self, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses by name, ``total`` their sum."""
        with torch.autocast(rows["ego"].device.type, enabled=False):
            batch = self.inputs(rows)
            targets = PlannerTargets(*(rows[name] for name in PLANNER_TARGET_KEYS))
            extra = (targets.waypoints,) if self.planner.noises_target else ()
            predictions = self.planner(batch, None, *extra)
            return planning_losses(self.planner, predictions, batch, targets, self.losses, self.vehicle)

    def inputs(self, rows: Mapping[str, Tensor]) -> PlannerBatch:
        """What the planner reads of the rows."""
        count, channels = len(rows["ego"]), self.planner.config.reasoning_channels
        told = rows.get("reasoning")
        nothing = rows["ego"].new_zeros(count, 1)
        said = {name: rows[name] for name in (*SEEN_NAMES, *PLAN_KEYS) if not name.startswith("future")}
        return PlannerBatch(
            **said,
            reasoning=rows["ego"].new_zeros(count, channels) if told is None else told,
            reasoning_valid=rows.get("reasoning_valid", nothing),
            reasoning_age=rows.get("reasoning_age", nothing),
        )


class PlannerTask:
    """Single frames of a `SeenStore` as a training task.

    Args:
        module: What is fitted.
        seen: Frames with what perception says of them.
        words_alone: Share of the samples that are given by `in_words_alone`.

    Raises:
        InputError: for no frame.
    """

    def __init__(self, module: PlannerModule, seen: SeenStore, *, words_alone: float = 0.0) -> None:
        if not seen.rows:
            raise InputError("holds no frames", str(seen.frames.directory), "a store filled by `vadv2 train`")
        self.module: nn.Module = module
        self._seen = seen
        self._words_alone = words_alone

    def __len__(self) -> int:
        return len(self._seen.rows)

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """The frames of these indices, (b, ...)."""
        rows = [self._row(*self._seen.rows[int(i)]) for i in indices]
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}

    def _row(self, shard: int, frame: int, place: int) -> dict[str, Tensor]:
        store = self._seen.frames
        path = self._seen.directory / f"{store.names[shard]}.safetensors"
        with safe_open(path, framework="pt") as source:
            said = {name: source.get_slice(name)[place].float() for name in SEEN_NAMES}
        keys = tuple(dict.fromkeys((*PLAN_KEYS, *PLANNER_TARGET_KEYS)))
        known = store.read(Window(shard, frame, 1), keys)
        row = said | {key: value[0] for key, value in known.items()}
        return in_words_alone(row) if self._words_alone and float(torch.rand(())) < self._words_alone else row
