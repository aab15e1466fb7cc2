"""Why a sub-score is not 1: the metric, the time, the track, the collision type and the place, in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vadv2_core.geometry import Array
from vadv2_eval.pdms.comfort import (
    BOUNDS,
    COMFORT_FLAGS,
    EXTENDED_BOUNDS,
    EXTENDED_FEATURES,
    comfort_signals_v1,
    comfort_signals_v2,
    extended_comfort_differences,
    with_history,
)
from vadv2_eval.pdms.epdms import EpdmsMeasures, Metrics
from vadv2_eval.pdms.metrics import (
    CollisionType,
    Contacts,
    ProposalBatch,
    TimeToCollision,
    direction_distance,
)
from vadv2_eval.pdms.scene import SIMULATION_DT, History
from vadv2_eval.pdms.score import PdmsScores
from vadv2_eval.pdms.tracks import TrackTable

CORNERS = ("front left", "rear left", "rear right", "front right")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why one sub-score lost points.

    Attributes:
        metric: Its key.
        value: What it came to.
        time: Seconds after the start; None where it is about the whole drive.
        place: World (x, y); None likewise.
        track: Token of the other object; None without one.
        collision_type: Of a collision; None otherwise.
        words: The same in a sentence.
    """

    metric: str
    value: float
    time: float | None
    place: tuple[float, float] | None
    words: str
    track: str | None = None
    collision_type: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def _place(point: Array) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _at(step: int) -> float:
    return round(float(step) * SIMULATION_DT, 1)


def _collision(contacts: Contacts, table: TrackTable, row: int) -> list[Cause]:
    first = int(contacts.first[row])
    if first < 0:
        return []
    track, step = int(contacts.overlaps.track[first]), int(contacts.overlaps.step[first])
    kind = CollisionType(int(contacts.kind[first])).name
    place, value = _place(table.boxes[track, step, :2]), float(contacts.value[row])
    words = (
        f"at-fault contact with {table.types[track]} {table.tokens[track]} at {_at(step)} s "
        f"({kind.lower().replace('_', ' ')}) at ({place[0]:.1f}, {place[1]:.1f})"
    )
    return [Cause("no_at_fault_collisions", value, _at(step), place, words, table.tokens[track], kind)]


def _drivable(batch: ProposalBatch, row: int) -> list[Cause]:
    off = batch.flags.non_drivable[row]
    if not off.any():
        return []
    step = int(off.argmax())
    corner = int((~batch.flags.corner_in_drivable[row, step]).argmax())
    place = _place(batch.corners[row, step, corner])
    words = f"{CORNERS[corner]} corner off the drivable area at {_at(step)} s, ({place[0]:.1f}, {place[1]:.1f})"
    return [Cause("drivable_area_compliance", 0.0, _at(step), place, words)]


def _ttc(batch: ProposalBatch, ttc: TimeToCollision, table: TrackTable, row: int) -> list[Cause]:
    step = int(ttc.step[row])
    if step < 0:
        return []
    track, ahead = int(ttc.track[row]), int(ttc.ahead[row])
    place = _place(table.boxes[track, step + ahead, :2])
    words = (
        f"at {_at(step)} s, driving straight on at {batch.speeds[row, step]:.1f} m/s meets {table.types[track]} "
        f"{table.tokens[track]} {_at(ahead)} s later at ({place[0]:.1f}, {place[1]:.1f})"
    )
    return [Cause("time_to_collision_within_bound", 0.0, _at(step), place, words, table.tokens[track])]


def _direction(batch: ProposalBatch, value: float, row: int, *, intersections_count: bool) -> list[Cause]:
    if value >= 1.0:
        return []
    distance = direction_distance(batch, intersections_count=intersections_count)[row]
    step = int(distance.argmax())
    place = _place(batch.centres[row, step])
    words = f"{distance[step]:.1f} m off the lanes of the route in the second before {_at(step)} s"
    return [Cause("driving_direction_compliance", value, _at(step), place, words)]


