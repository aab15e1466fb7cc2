"""Chosen scenes through the encoder and the reasoner, once for each of their weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save

from vadv2_core.decision import Decision
from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_bytes_atomic
from vadv2_core.reasoning import ReasoningEmbedding
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.stamps import Stamp
from vadv2_core.taxonomy import LongitudinalAction
from vadv2_core.vehicle import VehicleConfig
from vadv2_eval.closed_loop.kept_parts import fresh_driver, kept_renderer
from vadv2_eval.closed_loop.wheels import driver_config
from vadv2_eval.scenes.recorded import RecordedDrive, read_drive
from vadv2_eval.scenes.token_file import Visible, load_tokens, save_tokens

EMBEDDINGS = ("said", "true")
"""Kinds of embedding: the reasoner's own, and after the narrator's words were put in its mouth."""


@dataclass(frozen=True, slots=True)
class StackOrder:
    """Which stack looks, with which settings.

    Attributes:
        model: Model directory; empty for the default system.
        models: Folder of the default system.
        rig: Rig file.
        past: Whether the frames before the scene are seen too.
        planner: Directory of another planner trained on the same encoder's tokens; empty for the model's own.
        steps: Denoising passes; 0 for the planner's own.
        route: Whether the planner is given the route.
    """

    model: str = ""
    models: str = "models"
    rig: str = "config/rig/surround6.yaml"
    past: bool = True
    planner: str = ""
    steps: int = 0
    route: bool = True

    def config(self, vehicle: VehicleConfig) -> Any:
        """The stack's configuration; the checkpoint says which planner it is."""
        from vadv2_planner.config import PlannerConfig

        base = driver_config("model", vehicle, Path(self.models), self.model)
        directory = Path(self.planner) if self.planner else base.directory("planner")
        name = planner_name(directory)
        return replace(base, planner=PlannerConfig(planner=name, steps=self.steps, use_route=self.route))

    def mark(self, stage: str) -> str:
        """Eight hex digits of a stage's weights; those of untrained ones are always the same."""
        base = driver_config("model", VehicleConfig(), Path(self.models), self.model)
        directory = Path(self.planner) if self.planner and stage == "planner" else base.directory(stage)
        digest = hashlib.sha256((directory / "config.json").read_bytes() if directory else b"untrained")
        for file in sorted(directory.glob("*.safetensors")) if directory else ():
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()[:8]


def planner_name(directory: Path | None) -> str:
    """Name of a checkpoint's planner, the default without one."""
    if directory is None:
        return "truncated_diffusion"
    return str(read_json(directory / "config.json").get("config", {}).get("planner", "truncated_diffusion"))


def token_path(folder: Path, log: Path, index: int) -> Path:
    """Where a scene's tokens are."""
    return folder / log.parent.name / f"{log.name.split('.')[0]}-{index:04d}.safetensors"


def encode_scenes(argument: dict[str, Any]) -> dict[str, Any]:
    """Render and encode a drive's chosen scenes that have no tokens yet; a job of `vadv2_eval.jobs`.

    Keys: log, indices, folder, stack (`StackOrder` as JSON).
    """
    log, folder = Path(argument["log"]), Path(argument["folder"])
    order = StackOrder(**argument["stack"])
    drive = read_drive(log)
    made = 0
    for index in argument["indices"]:
        path = token_path(folder, log, index)
        if not path.exists():
            save_tokens(path, *_encoded(drive, index, order))
            made += 1
    return {"made": made}


def _encoded(drive: RecordedDrive, index: int, order: StackOrder) -> tuple[Any, Visible]:
    driver = fresh_driver(order.config(drive.vehicle))
    renderer = kept_renderer(drive.log.road, Path(order.rig), drive.vehicle)
    ages = driver.encoder.model_config.history_ages if order.past else ()
    for age in sorted(ages, reverse=True):
        before = index - round(10.0 * age)
        if before >= 0:
            scene = drive.log.scenes[before]
            driver.encoder.encode(renderer.render(scene).frame, scene.ego)
    scene = drive.log.scenes[index]
    rendered = renderer.render(scene, ground_truth=True)
    tokens = driver.encoder.encode(rendered.frame, scene.ego)
    return tokens, (rendered.truth.visible_agents(), rendered.truth.visible_signals())


