"""Stage 2 of a big vision language model: a LoRA adapter and the token projector learn to drive, its weights stay.

Low-rank adaptation as in Hu et al. 2021 (arXiv:2106.09685). The checkpoint names the language model and holds the
adapter alone. Several processes share the work by `torchrun` (accelerate's DDP, or FSDP where its configuration asks
for it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vadv2_core.config import parameter, to_mapping, validate
from vadv2_core.errors import InputError
from vadv2_perception.checkpoints import load_encoder
from vadv2_planner.registry import load_network
from vadv2_training.frame_store import FrameStore
from vadv2_training.language_task import LanguageModule, LanguageTask
from vadv2_training.make_model import make_model
from vadv2_training.optimization import OptimizationConfig
from vadv2_training.recipe import Journal, Progress, Recipe
from vadv2_training.stages import slot_config
from vadv2_training.trainer import TrainingResult, save_once, train
from vadv2_vlm.language_model import LanguageModel, load_language_model
from vadv2_vlm.lora import attach_adapter
from vadv2_vlm.model import VlmModel
from vadv2_vlm.store import save_vlm

OnStep = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """A big language model and its adapter."""

    language_model: str = parameter("", "Directory or hub name of an image-text-to-text model.")
    rank: int = parameter(8, "Rank of the adapter.", minimum=1, maximum=512)
    alpha: int = parameter(16, "Scale of the adapter, over its rank.", minimum=1, maximum=4096)
    precision: str = parameter("bfloat16", "Of the frozen weights.", choices=("float32", "bfloat16"))

    def __post_init__(self) -> None:
        validate(self, "adapter")


def require_width(language: LanguageModel, model: Path) -> None:
    """The planner must read embeddings of this language model's width.

    Raises:
        InputError: where it was made for another one.
    """
    _, planner, _, _ = load_network(model / "planner")
    wanted = planner.config.reasoning_channels
    if language.hidden_size != wanted:
        raise InputError(
            f"its hidden states have {language.hidden_size} channels",
            language.source,
            f"{wanted}, as the planner of {model} reads (an architecture of the recipe decides this)",
        )


def train_adapter(
    store: FrameStore,
    slots: Path,
    planned: Path | None,
    model: Path,
    config: OptimizationConfig,
    adapter: AdapterConfig,
    model_id: str,
    on_step: OnStep,
    stop_after: float | None = None,
) -> TrainingResult:
    """Fit an adapter and the token projector; leaves ``model/vlm`` with the adapter and the language model's name.

    Args:
        store: Cached frames with words.
        slots: What perception says of them (`perceived_frames.write_slots`).
        planned: What the planner would do in them (`planned_frames.write_planned`); None tells no sample a plan.
        model: Model directory with perception and planner.
        config: How.
        adapter: On what.
        model_id: Name of the reasoner.
        on_step: Told of every step.
        stop_after: Seconds after which to leave the run, to be gone on with.

    Raises:
        InputError: for a language model that does not load, has none of the layers, or another width than the planner
            reads.
    """
    torch.manual_seed(config.seed)
    encoder = load_encoder(model / "perception")
    language = load_language_model(adapter.language_model, precision=adapter.precision)
    require_width(language, model)
    attach_adapter(language.model, rank=adapter.rank, alpha=adapter.alpha)
    # What trains is kept in full precision: a step of Adam is smaller than bfloat16 can hold.
    for parameter_ in language.model.parameters():
        if parameter_.requires_grad:
            parameter_.data = parameter_.data.float()
    vlm = VlmModel(language, slot_config(encoder.model))
    vlm.train()
    task = LanguageTask(LanguageModule(vlm), store, slots, planned=planned)
    facts = {"stage": 2, "frames": len(task), "encoder": encoder.encoder_hash, "adapter": to_mapping(adapter)}
    result = train(task, config, model / "run-language", facts=facts, on_step=on_step, stop_after=stop_after)
    if result.steps == config.steps:
        save_once(lambda: save_vlm(model / "vlm", vlm, model_id, encoder.encoder_hash, embed_language=False))
    return result


def make_adapter(recipe: Recipe, out: Path, adapter: AdapterConfig, progress: Progress) -> Path:
    """Stage 2 of a recipe with a big language model in the tiny one's place; the model directory.

    Everything before it is made first, where it is not there; `make_model` goes on with stage 3.

    Raises:
        InputError: see `train_adapter`.
    """
    model = make_model(recipe, out, progress, until="perceive")
    journal = Journal(out / "journal.json", recipe)
    if not journal.done("language") or not (model / "vlm" / "adapter").is_dir():
        config = replace(recipe.language, seed=recipe.seed)

        def told(step: int, losses: dict[str, float]) -> None:
            progress("language", step, config.steps, losses)

        store = FrameStore(out / "frames", recipe.window)
        with journal.step("language"):
            train_adapter(
                store, out / "slots", out / "planned", model, config, adapter, f"{recipe.name}-{recipe.seed}", told
            )
    return model