def _comfort(name: str, signals: Array, batch: ProposalBatch, row: int, before: int) -> list[Cause]:
    """One cause a broken bound; ``before`` samples of ``signals`` (6, n) lie in the past."""
    causes = []
    for i, flag in enumerate(COMFORT_FLAGS):
        low, high = BOUNDS[i]
        excess = np.maximum(signals[i] - high, low - signals[i])
        worst = int(excess.argmax())
        if excess[worst] < 0.0:
            continue
        step = max(worst - before, 0)
        words = (
            f"{flag.replace('_', ' ')} {signals[i, worst]:.2f} outside {low:g} .. {high:g} at {_at(worst - before)} s"
        )
        causes.append(Cause(name, 0.0, _at(worst - before), _place(batch.centres[row, step]), words))
    return causes


def _progress(batch: ProposalBatch, value: float, row: int, reference: int) -> list[Cause]:
    if value > 0.0:
        return []
    ours, theirs = batch.progress[row], batch.progress[reference]
    words = f"{ours:.1f} m along the route against {theirs:.1f} m of the reference, times the multiplicative sub-scores"
    return [Cause("ego_progress", value, None, None, words)]


def causes_v1(scores: PdmsScores, row: int, reference: int = 0) -> list[Cause]:
    """Why the v1.1 sub-scores of one row lost points, in order of time."""
    batch = scores.batch
    signals = comfort_signals_v1(batch.rollout.states[row : row + 1])[0]
    causes = [
        *_collision(scores.contacts, scores.tracks, row),
        *_drivable(batch, row),
        *_ttc(batch, scores.ttc, scores.tracks, row),
        *_progress(batch, float(scores.progress[row]), row, reference),
        *_comfort("comfort", signals, batch, row, 0),
        *_direction(batch, float(scores.direction[row]), row, intersections_count=True),
    ]
    return sorted(causes, key=lambda c: np.inf if c.time is None else c.time)


def causes_v2(
    measures: EpdmsMeasures,
    metrics: Metrics,
    row: int,
    history: History | None = None,
    previous: Array | None = None,
    gap: float = 0.5,
    reference: int = 0,
) -> list[Cause]:
    """Why the v2.2 sub-scores of one row lost points, before the human filter; ``metrics`` are its own, (1,) each."""
    batch = measures.batch
    states = batch.rollout.states[row : row + 1]
    causes = [
        *_collision(measures.contacts, measures.tracks, row),
        *_drivable(batch, row),
        *_ttc(batch, measures.ttc, measures.tracks, row),
        *_progress(batch, float(metrics["ego_progress"][0]), row, reference),
        *_direction(batch, float(metrics["driving_direction_compliance"][0]), row, intersections_count=False),
    ]
    red, drift = int(measures.red_step[row]), int(measures.drift_step[row])
    if red >= 0:
        connector = measures.red_connector[row]
        place = _place(batch.centres[row, red])
        words = f"on connector {connector} while it is red at {_at(red)} s"
        causes.append(Cause("traffic_light_compliance", 0.0, _at(red), place, words))
    if drift >= 0:
        place = _place(batch.centres[row, drift])
        words = f"over 0.5 m from the centreline for 2 s, until {_at(drift)} s"
        causes.append(Cause("lane_keeping", 0.0, _at(drift), place, words))
    if history is not None:
        past = with_history(states, history)
        before = past.shape[1] - states.shape[1]
        causes += _comfort("history_comfort", comfort_signals_v2(past, batch.vehicle)[0], batch, row, before)
    if previous is not None:
        differences = extended_comfort_differences(states, previous, gap)[0]
        for name, found, allowed in zip(EXTENDED_FEATURES, differences, EXTENDED_BOUNDS, strict=True):
            if found > allowed:
                words = f"RMS difference of {name.replace('_', ' ')} to the frame before {found:.2f} above {allowed:g}"
                causes.append(Cause("two_frame_extended_comfort", 0.0, None, None, words))
    return sorted(causes, key=lambda c: np.inf if c.time is None else c.time)
