"""The expert's table: seeded drives in every town and scenario, driven in parallel, with what went wrong where."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_core.errors import InputError
from vadv2_core.files import read_json

PLAN_EVERY = 2
"""Steps of 0.1 s between two plans: 5 Hz."""


@dataclass(frozen=True, slots=True)
class DriveRow:
    """One drive.

    Attributes:
        town: Its town.
        scenario: Its scenario.
        seed: Of the drive.
        reason: Why it ended: goal, time, collision, stuck, or ``no_place`` where the town has none for the scenario.
        success: By the scenario's own criterion.
        seconds: Driven.
        metres: Driven.
        share: Of the way to the goal that was driven.
        events: ``kind at s: detail`` of every event, with ``(other's fault)`` where the ego was not to blame.
        at_fault: Kinds of the events the ego was to blame for.
        jerk: Root mean square along the way, m/s^3.
        hardest: Hardest braking, m/s^2.
        sideways: Largest lateral acceleration, m/s^2.
        plan_ms: Mean processor time of a plan, ms.
    """

    town: str
    scenario: str
    seed: int
    reason: str
    success: bool = False
    seconds: float = 0.0
    metres: float = 0.0
    share: float = 0.0
    events: tuple[str, ...] = ()
    at_fault: tuple[str, ...] = ()
    jerk: float = 0.0
    hardest: float = 0.0
    sideways: float = 0.0
    plan_ms: float = 0.0


def drive_once(town: str, scenario: str, seed: int, driver: str = "expert") -> DriveRow:
    """Drive one scenario with a driver on the Scene."""
    import time

    from vadv2_sim.drivers import make_scene_driver
    from vadv2_sim.plan_tracker import PlanTracker
    from vadv2_sim.world import World

    world = World(town, scenario, seed)
    try:
        try:
            scene = world.reset()
        except InputError as error:
            if "no place for scenario" in str(error):
                return DriveRow(town, scenario, seed, "no_place")
            raise
        begin, spent, plans, step = world.s, 0.0, 0, 0
        brain = make_scene_driver(driver, world.road, world.config.vehicle)
        tracker = PlanTracker(world.config.vehicle)
        pulls: list[float] = []
        sides: list[float] = []
        places: list[float] = []
        while not world.finished:
            if step % PLAN_EVERY == 0:
                at = time.process_time()
                tracker.take(brain.plan(scene))
                spent += time.process_time() - at
                plans += 1
            scene = world.step(tracker.command(scene.ego))
            pulls.append(scene.ego.acceleration[0])
            sides.append(abs(scene.ego.yaw_rate * scene.ego.speed))
            places += [world.s] * (len(world.events) - len(places))
            step += 1
        told = tuple(
            f"{e.kind} at {s:.0f} m: {e.detail}{'' if e.at_fault else ' (other at fault)'}"
            for e, s in zip(world.events, places, strict=False)
        )
        jerk = np.diff(pulls) / 0.1 if len(pulls) > 1 else np.zeros(1)
        return DriveRow(
            town, scenario, seed, world.reason, world.success, round(world.time, 1), round(world.s - begin, 1),
            round(min((world.s - begin) / max(world.placement.goal - begin, 1.0), 1.0), 3), told,
            tuple(str(e.kind) for e in world.events if e.at_fault),
            round(float(np.sqrt(np.mean(jerk**2))), 2), round(float(-min(pulls, default=0.0)), 2),
            round(max(sides, default=0.0), 2), round(1e3 * spent / max(plans, 1), 2),
        )  # fmt: skip
    finally:
        world.close()


def _work(job: tuple[str, str, int, str]) -> DriveRow:
    os.environ["OMP_NUM_THREADS"] = "1"
    return drive_once(*job)


def plan_drives(towns: Sequence[str], scenarios: Sequence[str], drives: int, seed: int) -> list[tuple[str, str, int]]:
    """``drives`` triples of town, scenario and seed, every town and scenario in turn."""
    pairs = [(town, scenario) for scenario in scenarios for town in towns]
    # Strides through the pairs, so that few drives still meet every town and scenario.
    order = sorted(range(len(pairs)), key=lambda k: (k // len(towns) + k * 7) % len(pairs))
    return [(*pairs[order[k % len(pairs)]], seed + k) for k in range(drives)]


def kept_rows(path: Path, driver: str) -> list[DriveRow]:
    """Rows of a table that a killed run left at ``path``; none where there is no file.

    Raises:
        InputError: for a file that is no table, or one of another driver.
    """
    if not path.exists():
        return []
    told: Any = read_json(path)
    try:
        rows = []
        for row in told["rows"]:
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
            rows.append(DriveRow(**values))
        of = told["driver"]
    except (KeyError, TypeError, AttributeError):
        raise InputError("is not a table of drives", str(path), "what expert-table --json wrote") from None
    if of != driver:
        raise InputError(f"holds drives of {of!r}", str(path), f"a table of {driver!r}, or a new file")
    return rows


def run_table(jobs: Sequence[tuple[str, str, int]], workers: int = 2, driver: str = "expert") -> Iterator[DriveRow]:
    """Drive every job in ``workers`` processes; rows come in the order of the jobs."""
    work = [(*job, driver) for job in jobs]
    if workers <= 1:
        for job in work:
            yield _work(job)
        return
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=25) as pool:
        yield from pool.imap(_work, work)


def summary(rows: Sequence[DriveRow]) -> dict[str, Any]:
    """The table's last line: shares of routes completed, of at-fault collisions, and counts of infractions."""
    driven = [r for r in rows if r.reason != "no_place"]
    n = max(len(driven), 1)
    kinds = sorted({k for r in driven for k in r.at_fault})
    return {
        "drives": len(driven),
        "no_place": len(rows) - len(driven),
        "routes_completed": sum(r.reason == "goal" for r in driven) / n,
        "passed": sum(r.success for r in driven) / n,
        "at_fault_collisions": sum("collision" in r.at_fault for r in driven) / n,
        "infractions": {k: sum(r.at_fault.count(k) for r in driven) for k in kinds},
        "kilometres": round(sum(r.metres for r in driven) / 1e3, 2),
        "hours": round(sum(r.seconds for r in driven) / 3600, 3),
        "jerk_rms": round(float(np.mean([r.jerk for r in driven])) if driven else 0.0, 2),
        "hardest_braking_p95": round(float(np.percentile([r.hardest for r in driven], 95)) if driven else 0.0, 2),
        "plan_ms": round(float(np.mean([r.plan_ms for r in driven])) if driven else 0.0, 2),
    }


def as_mapping(rows: Sequence[DriveRow], driver: str = "expert") -> dict[str, Any]:
    """Driver, summary and rows as JSON values."""
    return {"driver": driver, "summary": summary(rows), "rows": [asdict(r) for r in rows]}
