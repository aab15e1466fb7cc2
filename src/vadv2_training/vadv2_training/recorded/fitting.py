"""Training on recorded drives: only what a source knows is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from vadv2_core.errors import InputError
from vadv2_core.files import read_json
from vadv2_core.vehicle import VehicleConfig
from vadv2_perception.checkpoints import load_encoder, save_encoder
from vadv2_planner.registry import Belongings, load_network, save_planner
from vadv2_training.driving_module import DrivingModule, DrivingTask, SeenFrames
from vadv2_training.frame_store import FrameStore
from vadv2_training.losses import PlanningLossConfig, QueryLossConfig, trains
from vadv2_training.losses.queries import object_losses
from vadv2_training.optimization import OptimizationConfig
from vadv2_training.recorded.drives import MOTION, OBJECTS
from vadv2_training.trainer import TrainingResult, train


class RecordedDrivingModule(DrivingModule):
    """`DrivingModule` on frames whose map, signals and lamps nobody wrote down: of the queries, objects alone."""

    objects: QueryLossConfig | None = None

    def _losses(self, seen: SeenFrames, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        terms = super()._losses(seen, dict(rows))
        if self.objects is None:
            return terms
        told = torch.stack([object_losses(said, rows, self.objects) for said in seen.output.answers]).mean()
        return {**terms, "objects": told, "total": terms["total"] + told}


def knowledge(store: Path) -> frozenset[str]:
    """What the drives of a recorded store know.

    Raises:
        InputError: for a folder that no reader filled.
    """
    facts = read_json(store / "store.json")
    knows = facts.get("knows") if isinstance(facts, dict) else None
    if not isinstance(knows, list):
        raise InputError("does not say what its drives know", str(store / "store.json"), "a store of recorded drives")
    return frozenset(str(part) for part in knows)


def fine_tune(
    store: FrameStore,
    model: Path,
    out: Path,
    config: OptimizationConfig,
    model_id: str,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    *,
    perception: bool = False,
    stop_after: float | None = None,
) -> TrainingResult:
    """Fit a model's planner to recorded drives; leaves a whole model in ``out``.

    Args:
        store: Of recorded drives that know motion.
        model: What to begin with.
        out: Folder of the new model, not that of the old one.
        config: How.
        model_id: Name of the new model.
        on_step: Told of every step.
        perception: Also fit perception after its backbone (with objects where the store knows them). The reasoner then
            belongs to another encoder and is left out: stage 2 makes it anew.
        stop_after: Seconds after which to leave the run, to be gone on with.

    Raises:
        InputError: for drives without motion, or a model that does not load.
    """
    knows = knowledge(store.directory)
    if MOTION not in knows:
        raise InputError("knows no motion", str(store.directory), "drives with odometry or ego poses")
    if out.resolve() == model.resolve():
        raise InputError("is the model to begin with", str(out), "another folder")
    torch.manual_seed(config.seed)
    encoder = load_encoder(model / "perception")
    name, planner, _, belongings = load_network(model / "planner")
    module = RecordedDrivingModule(encoder.model, planner, VehicleConfig(), PlanningLossConfig(), None)
    module.train()
    if perception:
        module.objects = QueryLossConfig() if OBJECTS in knows else None
    else:
        trains(encoder.model, ())
        encoder.model.eval()
    facts = {"recorded": str(store.directory.name), "encoder": encoder.encoder_hash, "perception": perception}
    result = train(
        DrivingTask(module, store), config, out / "run-recorded", facts=facts, on_step=on_step, stop_after=stop_after
    )
    hash_, vlm = encoder.encoder_hash, belongings.reasoning_model
    if perception:
        hash_, vlm = save_encoder(out / "perception", encoder.model, model_id).sha256, ""
    else:
        for part in ("perception", "vlm"):
            if (model / part).is_dir():
                shutil.copytree(model / part, out / part, dirs_exist_ok=True)
    save_planner(out / "planner", name, planner, model_id, Belongings(hash_, vlm))
    return result
