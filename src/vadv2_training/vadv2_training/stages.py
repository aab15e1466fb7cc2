"""The steps of a recipe, each a function of folders: what it reads, what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_core.vehicle import VehicleConfig
from vadv2_perception.checkpoints import LoadedEncoder, load_encoder, save_encoder
from vadv2_perception.configuration import ARCHITECTURES as ENCODERS
from vadv2_perception.model import SceneModel
from vadv2_planner.anchors import AnchorSet, make_anchors, save_anchors
from vadv2_planner.config import ARCHITECTURES as PLANNERS
from vadv2_planner.registry import Belongings, load_network, make_network, save_planner
from vadv2_training.decision_task import DecisionModule, DecisionTask
from vadv2_training.driving_module import DrivingModule, DrivingTask, PerceptionModule
from vadv2_training.frame_store import FrameStore, Window
from vadv2_training.language_task import LanguageModule, LanguageTask
from vadv2_training.liveliness import lively_rows
from vadv2_training.losses import STAGES, PlanningLossConfig, QueryLossConfig, trains
from vadv2_training.novelty_calibration import calibrate_novelty
from vadv2_training.optimization import OptimizationConfig
from vadv2_training.perceived_frames import write_slots
from vadv2_training.planned_frames import write_planned
from vadv2_training.planner_task import WORDS_ALONE, PlannerModule, PlannerTask, SeenStore, perceive_frames
from vadv2_training.reading import teach_reading
from vadv2_training.trainer import TrainingResult, save_once, train
from vadv2_vlm.config import SlotConfig
from vadv2_vlm.language_model import load_language_model
from vadv2_vlm.model import VlmModel
from vadv2_vlm.store import load_vlm, save_vlm
from vadv2_vlm.tiny import untrained_directory

OnStep = Callable[[int, dict[str, float]], None]


def anchors_of(store: FrameStore, modes: int, seed: int) -> AnchorSet:
    """K-means over the futures of a store that are known for the whole 8 s."""
    futures = []
    for shard in range(len(store.names)):
        rows = store.read(Window(shard, 0, store.count(shard)), ("future", "future_known"))
        whole = rows["future_known"].min(1).values > 0
        futures.append(rows["future"][whole][:, 4::5, :2].numpy())
    trajectories = np.concatenate(futures).astype(np.float64)
    return make_anchors(trajectories, modes, seed, f"{len(trajectories)} driven futures, seed {seed}")


def train_driving(
    store: FrameStore,
    out: Path,
    architecture: str,
    config: OptimizationConfig,
    model_id: str,
    on_step: OnStep,
    seed: int,
    stop_after: float | None = None,
) -> TrainingResult:
    """Stage 1: perception after its backbone, and the planner, without reasoning; leaves both checkpoints."""
    torch.manual_seed(seed)
    scene = SceneModel(ENCODERS[architecture], pretrained=True)
    anchors = anchors_of(store, PLANNERS[architecture].modes, seed)
    save_anchors(out / "anchors.json", anchors)
    planner = make_network("truncated_diffusion", PLANNERS[architecture], anchors, seed)
    teach_reading(planner, seed)
    trains(scene, STAGES[1]["perception"])
    trains(planner, STAGES[1]["planner"])
    module = DrivingModule(scene, planner, VehicleConfig(), PlanningLossConfig(), QueryLossConfig())
    module.train()
    facts = {"stage": 1, "frames": len(store), "architecture": architecture}
    result = train(DrivingTask(module, store), config, out / "run", facts=facts, on_step=on_step, stop_after=stop_after)
    calibrate_novelty(scene, store)
    saved = save_encoder(out / "perception", scene, model_id)
    save_planner(out / "planner", "truncated_diffusion", planner, model_id, Belongings(encoder_hash=saved.sha256))
    return result


def train_perception(
    store: FrameStore,
    model: Path,
    config: OptimizationConfig,
    model_id: str,
    on_step: OnStep,
    stop_after: float | None = None,
) -> TrainingResult:
    """Perception alone, from its own weights, on what the scene queries are asked: half of a driving step's cost."""
    scene = load_encoder(model / "perception").model
    trains(scene, STAGES[1]["perception"])
    module = PerceptionModule(scene, QueryLossConfig())
    module.train()
    facts = {"stage": "perception", "frames": len(store)}
    task = DrivingTask(module, store)
    result = train(task, config, model / "run-perception", facts=facts, on_step=on_step, stop_after=stop_after)
    if result.steps == config.steps:
        calibrate_novelty(scene, store)
        save_encoder(model / "perception", scene, model_id)
    return result


def perceive_store(store: FrameStore, model: Path, slots: Path, on_step: OnStep) -> None:
    """What the trained perception says of every cached frame, for the reasoner."""
    encoder = load_encoder(model / "perception")
    config = slot_config(encoder.model)
    for done in write_slots(encoder.model, store, slots, config, encoder.encoder_hash):
        on_step(done, {})


