"""Displacement, heading and comfort of a recorded plan against what was then driven."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array, box_corners, wrap_angle
from vadv2_core.scene import RoadMap
from vadv2_core.stamps import NANOSECONDS
from vadv2_core.taxonomy import STATIC_CLASSES
from vadv2_core.trajectory import TrajectoryCandidates
from vadv2_core.vehicle import VehicleConfig
from vadv2_eval.bags.recording import Recording
from vadv2_eval.closed_loop.reasoning import driven_between
from vadv2_eval.pdms.comfort import BOUNDS, COMFORT_FLAGS
from vadv2_eval.pdms.tracks import boxes_touch

HORIZONS = (1.0, 2.0, 3.0, 4.0, 8.0)
BEST_OF = (1, 5, 10, 20)
OBJECT_HORIZON = 4.0
MAX_OBJECT_AGE = 0.15
"""s between a step of the plan and the objects it is held against."""


def _key(seconds: float) -> str:
    return f"{seconds:g}s"


def plan_errors(recording: Recording, plan: TrajectoryCandidates) -> dict[str, Any]:
    """ADE, FDE, heading, lateral and longitudinal error at every horizon that plan and recording both reach.

    ADE is the mean over the plan's points up to the horizon, FDE the error at it; lateral and longitudinal are of the
    plan in the frame of what was driven (left and ahead positive). The chosen mode, or the most confident one where
    none was chosen; ``min_ade``/``min_fde`` are the best of the k most confident modes.
    """
    t = plan.points[0, :, 0]
    truth = recording.pose_at(plan.stamp + np.round(t * NANOSECONDS).astype(np.int64))
    there = ~np.isnan(truth[:, 0])
    world = plan.origin_pose.transform(plan.points[:, :, 1:3])
    distance = np.linalg.norm(world - truth[:, :2], axis=-1)
    order = np.argsort(-plan.confidences, kind="stable")
    chosen = int(order[0]) if plan.chosen is None else plan.chosen
    heading = wrap_angle(plan.points[chosen, :, 3] + plan.origin_pose.yaw - truth[:, 2])
    offset = world[chosen] - truth[:, :2]
    c, s = np.cos(truth[:, 2]), np.sin(truth[:, 2])
    along, aside = c * offset[:, 0] + s * offset[:, 1], -s * offset[:, 0] + c * offset[:, 1]
    errors: dict[str, Any] = {
        name: {} for name in ("ade", "fde", "heading", "lateral", "longitudinal", "speed", "min_ade", "min_fde")
    }
    for horizon in HORIZONS:
        upto = np.flatnonzero(t <= horizon + 1e-6)
        if not len(upto) or t[upto[-1]] < horizon - 0.26 or not there[upto].all():
            continue
        end, key = upto[-1], _key(horizon)
        errors["ade"][key] = float(distance[chosen, upto].mean())
        errors["fde"][key] = float(distance[chosen, end])
        errors["heading"][key] = float(heading[end])
        errors["lateral"][key], errors["longitudinal"][key] = float(aside[end]), float(along[end])
        errors["speed"][key] = float(plan.points[chosen, end, 4] - truth[end, 3])
        for k in BEST_OF:
            if k <= len(order):
                best = distance[order[:k]]
                errors["min_ade"].setdefault(str(k), {})[key] = float(best[:, upto].mean(axis=1).min())
                errors["min_fde"].setdefault(str(k), {})[key] = float(best[:, end].min())
    return errors


def plan_comfort(plan: TrajectoryCandidates) -> dict[str, bool]:
    """Whether the chosen mode keeps nuPlan's six bounds, by central differences of its points."""
    chosen = int(np.argmax(plan.confidences)) if plan.chosen is None else plan.chosen
    t, _, _, yaw, v, a = plan.points[chosen].T
    if len(t) < 5:
        return {}
    rate = np.gradient(np.unwrap(yaw), t)
    lateral = v * rate
    signals = np.stack(
        [a, lateral, np.gradient(np.hypot(a, lateral), t), np.gradient(a, t), np.gradient(rate, t), rate]
    )
    good = np.asarray(((signals > BOUNDS[:, :1]) & (signals < BOUNDS[:, 1:])).all(axis=1)).tolist()
    return {name: bool(ok) for name, ok in zip(COMFORT_FLAGS, good, strict=True)}


