"""Scores of one drive, as the CARLA leaderboard and Bench2Drive define them; every score is a fraction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vadv2_core.drive import DriveState
from vadv2_eval.closed_loop.trace import DriveEventRecord, DriveTrace
from vadv2_eval.pdms.comfort import BOUNDS

PENALTIES = {
    "collision_pedestrian": 0.50,
    "collision_vehicle": 0.60,
    "collision_static": 0.65,
    "red_light": 0.70,
    "stop_sign": 0.80,
    "time": 0.70,
    "stuck": 0.70,
}
"""CARLA leaderboard 1.0/2.0 coefficients, multiplied once an infraction. Off-road costs route completion instead;
``time`` is the scenario time-out, and ``stuck`` stands in the place of the minimum-speed infraction."""
PEOPLE = frozenset({"pedestrian", "bicycle"})
STATIC = frozenset({"traffic_cone", "barrier", "construction_sign", "generic_object", "unknown"})
SEGMENTS = 20
"""Parts of the route over which Bench2Drive compares speeds: every 5 %."""
COMFORT_WINDOW = 20
"""Samples a comfort segment, 2 s."""
TTC_LIMIT = 1.5
FALL_BACKS = (DriveState.SOFT_STOP, DriveState.EMERGENCY)


def infraction_of(event: DriveEventRecord) -> str | None:
    """The leaderboard's name of an event, None for one that costs nothing there."""
    if not event.at_fault:
        return None
    if event.kind == "collision":
        kind = "pedestrian" if event.partner in PEOPLE else "static" if event.partner in STATIC else "vehicle"
        return f"collision_{kind}"
    return event.kind if event.kind in PENALTIES else None


def infractions(trace: DriveTrace) -> Counter[str]:
    """How often each infraction happened."""
    found: Counter[str] = Counter(name for e in trace.events if (name := infraction_of(e)) is not None)
    if trace.reason == "time":
        found["time"] += 1
    return found


def infraction_score(found: Counter[str]) -> float:
    """Product of the penalties, 1 without any."""
    return float(np.prod([PENALTIES[name] ** count for name, count in found.items()])) if found else 1.0


def route_completion(trace: DriveTrace) -> float:
    """Share of the route that was driven on the road: metres off it do not count, as on the leaderboard."""
    length = trace.goal - trace.start
    if length <= 0.0 or not len(trace.progress):
        return 0.0
    furthest = np.maximum.accumulate(trace.progress)
    gained = np.diff(furthest, prepend=trace.start)
    on_road = gained[~trace.off_road].sum()
    return float(np.clip(on_road / length, 0.0, 1.0))


def efficiency(trace: DriveTrace) -> float | None:
    """Bench2Drive's driving efficiency: mean over 5 % parts of the route of ego speed over the traffic's.

    Above 1 where the ego is faster; None where it never had moving traffic around.
    """
    length = trace.goal - trace.start
    if length <= 0.0:
        return None
    part = np.clip(((trace.progress - trace.start) / length * SEGMENTS).astype(int), 0, SEGMENTS - 1)
    ratios = []
    for k in range(SEGMENTS):
        inside = (part == k) & np.isfinite(trace.traffic_speeds)
        if inside.any() and (others := float(trace.traffic_speeds[inside].mean())) > 0.5:
            ratios.append(float(np.abs(trace.speeds[inside]).mean()) / others)
    return float(np.mean(ratios)) if ratios else None


def comfort(trace: DriveTrace) -> float | None:
    """Bench2Drive's comfortness: share of 2 s segments in which all six nuPlan signals stay within their bounds.

    Derivatives are central differences of the driven motion; None for a drive of less than a segment.
    """
    n = len(trace.speeds)
    if n < COMFORT_WINDOW:
        return None
    ax, ay = trace.accelerations[:, 0], trace.accelerations[:, 1]
    yaw_rate = np.gradient(trace.yaws, trace.dt)
    signals = np.stack(
        [
            ax,
            ay,
            np.gradient(np.hypot(ax, ay), trace.dt),
            np.gradient(ax, trace.dt),
            np.gradient(yaw_rate, trace.dt),
            yaw_rate,
        ]
    )
    within = np.asarray(((signals > BOUNDS[:, :1]) & (signals < BOUNDS[:, 1:])).all(axis=0)).reshape(n)
    segments = within[: n - n % COMFORT_WINDOW].reshape(-1, COMFORT_WINDOW).all(axis=1)
    return float(segments.mean())


def fall_backs(states: Sequence[DriveState]) -> int:
    """How often the drive left its plan for a soft stop or an emergency stop."""
    inside = np.array([s in FALL_BACKS for s in states], dtype=bool)
    return int((inside & ~np.concatenate([[False], inside[:-1]])).sum()) if len(inside) else 0


@dataclass(frozen=True, slots=True)
class DriveScore:
    """All scores of one drive; fractions unless a unit is named.

    Attributes:
        route_completion, infraction_score, driving_score: CARLA leaderboard (score = completion times penalties).
        success: Bench2Drive: the goal reached in time without any infraction.
        scenario_success: By the scenario's own criterion.
        efficiency, comfort: Bench2Drive; None where they cannot be said.
        min_ttc_s: Smallest time to collision, None where it never fell below 5 s.
        low_ttc_share: Share of steps below 1.5 s.
        take_overs: Fall-backs into a soft or emergency stop, and at-fault collisions.
        metres, seconds: Driven.
        infractions: Counts by name.
    """

    route_completion: float
    infraction_score: float
    driving_score: float
    success: bool
    scenario_success: bool
    efficiency: float | None
    comfort: float | None
    min_ttc_s: float | None
    low_ttc_share: float
    take_overs: int
    metres: float
    seconds: float
    infractions: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def drive_score(trace: DriveTrace) -> DriveScore:
    """All scores of a drive."""
    found = infractions(trace)
    completion, penalty = route_completion(trace), infraction_score(found)
    finite = trace.ttc[np.isfinite(trace.ttc)]
    collisions = sum(count for name, count in found.items() if name.startswith("collision"))
    off_road = any(e.kind in ("off_road", "wrong_way") and e.at_fault for e in trace.events)
    return DriveScore(
        completion,
        penalty,
        completion * penalty,
        trace.reason == "goal" and not found and not off_road,
        trace.success,
        efficiency(trace),
        comfort(trace),
        float(finite.min()) if len(finite) else None,
        float((trace.ttc < TTC_LIMIT).mean()) if len(trace.ttc) else 0.0,
        fall_backs(trace.states) + collisions,
        trace.metres,
        trace.seconds,
        dict(sorted(found.items())),
    )


def take_over_rate(take_overs: int, metres: float) -> float | None:
    """Take-overs a kilometre; None where nothing was driven."""
    return take_overs / (metres / 1000.0) if metres > 1.0 else None
