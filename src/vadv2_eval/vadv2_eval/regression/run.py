"""Driving a bag's frames through Driver, in step, for a snapshot and its scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Array
from vadv2_core.stamps import NANOSECONDS
from vadv2_eval.regression.snapshot import Snapshot, calibration_seconds, take_snapshot


@dataclass(frozen=True, slots=True)
class RegressionFrame:
    """One input: images (None for planners without), ego, command, route."""

    frame: Any
    ego: EgoState
    command: DrivingCommand
    route: Route | None


def drive_frames(driver: Any, frames: Iterable[RegressionFrame], about: dict[str, Any]) -> tuple[Snapshot, Array]:
    """Drive frames from a reset driver.

    Returns:
        The snapshot, and per frame the mean distance, m, of the chosen plan to the recorded odometry over 3 s (NaN
        where the recording ends before).
    """
    driver.reset()
    calibration = calibration_seconds()
    outputs, egos = [], []
    for frame in frames:
        outputs.append(driver.step(frame.frame, frame.ego, frame.command, frame.route))
        egos.append(frame.ego)
    snapshot = take_snapshot(outputs, calibration, about | {"model_id": driver.model_id})
    return snapshot, displacement(outputs, egos)


def displacement(outputs: list[Any], egos: list[EgoState], horizon: float = 3.0) -> Array:
    """(n,) mean distance of each plan to the recorded path up to a horizon, NaN where it is not recorded."""
    t = np.array([(e.stamp - egos[0].stamp) / NANOSECONDS for e in egos])
    xy = np.array([(e.pose.x, e.pose.y) for e in egos])
    errors = np.full(len(outputs), np.nan)
    for i, output in enumerate(outputs):
        c = output.candidates
        points = c.points[int(np.argmax(c.confidences)) if c.chosen is None else c.chosen]
        points = points[points[:, 0] <= horizon + 1e-6]
        at = (c.stamp - egos[0].stamp) / NANOSECONDS + points[:, 0]
        if not len(points) or at[-1] > t[-1] + 1e-6 or points[-1, 0] < horizon - 0.15:
            continue
        truth = np.column_stack([np.interp(at, t, xy[:, k]) for k in range(2)])
        errors[i] = float(np.linalg.norm(c.origin_pose.transform(points[:, 1:3]) - truth, axis=1).mean())
    return errors
