"""Training on recorded drives: only what a source knows is asked for."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vadv2_core.checkpoint import load_checkpoint
from vadv2_core.errors import InputError
from vadv2_core.files import read_json
from vadv2_core.vehicle import VehicleConfig
from vadv2_perception.checkpoints import load_encoder, save_encoder
from vadv2_planner.registry import Belongings, load_network, save_planner
from vadv2_training.driving_module import DrivingModule, DrivingTask, SeenFrames
from vadv2_training.frame_store import FrameStore
from vadv2_training.language_task import LanguageModule, LanguageTask
from vadv2_training.losses import PlanningLossConfig, QueryLossConfig
from vadv2_training.losses.queries import object_losses
from vadv2_training.optimization import OptimizationConfig
from vadv2_training.planner_task import PlannerModule, PlannerTask, perceive_frames
from vadv2_training.recorded.drives import MOTION, OBJECTS, WORDS
from vadv2_training.stages import ReasonedPlannerTask, embed_store, perceive_store
from vadv2_training.trainer import Task, TrainingResult, train
from vadv2_vlm.lora import has_adapter
from vadv2_vlm.store import KIND as VLM_KIND
from vadv2_vlm.store import load_vlm, save_vlm


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
    embeddings: Path | None = None,
    seen: Path | None = None,
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
        embeddings: Of the store's frames (`stages.embed_store`) by the reasoner in ``out``, which the planner then
            trains with; None trains it with the null reasoning. Not with ``perception``.
        seen: Folder for what perception says of the frames; ``out/seen`` where left out.
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
    task: Task
    if perception:
        whole = RecordedDrivingModule(encoder.model, planner, VehicleConfig(), PlanningLossConfig(), None)
        whole.objects = QueryLossConfig() if OBJECTS in knows else None
        task = DrivingTask(whole, store)
    else:
        alone = PlannerModule(planner, PlanningLossConfig(), VehicleConfig())
        told = perceive_frames(encoder.model, store, seen or out / "seen", sys.maxsize)
        task = ReasonedPlannerTask(alone, told, embeddings) if embeddings else PlannerTask(alone, told)
    task.module.train()
    facts = {"recorded": str(store.directory.name), "encoder": encoder.encoder_hash, "perception": perception}
    result = train(task, config, out / "run-recorded", facts=facts, on_step=on_step, stop_after=stop_after)
    hash_, vlm = encoder.encoder_hash, belongings.reasoning_model
    if perception:
        hash_, vlm = save_encoder(out / "perception", encoder.model, model_id).sha256, ""
    else:
        _taken_over(model, out, ("perception", "vlm"))
    if embeddings:
        vlm = load_checkpoint(out / "vlm", VLM_KIND).model_id
    save_planner(out / "planner", name, planner, model_id, Belongings(hash_, vlm))
    return result


def _taken_over(model: Path, out: Path, parts: Sequence[str]) -> None:
    for part in parts:
        if (model / part).is_dir() and not (out / part).is_dir():
            shutil.copytree(model / part, out / part)


def fine_tune_words(
    store: FrameStore,
    slots: Path,
    model: Path,
    out: Path,
    config: OptimizationConfig,
    model_id: str,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Fit a model's reasoner to recorded words; leaves ``out/vlm``.

    The planner was trained with another reasoner's embeddings and will not use this one's before it was trained with
    them (`fine_tune` with ``embeddings``, or stage 3).

    Raises:
        InputError: for a model without a reasoner.
    """
    if not (model / "vlm").is_dir():
        raise InputError("has no reasoner", str(model), "a folder vlm/ in it")
    torch.manual_seed(config.seed)
    loaded = load_vlm(model / "vlm")
    loaded.model.train()
    if has_adapter(loaded.model.language_model):
        for name, weight in loaded.model.language_model.named_parameters():
            weight.requires_grad_("lora_" in name)
    task = LanguageTask(LanguageModule(loaded.model), store, slots)
    facts = {"words": str(store.directory.name), "encoder": loaded.encoder_hash}
    result = train(task, config, out / "run-words", facts=facts, on_step=on_step)
    embed = not has_adapter(loaded.model.language_model)
    save_vlm(out / "vlm", loaded.model, model_id, loaded.encoder_hash, embed_language=embed)
    return result


@dataclass(frozen=True, slots=True)
class RecordedFit:
    """How a model is fitted to recorded drives; a part with no steps is left as it is."""

    planner: OptimizationConfig
    words: OptimizationConfig
    window: int = 4
    perception: bool = False


def fit_recorded(
    filled: Path,
    model: Path,
    out: Path,
    fit: RecordedFit,
    model_id: str,
    progress: Callable[[str, int, int, dict[str, float]], None],
) -> Path:
    """Everything a recorded store can teach a model, in order: words, embeddings, planner; the new model's folder.

    Args:
        filled: Store of recorded drives.
        model: Model to begin with.
        out: Folder of ``slots``, ``embeddings`` and ``model``.
        fit: How.
        model_id: Name of the new model.
        progress: Told of every step: name, done, of how much, losses.

    Raises:
        InputError: for a store shorter than a window, or a model that does not load.
    """
    knows, made = knowledge(filled), out / "model"
    store = FrameStore(filled, fit.window)

    def told(name: str, total: int) -> Callable[[int, dict[str, float]], None]:
        return lambda done, losses: progress(name, done, total, losses)

    embeddings: Path | None = None
    if (model / "vlm").is_dir() and not fit.perception:
        slots, embeddings = out / "slots", out / "embeddings"
        perceive_store(store, model, slots, told("perceive", len(store.names)))
        if WORDS in knows:
            words = FrameStore(filled, 1)
            fine_tune_words(words, slots, model, made, fit.words, model_id, told("words", fit.words.steps))
        _taken_over(model, made, ("perception", "vlm"))
        embed_store(store, slots, made, embeddings, told("embed", len(store.names)))
    if MOTION in knows:
        steps = told("planner", fit.planner.steps)
        fine_tune(
            store,
            model,
            made,
            fit.planner,
            model_id,
            steps,
            perception=fit.perception,
            embeddings=embeddings,
            seen=out / "seen",
        )
    _taken_over(model, made, ("perception", "planner"))
    return made