def plan_collision(recording: Recording, plan: TrajectoryCandidates, vehicle: VehicleConfig) -> dict[str, Any] | None:
    """The first recorded object the chosen mode would touch within 4 s; None where no objects are recorded.

    Returns:
        ``{"hit": bool, "time", "object"}``; objects are those recorded nearest in time to each point.
    """
    if not recording.objects:
        return None
    stamps = np.array(sorted(recording.objects), dtype=np.int64)
    chosen = int(np.argmax(plan.confidences)) if plan.chosen is None else plan.chosen
    points = plan.points[chosen]
    for row in points[points[:, 0] <= OBJECT_HORIZON]:
        at = plan.stamp + round(row[0] * NANOSECONDS)
        nearest = int(stamps[np.abs(stamps - at).argmin()])
        if abs(nearest - at) > MAX_OBJECT_AGE * NANOSECONDS:
            continue
        agents = recording.objects[nearest].get("agents", [])
        if not agents:
            continue
        boxes = np.array([a["box"][:5] for a in agents], dtype=np.float64)
        yaw = row[3] + plan.origin_pose.yaw
        x, y = plan.origin_pose.transform(row[1:3])
        centre = (x + vehicle.centre_offset * np.cos(yaw), y + vehicle.centre_offset * np.sin(yaw), yaw)
        ego = np.tile(centre, (len(boxes), 1))
        half = (np.full(len(boxes), 0.5 * vehicle.length), np.full(len(boxes), 0.5 * vehicle.width))
        touch = boxes_touch(ego, half, boxes[:, :3], (0.5 * boxes[:, 3], 0.5 * boxes[:, 4]))
        if touch.any():
            first = agents[int(touch.argmax())]
            return {"hit": True, "time": float(row[0]), "object": f"{first['class']} {first['id']}"}
    return {"hit": False}


def plan_off_road(plan: TrajectoryCandidates, area: Any, vehicle: VehicleConfig) -> dict[str, Any] | None:
    """The first time within 4 s at which a corner of the chosen mode's box leaves the drivable area; None without one.

    Args:
        plan: Its origin pose is in the map's frame.
        area: Prepared shapely geometry of everything drivable; None where there is no map.
        vehicle: The ego's sizes.
    """
    import shapely

    if area is None:
        return None
    chosen = int(np.argmax(plan.confidences)) if plan.chosen is None else plan.chosen
    points = plan.points[chosen]
    points = points[points[:, 0] <= OBJECT_HORIZON + 1e-6]
    yaw = points[:, 3] + plan.origin_pose.yaw
    rear = plan.origin_pose.transform(points[:, 1:3])
    centre = rear + vehicle.centre_offset * np.column_stack([np.cos(yaw), np.sin(yaw)])
    corners = box_corners(centre[:, 0], centre[:, 1], yaw, vehicle.length, vehicle.width)
    off = ~shapely.contains_xy(area, corners.reshape(-1, 2)).reshape(-1, 4).all(axis=1)
    if not off.any():
        return {"off": False}
    first = int(off.argmax())
    return {"off": True, "time": float(points[first, 0]), "place": [round(float(v), 2) for v in centre[first]]}


