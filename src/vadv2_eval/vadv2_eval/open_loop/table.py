"""The open-loop table: every column says its definition, protocol, class set, samples, masked steps and raw hits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_eval.open_loop.conventions import STEPS_A_SECOND, OpenLoopSamples, raster_hits
from vadv2_eval.open_loop.grid import Mask, Raster
from vadv2_eval.open_loop.rasterise import CLASS_SETS


@dataclass(frozen=True, slots=True)
class ConventionRow:
    """One convention's numbers over a set of samples.

    Attributes:
        convention: Whose.
        definition: At the step, or mean up to it.
        classes: Which agents count.
        samples: How many samples the means run over.
        masked_steps: Steps left out because the human hits there too.
        raw_hits: Steps at which the plan hits, masked ones included.
        l2: Metres at 1, 2, 3 ... s.
        box_collisions: Fraction at 1, 2, 3 ... s.
        point_collisions: Likewise for the ego's point; empty where the convention has none.
    """

    convention: str
    definition: str
    classes: str
    samples: int
    masked_steps: int
    raw_hits: int
    l2: tuple[float, ...]
    box_collisions: tuple[float, ...]
    point_collisions: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def _row(
    name: str, definition: str, classes: str, over: Mask, masked: Mask, raw: Mask, *columns: NDArray[Any] | None
) -> ConventionRow:
    l2, box, point = (() if c is None else tuple(float(v) for v in c) for c in columns)
    return ConventionRow(
        name, definition, classes, int(over.sum()), int(masked[over].sum()), int(raw[over].sum()), l2, box, point
    )


def convention_rows(samples: OpenLoopSamples, result: dict[str, NDArray[Any]]) -> list[ConventionRow]:
    """The four conventions of one scored set."""
    stp3 = raster_hits(samples, Raster.STP3)
    return rows_from(samples.fut_valid, result, stp3.gt_box, stp3.pred_box)


def rows_from(
    valid: Mask, result: dict[str, NDArray[Any]], stp3_gt_box: Mask, stp3_pred_box: Mask
) -> list[ConventionRow]:
    """The four conventions of quantities that are there already.

    Args:
        valid: (n,) samples whose future is whole.
        result: `case_metrics` and `aggregate` together.
        stp3_gt_box: (n, T) the human's hits on ST-P3's grids.
        stp3_pred_box: (n, T) the plan's hits on them.
    """
    every = np.ones_like(valid)
    whole = slice(STEPS_A_SECOND - 1, None, STEPS_A_SECOND)
    sd = slice(STEPS_A_SECOND - 1, result["exp_sd_l2"].shape[1], STEPS_A_SECOND)
    r = result
    return [
        _row(
            "UniAD", "at the step, all samples", CLASS_SETS["uniad"], every,
            r["exp_uniad_gt_box"], r["exp_uniad_pred_box"],
            r["agg_uniad_l2"][whole], r["agg_uniad_obj_box_col"][whole], r["agg_uniad_obj_col"][whole],
        ),
        _row(
            "ST-P3", "mean up to the step, whole futures", CLASS_SETS["stp3"], valid, stp3_gt_box, stp3_pred_box,
            r["agg_stp3_l2"], r["agg_stp3_obj_box_col"], r["agg_stp3_obj_col"],
        ),
        _row(
            "VAD", "mean up to the step, whole futures", CLASS_SETS["vad"], valid,
            r["exp_vad_gt_box"], r["exp_vad_pred_box"],
            r["agg_vad_l2"], r["agg_vad_obj_box_col"], r["agg_vad_obj_col"],
        ),
        _row(
            "SparseDrive/DiffusionDrive", "running mean, oriented boxes, whole futures", CLASS_SETS["oriented"], valid,
            r["exp_sd_gt_col"] > 0, r["exp_sd_pred_col"], r["agg_sd_l2"][sd], r["agg_sd_box_col"][sd], None,
        ),
    ]  # fmt: skip


def markdown(rows: list[ConventionRow]) -> str:
    """The rows as a table, rates in per cent."""
    lines = [
        "| convention | L2 at 1/2/3 s, m | box collisions, % | point collisions, % | definition | classes | samples | "
        "masked steps | raw hits |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        box, point = (_slashed([100.0 * v for v in values]) for values in (row.box_collisions, row.point_collisions))
        lines.append(
            f"| {row.convention} | {_slashed(row.l2)} | {box} | {point or 'none'} | {row.definition} | {row.classes} "
            f"| {row.samples} | {row.masked_steps} | {row.raw_hits} |"
        )
    return "\n".join(lines)


def _slashed(values: Any) -> str:
    return "/".join(f"{v:.2f}" for v in values)
