"""Which way to drive on is best: safe first, then getting on, then comfortable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array
from vadv2_core.taxonomy import AgentClass
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.expert.prediction import STEP, STEPS, Predictions, shifted_in_time
from vadv2_sim.expert.proposals import Proposals
from vadv2_sim.expert.route_frame import RouteFrame

_SOFT = (AgentClass.PEDESTRIAN, AgentClass.BICYCLE)
_HORIZON_STEPS = 25
"""Conflicts later than 6 s are too uncertain to act upon."""


def conflicts(
    proposals: Proposals,
    frame: RouteFrame,
    predictions: Predictions,
    vehicle: VehicleConfig,
    priority: NDArray[np.bool_],
) -> tuple[Array, NDArray[np.int64]]:
    """When each proposal first comes too near to somebody.

    Boxes in the route's frame, with a margin: wider for people on foot and on bicycles, longer along the way with speed,
    and for those who go first also a second earlier and later than predicted.

    Args:
        proposals: Ways to drive on.
        frame: The way.
        predictions: Of the others.
        vehicle: The ego's sizes.
        priority: (a,) who goes first.

    Returns:
        (p,) seconds (inf for never) and (p,) index of the agent (-1 for none).
    """
    count = len(proposals.offsets)
    first, who = np.full(count, np.inf), np.full(count, -1, dtype=np.int64)
    agents = len(predictions.agents)
    if not agents:
        return first, who
    centre = proposals.s + vehicle.centre_offset
    d = np.stack([plan.at(row) for plan, row in zip(proposals.offsets, centre, strict=True)])
    soft = np.array([a.cls in _SOFT for a in predictions.agents])[:, None]
    side = np.where(soft, 0.7, 0.25)
    behind = predictions.s[:, 0] + predictions.along[:, 0] < frame.ego_s - vehicle.rear_overhang
    for p in range(count):
        ahead = 0.4 + 0.12 * proposals.v[p][None]
        hit = np.zeros((agents, STEPS), dtype=bool)
        for shift in (0, -3, 3):
            s, dd = predictions.s, predictions.d
            along, across = predictions.along, predictions.across
            if shift:
                s, dd, along, across = (shifted_in_time(x, shift) for x in (s, dd, along, across))
            gap = s - centre[p][None]
            near = (np.abs(dd - d[p][None]) < across + 0.5 * vehicle.width + side) & (
                np.where(gap > 0, gap - ahead, -gap) < along + 0.5 * vehicle.length
            )
            hit |= near & (priority[:, None] if shift else True)
        # Whoever comes from behind in our own lane minds the distance; a standing ego is not to blame.
        same = behind & (np.abs(predictions.d[:, 0] - frame.ego_d) < 1.2)
        hit[same] = False
        hit &= (proposals.v[p] > 0.3)[None]
        passing = list(proposals.offsets[p].passes)
        if passing:
            tight = (
                np.abs(predictions.d[passing] - d[p][None]) < predictions.across[passing] + 0.5 * vehicle.width + 0.15
            )
            hit[passing] &= tight
        hit = hit[:, :_HORIZON_STEPS]
        if hit.any():
            when = np.where(hit.any(1), hit.argmax(1), STEPS)
            agent = int(when.argmin())
            first[p], who[p] = when[agent] * STEP, agent
    return first, who


def scores(proposals: Proposals, first: Array, hard: NDArray[np.bool_], kept: NDArray[np.bool_]) -> Array:
    """Higher is better.

    Args:
        proposals: Ways to drive on.
        first: (p,) seconds to the first conflict.
        hard: (p,) emergency braking.
        kept: (p,) what was chosen last time, preferred a little so that the driver does not dither.
    """
    progress = proposals.s[:, _HORIZON_STEPS - 1] - proposals.s[:, 0]
    jerk = np.abs(np.diff(proposals.a[:, :13], axis=1)).mean(1) / STEP
    braking = np.maximum(-proposals.a[:, :9].min(1) - 2.0, 0.0)
    sideways = np.array([float(np.abs(plan.d).max() - np.abs(plan.d[0])) for plan in proposals.offsets])
    unsafe = np.isfinite(first)
    speed_then = proposals.v[np.arange(len(first)), np.minimum(first / STEP, STEPS - 1).astype(np.int64) * unsafe]
    return np.asarray(
        progress
        - 0.8 * jerk
        - 2.0 * braking
        - 1.5 * np.maximum(sideways, 0.0)
        - 6.0 * hard
        + 0.8 * kept
        - unsafe * (200.0 + 20.0 * (6.0 - np.minimum(first, 6.0)) + 4.0 * speed_then)
    )
