"""PDMS v1.1 of a batch of proposals of one scene."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vadv2_core.errors import InputError
from vadv2_core.geometry import Array
from vadv2_eval.pdms.comfort import comfort_signals_v1, within_bounds
from vadv2_eval.pdms.lqr import simulate
from vadv2_eval.pdms.metrics import (
    TTC_AHEADS,
    Contacts,
    ProposalBatch,
    TimeToCollision,
    direction_distance,
    drivable_area_compliance,
    driving_direction_compliance,
    ego_progress,
    no_at_fault_collisions,
    proposal_batch,
    time_to_collision,
)
from vadv2_eval.pdms.path import reference_paths
from vadv2_eval.pdms.scene import OBSERVATION_STEPS, PACIFICA, SCORED_STEPS, PdmsScene, PoseSequence, ScoredVehicle
from vadv2_eval.pdms.tracks import TrackTable, find_overlaps, track_table

WEIGHTS_V1 = {"ego_progress": 5.0, "time_to_collision_within_bound": 5.0, "comfort": 2.0}


@dataclass(frozen=True, slots=True)
class PdmsScores:
    """PDMS v1.1 of p proposals; the first row is the reference, whose score leans on itself alone.

    Attributes:
        batch: What they drove.
        tracks: Against whom.
        contacts: NC and its contacts.
        drivable_area: (p,) DAC.
        ttc: TTC and its first violations.
        comfort_flags: (p, 6).
        direction: (p,) DDC (weight 0 in v1.1).
        progress: (p,) EP.
        score: (p,) PDMS.
    """

    batch: ProposalBatch
    tracks: TrackTable
    contacts: Contacts
    drivable_area: Array
    ttc: TimeToCollision
    comfort_flags: NDArray[np.bool_]
    direction: Array
    progress: Array
    score: Array

    @property
    def comfort(self) -> Array:
        """(p,) C in {0, 1}."""
        return np.where(self.comfort_flags.all(axis=1), 1.0, 0.0)


def is_navsim(scene: PdmsScene, steps: int, vehicle: ScoredVehicle) -> bool:
    """Whether the numbers are NAVSIM's own: its horizon, its vehicle, and tracks that reach as far as it looks."""
    reach = all(len(t.states) >= frames_needed(steps) for t in scene.tracks)
    return steps == SCORED_STEPS and vehicle == PACIFICA and reach


def frames_needed(steps: int) -> int:
    """2 Hz frames of tracks that v1 looks at: the horizon and 0.9 s more."""
    return ceil((steps + TTC_AHEADS[-1]) / OBSERVATION_STEPS) + 1


def drive(
    scene: PdmsScene,
    plans: list[tuple[ArrayLike, float]],
    *,
    vehicle: ScoredVehicle = PACIFICA,
    steps: int = SCORED_STEPS,
) -> ProposalBatch:
    """Simulate plans of one scene together.

    Args:
        scene: Where.
        plans: Pairs of poses (p, n, 3) in the ego frame and their dt; rows follow this order.
        vehicle: The body.
        steps: Horizon in steps of 0.1 s.
    """
    if steps < 1:
        raise InputError(f"is {steps} steps", "horizon", "at least one step of 0.1 s")
    paths = [reference_paths(poses, dt, scene.ego.rear_axle, steps) for poses, dt in plans]
    return proposal_batch(scene, simulate(np.concatenate(paths), scene.ego, vehicle), vehicle)


def score_batch(scene: PdmsScene, batch: ProposalBatch) -> PdmsScores:
    """PDMS v1.1 of simulated proposals whose first row is the reference."""
    steps = batch.centres.shape[1] - 1
    table = track_table(scene.tracks, frames_needed(steps))
    overlaps = find_overlaps(batch.centres, batch.headings, batch.speeds, batch.size, table, TTC_AHEADS)
    contacts = no_at_fault_collisions(batch, table, overlaps)
    drivable = drivable_area_compliance(batch)
    ttc = time_to_collision(batch, table, overlaps)
    flags = within_bounds(comfort_signals_v1(batch.rollout.states))
    direction = driving_direction_compliance(direction_distance(batch, intersections_count=True))
    product = contacts.value * drivable
    progress = ego_progress(batch.progress, product, batch.progress[:1], product[:1], multiplied=True)
    weighted = (
        WEIGHTS_V1["ego_progress"] * progress
        + WEIGHTS_V1["time_to_collision_within_bound"] * ttc.value
        + WEIGHTS_V1["comfort"] * flags.all(axis=1)
    )
    score = product * weighted / sum(WEIGHTS_V1.values())
    return PdmsScores(batch, table, contacts, drivable, ttc, flags, direction, progress, score)


def score_proposals(
    scene: PdmsScene,
    poses: ArrayLike,
    dt: float,
    reference: PoseSequence,
    *,
    vehicle: ScoredVehicle = PACIFICA,
    steps: int = SCORED_STEPS,
) -> PdmsScores:
    """PDMS v1.1 of proposals (p, n, 3), each against the reference; row 0 of the result is the reference.

    Raises:
        InputError: for an empty plan, numbers that are not finite, or a horizon below one step.
    """
    plans: list[tuple[ArrayLike, float]] = [(reference.poses[None], reference.dt), (poses, dt)]
    return score_batch(scene, drive(scene, plans, vehicle=vehicle, steps=steps))
