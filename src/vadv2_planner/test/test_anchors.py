import json

import numpy as np
import pytest
import typer
from safetensors.numpy import save_file
from typer.testing import CliRunner

from vadv2_core.errors import InputError
from vadv2_planner.anchors import (
    cluster,
    kinematic_trajectories,
    load_anchors,
    load_trajectories,
    make_anchors,
    normalisation,
    save_anchors,
)
from vadv2_planner.cli import register


def test_shipped_anchors_are_what_the_command_makes(tmp_path):
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    out = CliRunner().invoke(app, ["anchors", "--out", str(tmp_path / "a.json"), "--json", str(tmp_path / "n.json")])
    assert out.exit_code == 0, out.output
    made, shipped = load_anchors(tmp_path / "a.json"), load_anchors()
    np.testing.assert_allclose(made.anchors, shipped.anchors, atol=2e-4)
    np.testing.assert_allclose(made.scale, shipped.scale, atol=2e-4)
    assert json.loads((tmp_path / "n.json").read_text())["anchors"] == 20


def test_shipped_anchors_cover_standing_still_both_turns_and_fast_roads():
    anchors = load_anchors().anchors
    assert anchors.shape == (20, 16, 2)
    ends = anchors[:, -1]
    assert np.hypot(*ends.T).min() < 5.0
    assert ends[:, 0].max() > 150.0
    assert (ends[:, 1] > 20.0).any()
    assert (ends[:, 1] < -20.0).any()


def test_clusters_of_separate_groups_are_the_groups():
    rng = np.random.default_rng(0)
    centres = np.cumsum(rng.uniform(-5, 5, (4, 16, 2)), axis=1) * 5
    samples = (centres[rng.integers(4, size=400)]) + rng.normal(0, 0.05, (400, 16, 2))
    found = cluster(samples, 4, seed=1)
    gaps = np.linalg.norm(found[:, None] - centres[None], axis=-1).mean(-1)
    assert sorted(gaps.argmin(1)) == [0, 1, 2, 3]
    assert gaps.min(1).max() < 0.1


def test_constants_put_all_trajectories_in_the_box():
    trajectories = kinematic_trajectories(500, 3)
    offset, scale = normalisation(trajectories)
    normal = (trajectories - offset) / scale
    assert np.abs(normal).max() <= 1.0
    assert np.abs(normal[:, -1]).max() > 0.8


def test_kinematic_trajectories_can_be_driven():
    trajectories = kinematic_trajectories(1000, 0)
    step = np.diff(trajectories, axis=1, prepend=0.0)
    speed = np.hypot(step[..., 0], step[..., 1]) / 0.5
    assert speed.max() < 25.1
    assert np.abs(np.diff(speed, axis=1)).max() / 0.5 < 5.0


def test_files_are_read_back_and_refused_by_name(tmp_path):
    made = make_anchors(kinematic_trajectories(200, 0), 5, 0, "test")
    save_anchors(tmp_path / "a.json", made)
    np.testing.assert_array_equal(load_anchors(tmp_path / "a.json").anchors, made.anchors)
    values = json.loads((tmp_path / "a.json").read_text())
    values["scale"] = values["scale"][:3]
    (tmp_path / "b.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match="scale"):
        load_anchors(tmp_path / "b.json")
    with pytest.raises(InputError, match="No such file"):
        load_anchors(tmp_path / "none.json")
    save_file({"trajectories": kinematic_trajectories(3, 0).repeat(5, axis=1)}, tmp_path / "t.safetensors")
    assert load_trajectories(tmp_path / "t.safetensors").shape == (3, 16, 2)
    save_file({"other": np.zeros(3)}, tmp_path / "u.safetensors")
    with pytest.raises(InputError, match="trajectories"):
        load_trajectories(tmp_path / "u.safetensors")
    with pytest.raises(InputError, match="at least 20"):
        cluster(np.zeros((3, 16, 2)), 20, 0)
