"""Plans on chosen scenes: the model's with each kind of reasoning, its peers' and the rules', scored side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from vadv2_core.ego import EgoState
from vadv2_core.geometry import Array
from vadv2_core.meta_action import MetaAction
from vadv2_core.scene import RoadMap
from vadv2_core.trajectory import TrajectoryCandidates
from vadv2_eval.closed_loop.kept_parts import fresh_driver
from vadv2_eval.logs.benchmark import COLUMNS, columns_of
from vadv2_eval.logs.open_loop import open_loop_samples
from vadv2_eval.logs.planners import at_half_seconds, constant_velocity, ego_status, log_replay, rule_reference
from vadv2_eval.open_loop.conventions import case_metrics, raster_hits
from vadv2_eval.open_loop.grid import Raster
from vadv2_eval.pdms.reference_planner import reference_plan
from vadv2_eval.pdms.scene import PoseSequence
from vadv2_eval.pdms.score import score_proposals
from vadv2_eval.reasoning.road_action import action_on_road
from vadv2_eval.scenes.recorded import RecordedDrive, read_drive
from vadv2_eval.scenes.seen import StackOrder, embedding_path, token_path, true_opinion
from vadv2_eval.scenes.token_file import load_tokens

REASONINGS = ("on", "off", "shuffled", "true")
"""Own embedding of the scene; none, the learned null; own embedding of another drive's scene; `true_embedding`."""
RULES = {
    "expert": log_replay,
    "constant_velocity": constant_velocity,
    "ego_status_extrapolation": ego_status,
    "rule_planner": rule_reference,
}
"""Who plans without a network: what the expert drove, straight on, the present motion, and PDMS's reference planner."""
OPEN_LOOP_KEYS = ("stp3_gt_box", "stp3_pred_box")
ACTION_RULE = "road2"
"""How what is planned and driven is put into words, in the keys of what is kept: rows of another rule are not these."""


def plan_rules(argument: dict[str, Any]) -> dict[str, Any]:
    """The rules on a drive's chosen scenes; a job of `vadv2_eval.jobs`. Keys: log, indices."""
    drive = read_drive(Path(argument["log"]))
    plans = {name: [plan(drive.log, i) for i in argument["indices"]] for name, plan in RULES.items()}
    return _scored(drive, argument["indices"], plans)


def plan_scenes(argument: dict[str, Any]) -> dict[str, Any]:
    """A network on a drive's chosen scenes; a job of `vadv2_eval.jobs`.

    Keys: log, indices, tokens (folder), stack, plans: name to kind of reasoning, embeddings (folder), other: for each
    scene [log, row] of another drive's scene.
    """
    log, order = Path(argument["log"]), StackOrder(**argument["stack"])
    drive = read_drive(log)
    driver = fresh_driver(order.config(drive.vehicle))
    planner = driver.planner
    plans: dict[str, list[PoseSequence]] = {name: [] for name in argument["plans"]}
    withheld = dict.fromkeys(argument["plans"], 0)
    actions: dict[str, list[list[str]]] = {name: [] for name in argument["plans"]}
    for row, index in enumerate(argument["indices"]):
        scene = drive.log.scenes[index]
        tokens = None
        if planner.needs_pictures:
            tokens, _ = load_tokens(token_path(Path(argument["tokens"]), log, index), scene.ego)
        for name, kind in argument["plans"].items():
            planner.reset()
            embedding = _embedding(argument, kind, log, row)
            said = None
            if embedding is not None and kind == "true":
                said = true_opinion(driver.reasoner, embedding, scene.stamp, drive.decisions[index])
            elif embedding is not None:
                said = driver.reasoner.opinion(embedding, scene.stamp)
            candidates = planner.plan(tokens, scene.ego, scene.command, scene.route, said)
            points = _points(candidates)
            withheld[name] += candidates.chosen is None
            plans[name].append(PoseSequence(0.5, at_half_seconds(points)))
            actions[name].append([a.name for a in planned_on_road(drive.log.road, scene.ego, points)])
    return _scored(drive, argument["indices"], plans) | {"withheld": withheld, "actions": actions}


def planned_on_road(road: RoadMap, ego: EgoState, points: Array) -> MetaAction:
    """Meta-actions of a plan (n, 6), rows as in `vadv2_core.trajectory.Trajectory`, made from where the ego is."""
    now = ego.pose
    path = np.concatenate([[[now.x, now.y]], now.transform(points[:, 1:3])])
    poses = np.column_stack([path, now.yaw + np.concatenate([[0.0], points[:, 3]])])
    times, speeds = (np.concatenate([[first], points[:, k]]) for first, k in ((0.0, 0), (ego.speed, 4)))
    return action_on_road(road, times, poses, speeds)


def _embedding(argument: dict[str, Any], kind: str, log: Path, row: int) -> NDArray[np.float32] | None:
    if kind == "off":
        return None
    folder = Path(argument["embeddings"])
    if kind == "shuffled":
        other, place = argument["other"][row]
        return np.asarray(load(embedding_path(folder, Path(other)).read_bytes())["said"][place])
    name = "true" if kind == "true" else "said"
    return np.asarray(load(embedding_path(folder, log).read_bytes())[name][row])


def _points(candidates: TrajectoryCandidates) -> Array:
    """The chosen future; the most confident one where the validator withheld all, as the network means it."""
    chosen = candidates.chosen
    return np.asarray(candidates.points[int(np.argmax(candidates.confidences)) if chosen is None else chosen])


def _scored(drive: RecordedDrive, indices: list[int], plans: dict[str, list[PoseSequence]]) -> dict[str, Any]:
    """PDMS columns of every plan (name to (scenes, columns)), and its open-loop quantities."""
    log = drive.log
    columns: dict[str, list[list[float]]] = {name: [] for name in plans}
    for k, index in enumerate(indices):
        scene = log.pdms_scene(index)
        route = log.scenes[index].route
        reference = reference_plan(scene, limit=route.speed_limit if route else 0.0, vehicle=log.vehicle)
        poses = np.stack([plans[name][k].poses for name in plans])
        table = columns_of(score_proposals(scene, poses, 0.5, reference, vehicle=log.vehicle))
        for name, row in zip(plans, table, strict=True):
            columns[name].append([round(float(v), 6) for v in row])
    return {
        "columns": list(COLUMNS),
        "pdms": columns,
        "open_loop": {name: open_loop_quantities(drive, indices, rows) for name, rows in plans.items()},
    }


def open_loop_quantities(drive: RecordedDrive, indices: list[int], plans: list[PoseSequence]) -> dict[str, Any]:
    """Every per-sample quantity of the four conventions, as lists."""
    samples = open_loop_samples(drive.log, indices, plans)
    cases = case_metrics(samples)
    stp3 = raster_hits(samples, Raster.STP3)
    cases |= dict(zip(OPEN_LOOP_KEYS, (stp3.gt_box, stp3.pred_box), strict=True))
    return {k: np.round(v.astype(np.float64), 5).tolist() for k, v in cases.items() if "yaw" not in k}
