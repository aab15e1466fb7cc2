"""What a store teaches a whole model, a big language model's adapter, and learning curves."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import recorded_fixtures as fixtures
import torch
from safetensors.torch import save_file
from torch.utils.tensorboard import SummaryWriter

from vadv2_core.checkpoint import load_checkpoint
from vadv2_core.errors import InputError
from vadv2_core.language.commands import paraphrases
from vadv2_core.taxonomy import DrivingAction
from vadv2_core.vehicle import VehicleConfig
from vadv2_perception.checkpoints import load_encoder
from vadv2_planner.registry import load_network
from vadv2_planner.text import command_ids
from vadv2_training.adapter_stage import AdapterConfig, train_adapter
from vadv2_training.curves import draw_curves, read_curves, smoothed
from vadv2_training.frame_store import FrameStore
from vadv2_training.losses import PlanningLossConfig
from vadv2_training.optimization import OptimizationConfig
from vadv2_training.planner_task import PlannerModule, PlannerTask
from vadv2_training.recorded.drivelm import drivelm_drives
from vadv2_training.recorded.drives import write_recorded_drive
from vadv2_training.recorded.fitting import RecordedFit, fit_recorded
from vadv2_training.recorded.nuscenes import NuScenesTables
from vadv2_training.stages import ReasonedPlannerTask, perceive_store, seen_frames, slot_config
from vadv2_vlm.language_model import load_language_model
from vadv2_vlm.lora import has_adapter
from vadv2_vlm.model import VlmModel
from vadv2_vlm.store import load_vlm, save_vlm
from vadv2_vlm.tiny import TinySize, untrained_directory

STEPS = OptimizationConfig(
    steps=2, batch_size=1, learning_rate=1e-3, warmup_steps=0, precision="no", ema_decay=0.0, save_every=1
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole small model, its language model's folder, and a store of DriveLM's frames."""
    folder = tmp_path_factory.mktemp("whole")
    scene = fixtures.write_model(folder / "model")
    encoder = load_encoder(folder / "model" / "perception")
    size = TinySize(hidden=256, layers=1, heads=2, key_value_heads=1, intermediate=64)
    language = untrained_directory(folder, 0, size)
    vlm = VlmModel(load_language_model(str(language)), slot_config(scene))
    save_vlm(folder / "model" / "vlm", vlm, "small-words", encoder.encoder_hash)
    tables = NuScenesTables(fixtures.write_nuscenes(folder / "nuscenes"), "v1.0-mini")
    (drive,) = drivelm_drives(tables, fixtures.write_drivelm(folder / "drivelm.json"))
    drive = replace(drive, frames=islice(drive.frames, 5))
    write_recorded_drive(drive, folder / "store", fixtures.ENCODER, fixtures.backbone_of(scene), VehicleConfig())
    return folder, language


def test_words_then_embeddings_then_the_planner(whole, tmp_path):
    folder, _ = whole
    told = []
    fit = RecordedFit(STEPS, STEPS, window=2)
    made = fit_recorded(folder / "store", folder / "model", tmp_path, fit, "tuned", lambda *what: told.append(what[0]))
    assert list(dict.fromkeys(told)) == ["perceive", "words", "embed", "planner"]
    _, _, checkpoint, belongings = load_network(made / "planner")
    assert checkpoint.model_id == "tuned" and belongings.reasoning_model == "tuned"
    assert load_checkpoint(made / "vlm", "vlm").model_id == "tuned"
    assert belongings.encoder_hash == load_encoder(made / "perception").encoder_hash
    assert load_vlm(made / "vlm").encoder_hash == belongings.encoder_hash


def test_a_shard_without_embeddings_is_driven_without_reasoning(whole, tmp_path):
    folder, _ = whole
    shutil.copytree(folder / "store", tmp_path / "store")
    (name,) = FrameStore(tmp_path / "store", 1).names
    for suffix in (".safetensors", ".json"):
        shutil.copy(tmp_path / "store" / (name + suffix), tmp_path / "store" / ("z" + name + suffix))
    store = FrameStore(tmp_path / "store", 1)
    encoder = load_encoder(folder / "model" / "perception")
    planner = load_network(folder / "model" / "planner")[1]
    seen = seen_frames(store, encoder, tmp_path / "seen")
    module = PlannerModule(planner, PlanningLossConfig(), VehicleConfig())
    with pytest.raises(InputError, match="holds no embeddings"):
        ReasonedPlannerTask(module, seen, tmp_path)
    count = store.count(0)
    save_file({"embedding": torch.ones(count, 256).half()}, tmp_path / f"{name}.safetensors")
    rows = ReasonedPlannerTask(module, seen, tmp_path).batch(torch.arange(2 * count))
    assert rows["reasoning_valid"][:, 0].tolist() == [1.0] * count + [0.0] * count
    assert rows["reasoning"][:count].min() == 1.0 and rows["reasoning"][count:].abs().max() == 0.0
    assert module.inputs(rows).reasoning_valid.shape == (2 * count, 1)
    assert torch.isfinite(module(rows)["total"])