def plan_store(store: FrameStore, seen: Path, model: Path, planned: Path, on_step: OnStep) -> None:
    """What the trained planner would do in every cached frame, for the reasoner to explain."""
    _, planner, checkpoint, _ = load_network(model / "planner")
    module = PlannerModule(planner, PlanningLossConfig(), VehicleConfig())
    frames = seen_frames(store, load_encoder(model / "perception"), seen)
    for done in write_planned(module, frames, planned, checkpoint.sha256):
        on_step(done, {})


def slot_config(scene: SceneModel) -> SlotConfig:
    """The token door of an encoder's channels."""
    c = scene.config
    return replace(SlotConfig(), image_channels=c.token_channels, query_channels=c.query_channels)


def train_language(
    store: FrameStore,
    slots: Path,
    planned: Path,
    model: Path,
    config: OptimizationConfig,
    model_id: str,
    on_step: OnStep,
    seed: int,
    cache: Path = Path(".vadv2"),
    stop_after: float | None = None,
    *,
    decision: OptimizationConfig | None = None,
    on_decision: OnStep | None = None,
    begin: Path | None = None,
) -> TrainingResult:
    """The tiny reasoner from scratch on perceived slots and the narrator's words; leaves ``model/vlm``.

    A tiny language model has no driving to adapt, so all of it trains; a big one takes LoRA here (stage 2).

    Args:
        store: Frames with the narrator's texts.
        slots: Folder of `write_slots`.
        planned: Folder of `write_planned`.
        model: Model directory with its perception.
        config: How the words are learned.
        model_id: Name of what is made.
        on_step: Told of every step of the words.
        seed: Of the weights.
        cache: Where untrained language models are kept.
        stop_after: Seconds after which to stop.
        decision: How the token door learns the decisions before (`decision_task`); None leaves that out.
        on_decision: Told of every step of that.
        begin: A reasoner's directory whose weights it begins with; None begins from scratch.
    """
    torch.manual_seed(seed)
    encoder = load_encoder(model / "perception")
    if begin is None:
        vlm = VlmModel(load_language_model(str(untrained_directory(cache, seed))), slot_config(encoder.model))
    else:
        vlm = load_vlm(begin).model
    vlm.train()
    module = LanguageModule(vlm)
    task = LanguageTask(module, store, slots, planned=planned, lively=True)
    facts = {"stage": 2, "frames": len(task), "encoder": encoder.encoder_hash}
    if decision is not None:
        unspoken = DecisionTask(DecisionModule(vlm.projector), task)
        door = train(
            unspoken, decision, model / "run-decision", facts=facts, on_step=on_decision, stop_after=stop_after
        )
        if door.steps < decision.steps:
            # Stopped on the way: words learned from a half-made door would not be those of a run that was not stopped.
            return door
    result = train(task, config, model / "run-language", facts=facts, on_step=on_step, stop_after=stop_after)
    save_once(lambda: save_vlm(model / "vlm", vlm, model_id, encoder.encoder_hash))
    return result


def embed_store(store: FrameStore, slots: Path, model: Path, out: Path, on_step: OnStep) -> None:
    """The trained reasoner's embedding of every cached frame, as the planner will get it on the road."""
    loaded = load_vlm(model / "vlm")
    module = LanguageModule(loaded.model)
    task = LanguageTask(module, store, slots)
    loaded.model.eval()
    starts = np.cumsum([0, *(store.count(shard) for shard in range(len(store.names)))])
    out.mkdir(parents=True, exist_ok=True)
    for done, shard in enumerate(store.shards_in_turn(), start=1):
        path = out / f"{store.names[shard]}.safetensors"
        if not path.exists():
            rows = []
            with torch.no_grad():
                for start in range(starts[shard], starts[shard + 1], 16):
                    tokens, text = task.batch(torch.arange(start, min(start + 16, int(starts[shard + 1]))))
                    rows.append(loaded.model.embed(tokens, text))
            write_bytes_atomic(path, save({"embedding": torch.cat(rows).half()}))
        on_step(done, {})


def _embedding_of(folder: Path, name: str) -> torch.Tensor:
    return load_file(folder / f"{name}.safetensors")["embedding"]


