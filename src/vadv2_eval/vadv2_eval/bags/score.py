"""One bag's frames and summary, and many bags' together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic, write_json_atomic
from vadv2_core.road_map_file import load_road_map
from vadv2_core.scene import RoadMap
from vadv2_core.vehicle import VehicleConfig
from vadv2_eval.bags.metrics import (
    HORIZONS,
    conditions,
    dropped_frames,
    latencies,
    plan_collision,
    plan_comfort,
    plan_errors,
    plan_off_road,
    reasoning_rows,
    seconds_in_state,
)
from vadv2_eval.bags.recording import Recording, parse_map, read_recording
from vadv2_eval.intervals import mean_interval, rate_interval
from vadv2_eval.jobs import Job, ResultStore, run_jobs

FRAMES = "frames.jsonl"
SUMMARY = "summary.json"
REPORT = "report.html"
ERRORS = ("ade", "fde", "heading", "lateral", "longitudinal", "speed")
CONVENTIONS = {
    "truth": "the recorded odometry of the same bag, interpolated linearly",
    "ade": "mean distance over the plan's points up to the horizon, m",
    "fde": "distance at the horizon, m",
    "min_ade": "the best of the k most confident modes, m",
    "heading": "plan minus driven at the horizon, rad (means are of absolute values)",
    "lateral": "of the plan in the frame of what was driven, left positive, m (means are of absolute values)",
    "longitudinal": "likewise, ahead positive, m (means are of absolute values)",
    "comfort": "share of plans within nuPlan's six bounds, by central differences",
    "collision": "share of plans that touch a recorded object within 4 s (bags with /truth/scene only)",
    "off_road": "share of plans with a corner off the drivable area within 4 s (with --road-map only)",
    "open_loop": "log replay: what the ego did is not what the plan would have led to",
}


def given_map(road_map: str) -> RoadMap | None:
    """The map of a file (``maps/*.map.zst`` of a recording); None for no file.

    Raises:
        InputError: for a file that is no road map.
    """
    return load_road_map(Path(road_map)) if road_map else None


def drivable_area(road: RoadMap | None) -> Any:
    """The drivable area of a map as prepared geometry; None without a map."""
    if road is None:
        return None
    import shapely

    area = shapely.union_all([shapely.Polygon(p) for p in (*road.drivable, *road.junctions.values())])
    shapely.prepare(area)
    return area


def frame_rows(recording: Recording, vehicle: VehicleConfig, area: Any = None) -> list[dict[str, Any]]:
    """One row a plan: header, conditions, errors, comfort, collision, off-road (``area``: of `drivable_area`)."""
    rows = []
    first = int(recording.stamps[0])
    for number, (recorded, plan) in enumerate(recording.plans):
        rows.append(
            {
                "bag": recording.name,
                "sequence": number,
                "stamp": plan.stamp,
                "recorded": recorded,
                "time": round((plan.stamp - first) * 1e-9, 6),
                "model_id": plan.model_id,
                "sampler": plan.sampler,
                "modes": int(plan.points.shape[0]),
                "withheld": plan.reason if plan.chosen is None else "",
                "degraded": list(plan.degraded),
                "conditions": conditions(recording, plan),
                "errors": plan_errors(recording, plan),
                "comfort": plan_comfort(plan),
                "collision": plan_collision(recording, plan, vehicle),
                "off_road": plan_off_road(plan, area, vehicle),
            }
        )
    return rows


def score_bag(argument: dict[str, Any]) -> dict[str, Any]:
    """Score one bag (a job of `vadv2_eval.jobs`): its frames go to a file, its summary is returned."""
    recording = read_recording(Path(argument["bag"]), argument["map"])
    road = given_map(argument["road_map"])
    rows = frame_rows(recording, VehicleConfig(), drivable_area(road))
    if not rows:
        raise InputError("no usable plan", argument["bag"], "at least one finite plan with points")
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    write_bytes_atomic(Path(argument["frames"]), text.encode())
    reasonings = reasoning_rows(recording, road)
    return {
        "bag": argument["bag"],
        "truth": recording.truth,
        "frames": len(rows),
        "seconds": float((recording.stamps[-1] - recording.stamps[0]) * 1e-9),
        "camera": dropped_frames(recording.camera_stamps),
        "frames_without_plan": _without_plan(recording),
        "latency_ms": latencies(recording),
        "seconds_in_state": seconds_in_state(recording),
        "reasonings": reasonings,
        "left_out": [{"where": x.where, "why": x.why} for x in recording.left_out],
    }


def _without_plan(recording: Recording) -> int | None:
    if not len(recording.camera_stamps):
        return None
    planned = {p.stamp for _, p in recording.plans}
    return sum(int(s) not in planned for s in recording.camera_stamps)


def _errors_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ERRORS:
        by_horizon = {}
        for horizon in HORIZONS:
            key = f"{horizon:g}s"
            values = [abs(r["errors"][name][key]) for r in rows if key in r["errors"][name]]
            estimate = mean_interval(values)
            by_horizon[key] = estimate.to_json() if estimate else None
        found[name] = by_horizon
    for name in ("min_ade", "min_fde"):
        found[name] = {}
        for k in sorted({k for r in rows for k in r["errors"][name]}, key=int):
            found[name][k] = {}
            for horizon in HORIZONS:
                key = f"{horizon:g}s"
                values = [r["errors"][name][k][key] for r in rows if key in r["errors"][name].get(k, {})]
                estimate = mean_interval(values)
                found[name][k][key] = estimate.to_json() if estimate else None
    return found


def summarise(
    rows: Sequence[dict[str, Any]], bags: Sequence[dict[str, Any]], left_out: Sequence[Any]
) -> dict[str, Any]:
    """The summary of a run: errors over all frames and by condition, comfort, states, latency, agreement, left out."""
    comfortable = [all(r["comfort"].values()) for r in rows if r["comfort"]]
    hits = [r["collision"]["hit"] for r in rows if r["collision"] is not None]
    off = [r["off_road"]["off"] for r in rows if r["off_road"] is not None]
    by_condition = {}
    for name in ("motion", "command", "weather"):
        groups = sorted({str(r["conditions"].get(name)) for r in rows if r["conditions"].get(name) is not None})
        for group in groups:
            chosen = [r for r in rows if str(r["conditions"].get(name)) == group]
            by_condition[f"{name}={group}"] = {"frames": len(chosen), "errors": _errors_of(chosen)}
    reasonings = [r for b in bags for r in b["reasonings"]]
    driven = [r for r in reasonings if r["driven"]]
    judged = [r for r in reasonings if r["true"]]
    states: dict[str, float] = {}
    for bag in bags:
        for name, value in bag["seconds_in_state"].items():
            states[name] = round(states.get(name, 0.0) + value, 3)
    cameras = [b["camera"] for b in bags if b["camera"]]
    return {
        "conventions": CONVENTIONS,
        "bags": [{k: v for k, v in b.items() if k != "reasonings"} for b in bags],
        "frames": len(rows),
        "withheld": sum(bool(r["withheld"]) for r in rows),
        "model_id": sorted({r["model_id"] for r in rows}),
        "errors": _errors_of(rows),
        "by_condition": by_condition,
        "comfort": _rate(sum(comfortable), len(comfortable)),
        "collision": _rate(sum(hits), len(hits)),
        "off_road": _rate(sum(off), len(off)),
        "latency_ms": _worst_latency(bags),
        "camera_frames": sum(c["frames"] for c in cameras),
        "dropped_frames": sum(c["dropped"] for c in cameras),
        "seconds_in_state": states,
        "reasoning": {
            "said": len(reasonings),
            "agrees_with_driven": _rate(sum(r["said"][:2] == r["driven"] for r in driven), len(driven)),
            "longitudinal_agrees": _rate(sum(r["said"][0] == r["driven"][0] for r in driven), len(driven)),
            "agrees_with_truth": _rate(sum(r["said"] == r["true"] for r in judged), len(judged)),
        },
        "left_out": list(left_out),
    }


def _rate(hits: int, count: int) -> dict[str, Any] | None:
    estimate = rate_interval(hits, count)
    return estimate.to_json() if estimate else None


def _worst_latency(bags: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By stage: the median of the bags' medians, and the largest of their 95th percentiles and maxima."""
    found: dict[str, Any] = {}
    for stage in sorted({s for b in bags for s in b["latency_ms"]}):
        rows = [b["latency_ms"][stage] for b in bags if stage in b["latency_ms"]]
        found[stage] = {
            "p50": float(np.median([r["p50"] for r in rows])),
            "p95": max(r["p95"] for r in rows),
            "max": max(r["max"] for r in rows),
        }
    return found


def read_frames(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``frames.jsonl``.

    Raises:
        InputError: for a file that is missing or has a bad line, by its number.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", str(path), "frames.jsonl of a run") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            raise InputError("is not JSON", f"{path}:{number}", "one JSON object a line") from None
    return rows


def score_bags(
    bags: Sequence[Path],
    out: Path,
    mapping: Sequence[str] = (),
    *,
    workers: int = 1,
    ray_address: str = "",
    road_map: str = "",
) -> dict[str, Any]:
    """Score bags into a folder: ``frames.jsonl``, ``summary.json``, ``report.html``.

    A bag that cannot be scored is left out with its reason and the others go on; a run that was stopped goes on.

    Raises:
        InputError: where not one bag could be scored, or a bag is named twice.
    """
    from vadv2_eval.bags.report import write_report

    chosen = parse_map(mapping)
    given_map(road_map)  # Refused now rather than bag by bag.
    paths = [b.resolve() for b in bags]
    jobs = []
    for number, bag in enumerate(paths):
        frames = out / "frames" / f"{number:05d}_{bag.stem}.jsonl"
        key = f"{bag}#{Path(road_map).name}" if road_map else str(bag)
        jobs.append(Job(key, {"bag": str(bag), "map": chosen, "frames": str(frames), "road_map": road_map}))
    store = ResultStore(out / "bags.jsonl")
    score = "vadv2_eval.bags.score:score_bag"
    run_jobs(score, jobs, store, workers=workers, ray_address=ray_address, label="bags", isolated=False)
    done = [store.rows[j.key] for j in jobs]
    left_out = [{"bag": j.key, "why": row["error"]} for j, row in zip(jobs, done, strict=True) if "error" in row]
    results = [row["result"] for row in done if "result" in row]
    if not results:
        raise InputError(left_out[0]["why"])
    good = [j for j, row in zip(jobs, done, strict=True) if "result" in row]
    rows = [r for j in good for r in read_frames(Path(j.argument["frames"]))]
    write_bytes_atomic(out / FRAMES, "".join(json.dumps(r) + "\n" for r in rows).encode())
    summary = summarise(rows, results, left_out)
    write_json_atomic(out / SUMMARY, summary)
    write_report(out / REPORT, summary, rows)
    return summary
