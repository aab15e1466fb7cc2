"""EPDMS (NAVSIM v2.2): lights, lane keeping, history and extended comfort, the human filter (spec PDMS, section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from vadv2_core.errors import InputError
from vadv2_core.geometry import Array
from vadv2_eval.pdms.comfort import (
    EXTENDED_BOUNDS,
    comfort_signals_v2,
    extended_comfort_differences,
    with_history,
    within_bounds,
)
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
    time_to_collision,
)
from vadv2_eval.pdms.path import reference_paths
from vadv2_eval.pdms.scene import (
    LANE_LAYERS,
    OBSERVATION_STEPS,
    History,
    PdmsScene,
    PreviousFrame,
    ScoredVehicle,
)
from vadv2_eval.pdms.tracks import Indices, Mask, TrackTable, boxes_touch, find_overlaps, track_table

FOLLOW_UP_VARIANCE = 0.1
"""m^2 of the kernel over distances between a stage-one end and a follow-up's start (section 8 of spec PDMS)."""
LANE_DEVIATION = 0.5
LANE_STEPS = 20
MAX_GAP = 0.55
MULTIPLICATIVE = (
    "no_at_fault_collisions",
    "drivable_area_compliance",
    "driving_direction_compliance",
    "traffic_light_compliance",
)
WEIGHTS_V2 = {
    "ego_progress": 5.0,
    "time_to_collision_within_bound": 5.0,
    "lane_keeping": 2.0,
    "history_comfort": 2.0,
    "two_frame_extended_comfort": 2.0,
}
SUBMETRICS_V2 = (*MULTIPLICATIVE, "ego_progress", "time_to_collision_within_bound", "lane_keeping", "history_comfort")

Metrics = dict[str, Array]
"""Sub-metric name to (p,) values."""


@dataclass(frozen=True, slots=True)
class EpdmsMeasures:
    """Everything of v2 that does not depend on another proposal.

    Attributes:
        batch, tracks, contacts, ttc: As in v1, with v2's tracks.
        red_step: (p,) first step on a red connector, -1 for none.
        red_connector: (p,) id of it, empty for none.
        drift_step: (p,) step at which lane keeping was lost, -1 for none.
        metrics: The sub-metrics but EP and comfort.
    """

    batch: ProposalBatch
    tracks: TrackTable
    contacts: Contacts
    ttc: TimeToCollision
    red_step: Indices
    red_connector: tuple[str, ...]
    drift_step: Indices
    metrics: Metrics

    @property
    def product(self) -> Array:
        """(p,) product of the multiplicative metrics."""
        return np.asarray(np.prod([self.metrics[name] for name in MULTIPLICATIVE], axis=0))


