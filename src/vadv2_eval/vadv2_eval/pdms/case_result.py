"""One case scored by v1.1 and v2.2, with every stage, under the keys of the case format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vadv2_core.geometry import Array
from vadv2_eval.pdms.comfort import COMFORT_FLAGS, comfort_signals_v2, with_history, within_bounds
from vadv2_eval.pdms.epdms import (
    SUBMETRICS_V2,
    EpdmsMeasures,
    Metrics,
    complete,
    epdms,
    human_filtered,
    measure,
    previous_states,
)
from vadv2_eval.pdms.metrics import CollisionType, Contacts, TimeToCollision, ego_progress
from vadv2_eval.pdms.scene import PACIFICA, SCORED_STEPS, SceneCase, ScoredVehicle
from vadv2_eval.pdms.score import PdmsScores, drive, score_batch
from vadv2_eval.pdms.tracks import TrackTable

REFERENCE, HUMAN, CANDIDATE = range(3)
"""Rows of a case's batch."""


@dataclass(frozen=True, slots=True)
class CaseScores:
    """A case simulated once and scored by both versions.

    Attributes:
        v1: Rows reference, human, candidate.
        v2: The same rows, v2's tracks.
        previous: (1, n, 11) states of the frame before.
        raw, filtered, human: v2 sub-metrics without filter, with it, and of the human alone; (1,) each.
    """

    case: SceneCase
    v1: PdmsScores
    v2: EpdmsMeasures
    previous: Array
    raw: Metrics
    filtered: Metrics
    human: Metrics


def score_case(case: SceneCase, vehicle: ScoredVehicle = PACIFICA, steps: int = SCORED_STEPS) -> CaseScores:
    """Both scores of one case."""
    plans = [(p.poses[None], p.dt) for p in (case.reference, case.human, case.candidate)]
    batch = drive(case.scene, list(plans), vehicle=vehicle, steps=steps)
    v1 = score_batch(case.scene, batch)
    v2 = measure(case.scene, batch)
    previous = previous_states(case.previous, steps, vehicle)
    row = slice(CANDIDATE, CANDIDATE + 1)
    raw = complete(v2, row, REFERENCE, case.history, previous, case.previous.gap)
    human = complete(v2, slice(HUMAN, HUMAN + 1), None, None, None)
    return CaseScores(case, v1, v2, previous, raw, human_filtered(raw, human), human)


def _bits(flags: Any) -> str:
    return "".join("1" if f else "0" for f in flags)


def _fault_step(contacts: Contacts, row: int) -> float | None:
    at = contacts.first[row]
    return None if at < 0 else float(contacts.overlaps.step[at])


def _ttc_step(ttc: TimeToCollision, row: int) -> float | None:
    return None if ttc.step[row] < 0 else float(ttc.step[row])


def contact_rows(contacts: Contacts, table: TrackTable, row: int) -> list[list[Any]]:
    """[token, collision type, at fault, first step, last step], in order of the first step and token."""
    spans: dict[tuple[str, str, bool], list[int]] = {}
    for i in np.flatnonzero(contacts.overlaps.proposal == row):
        key = (
            table.tokens[contacts.overlaps.track[i]],
            CollisionType(int(contacts.kind[i])).name,
            bool(contacts.at_fault[i]),
        )
        step = int(contacts.overlaps.step[i])
        spans.setdefault(key, [step, step])[1] = step
    rows = [[*key, *span] for key, span in spans.items()]
    return sorted(rows, key=lambda r: (r[3], r[0]))


def _flag_map(flags: Any) -> dict[str, int]:
    return {name: int(f) for name, f in zip(COMFORT_FLAGS, flags, strict=True)}


def _v1_row(scores: PdmsScores, row: int) -> dict[str, Any]:
    flags = scores.batch.flags
    return {
        "no_at_fault_collisions": float(scores.contacts.value[row]),
        "drivable_area_compliance": float(scores.drivable_area[row]),
        "ego_progress": float(scores.progress[row]),
        "time_to_collision_within_bound": float(scores.ttc.value[row]),
        "comfort": float(scores.comfort[row]),
        "driving_direction_compliance": float(scores.direction[row]),
        "progress_raw_m": float(scores.batch.progress[row]),
        "multiple_lanes": _bits(flags.multiple_lanes[row]),
        "non_drivable": _bits(flags.non_drivable[row]),
        "off_route": _bits(flags.off_route[row]),
        "at_fault_collision_step": _fault_step(scores.contacts, row),
        "ttc_step": _ttc_step(scores.ttc, row),
        "comfort_no_history": _flag_map(scores.comfort_flags[row]),
    }