def conditions(recording: Recording, plan: TrajectoryCandidates) -> dict[str, Any]:
    """What kind of moment it was: speed, turning, command, weather, how many objects are near."""
    now = recording.pose_at(np.array([plan.stamp], dtype=np.int64))[0]
    later = recording.pose_at(np.array([plan.stamp + 3 * NANOSECONDS], dtype=np.int64))[0]
    turned = float(later[2] - now[2]) if np.isfinite(later[2]) else None
    command = [c for _, c in recording.commands if c.stamp <= plan.stamp]
    found: dict[str, Any] = {
        "speed": float(now[3]) if np.isfinite(now[3]) else None,
        "turned_3s": turned,
        "motion": _motion(float(now[3]), turned),
        "command": command[-1].action.name if command else None,
    }
    row = recording.objects.get(plan.stamp)
    if row is not None:
        moving = [a for a in row["agents"] if a["class"] not in {c.name for c in STATIC_CLASSES}]
        near = [a for a in moving if np.hypot(a["box"][0] - now[0], a["box"][1] - now[1]) < 30.0]
        found |= {"weather": row.get("weather"), "events": row.get("events", []), "objects_within_30m": len(near)}
    return found


def _motion(speed: float, turned: float | None) -> str:
    if not np.isfinite(speed):
        return "unknown"
    if speed < 0.5:
        return "standing"
    if turned is not None and abs(turned) > np.deg2rad(15.0):
        return "turning"
    return "driving"


def dropped_frames(stamps: NDArray[np.int64]) -> dict[str, Any] | None:
    """Camera frames, their period and how many are missing by it; None without a camera topic."""
    if len(stamps) < 2:
        return None
    gaps = np.diff(stamps) / NANOSECONDS
    period = float(np.median(gaps))
    missing = int(np.maximum(np.round(gaps / period) - 1, 0).sum()) if period > 0.0 else 0
    return {"frames": len(stamps), "period_s": period, "dropped": missing, "longest_gap_s": float(gaps.max())}


def latencies(recording: Recording) -> dict[str, dict[str, float]]:
    """Milliseconds by stage: time of recording minus stamp, and the stages' own timings from the drive status."""
    found: dict[str, list[float]] = {}
    if recording.plans:
        found["plan, recorded after its frame"] = [1e-6 * (at - p.stamp) for at, p in recording.plans]
    if recording.reasonings:
        found["reasoning, recorded after its frame"] = [1e-6 * (at - r.stamp) for at, r in recording.reasonings]
        found["reasoning, its own clock"] = [1e3 * r.inference_time for _, r in recording.reasonings]
    for _, status in recording.statuses:
        for stage, milliseconds in status.timings.items():
            found.setdefault(f"{stage}, its own clock", []).append(milliseconds)
    return {name: _percentiles(np.array(values)) for name, values in found.items() if values}


def _percentiles(values: Array) -> dict[str, float]:
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": float(p50), "p95": float(p95), "max": float(values.max()), "count": len(values)}


def seconds_in_state(recording: Recording) -> dict[str, float]:
    """How long the drive was in each state, by the stamps of its status; a gap counts for at most 1 s."""
    rows = sorted((s.stamp, s.state.name) for _, s in recording.statuses)
    total: dict[str, float] = {}
    for (stamp, name), (following, _) in zip(rows, rows[1:] + rows[-1:], strict=True):
        total[name] = total.get(name, 0.0) + min((following - stamp) / NANOSECONDS, 1.0)
    return {k: round(v, 3) for k, v in sorted(total.items())}


def reasoning_rows(recording: Recording, road: RoadMap | None = None) -> list[dict[str, Any]]:
    """Each reasoning beside what was driven (on ``road``, if known), and beside the truth's of the same stamp."""
    truths = {r.stamp: r for _, r in recording.truth_reasonings}
    rows = []
    for _, said in recording.reasonings or recording.truth_reasonings:
        driven = driven_between(recording.pose_at, said.stamp, road)
        true = truths.get(said.stamp) if recording.reasonings else None
        rows.append(
            {
                "stamp": said.stamp,
                "said": [said.longitudinal.name, said.lateral.name, said.cause.name],
                "driven": list(driven),
                "true": [true.longitudinal.name, true.lateral.name, true.cause.name] if true else [],
                "truncated": said.truncated,
            }
        )
    return rows