def embedding_path(folder: Path, log: Path) -> Path:
    """Where the embeddings of a drive's scenes are."""
    return folder / log.parent.name / f"{log.name.split('.')[0]}.safetensors"


def embed_scenes(argument: dict[str, Any]) -> dict[str, Any]:
    """The reasoner's embedding of a drive's chosen scenes, own and true; a job of `vadv2_eval.jobs`.

    Keys: log, indices, tokens (folder), folder, stack.
    """
    log, order = Path(argument["log"]), StackOrder(**argument["stack"])
    drive = read_drive(log)
    driver = fresh_driver(order.config(drive.vehicle))
    if driver.reasoner is None:
        raise InputError("has no reasoner", order.model or order.models, "a model with a vlm")
    rows: dict[str, list[NDArray[np.float32]]] = {name: [] for name in EMBEDDINGS}
    for index in argument["indices"]:
        scene = drive.log.scenes[index]
        tokens, visible = load_tokens(token_path(Path(argument["tokens"]), log, index), scene.ego)
        rows["said"].append(driver.reasoner.embed(tokens, scene.command, scene.route).embedding)
        decision, road = drive.decisions[index], drive.log.road
        rows["true"].append(true_embedding(driver.reasoner, tokens, scene, decision, road, visible))
    arrays = {name: np.stack(values).astype(np.float32) for name, values in rows.items()}
    arrays["index"] = np.array(argument["indices"], dtype=np.int64)
    write_bytes_atomic(embedding_path(Path(argument["folder"]), log), save(arrays))
    return {"scenes": len(argument["indices"])}


@torch.inference_mode()
def true_embedding(
    reasoner: Any, tokens: Any, scene: Scene, decision: Decision | None, road: RoadMap, visible: Visible
) -> NDArray[np.float32]:
    """The reasoner's hidden state once it has said what the narrator says, as a perfect one would.

    The same state as the embedding's, over the last token of the narrator's action, cause, intent, scene and trace,
    scaled alike. The planner has seen none of these in training.
    """
    from vadv2_core.language.sentences import in_usual_words
    from vadv2_sim.narrator import Narrator, Visibility
    from vadv2_vlm.model import normalise
    from vadv2_vlm.samples import ReasoningTruth, training_text

    said = Narrator(road).narrate(scene, decision, Visibility(*visible))
    state = reasoner.begin(tokens, scene.command, scene.route)
    intent, described, trace = (in_usual_words(t) for t in (said.intent_text, said.scene_text, said.trace_text))
    truth = ReasoningTruth(scene.command, tokens.ego, decision, tuple(said.flags), intent, described, trace)
    sample = training_text(reasoner.language, reasoner.slots.count, truth)
    answer = sample.ids[0, int(sample.reason[0]) + 1 :].tolist()
    reasoner.language.proceed(state, answer)
    vector = normalise(state.hidden)[0].float().cpu().numpy()
    return np.asarray(vector, dtype=np.float32)


def true_opinion(
    reasoner: Any, vector: NDArray[np.float32], stamp: Stamp, decision: Decision | None
) -> ReasoningEmbedding:
    """`true_embedding` with the expert's own decision, as sure as can be; of none, what the reasoner reads in it."""
    told: ReasoningEmbedding = reasoner.opinion(vector, stamp)
    if decision is None or not decision.longitudinal or not len(told.decision):
        return told
    certain = np.eye(len(LongitudinalAction), dtype=np.float32)[int(decision.longitudinal)]
    return replace(told, decision=certain)


def read_embeddings(folder: Path, logs: Sequence[Path]) -> dict[tuple[str, int], dict[str, NDArray[np.float32]]]:
    """All embeddings by log and index of the scene."""
    found = {}
    for log in logs:
        arrays = load(embedding_path(folder, log).read_bytes())
        for row, index in enumerate(arrays["index"]):
            found[str(log), int(index)] = {name: arrays[name][row] for name in EMBEDDINGS}
    return found