def test_a_share_of_the_samples_is_told_in_words_alone(whole, tmp_path):
    folder, _ = whole
    store = FrameStore(folder / "store", 1)
    seen = seen_frames(store, load_encoder(folder / "model" / "perception"), tmp_path / "seen")
    module = PlannerModule(load_network(folder / "model" / "planner")[1], PlanningLossConfig(), VehicleConfig())
    all_ = torch.arange(store.count(0))
    told = PlannerTask(module, seen).batch(all_)
    alone = PlannerTask(module, seen, words_alone=1.0).batch(all_)
    known = told["action"] != int(DrivingAction.UNKNOWN)
    assert known.any() and (alone["action"] == int(DrivingAction.UNKNOWN)).all()
    assert alone["route_valid"][known].abs().max() == 0.0 and alone["route"][known].abs().max() == 0.0
    said = {tuple(command_ids(text).tolist()) for a in list(DrivingAction)[1:] for text in paraphrases(a, "train")}
    assert all(tuple(row.tolist()) in said for row in alone["text"][known])
    unchanged = set(told) - {"action", "text", "route", "route_valid"}
    assert all(torch.equal(told[key], alone[key]) for key in unchanged)


def test_a_big_models_adapter_is_trained_and_nothing_else(whole, tmp_path):
    folder, language = whole
    model = tmp_path / "model"
    for part in ("perception", "planner"):
        shutil.copytree(folder / "model" / part, model / part)
    store, slots = FrameStore(folder / "store", 1), tmp_path / "slots"
    perceive_store(store, model, slots, lambda *_: None)
    adapter = AdapterConfig(str(language), rank=4)
    steps = replace(STEPS, batch_size=5)
    result = train_adapter(store, slots, None, model, steps, adapter, "adapted", lambda *_: None)
    assert result.steps == 2 and np.isfinite(result.losses["total"])
    assert not (model / "vlm" / "language_model").exists(), "the big model is named, not copied"
    loaded = load_vlm(model / "vlm")
    assert has_adapter(loaded.model.language_model)
    changed = [
        p for n, p in loaded.model.language_model.named_parameters() if "lora_B" in n and bool(p.abs().sum() > 0)
    ]
    assert changed, "it learned something"
    plain = load_language_model(str(language)).model.state_dict()
    own = dict(loaded.model.language_model.named_parameters())
    name = next(n for n in own if n.endswith("q_proj.base_layer.weight"))
    assert torch.equal(own[name].float(), plain[name.replace(".base_layer", "")].float()), "its weights stay"
    again = train_adapter(store, slots, None, model, steps, adapter, "adapted", lambda *_: None)
    assert again.steps == 2 and again.seconds < result.seconds + 5.0


def test_a_language_model_of_another_width_is_refused(whole, tmp_path):
    folder, _ = whole
    narrow = untrained_directory(
        tmp_path, 0, TinySize(hidden=48, layers=1, heads=2, key_value_heads=1, intermediate=64)
    )
    store = FrameStore(folder / "store", 1)
    with pytest.raises(InputError, match="48 channels"):
        train_adapter(store, tmp_path, None, folder / "model", STEPS, AdapterConfig(str(narrow)), "x", lambda *_: None)


TWO = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_fitting import STEPS
from vadv2_training.frame_store import FrameStore
from vadv2_training.losses import PlanningLossConfig
from vadv2_training.recorded.fitting import fine_tune
folder, out = Path({folder!r}), Path({out!r})
fine_tune(FrameStore(folder / "store", 2), folder / "model", out, STEPS, "two", perception=True)
"""


@pytest.mark.long
def test_two_processes_train_perception_and_planner(whole, tmp_path):
    """The modules of stage 1 under DDP: every parameter that trains gets its gradient in every process."""
    code = TWO.format(here=str(Path(__file__).parent), folder=str(whole[0]), out=str(tmp_path / "out"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = tmp_path / "two.py"
    script.write_text(code)
    subprocess.run([*command, str(script)], env=environment, check=True, timeout=200)
    assert load_network(tmp_path / "out" / "planner")[2].model_id == "two"


def test_curves_are_read_and_drawn(tmp_path):
    for stage, start in (("driving", 40.0), ("language", 8.0)):
        writer = SummaryWriter(str(tmp_path / "tensorboard" / stage))
        for step in range(0, 300, 10):
            writer.add_scalar("total", start * np.exp(-step / 100) + 1.0, step)
            writer.add_scalar("part", 0.5 * start * np.exp(-step / 100), step)
            writer.add_scalar("nothing", 0.0, step)
        writer.close()
    stages = read_curves(tmp_path)
    assert set(stages) == {"driving", "language"}
    total = stages["driving"][0]
    assert total.name == "total" and total.values[0] == pytest.approx(41.0) and total.steps[-1] == 290
    picture = tmp_path / "curves.png"
    draw_curves(stages, picture)
    image = cv2.imread(str(picture))
    assert image.shape[1] > 1000 and image.std() > 10
    assert smoothed(np.arange(100.0)).mean() == pytest.approx(49.5, abs=0.5)
    with pytest.raises(InputError, match="no learning curves"):
        read_curves(tmp_path / "elsewhere")


def test_a_run_of_other_tensors_is_refused_in_one_line(tmp_path):
    from safetensors.torch import save_file
    from torch import nn

    from vadv2_training.optimization import make_optimizer
    from vadv2_training.run_state import load_run_state

    module = nn.Linear(2, 2)
    head = {"step": 1, "average_updates": 0, "facts": {}}
    save_file({"module.other": torch.zeros(1)}, tmp_path / "state.safetensors", metadata={"run": json.dumps(head)})
    with pytest.raises(InputError, match=r"no tensor 'module\.weight'"):
        load_run_state(tmp_path, module, make_optimizer(module.parameters(), STEPS), None, {})
