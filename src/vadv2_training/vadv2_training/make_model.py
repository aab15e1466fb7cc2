"""Running a recipe: every step once, in order, going on where the last run ended."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from vadv2_core.config import to_mapping
from vadv2_core.errors import InputError
from vadv2_perception.configuration import ARCHITECTURES
from vadv2_sim.record import record
from vadv2_training.cache import CacheOrder, encoder_mapping, fill
from vadv2_training.correction import correct
from vadv2_training.frame_store import FrameStore
from vadv2_training.optimization import OptimizationConfig
from vadv2_training.recipe import STEPS, TRAINING_TOWNS, Journal, Progress, Recipe
from vadv2_training.rendering import VariationConfig
from vadv2_training.stages import (
    embed_store,
    perceive_store,
    plan_store,
    train_driving,
    train_joint,
    train_language,
    train_perception,
    train_planning,
)

MODEL_PARTS = ("perception", "planner", "vlm")
"""Folders of a model; the last may be missing."""


def model_parts(model: Path) -> list[str]:
    """Which of `MODEL_PARTS` a model directory holds.

    Raises:
        InputError: for a directory without perception or planner.
    """
    held = [part for part in MODEL_PARTS if (model / part / "config.json").exists()]
    for part in MODEL_PARTS[:2]:
        if part not in held:
            raise InputError(f"holds no {part}", str(model), "a model directory (perception, planner, vlm)")
    return held


def copy_model(start: Path, model: Path) -> None:
    """Begin a model with another one's weights.

    Raises:
        InputError: see `model_parts`.
    """
    model.mkdir(parents=True, exist_ok=True)
    for part in model_parts(start):
        # Copied under another name first: what has a part's name is whole.
        half = model / f".{part}"
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(start / part, half)
        shutil.rmtree(model / part, ignore_errors=True)
        half.rename(model / part)


def _reasoner(start: str) -> Path | None:
    directory = Path(start) / "vlm"
    return directory if start and directory.exists() else None


def make_model(
    recipe: Recipe,
    out: Path,
    progress: Progress,
    *,
    until: str = STEPS[-1],
    rig: Path = Path("config/rig/surround6.yaml"),
) -> Path:
    """Make a model by a recipe; the model directory (perception, planner, vlm).

    Args:
        recipe: What to do.
        out: Folder of everything it makes: ``logs``, ``frames``, ``seen``, ``slots``, ``planned``, ``embeddings``,
            ``model``.
        progress: Told of every step.
        until: Last step to do.
        rig: The nominal rig.

    Raises:
        InputError: for a folder made by another recipe, data that cannot be read, or a round of ``correct`` that
            several processes (`torchrun`) would each drive.
    """
    journal = Journal(out / "journal.json", recipe)
    logs, frames, slots, seen, planned, embeddings, model = (
        out / n for n in ("logs", "frames", "slots", "seen", "planned", "embeddings", "model")
    )
    model_id = f"{recipe.name}-{recipe.seed}"
    encoder = ARCHITECTURES[recipe.architecture]
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max((os.cpu_count() or 2) - 1, 1))

    def told(name: str, total: int) -> Callable[[int, dict[str, float]], None]:
        return lambda done, losses: progress(name, done, total, losses)

    def run_record() -> None:
        seconds = 0.0
        for outcome in record(logs, TRAINING_TOWNS, recipe.hours, seed=recipe.seed, workers=recipe.workers):
            seconds += outcome.seconds
            progress("record", round(seconds), round(recipe.hours * 3600), {})

    def fill_from(recording: Path, name: str, variants: int) -> None:
        order = CacheOrder(recording, frames, rig, encoder_mapping(encoder), to_mapping(VariationConfig()), variants)
        for done, total, _ in fill(order, recipe.workers):
            progress(name, done, total, {})

    def run_cache() -> None:
        fill_from(logs, "cache", recipe.variants)

    def store() -> FrameStore:
        return FrameStore(frames, recipe.window)

    def seeded(config: OptimizationConfig) -> OptimizationConfig:
        return replace(config, seed=recipe.seed)

    def run_driving() -> None:
        if recipe.start:
            copy_model(Path(recipe.start), model)
            return
        config = seeded(recipe.driving)
        train_driving(store(), model, recipe.architecture, config, model_id, told("driving", config.steps), recipe.seed)

    def run_perception() -> None:
        config = seeded(recipe.perception)
        train_perception(store(), model, config, model_id, told("perception", config.steps))

    def run_perceive() -> None:
        frames_ = store()
        total = len(frames_.names)
        perceive_store(frames_, model, slots, told("perceive", total))
        plan_store(frames_, seen, model, planned, told("plan", total))

    def run_planning() -> None:
        config = seeded(recipe.planning)
        train_planning(store(), seen, model, config, model_id, told("planning", config.steps))

    def run_correct() -> None:
        for number in range(1, recipe.corrections + 1):
            logs_, count = out / f"corrections-{number}", recipe.correction_drives
            # Seeds apart from the recording's and the other rounds', for shards are named by them.
            seed = recipe.seed + 1000 * number
            # The model drives once a round: after it has learned from its drives it would drive others.
            if not journal.done(f"correct {number}"):
                if int(os.environ.get("WORLD_SIZE", "1")) > 1:
                    expected = "`./vadv2 train --until correct` by one process first"
                    raise InputError(f"round {number} of correct is not driven", str(out), expected)
                with journal.step(f"correct {number}"):
                    driven = correct(model, logs_, TRAINING_TOWNS, count, seed, recipe.workers)
                    for done, _ in enumerate(driven, start=1):
                        progress(f"drive {number}", done, count, {})
                    fill_from(logs_, f"render {number}", 1)
            config = replace(seeded(recipe.planning), seed=seed)
            name = f"planning {number}"
            train_planning(store(), seen, model, config, model_id, told(name, config.steps), number)

    def run_language() -> None:
        config = seeded(recipe.language)
        train_language(
            store(), slots, planned, model, config, model_id, told("language", config.steps), recipe.seed,
            decision=seeded(recipe.decision), on_decision=told("decision", recipe.decision.steps),
            begin=_reasoner(recipe.start),
        )  # fmt: skip

    def run_embed() -> None:
        frames_ = store()
        embed_store(frames_, slots, model, embeddings, told("embed", len(frames_.names)))

    def run_joint() -> None:
        config = seeded(recipe.joint)
        train_joint(store(), seen, embeddings, model, config, model_id, told("joint", config.steps))

    actions = (
        run_record,
        run_cache,
        run_driving,
        run_perception,
        run_planning,
        run_correct,
        run_perceive,
        run_language,
        run_embed,
        run_joint,
    )
    for name, action in zip(STEPS, actions, strict=True):
        if not journal.done(name):
            with journal.step(name):
                action()
        if name == until:
            break
    return model