def _track_centres(case: SceneCase, table: TrackTable) -> dict[str, Any]:
    steps = table.boxes.shape[1]
    centres: dict[str, Any] = {t.token: [None] * steps for t in case.scene.tracks}
    for i, token in enumerate(table.tokens):
        xy = table.boxes[i, :, :2]
        centres[token] = [None if np.isnan(x) else [float(x), float(y)] for x, y in xy]
    return centres


def _reference_progress(v1: PdmsScores) -> float:
    """EP of the reference, which the original normalises by the better of reference and candidate."""
    product, raw = v1.contacts.value * v1.drivable_area, v1.batch.progress
    one, other = slice(REFERENCE, REFERENCE + 1), slice(CANDIDATE, CANDIDATE + 1)
    return float(ego_progress(raw[one], product[one], raw[other], product[other], multiplied=True)[0])


def v1_result(scores: CaseScores) -> dict[str, Any]:
    """The v1 entry of a case."""
    v1, rollout = scores.v1, scores.v1.batch.rollout
    candidate = _v1_row(v1, CANDIDATE)
    candidate["score"] = float(v1.score[CANDIDATE])
    candidate["contacts"] = contact_rows(v1.contacts, v1.tracks, CANDIDATE)
    return {
        "stages": {
            "candidate_path_10hz": rollout.paths[CANDIDATE].tolist(),
            "lqr_velocity_profile": rollout.speeds[CANDIDATE].tolist(),
            "lqr_curvature_profile": rollout.curvatures[CANDIDATE].tolist(),
            "reference_simulated": rollout.states[REFERENCE].tolist(),
            "candidate_simulated": rollout.states[CANDIDATE].tolist(),
            "track_centers_10hz": _track_centres(scores.case, v1.tracks),
        },
        "reference": _v1_row(v1, REFERENCE) | {"ego_progress": _reference_progress(v1)},
        "candidate": candidate,
    }


def _v2_metrics(metrics: Metrics, left_over: float) -> dict[str, float]:
    row = {name: float(metrics[name][0]) for name in (*SUBMETRICS_V2, "two_frame_extended_comfort")}
    row["epdms"] = float(epdms(metrics)[0])
    row["epdms_without_ec"] = float(epdms(metrics, extended=False)[0])
    row["pdm_score_column"] = left_over
    return row


def v2_result(scores: CaseScores) -> dict[str, Any]:
    """The v2 entry of a case."""
    v2, states = scores.v2, scores.v2.batch.rollout.states
    past = with_history(states[CANDIDATE : CANDIDATE + 1], scores.case.history)
    flags = within_bounds(comfort_signals_v2(past, v2.batch.vehicle))[0]
    without = within_bounds(comfort_signals_v2(states[CANDIDATE : CANDIDATE + 1], v2.batch.vehicle))[0]
    left_over = float(epdms(scores.raw, extended=False)[0])
    return {
        "stages": {
            "human_simulated": states[HUMAN].tolist(),
            "previous_simulated": scores.previous[0].tolist(),
        },
        "human": {name: float(scores.human[name][0]) for name in SUBMETRICS_V2},
        "raw": _v2_metrics(scores.raw, left_over),
        "filtered": _v2_metrics(scores.filtered, left_over),
        "candidate_extra": {
            "at_fault_collision_step": _fault_step(v2.contacts, CANDIDATE),
            "ttc_step": _ttc_step(v2.ttc, CANDIDATE),
            "progress_raw_m": float(v2.batch.progress[CANDIDATE]),
            "comfort_no_history": _flag_map(without),
            "contacts": contact_rows(v2.contacts, v2.tracks, CANDIDATE),
        },
        "reference_extra": {
            "progress_raw_m": float(v2.batch.progress[REFERENCE]),
            "multiplicative_metrics_prod": float(v2.product[REFERENCE]),
        },
        "history_comfort_flags": _flag_map(flags),
        "history_comfort_num_states": int(past.shape[1]),
    }


def case_result(case: SceneCase) -> dict[str, Any]:
    """``{"id", "v1", "v2"}`` of a case, the keys of its ``expected``."""
    scores = score_case(case)
    return {"id": case.id, "v1": v1_result(scores), "v2": v2_result(scores)}
