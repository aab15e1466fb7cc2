"""Logs as Scenes: the route the human drove, PDMS by its rules, open loop; on a made log and on the shared ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from vadv2_core.errors import InputError
from vadv2_core.geometry import project_to_polyline
from vadv2_eval import cli
from vadv2_eval.logs.benchmark import COLUMNS, read_logs, score_logs
from vadv2_eval.logs.nuscenes_mini import read_log
from vadv2_eval.logs.open_loop import open_loop_samples
from vadv2_eval.logs.planners import constant_velocity, ego_status, log_planner, log_replay
from vadv2_eval.open_loop.conventions import case_metrics
from vadv2_eval.open_loop.oriented import trajectory_yaw
from vadv2_eval.pdms.reference_planner import IdmPolicy, reference_plan
from vadv2_eval.pdms.score import score_proposals

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "nuscenes_mini_logs"


def made_log(turn: float = 0.0, parked_at: float | None = None, steps: int = 90) -> dict:
    """A log of one road of three lanes, an ego at 8 m/s that may turn, a leader, and a car parked in the way."""
    t = np.arange(steps) * 0.1
    yaw = turn * t
    x, y = np.cumsum(0.8 * np.cos(yaw - 0.05 * turn)) - 0.8, np.cumsum(0.8 * np.sin(yaw - 0.05 * turn))
    ego = np.column_stack([x, y, yaw, 8 * np.cos(yaw), 8 * np.sin(yaw), np.ones(steps)])
    leader = np.column_stack(
        [x + 25, np.zeros(steps), np.zeros(steps), np.full(steps, 8.0), np.zeros(steps), np.ones(steps)]
    )
    tracks = {
        "ego": {
            "type": "VEHICLE",
            "length": 4.08,
            "width": 1.73,
            "first_step": 0,
            "x_y_heading_vx_vy_valid": ego.tolist(),
        },
        "lead": {
            "type": "VEHICLE",
            "length": 4.5,
            "width": 1.9,
            "first_step": 0,
            "x_y_heading_vx_vy_valid": leader.tolist(),
        },
    }
    if parked_at is not None:
        still = np.column_stack([np.full((steps, 1), parked_at), np.zeros((steps, 4)), np.ones((steps, 1))])
        tracks["parked"] = dict(tracks["lead"], x_y_heading_vx_vy_valid=still.tolist())
    lanes = {}
    for i, start in enumerate((-20.0, 40.0, 60.0)):
        end = (40.0, 60.0, 200.0)[i]
        line = np.column_stack([np.linspace(start, end, 20), np.zeros(20)])
        lanes[f"l{i}"] = {"type": "LANE", "centerline": line.tolist()}
        if i != 1:
            lanes[f"l{i}"]["polygon"] = [[start, -2], [end, -2], [end, 2], [start, 2], [start, -2]]
    return {"id": "made", "dt": 0.1, "steps": steps, "tracks": tracks, "lanes": lanes}


def _write(folder: Path, value: dict) -> Path:
    path = folder / f"scene-{value.get('id', 'x')}.json.gz"
    path.write_bytes(gzip.compress(json.dumps(value).encode()))
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return read_log(_write(tmp_path_factory.mktemp("log"), made_log()))


def test_a_log_becomes_scenes_with_the_route_that_was_driven(log):
    assert log.route_lanes == ("l0", "l1", "l2")
    assert len(log.scenes) == 90
    ego = log.scenes[40].ego
    assert ego.velocity[0] == pytest.approx(8.0, abs=1e-6) and ego.yaw_rate == pytest.approx(0.0, abs=1e-9)
    assert abs(project_to_polyline(log.centerline, log.poses()[:, :2])[1]).max() < 1e-6
    assert log.centerline[-1, 0] - log.poses()[-1, 0] > 50.0
    assert {a.id for a in log.scenes[0].agents} == {"lead"}
    assert log.road.lanes["l1"].successors == ("l2",) and log.road.lanes["l1"].width == pytest.approx(4.0)


def test_a_plan_on_the_road_scores_and_one_beside_it_does_not(log):
    scene = log.pdms_scene(10)
    reference = reference_plan(scene, vehicle=log.vehicle)
    human = log.driven(10).poses
    astray = human + np.array([0.0, 3.0, 0.0]) * np.linspace(0, 1, 8)[:, None]
    scores = score_proposals(scene, np.stack([human, astray]), 0.5, reference, vehicle=log.vehicle)
    assert scores.score[1] > 0.85
    assert scores.drivable_area.tolist()[1:] == [1.0, 0.0] and scores.score[2] == 0.0


def test_the_reference_stops_behind_a_parked_car(tmp_path):
    log = read_log(_write(tmp_path, made_log(parked_at=45.0)))
    scene = log.pdms_scene(15)
    plan = reference_plan(scene, vehicle=log.vehicle)
    start = log.scenes[15].ego.pose.x
    front = start + plan.poses[-1, 0] + log.vehicle.front
    assert front < 45.0 - 2.25
    free = reference_plan(read_log(_write(tmp_path, made_log())).pdms_scene(15), vehicle=log.vehicle)
    assert free.poses[-1, 0] > plan.poses[-1, 0] + 5.0


def test_idm_holds_speed_and_distance():
    policy = IdmPolicy(target=10.0)
    assert policy.accelerate(0.0, np.inf, 0.0) == pytest.approx(1.5)
    assert policy.accelerate(10.0, np.inf, 0.0) == pytest.approx(0.0)
    assert policy.accelerate(8.0, 5.0, 0.0) == -3.0
    assert policy.accelerate(8.0, 100.0, 8.0) > 0.5


def test_open_loop_of_a_log_is_in_the_lidar_frame(log):
    samples = open_loop_samples(log, [10, 20], [log_replay(log, 10), constant_velocity(log, 20)])
    assert np.allclose(samples.gt[0], np.column_stack([np.zeros(6), 4.0 * np.arange(1, 7)]), atol=1e-3)
    metrics = case_metrics(samples)
    assert np.abs(metrics["exp_uniad_l2"]).max() < 1e-3
    assert np.allclose(samples.boxes[0, 0, 0, :2], [0.0, 25.0 + 4.0 - 0.985793], atol=1e-3)
    assert np.allclose(trajectory_yaw(samples.gt), np.pi / 2, atol=1e-3)


def test_extrapolation_follows_a_turn_and_constant_velocity_does_not(tmp_path):
    log = read_log(_write(tmp_path, made_log(turn=0.2)))
    driven = log.driven(20).poses
    assert np.abs(ego_status(log, 20).poses - driven).max() < 0.25
    assert np.linalg.norm(constant_velocity(log, 20).poses[-1] - driven[-1]) > 5.0
    with pytest.raises(InputError, match="'teleport' is unknown"):
        log_planner("teleport")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("lanes"), "key 'lanes' is missing"),
        (lambda v: v["tracks"].pop("ego"), "a track 'ego'"),
        (lambda v: v.__setitem__("dt", 0.5), "10 Hz"),
        (lambda v: v["tracks"]["ego"]["x_y_heading_vx_vy_valid"][3].__setitem__(0, float("nan")), "finite"),
    ],
)
def test_a_bad_log_is_named(tmp_path, change, message):
    value = made_log()
    change(value)
    path = _write(tmp_path, value)
    with pytest.raises(InputError, match=message) as caught:
        read_log(path)
    assert str(path) in str(caught.value)


def test_a_truncated_log_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(InputError, match="holds no scene"):
        read_logs(tmp_path)
    path = _write(tmp_path, made_log())
    path.write_bytes(path.read_bytes()[:800])
    with pytest.raises(InputError, match="cannot be read"):
        read_log(path)


def test_the_command_prints_both_tables(tmp_path):
    _write(tmp_path, made_log())
    app, out = Typer(), tmp_path / "logs.json"
    cli.register(app)
    arguments = ["eval", "logs", str(tmp_path), "--planner", "log_replay", "--planner", "reference", "--json", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "not NAVSIM" in done.output and "traffic_light_compliance: not computed" in done.output
    written = json.loads(out.read_text())["planners"]
    assert [p["planner"] for p in written] == ["log_replay", "reference"]
    assert written[0]["open_loop"][0]["l2"] == pytest.approx([0.0, 0.0, 0.0], abs=1e-3)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not here")
def test_the_human_scores_near_the_top_and_constant_velocity_does_not():
    logs = [read_log(SHARED / f"scene-{n}.json.gz") for n in ("0103", "0916")]
    human, simple = score_logs(logs, ["log_replay", "constant_velocity"])
    column = {name: i for i, name in enumerate(COLUMNS)}
    assert human.values[:, column["score"]].mean() > 0.85
    assert human.values[:, column["no_at_fault_collisions"]].mean() > 0.95
    assert human.values[:, column["drivable_area_compliance"]].mean() > 0.97
    assert simple.values[:, column["score"]].mean() < human.values[:, column["score"]].mean() - 0.2
