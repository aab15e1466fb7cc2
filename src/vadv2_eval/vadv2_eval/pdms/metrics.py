"""The sub-metrics that v1 and v2 share: collisions, areas, time to collision, progress, direction (section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import shapely
from numpy.typing import NDArray

from vadv2_core.geometry import Array, box_corners
from vadv2_eval.pdms.areas import AreaFlags, area_flags
from vadv2_eval.pdms.lqr import HEADING, VX, VY, Rollout, X, Y
from vadv2_eval.pdms.scene import PdmsScene, ScoredVehicle
from vadv2_eval.pdms.tracks import Indices, Mask, Overlaps, TrackTable, boxes_touch

TTC_AHEADS = (0, 3, 6, 9)
STOPPED_EGO_SPEED = 0.05
TTC_EGO_SPEED = 0.005
AHEAD_COS = float(np.cos(np.deg2rad(30.0)))
BEHIND_COS = float(np.cos(np.deg2rad(150.0)))
PROGRESS_THRESHOLD = 5.0
DIRECTION_WINDOW = 11
DIRECTION_COMPLIANT, DIRECTION_VIOLATED = 2.0, 6.0
NEVER = np.int64(-1)


class CollisionType(IntEnum):
    """How a contact came about, by the names of the original."""

    STOPPED_EGO_COLLISION = 0
    STOPPED_TRACK_COLLISION = 1
    ACTIVE_FRONT_COLLISION = 2
    ACTIVE_REAR_COLLISION = 3
    ACTIVE_LATERAL_COLLISION = 4


@dataclass(frozen=True, slots=True)
class ProposalBatch:
    """Simulated proposals with their boxes and where these stand.

    Attributes:
        rollout: States and profiles.
        axles, centres: (p, k, 2) rear axle and box centre.
        headings, speeds: (p, k).
        corners: (p, k, 4, 2) front left, rear left, rear right, front right.
        flags: Area flags.
        progress: (p,) metres along the centreline from step 0 to the last, at least 0.
        vehicle: The body.
    """

    rollout: Rollout
    axles: Array
    centres: Array
    headings: Array
    speeds: Array
    corners: Array
    flags: AreaFlags
    progress: Array
    vehicle: ScoredVehicle

    @property
    def size(self) -> tuple[float, float]:
        """Length and width of the box, m."""
        return self.vehicle.length, self.vehicle.width


def proposal_batch(scene: PdmsScene, rollout: Rollout, vehicle: ScoredVehicle) -> ProposalBatch:
    """Boxes, area flags and progress of simulated proposals."""
    states = rollout.states
    axles, headings = np.stack([states[..., X], states[..., Y]], axis=-1), states[..., HEADING]
    direction = np.stack([np.cos(headings), np.sin(headings)], axis=-1)
    centres = axles + vehicle.centre_ahead * direction
    corners = box_corners(centres[..., 0], centres[..., 1], headings, vehicle.length, vehicle.width)
    return ProposalBatch(
        rollout,
        axles,
        centres,
        headings,
        np.hypot(states[..., VX], states[..., VY]),
        corners,
        area_flags(scene.map, corners, centres, axles),
        raw_progress(scene.map.centerline, centres),
        vehicle,
    )


def raw_progress(centerline: Array, centres: Array) -> Array:
    """(p,) arc length of the centreline between the feet of the first and the last box centre, at least 0."""
    line = shapely.LineString(centerline)
    start, end = (shapely.line_locate_point(line, shapely.points(centres[:, k])) for k in (0, -1))
    return np.asarray(np.maximum(end - start, 0.0))


@dataclass(frozen=True, slots=True)
class Contacts:
    """Contacts under examination: a track is dropped after its first contact that is not the ego's fault.

    Attributes:
        overlaps: Which boxes, ``ahead`` all 0.
        kind: (n,) `CollisionType`.
        at_fault: (n,).
        value: (p,) NC in {0, 0.5, 1}.
        first: (p,) index into the contacts of the first one at fault; -1 for none.
    """

    overlaps: Overlaps
    kind: NDArray[np.int64]
    at_fault: Mask
    value: Array
    first: Indices


def _bearing_cosine(batch: ProposalBatch, table: TrackTable, pairs: Overlaps) -> Array:
    """Cosine of the angle between ego heading and the way from rear axle to track centre; NaN at the axle itself."""
    p, k = pairs.proposal, pairs.step
    to = table.boxes[pairs.track, k + pairs.ahead, :2] - batch.axles[p, k]
    heading = batch.headings[p, k]
    with np.errstate(invalid="ignore"):
        return np.asarray((to[:, 0] * np.cos(heading) + to[:, 1] * np.sin(heading)) / np.hypot(to[:, 0], to[:, 1]))


def _until_dropped(pairs: Overlaps, drops: Mask, tracks: int) -> Mask:
    """Which pairs come no later than their proposal's and track's first dropping pair (pairs are in time order)."""
    group = pairs.proposal * tracks + pairs.track
    rank = np.arange(len(group))
    first = np.full(int(group.max()) + 1 if len(group) else 0, len(group), dtype=np.int64)
    dropping = np.flatnonzero(drops)[::-1]
    first[group[dropping]] = rank[dropping]  # of equal places the last assignment stays: the earliest pair
    return np.asarray(rank <= first[group])


def no_at_fault_collisions(batch: ProposalBatch, table: TrackTable, overlaps: Overlaps) -> Contacts:
    """NC. ``overlaps`` may hold look-aheads; only the boxes of the same step count."""
    pairs = overlaps.take(overlaps.ahead == 0)
    p, k, t = pairs.proposal, pairs.step, pairs.track
    heading = batch.headings[p, k]
    front = batch.axles[p, k] + batch.vehicle.front * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    edge = np.column_stack([front, heading])
    half_width = np.full(len(p), 0.5 * batch.vehicle.width)
    bumper = boxes_touch(
        edge, (np.zeros(len(p)), half_width), table.boxes[t, k], (0.5 * table.length[t], 0.5 * table.width[t])
    )
    behind = _bearing_cosine(batch, table, pairs) < BEHIND_COS
    kind = np.select(
        [batch.speeds[p, k] <= STOPPED_EGO_SPEED, table.stopped[t], behind, bumper],
        [
            CollisionType.STOPPED_EGO_COLLISION,
            CollisionType.STOPPED_TRACK_COLLISION,
            CollisionType.ACTIVE_REAR_COLLISION,
            CollisionType.ACTIVE_FRONT_COLLISION,
        ],
        CollisionType.ACTIVE_LATERAL_COLLISION,
    )
    careless = batch.flags.multiple_lanes[p, k] | batch.flags.non_drivable[p, k]
    fault = (
        (kind == CollisionType.STOPPED_TRACK_COLLISION)
        | (kind == CollisionType.ACTIVE_FRONT_COLLISION)
        | ((kind == CollisionType.ACTIVE_LATERAL_COLLISION) & careless)
    )
    kept = np.flatnonzero(_until_dropped(pairs, ~fault, len(table.tokens)))
    pairs, kind, fault = pairs.take(kept), kind[kept], fault[kept]
    value = np.ones(len(batch.centres))
    guilty = np.flatnonzero(fault)
    np.minimum.at(value, pairs.proposal[guilty], np.where(table.static[pairs.track[guilty]], 0.5, 0.0))
    first = np.full(len(value), NEVER)
    proposals, at = np.unique(pairs.proposal[guilty], return_index=True)
    first[proposals] = guilty[at]
    return Contacts(pairs, kind.astype(np.int64), fault, value, first)


def drivable_area_compliance(batch: ProposalBatch) -> Array:
    """(p,) DAC: 0 where a corner ever stands outside the drivable area, step 0 included."""
    return np.where(batch.flags.non_drivable.any(axis=1), 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class TimeToCollision:
    """TTC.

    Attributes:
        value: (p,) in {0, 1}.
        step: (p,) first violating step, -1 for none.
        ahead, track: (p,) look-ahead in steps and track of that violation, -1 for none.
    """

    value: Array
    step: Indices
    ahead: Indices
    track: Indices


def time_to_collision(batch: ProposalBatch, table: TrackTable, overlaps: Overlaps) -> TimeToCollision:
    """TTC: the box driven straight on for 0, 0.3, 0.6, 0.9 s against the tracks' real future.

    Bearings use the pose of the step itself, as the original does, so a faster car from behind can be "ahead".
    Steps whose furthest look-ahead lies beyond the tracks are not looked at (K = 31 in v2).
    """
    last_step = table.boxes.shape[1] - 1 - TTC_AHEADS[-1]
    moving = batch.speeds[overlaps.proposal, overlaps.step] >= TTC_EGO_SPEED
    pairs = overlaps.take(moving & (overlaps.step <= last_step))
    p, k = pairs.proposal, pairs.step
    cosine = _bearing_cosine(batch, table, pairs)
    flags = batch.flags
    exposed = flags.multiple_lanes[p, k] | flags.non_drivable[p, k] | flags.axle_in_intersection[p, k]
    violates = (cosine > AHEAD_COS) | (exposed & ~(cosine < BEHIND_COS))
    kept = _until_dropped(pairs, ~violates, len(table.tokens))
    guilty = np.flatnonzero(kept & violates)
    proposals, at = np.unique(p[guilty], return_index=True)
    value = np.ones(len(batch.centres))
    step, ahead, track = (np.full(len(value), NEVER) for _ in range(3))
    value[proposals] = 0.0
    step[proposals], ahead[proposals] = k[guilty][at], pairs.ahead[guilty][at]
    track[proposals] = pairs.track[guilty][at]
    return TimeToCollision(value, step, ahead, track)


def direction_distance(batch: ProposalBatch, *, intersections_count: bool) -> Array:
    """(p, k) metres the box centre moved off the route within the last 11 samples."""
    wrong = batch.flags.off_route
    if not intersections_count:
        wrong = wrong & ~batch.flags.centre_in_intersection
    moved = np.zeros(wrong.shape)
    moved[:, 1:] = np.hypot(*np.moveaxis(np.diff(batch.centres, axis=1), -1, 0))
    total = np.cumsum(np.where(wrong, moved, 0.0), axis=1)
    total[:, DIRECTION_WINDOW:] -= total[:, :-DIRECTION_WINDOW].copy()
    return total


def driving_direction_compliance(distance: Array) -> Array:
    """(p,) DDC in {0, 0.5, 1} of `direction_distance`."""
    furthest = distance.max(axis=1)
    return np.where(furthest < DIRECTION_COMPLIANT, 1.0, np.where(furthest < DIRECTION_VIOLATED, 0.5, 0.0))


def ego_progress(
    raw: Array, product: Array, reference_raw: Array, reference_product: Array, *, multiplied: bool
) -> Array:
    """EP of proposals, each against the reference alone.

    Args:
        raw: (p,) raw progress, m.
        product: (p,) product of the multiplicative metrics.
        reference_raw: (1,) or (p,) of the reference.
        reference_product: Likewise.
        multiplied: v1: the numerator carries the product, and a product of 0 gives 0. v2: it does not.
    """
    best = np.maximum(raw * product, reference_raw * reference_product)
    far = best > PROGRESS_THRESHOLD
    share = np.divide(raw * product if multiplied else raw, best, out=np.zeros_like(raw), where=far)
    near = np.where(product > 0.0, 1.0, 0.0) if multiplied else np.ones_like(raw)
    return np.where(far, np.clip(share, 0.0, 1.0), near)
