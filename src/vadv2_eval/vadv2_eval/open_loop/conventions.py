"""L2 and collisions as UniAD, ST-P3, VAD and SparseDrive count them (spec OPEN_LOOP, sections 3 to 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array
from vadv2_eval.open_loop.grid import Mask, Raster, footprint_hits, point_hits
from vadv2_eval.open_loop.oriented import oriented_hits, trajectory_yaw

STEPS_A_SECOND = 2


@dataclass(frozen=True, slots=True)
class OpenLoopSamples:
    """Samples to score; T steps of 0.5 s.

    Attributes:
        pred, gt: (n, T, 2) cumulative positions, x right, y forward.
        gt_mask: (n, T, 2) 1 where the future sample exists.
        fut_valid: (n,) all of them exist.
        boxes: (n, T, agents, 5) real future boxes of all classes.
        box_mask: (n, T, agents).
        grids: Occupancy by convention, (n, T, 200, 200).
    """

    pred: NDArray[np.float32]
    gt: NDArray[np.float32]
    gt_mask: NDArray[np.float32]
    fut_valid: Mask
    boxes: Array
    box_mask: Mask
    grids: dict[Raster, Mask]


def _distance(samples: OpenLoopSamples, *, masked: bool) -> NDArray[np.float32]:
    square = (samples.pred - samples.gt) ** 2
    return np.asarray(np.sqrt((square * samples.gt_mask if masked else square).sum(axis=-1)), dtype=np.float32)


def _up_to(values: NDArray[Any]) -> NDArray[np.float32]:
    """(n, seconds) mean of (n, T) up to every whole second."""
    seconds = values.shape[1] // STEPS_A_SECOND
    columns = [values[:, : (s + 1) * STEPS_A_SECOND].mean(axis=1) for s in range(seconds)]
    return np.stack(columns, axis=1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class RasterHits:
    """Hits of one raster convention, (n, T) each.

    Attributes:
        gt_box: The human's footprint hits; such a step never counts.
        pred_box: The plan's footprint hits, raw.
        box, point: The plan's footprint and point hits at the steps that count.
    """

    gt_box: Mask
    pred_box: Mask
    box: Mask
    point: Mask


def raster_hits(samples: OpenLoopSamples, raster: Raster) -> RasterHits:
    """Ground-truth-masked hits on one convention's grids."""
    grids = samples.grids[raster]
    gt_box = footprint_hits(grids, samples.gt, raster)
    pred_box = footprint_hits(grids, samples.pred, raster)
    return RasterHits(gt_box, pred_box, pred_box & ~gt_box, point_hits(grids, samples.pred, raster) & ~gt_box)


def case_metrics(samples: OpenLoopSamples) -> dict[str, NDArray[Any]]:
    """Every per-sample quantity, by the keys of the case format (``exp_...``)."""
    out: dict[str, NDArray[Any]] = {}
    uniad, stp3, vad = (raster_hits(samples, r) for r in (Raster.UNIAD, Raster.STP3, Raster.VAD))
    out["exp_uniad_l2"] = _distance(samples, masked=True).astype(np.float32)
    out["exp_uniad_obj_col"] = uniad.point.astype(np.float32)
    out["exp_uniad_obj_box_col"] = uniad.box.astype(np.float32)
    out["exp_uniad_gt_box"], out["exp_uniad_pred_box"] = uniad.gt_box, uniad.pred_box
    out["exp_stp3_l2"] = _up_to(_distance(samples, masked=False))
    out["exp_stp3_obj_col"] = _up_to(stp3.point)
    out["exp_stp3_obj_box_col"] = _up_to(stp3.box)
    valid = samples.fut_valid[:, None].astype(np.float32)
    out["exp_vad_l2"] = _up_to(_distance(samples, masked=False)) * valid
    out["exp_vad_obj_col"] = _up_to(vad.point) * valid
    out["exp_vad_obj_box_col"] = _up_to(vad.box) * valid
    out["exp_vad_gt_box"], out["exp_vad_pred_box"] = vad.gt_box, vad.pred_box
    out["exp_vad_obj_col_steps"] = vad.point.astype(np.float32)
    out["exp_vad_obj_box_col_steps"] = vad.box.astype(np.float32)
    gt_hits = oriented_hits(samples.gt, samples.boxes, samples.box_mask)
    pred_hits = oriented_hits(samples.pred, samples.boxes, samples.box_mask)
    out["exp_sd_l2"] = _distance(samples, masked=True).astype(np.float32)
    out["exp_sd_gt_col"] = gt_hits.astype(np.float32)
    out["exp_sd_box_col"] = (pred_hits & ~gt_hits).astype(np.float32)
    out["exp_sd_pred_col"] = pred_hits
    out["exp_sd_yaw_pred"], out["exp_sd_yaw_gt"] = trajectory_yaw(samples.pred), trajectory_yaw(samples.gt)
    return out


def _mean(values: NDArray[Any], over: Mask | None = None) -> Array:
    chosen = values if over is None else values[over]
    return np.asarray(chosen.astype(np.float64).sum(axis=0) / max(len(chosen), 1))


def _running(values: Array) -> Array:
    return np.asarray(np.cumsum(values) / np.arange(1, len(values) + 1))


def aggregate(cases: dict[str, NDArray[Any]], fut_valid: Mask) -> dict[str, NDArray[Any]]:
    """Every whole-set quantity, by the keys of the case format (``agg_...``); rates are fractions.

    UniAD divides by all samples, those without a future included; the others by the samples whose future is whole.
    """
    out: dict[str, NDArray[Any]] = {}
    for name in ("obj_col", "obj_box_col", "l2"):
        at_step = _mean(cases[f"exp_uniad_{name}"])
        out[f"agg_uniad_{name}"] = at_step
        out[f"agg_uniad_{name}_stp3style"] = _running(at_step)
        out[f"agg_stp3_{name}"] = _mean(cases[f"exp_stp3_{name}"], fut_valid)
        out[f"agg_vad_{name}"] = _mean(cases[f"exp_vad_{name}"], fut_valid)
    for name in ("l2", "gt_col", "box_col"):
        running = _running(_mean(cases[f"exp_sd_{name}"], fut_valid))
        seconds = running[STEPS_A_SECOND - 1 :: STEPS_A_SECOND]
        out[f"agg_sd_{name}"] = np.append(running, seconds.mean())
    out["agg_n_valid"], out["agg_n_total"] = np.array(int(fut_valid.sum())), np.array(len(fut_valid))
    return out