def _as_it_arrives(stored: torch.Tensor, frame: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An embedding of a frame's past and its age (1,), drawn: 2 Hz frames, up to six of them are 3 s.

    Most are fresh, as they cost one prefill.
    """
    lag = min(int(torch.rand(()) ** 2 * 7), frame)
    return stored[frame - lag].float(), torch.tensor([lag * 0.5])


class ReasonedDrivingTask(DrivingTask):
    """Driving windows with the reasoner's embeddings, at ages of 0 to 3 s as they arrive on the road."""

    def __init__(self, module: DrivingModule, store: FrameStore, embeddings: Path) -> None:
        super().__init__(module, store)
        self._embeddings = [_embedding_of(embeddings, name) for name in store.names]

    def batch(self, indices: torch.Tensor) -> dict[str, torch.Tensor]:
        """The windows of these indices, each frame with an embedding of its own past."""
        windows = [self.windows[int(index)] for index in indices]
        told = [
            _as_it_arrives(self._embeddings[w.shard], frame)
            for w in windows
            for frame in range(w.start, w.start + w.count)
        ]
        shape = (len(windows), windows[0].count)
        reasoning, age = (torch.stack(part).unflatten(0, shape) for part in zip(*told, strict=True))
        return {**super().batch(indices), "reasoning": reasoning, "reasoning_age": age}


class ReasonedPlannerTask(PlannerTask):
    """Single frames with the reasoner's embeddings, likewise; a shard without any is driven without reasoning."""

    def __init__(self, module: PlannerModule, seen: SeenStore, embeddings: Path, *, words_alone: float = 0.0) -> None:
        super().__init__(module, seen, words_alone=words_alone)
        self._places = seen.rows
        names = seen.frames.names
        self._embeddings = [_embedding_of(embeddings, n) if (embeddings / f"{n}.safetensors").exists() else None
                            for n in names]  # fmt: skip
        known = [stored for stored in self._embeddings if stored is not None]
        if not known:
            raise InputError("holds no embeddings", str(embeddings), "those of `embed_store`")
        self._nothing = torch.zeros(known[0].shape[1])

    def batch(self, indices: torch.Tensor) -> dict[str, torch.Tensor]:
        """The frames of these indices, each with an embedding of its own past."""
        places = [self._places[int(index)] for index in indices]
        told = [self._told(shard, frame) for shard, frame, _ in places]
        reasoning, age, valid = (torch.stack(part) for part in zip(*told, strict=True))
        return {**super().batch(indices), "reasoning": reasoning, "reasoning_age": age, "reasoning_valid": valid}

    def _told(self, shard: int, frame: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        stored = self._embeddings[shard]
        if stored is None:
            return self._nothing, torch.zeros(1), torch.zeros(1)
        return *_as_it_arrives(stored, frame), torch.ones(1)


def _fit_planner(
    task: PlannerTask,
    module: PlannerModule,
    model: Path,
    run: str,
    config: OptimizationConfig,
    facts: dict[str, object],
    on_step: OnStep,
    stop_after: float | None,
) -> TrainingResult:
    module.train()
    return train(task, config, model / run, facts=facts, on_step=on_step, stop_after=stop_after)


def train_planning(
    store: FrameStore,
    seen: Path,
    model: Path,
    config: OptimizationConfig,
    model_id: str,
    on_step: OnStep,
    round_: int = 0,
    stop_after: float | None = None,
) -> TrainingResult:
    """The planner alone, on what the trained perception says: a step costs a quarter, and sees more scenes.

    After a round of corrections it goes on from its own weights, with all frames that there are now.
    """
    encoder = load_encoder(model / "perception")
    name, planner, _, _ = load_network(model / "planner")
    trains(planner, STAGES[1]["planner"])
    module = PlannerModule(planner, PlanningLossConfig(), VehicleConfig())
    frames = _lively_frames(store, encoder, seen)
    facts = {"stage": "planning", "frames": len(frames.rows), "encoder": encoder.encoder_hash}
    task = PlannerTask(module, frames, words_alone=WORDS_ALONE)
    result = _fit_planner(task, module, model, f"run-planning-{round_}", config, facts, on_step, stop_after)
    save_planner(model / "planner", name, planner, model_id, Belongings(encoder_hash=encoder.encoder_hash))
    return result


def seen_frames(store: FrameStore, encoder: LoadedEncoder, seen: Path) -> SeenStore:
    """What a perception says of every cached frame, in a folder of its own below ``seen``; made where it is missing."""
    return perceive_frames(encoder.model, store, seen / encoder.encoder_hash[:12], store.frames)


def _lively_frames(store: FrameStore, encoder: LoadedEncoder, seen: Path) -> SeenStore:
    frames = seen_frames(store, encoder, seen)
    return replace(frames, rows=lively_rows(store, frames.rows, VehicleConfig()))


def train_joint(
    store: FrameStore,
    seen: Path,
    embeddings: Path,
    model: Path,
    config: OptimizationConfig,
    model_id: str,
    on_step: OnStep,
    stop_after: float | None = None,
) -> TrainingResult:
    """Stage 3 for a frozen tiny reasoner: the planner learns to use its embeddings; perception stays."""
    encoder = load_encoder(model / "perception")
    name, planner, _, _ = load_network(model / "planner")
    reasoner = load_vlm(model / "vlm")
    module = PlannerModule(planner, PlanningLossConfig(), VehicleConfig())
    frames = _lively_frames(store, encoder, seen)
    facts = {"stage": 3, "frames": len(frames.rows), "encoder": encoder.encoder_hash, "vlm": reasoner.model_id}
    task = ReasonedPlannerTask(module, frames, embeddings, words_alone=WORDS_ALONE)
    result = _fit_planner(task, module, model, "run-joint", config, facts, on_step, stop_after)
    belongings = Belongings(encoder.encoder_hash, reasoner.model_id)
    save_planner(model / "planner", name, planner, model_id, belongings)
    return result
