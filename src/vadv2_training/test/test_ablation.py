"""Ablations: rows that differ in one thing, trained on shared perception, resumable, as a table."""

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import recorded_fixtures as fixtures
import torch

from vadv2_core.errors import InputError
from vadv2_core.vehicle import VehicleConfig
from vadv2_planner.registry import load_network
from vadv2_training.ablation import BASE, ROWS, AblationConfig, ablate, ablation_table, chosen_rows, scenes_scorer
from vadv2_training.driving_module import TRAINING_KEYS, DrivingModule, see
from vadv2_training.frame_store import FrameStore, Window
from vadv2_training.losses import PlanningLossConfig
from vadv2_training.planner_task import PlannerModule, PlannerTask, perceive_frames, picked_frames
from vadv2_training.recorded.drives import write_recorded_drive
from vadv2_training.recorded.nuscenes import NuScenesTables, nuscenes_drive

CONFIG = AblationConfig(steps=2, batch_size=2, frames=100, learning_rate=1e-4)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation")
    scene = fixtures.write_model(folder / "model")
    tables = NuScenesTables(fixtures.write_nuscenes(folder / "nuscenes", frames=7), "v1.0-mini")
    drive = nuscenes_drive(tables, tables.scenes[0])
    drive = replace(drive, frames=islice(drive.frames, 6))
    write_recorded_drive(drive, folder / "store", fixtures.ENCODER, fixtures.backbone_of(scene), VehicleConfig())
    return folder, scene


def scorer(scored):
    def score(row, directory):
        scored.append(row.name)
        value = float(sum(p.detach().abs().mean() for p in load_network(directory)[1].parameters()))
        return {"pdms": {"mean": value, "low": 0.0, "high": 1.0}, "sub_scores": {"no_at_fault_collision": 1.0}}

    return score


def test_rows_change_one_thing_each():
    base = ROWS[0]
    for row in ROWS[1:]:
        changed = [
            f for f in ("planner", "model", "losses", "past", "steps", "route") if getattr(row, f) != getattr(base, f)
        ]
        # Without a route, training must not see one either; without its loss, a judge must not judge.
        assert changed in ([changed[0]], ["model", "route"], ["model", "losses"]), row.name
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert [row.name for row in chosen_rows(["steps_4"])] == [BASE, "steps_4"]
    with pytest.raises(InputError, match="row 'nothing' is unknown"):
        chosen_rows(["nothing"])


def test_frames_are_picked_evenly_over_shards(made):
    store = FrameStore(made[0] / "store", 1)
    assert picked_frames(store, 100) == [[0, 1, 2, 3, 4, 5]]
    assert picked_frames(store, 2) == [[0, 3]]


def test_kept_perception_is_what_perception_says(made, tmp_path):
    folder, scene = made
    store = FrameStore(folder / "store", 6)
    seen = perceive_frames(scene, store, tmp_path, 100)
    _, planner, _, _ = load_network(folder / "model" / "planner")
    task = PlannerTask(PlannerModule(planner, PlanningLossConfig(), VehicleConfig()), seen)
    kept = task.batch(torch.arange(6))
    rows = store.batch([Window(0, 0, 6)], TRAINING_KEYS)
    with torch.no_grad():
        said = see(scene, {k: v.float() if v.dtype is torch.bfloat16 else v for k, v in rows.items()})
    np.testing.assert_allclose(kept["tokens"], said.output.tokens, atol=0.02)
    np.testing.assert_allclose(kept["queries"], said.output.queries, atol=0.02)
    # The same losses as the whole module, whose planner is the same.
    planner.eval()
    whole = DrivingModule(scene, planner, VehicleConfig(), PlanningLossConfig(), None).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        one = task.module(kept)
        torch.manual_seed(0)
        other = whole({k: v.float() if v.dtype is torch.bfloat16 else v for k, v in rows.items()})
    assert float(one["total"]) == pytest.approx(float(other["total"]), rel=0.01)
    sparse = perceive_frames(scene, store, tmp_path / "sparse", 2)
    few = PlannerTask(task.module, sparse).batch(torch.arange(2))
    np.testing.assert_allclose(few["tokens"], kept["tokens"][[0, 3]], atol=0.01)
    present = perceive_frames(scene, store, tmp_path / "present", 100, past=False)
    alone = PlannerTask(task.module, present).batch(torch.arange(6))
    assert torch.equal(alone["tokens"][0], kept["tokens"][0]), "the first frame has no past"
    assert not torch.equal(alone["tokens"][4], kept["tokens"][4])


def test_rows_are_trained_scored_and_gone_on_with(made, tmp_path):
    folder, _ = made
    store, model, out = FrameStore(folder / "store", 1), folder / "model", tmp_path / "out"
    names = ["steps_1", "no_queries", "ego_status", "vanilla"]
    scored = []

    def killed(row, what, done, total):
        if row == "no_queries" and what == "score":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ablate(store, model, out, CONFIG, scorer(scored), chosen_rows(names), killed)
    assert scored == [BASE, "steps_1", "vanilla"]
    weights = (out / BASE / "planner" / "model.safetensors").stat().st_mtime_ns
    results = ablate(store, model, out, CONFIG, scorer(scored), chosen_rows(names))
    assert scored == [BASE, "steps_1", "vanilla", "no_queries", "ego_status"]
    assert (out / BASE / "planner" / "model.safetensors").stat().st_mtime_ns == weights, "a done row is left"
    assert results["steps_1"]["pdms"] == results[BASE]["pdms"], "the same weights"
    assert results["no_queries"]["pdms"] != results[BASE]["pdms"]
    assert not load_network(out / "no_queries" / "planner")[1].config.reads_queries
    assert load_network(out / "ego_status" / "planner")[0] == "ego_status"
    assert json.loads((out / "ablation.json").read_text())["rows"].keys() == results.keys()
    table = (out / "ablation.md").read_text()
    assert "| no_queries | without scene queries |" in table and "+0.000" in table
    with pytest.raises(InputError, match="ablation of other settings"):
        ablate(store, model, out, replace(CONFIG, steps=3), scorer([]), chosen_rows(names))


def test_the_table_compares_with_the_first_row():
    pdms = {"low": 0.1, "high": 0.9}

    def found(says, mean, part, cpu):
        return {
            "row": {"says": says}, "pdms": {"mean": mean, **pdms}, "sub_scores": {"c": part}, "spent": {"cpu_s": cpu}
        }  # fmt: skip

    rows = {BASE: found("as shipped", 0.8, 1.0, 9), "x": found("less", 0.7, 0.5, 7)}
    assert "| x | less | 0.700 [0.100, 0.900] | -0.100 | 0.500 | 7 |" in ablation_table(rows)


def test_scenes_must_have_been_chosen(tmp_path):
    with pytest.raises(InputError, match="holds no chosen scenes"):
        scenes_scorer(tmp_path, tmp_path)
