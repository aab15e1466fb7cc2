"""Planners on recorded logs: PDMS by the v1.1 rules with the reference planner, and open loop in four conventions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vadv2_core.errors import InputError
from vadv2_core.geometry import Array
from vadv2_eval.intervals import Estimate, mean_interval
from vadv2_eval.logs.drive_log import DriveLog
from vadv2_eval.logs.nuscenes_mini import MISSING, read_log
from vadv2_eval.logs.open_loop import joined, open_loop_samples
from vadv2_eval.logs.planners import log_planner
from vadv2_eval.open_loop.conventions import aggregate, case_metrics
from vadv2_eval.open_loop.table import ConventionRow, convention_rows
from vadv2_eval.pdms.reference_planner import reference_plan
from vadv2_eval.pdms.score import PdmsScores, score_proposals

NAME = "PDMS-like (v1.1 rules, not NAVSIM)"
COLUMNS = (
    "score",
    "no_at_fault_collisions",
    "drivable_area_compliance",
    "ego_progress",
    "time_to_collision_within_bound",
    "comfort",
    "driving_direction_compliance",
)


@dataclass(frozen=True, slots=True)
class LogResult:
    """One planner over a set of logs.

    Attributes:
        planner: Its name.
        values: (moments, columns) sub-scores as in `COLUMNS`.
        logs: (moments,) log of each.
        open_loop: The four conventions.
    """

    planner: str
    values: Array
    logs: tuple[str, ...]
    open_loop: list[ConventionRow]

    def estimates(self) -> dict[str, Estimate | None]:
        """Mean of every column with its interval over moments."""
        return {name: mean_interval(self.values[:, i]) for i, name in enumerate(COLUMNS)}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        by_log = {
            name: float(self.values[[i for i, n in enumerate(self.logs) if n == name], 0].mean())
            for name in dict.fromkeys(self.logs)
        }
        return {
            "planner": self.planner,
            "metric": NAME,
            "moments": len(self.values),
            "estimates": {k: v.to_json() if v else None for k, v in self.estimates().items()},
            "score_by_log": by_log,
            "open_loop": [row.to_json() for row in self.open_loop],
        }


def columns_of(scores: PdmsScores) -> Array:
    """The (proposals, columns) of `COLUMNS`, without the reference's row."""
    rows = (
        scores.score,
        scores.contacts.value,
        scores.drivable_area,
        scores.progress,
        scores.ttc.value,
        scores.comfort,
        scores.direction,
    )
    return np.stack(rows, axis=1)[1:]


def score_logs(logs: Sequence[DriveLog], planners: Sequence[str]) -> list[LogResult]:
    """Every planner at every half second of every log that has enough future."""
    makers = {name: log_planner(name) for name in planners}
    values: dict[str, list[Array]] = {name: [] for name in planners}
    samples: dict[str, list[Any]] = {name: [] for name in planners}
    names: list[str] = []
    for log in logs:
        moments = list(log.moments())
        if not moments:
            raise InputError("too short to be scored", log.name, "at least 5 s")
        plans = {name: [plan(log, i) for i in moments] for name, plan in makers.items()}
        for k, index in enumerate(tqdm(moments, desc=log.name, leave=False, disable=None)):
            scene = log.pdms_scene(index)
            reference = reference_plan(scene, vehicle=log.vehicle)
            poses = np.stack([plans[name][k].poses for name in planners])
            table = columns_of(score_proposals(scene, poses, 0.5, reference, vehicle=log.vehicle))
            for row, name in zip(table, planners, strict=True):
                values[name].append(row)
            names.append(log.name)
        for name in planners:
            samples[name].append(open_loop_samples(log, moments, plans[name]))
    results = []
    for name in planners:
        whole = joined(samples[name])
        cases = case_metrics(whole)
        rows = convention_rows(whole, cases | aggregate(cases, whole.fut_valid))
        results.append(LogResult(name, np.stack(values[name]), tuple(names), rows))
    return results


def read_logs(folder: Path) -> list[DriveLog]:
    """Every ``scene-*.json.gz`` of a folder.

    Raises:
        InputError: for a folder without one, or a bad file.
    """
    files = sorted(folder.glob("scene-*.json.gz"))
    if not files:
        raise InputError("holds no scene-*.json.gz", str(folder), "a folder of re-encoded nuScenes logs")
    return [read_log(f) for f in files]


def markdown(results: Sequence[LogResult]) -> str:
    """The tables of a run."""
    lines = [f"**{NAME}**, {len(results[0].values)} moments of {len(set(results[0].logs))} logs, 95 % intervals", ""]
    lines += [
        "| planner | score | NC | DAC | EP | TTC | C | DDC (weight 0) | "
        + " | ".join(dict.fromkeys(results[0].logs))
        + " |",
        "|---" * (8 + len(set(results[0].logs))) + "|",
    ]
    for r in results:
        e = r.estimates()["score"]
        by_log = r.to_json()["score_by_log"].values()
        means = " | ".join(f"{v:.3f}" for v in r.values.mean(axis=0)[1:])
        score = f"{e.mean:.3f} [{e.low:.3f}, {e.high:.3f}]" if e else "none"
        lines.append(f"| {r.planner} | {score} | {means} | " + " | ".join(f"{v:.3f}" for v in by_log) + " |")
    lines += ["", "What the logs cannot say:", ""]
    lines += [f"- {metric}: {why}" for metric, why in MISSING.items()]
    lines += [
        "",
        "**Open loop**, 3 s at 2 Hz, every half second of every log, grids drawn from the logs' boxes",
        "",
        "| planner | convention | L2 at 1/2/3 s, m | box collisions, % | samples | masked steps | raw hits |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in results:
        for row in r.open_loop:
            l2 = "/".join(f"{v:.2f}" for v in row.l2)
            box = "/".join(f"{100.0 * v:.2f}" for v in row.box_collisions)
            lines.append(
                f"| {r.planner} | {row.convention}: {row.definition}, {row.classes} | {l2} | {box} | {row.samples} "
                f"| {row.masked_steps} | {row.raw_hits} |"
            )
    return "\n".join(lines)