def measure(scene: PdmsScene, batch: ProposalBatch) -> EpdmsMeasures:
    """The v2 sub-metrics of simulated proposals, log-replay traffic, without EP and comfort."""
    steps = batch.centres.shape[1] - 1
    table = track_table(scene.tracks, steps // OBSERVATION_STEPS + 1)
    table = table.without(_overlapping_at_start(batch, table))
    overlaps = find_overlaps(batch.centres, batch.headings, batch.speeds, batch.size, table, TTC_AHEADS)
    contacts = no_at_fault_collisions(batch, table, overlaps)
    ttc = time_to_collision(batch, table, overlaps)
    red_step, red_connector = red_light_entry(scene, batch)
    drift = lane_drift_step(scene, batch)
    metrics = {
        "no_at_fault_collisions": contacts.value,
        "drivable_area_compliance": drivable_area_compliance(batch),
        "driving_direction_compliance": driving_direction_compliance(
            direction_distance(batch, intersections_count=False)
        ),
        "traffic_light_compliance": np.where(red_step >= 0, 0.0, 1.0),
        "time_to_collision_within_bound": ttc.value,
        "lane_keeping": np.where(drift >= 0, 0.0, 1.0),
    }
    return EpdmsMeasures(batch, table, contacts, ttc, red_step, red_connector, drift, metrics)


def _overlapping_at_start(batch: ProposalBatch, table: TrackTable) -> Mask:
    ego = np.array([[*batch.centres[0, 0], batch.headings[0, 0]]])
    count = len(table.tokens)
    sizes = (np.full(count, 0.5 * batch.vehicle.length), np.full(count, 0.5 * batch.vehicle.width))
    boxes = table.boxes[:, 0]
    there = ~np.isnan(boxes[:, 0])
    touch = boxes_touch(
        np.repeat(ego, count, axis=0), sizes, np.nan_to_num(boxes), (0.5 * table.length, 0.5 * table.width)
    )
    return np.asarray(touch & there)


def red_light_entry(scene: PdmsScene, batch: ProposalBatch) -> tuple[Indices, tuple[str, ...]]:
    """(p,) first step at which the box touches a route connector that is red then, and its id.

    Lights are held from the 2 Hz frame before the step.
    """
    count, steps = batch.headings.shape
    first = np.full(count, -1, dtype=np.int64)
    names = np.full(count, "", dtype=object)
    if not scene.red_connectors:
        return first, tuple(names)
    frame = np.minimum(np.arange(steps) // OBSERVATION_STEPS, len(scene.red_connectors) - 1)
    low, high = batch.corners.min(axis=2), batch.corners.max(axis=2)
    for polygon in scene.map.polygons:
        if polygon.layer not in LANE_LAYERS or polygon.id not in scene.map.route_lane_ids:
            continue
        red = np.array([polygon.id in scene.red_connectors[f] for f in frame])
        if not red.any():
            continue
        outline = polygon.exterior
        near = red & (high >= outline.min(axis=0)).all(axis=-1) & (low <= outline.max(axis=0)).all(axis=-1)
        p, k = np.nonzero(near)
        shape = shapely.Polygon(outline)
        shapely.prepare(shape)
        touch = shapely.intersects(shape, shapely.polygons(batch.corners[p, k]))
        hit, at = np.unique(p[touch], return_index=True)
        step = k[touch][at]
        sooner = (first[hit] < 0) | (step < first[hit])
        first[hit[sooner]] = step[sooner]
        names[hit[sooner]] = polygon.id
    return first, tuple(names)


def lane_drift_step(scene: PdmsScene, batch: ProposalBatch) -> Indices:
    """(p,) step at which the centre was over 0.5 m off the centreline for 20 counted steps, -1 for never.

    Steps in an intersection neither count nor reset.
    """
    line = shapely.LineString(scene.map.centerline)
    shapely.prepare(line)
    points = shapely.points(batch.centres.reshape(-1, 2))
    far = (shapely.distance(line, points) > LANE_DEVIATION).reshape(batch.headings.shape)
    counter: Indices = np.zeros(len(far), dtype=np.int64)
    lost: Indices = np.full(len(far), -1, dtype=np.int64)
    for k in range(far.shape[1]):
        skipped = batch.flags.centre_in_intersection[:, k]
        counter = np.where(skipped, counter, np.where(far[:, k], counter + 1, 0))
        lost = np.where((counter >= LANE_STEPS) & (lost < 0), k, lost)
    return lost


def previous_states(previous: PreviousFrame, steps: int, vehicle: ScoredVehicle) -> Array:
    """(1, steps + 1, 11) simulated states of the frame before."""
    path = reference_paths(previous.candidate.poses[None], previous.candidate.dt, previous.ego.rear_axle, steps)
    return simulate(path, previous.ego, vehicle).states


def extended_comfort(states: Array, previous: Array | None, gap: float = 0.5) -> Array | None:
    """(p,) EC in {0, 1}, or None without a frame between 0 and 0.55 s before."""
    if previous is None or not 0.0 < gap < MAX_GAP:
        return None
    differences = extended_comfort_differences(states, previous, gap)
    return np.where((differences <= EXTENDED_BOUNDS).all(axis=-1), 1.0, 0.0)


def complete(
    measures: EpdmsMeasures,
    rows: slice,
    reference: int | None,
    history: History | None,
    previous: Array | None,
    gap: float = 0.5,
) -> Metrics:
    """All sub-metrics of some rows.

    Args:
        measures: What was measured of every row.
        rows: Which rows.
        reference: Row that progress is held against; None: each row alone, so that EP is 1.
        history: The human's past; without it history comfort is not looked at and is 1.
        previous: (p or 1, n, 11) states of the frame before; without it extended comfort is left out.
        gap: Seconds between the two frames.
    """
    metrics = {name: values[rows] for name, values in measures.metrics.items()}
    raw, product = measures.batch.progress[rows], measures.product[rows]
    if reference is None:
        metrics["ego_progress"] = ego_progress(raw, product, raw, product, multiplied=False)
    else:
        best = slice(reference, reference + 1)
        reference_raw, reference_product = measures.batch.progress[best], measures.product[best]
        metrics["ego_progress"] = ego_progress(raw, product, reference_raw, reference_product, multiplied=False)
    states = measures.batch.rollout.states[rows]
    metrics["history_comfort"] = np.ones(len(states))
    if history is not None:
        flags = within_bounds(comfort_signals_v2(with_history(states, history), measures.batch.vehicle))
        metrics["history_comfort"] = np.where(flags.all(axis=1), 1.0, 0.0)
    extended = extended_comfort(states, previous, gap)
    if extended is not None:
        metrics["two_frame_extended_comfort"] = extended
    return metrics


def human_filtered(metrics: Metrics, human: Metrics) -> Metrics:
    """The agent's sub-metrics with 1 wherever the human's is exactly 0; extended comfort is left as it is."""
    return {
        name: np.where(human[name] == 0.0, 1.0, values) if name in human and name in SUBMETRICS_V2 else values
        for name, values in metrics.items()
    }


def epdms(metrics: Metrics, *, extended: bool = True) -> Array:
    """(p,) EPDMS of the sub-metrics, with extended comfort (/16) or without (/14)."""
    weights = {k: w for k, w in WEIGHTS_V2.items() if k in metrics and (extended or k != "two_frame_extended_comfort")}
    product = np.prod([metrics[name] for name in MULTIPLICATIVE], axis=0)
    return np.asarray(product * sum(w * metrics[k] for k, w in weights.items()) / sum(weights.values()))


def follow_up_weights(distances: Array) -> Array:
    """Weights of navhard's follow-up scenes by the distance (n,) m of their start to where stage one ended."""
    weights = np.exp(-(np.asarray(distances, dtype=np.float64) ** 2) / (2.0 * FOLLOW_UP_VARIANCE))
    total = float(weights.sum())
    return weights / total if total > 1e-12 else np.full(len(weights), 1.0 / max(len(weights), 1))


def two_stage_score(stage_one: float, stage_two: Array, distances: Array) -> float:
    """The group score of navhard: stage one times the weighted mean of the follow-ups."""
    return float(stage_one * np.dot(follow_up_weights(distances), stage_two))


def two_stage_total(groups: Sequence[tuple[float, float]]) -> float:
    """The navhard total: mean over all groups of the average of their ``now`` and ``previous`` group scores.

    Raises:
        InputError: for no group.
    """
    if not groups:
        raise InputError("no group", "two-stage EPDMS", "at least one scene with its follow-ups")
    return float(np.mean([0.5 * (now + previous) for now, previous in groups]))
