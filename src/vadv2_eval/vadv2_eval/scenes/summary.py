"""What a set of scored scenes comes to: means and paired differences with intervals, open loop in all conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from vadv2_core.geometry import Array
from vadv2_eval.intervals import Estimate, group_interval
from vadv2_eval.open_loop.conventions import aggregate
from vadv2_eval.open_loop.table import rows_from

SIMULATOR = "the simulator's scenes: not nuScenes, and not comparable with numbers on it"

SAME = 1e-4
"""Scores nearer than this are the same."""


def grouped(values: Array, groups: Sequence[str]) -> list[list[float]]:
    """Values by group (drive), which are what is drawn again for an interval."""
    by: dict[str, list[float]] = {}
    for name, value in zip(groups, values, strict=True):
        by.setdefault(name, []).append(float(value))
    return list(by.values())


def clustered_mean(values: Array, groups: Sequence[str]) -> Estimate:
    """Mean with a bootstrap interval over drives: scenes of a drive are alike."""
    found = group_interval(grouped(values, groups), lambda rows: float(np.mean(rows)))
    assert found is not None, "a mean of no scenes"
    return found


def paired(a: Array, b: Array, groups: Sequence[str]) -> dict[str, Any]:
    """``b - a`` over the same scenes: mean with an interval over drives, and Wilcoxon's signed-rank test (scipy)."""
    difference = b - a
    changed = difference[np.abs(difference) > SAME]
    p = float(stats.wilcoxon(changed).pvalue) if len(changed) >= 5 else None
    return clustered_mean(difference, groups).to_json() | {
        "scenes": len(difference),
        "better": int((difference > SAME).sum()),
        "worse": int((difference < -SAME).sum()),
        "wilcoxon_p": p,
    }


def planner_summary(
    pdms: Array, columns: Sequence[str], open_loop: dict[str, NDArray[Any]], groups: Sequence[str]
) -> dict[str, Any]:
    """One planner over all scenes.

    Args:
        pdms: (scenes, columns).
        columns: Their names; the first is the score.
        open_loop: Per-sample quantities, (scenes, ...).
        groups: Drive of each scene.
    """
    valid = np.ones(len(pdms), dtype=bool)
    rows = rows_from(
        valid, open_loop | aggregate(open_loop, valid), open_loop["stp3_gt_box"], open_loop["stp3_pred_box"]
    )
    return {
        "pdms": clustered_mean(pdms[:, 0], groups).to_json(),
        "sub_scores": {name: float(pdms[:, i].mean()) for i, name in enumerate(columns) if i},
        "open_loop": {"of": SIMULATOR, "conventions": [row.to_json() for row in rows]},
    }


def reasoning_differences(scores: dict[str, Array], groups: Sequence[str]) -> dict[str, Any]:
    """What reasoning is worth: each other kind against the reasoning that is on, paired by scene."""
    own = scores.get("on")
    if own is None:
        return {}
    return {
        f"on minus {name}": paired(values, own, groups) for name, values in scores.items() if name != "on"
    }  # fmt: skip
