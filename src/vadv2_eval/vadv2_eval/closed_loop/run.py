"""A closed-loop evaluation: which drives, run by workers, resumed after a kill, and what they come to."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vadv2_core.errors import InputError
from vadv2_eval.closed_loop.drive import NO_PLACE, PDMS_NAME, DriveOrder
from vadv2_eval.closed_loop.scores import PENALTIES, take_over_rate
from vadv2_eval.closed_loop.table import TABLE_CONVENTIONS, drive_table, planner_cpu_hz, planner_hz, stage_medians
from vadv2_eval.closed_loop.told import REASONINGS
from vadv2_eval.closed_loop.wheels import Pace, check_driver, drives_by_scene
from vadv2_eval.intervals import mean_interval, rate_interval
from vadv2_eval.jobs import Job, ResultStore, run_jobs
from vadv2_eval.reasoning.records import record_from_json
from vadv2_eval.reasoning.summary import reasoning_summary, reasoning_table

FIRST_SEED = {"val": 7_000_000, "test": 9_000_000}
"""Seeds far from those of recordings, so that no evaluated drive was trained on."""
FOLDER_SEED = 8_000_000
MEANS = ("route_completion", "infraction_score", "driving_score", "efficiency", "comfort", "min_ttc_s", "low_ttc_share")
ABILITIES = {
    "merging": ("merge", "lane_change", "roundabout"),
    "overtaking": ("construction", "stopped_bus", "accident"),
    "emergency_brake": ("pedestrian_crossing", "jaywalker", "cut_in", "hard_brake", "wrong_way", "cyclist"),
    "give_way": ("unprotected_left", "emergency_behind", "emergency_crossing"),
    "traffic_signs": ("red_light", "stop_sign"),
    "senses": ("weather", "camera_fault"),
    "language": ("text_command",),
}
"""The simulator's scenarios by what they ask of a driver, after Bench2Drive's abilities."""


@dataclass(frozen=True, slots=True)
class ClosedLoopPlan:
    """What to evaluate.

    Attributes:
        drivers: By name.
        split: ``val``, ``test``, a town folder, or a folder of town folders.
        drives: Drives a driver.
        scenarios: Scenario names; empty for all but plain traffic.
        seconds: Longest drive; 0 for the scenario's own.
        models: Folder of model directories.
        rig: Rig file.
        pictures: Folder for pictures of failures; empty for none.
        model: Model directory of the driver ``model``; empty for the default system.
        pace: How often the stack plans and speaks.
        reasoning: What the planner of the stack is told, one of `vadv2_eval.closed_loop.told.REASONINGS`.
        embeddings: Folder of the shuffled ones.
    """

    drivers: tuple[str, ...]
    split: str
    drives: int
    scenarios: tuple[str, ...] = ()
    seconds: float = 0.0
    models: str = "models"
    rig: str = "config/rig/surround6.yaml"
    pictures: str = ""
    model: str = ""
    pace: Pace = field(default_factory=Pace)
    reasoning: str = "on"
    embeddings: str = ""

    def orders(self, driver: str) -> Iterator[DriveOrder]:
        """Orders without end, round-robin over town x scenario; the same for every driver.

        Scenario and town both change from order to order, so that a few drives already cover many of either.
        """
        from vadv2_sim.scenarios import SCENARIOS

        unknown = [s for s in self.scenarios if s not in SCENARIOS]
        if unknown:
            raise InputError(f"unknown scenario {unknown[0]!r}", "--scenario", f"one of {', '.join(SCENARIOS)}")
        scenarios = self.scenarios or tuple(s for s in SCENARIOS if s != "free")
        towns = split_towns(self.split)
        seed = FIRST_SEED.get(self.split, FOLDER_SEED)
        index = 0
        while True:
            turn, place = divmod(index, len(scenarios))
            town, scenario = towns[(place + turn) % len(towns)], scenarios[place]
            yield DriveOrder(
                driver, town, scenario, seed + index, self.seconds, self.models, self.rig, self.pictures,
                self.model, self.pace.plan, self.pace.words, self.reasoning, self.embeddings,
            )  # fmt: skip
            index += 1


def split_towns(split: str) -> tuple[str, ...]:
    """The towns of a split.

    Raises:
        InputError: for a folder without a town.
    """
    from vadv2_sim.town import HELD_OUT_TOWNS, TRAINING_TOWNS

    if split in ("val", "test"):
        return tuple(TRAINING_TOWNS if split == "val" else HELD_OUT_TOWNS)
    folder = Path(split)
    if not folder.is_dir():
        raise InputError(f"split {split!r} is unknown", "--split", "val, test or a folder with a town or towns")

    def has_net(path: Path) -> bool:
        return (path / "net.xml").is_file() or any(path.glob("*.net.xml"))

    towns = [folder] if has_net(folder) else sorted(p for p in folder.iterdir() if p.is_dir() and has_net(p))
    if not towns:
        raise InputError("holds no town", split, "a folder with net.xml, or folders that have one")
    return tuple(str(t) for t in towns)


def fingerprint(plan: ClosedLoopPlan, driver: str = "model") -> str:
    """Eight hex digits of what else changes a drive: its length and, for the stack, rig, pace and the model files.

    A driver that reads the Scene has neither and a rule no model, so that their drives serve beside any model.
    """
    from vadv2_planner.registry import RULES

    digest = hashlib.sha256(f"{plan.seconds}".encode())
    if drives_by_scene(driver):
        return digest.hexdigest()[:8]
    digest.update(f"{plan.pace}".encode())
    if driver in RULES:
        return digest.hexdigest()[:8]
    if plan.reasoning != "on":
        digest.update(plan.reasoning.encode())
    rig, models = Path(plan.rig), Path(plan.model or plan.models)
    if rig.is_file():
        digest.update(rig.read_bytes())
    for config in sorted(models.rglob("config.json")):
        digest.update(str(config.relative_to(models)).encode() + config.read_bytes())
    return digest.hexdigest()[:8]


def evaluate(plan: ClosedLoopPlan, store: ResultStore, *, workers: int, ray_address: str = "") -> dict[str, Any]:
    """Run what the store does not hold yet, and summarise.

    A town may have no place for a scenario; such orders are left out by name and the next ones taken instead, so that
    every driver gets the same drives.

    Raises:
        InputError: for an unknown driver, split or scenario.
    """
    if plan.drives < 1:
        raise InputError(f"{plan.drives} drives", "--seeds", "at least 1")
    if plan.reasoning not in REASONINGS:
        raise InputError(f"reasoning {plan.reasoning!r} is unknown", "--reasoning", "one of " + ", ".join(REASONINGS))
    if plan.reasoning == "shuffled" and not plan.embeddings:
        raise InputError("shuffled without --scenes", "--reasoning", "the folder of an `eval scenes` run of this model")
    for driver in plan.drivers:
        check_driver(driver, Path(plan.models), plan.model)
    marks = {driver: fingerprint(plan, driver) for driver in plan.drivers}
    summaries = {}
    for driver in plan.drivers:
        rows = _run(plan, driver, marks[driver], store, workers, ray_address)
        summaries[driver] = summarise(rows)
    penalties = ", ".join(f"{name} {factor}" for name, factor in PENALTIES.items())
    head = {
        "split": plan.split,
        "fingerprint": marks,
        "conventions": {
            "driving_score": f"CARLA leaderboard: completion on the road x product of the penalties ({penalties})",
            "success": "Bench2Drive: the goal reached in time without any infraction",
            "efficiency": "Bench2Drive: ego speed over the traffic's, mean over 5 % parts, as a fraction",
            "comfort": "Bench2Drive: share of 2 s segments within nuPlan's bounds",
            "pdms": PDMS_NAME,
            "take_overs_per_km": "fall-backs into a soft or emergency stop, and at-fault collisions",
            **TABLE_CONVENTIONS,
        },
        "told": plan.reasoning,
        "pace": {"plan_hz": 10.0 / plan.pace.plan, "words_every_s": 0.1 * plan.pace.words},
    }
    # The keys of the first driver stand at the top, those of all of them below ``drivers``.
    first = head | {"driver": plan.drivers[0], **summaries[plan.drivers[0]]}
    return first if len(plan.drivers) == 1 else first | {"drivers": summaries}


def _run(
    plan: ClosedLoopPlan, driver: str, mark: str, store: ResultStore, workers: int, ray_address: str
) -> list[dict[str, Any]]:
    """The records of a driver's first ``drives`` orders that have a place, and of the orders passed over."""
    source = plan.orders(driver)
    orders: list[DriveOrder] = []
    misses = 0
    while True:
        while len(orders) - misses < plan.drives:
            orders.append(next(source))
        jobs = [Job(f"{o.key}#{mark}", asdict(o)) for o in orders]
        run_jobs(
            "vadv2_eval.closed_loop.drive:run_drive",
            jobs,
            store,
            workers=workers,
            ray_address=ray_address,
            label=driver,
            leave_out_dead=True,  # SUMO takes its process with it; one drive of hundreds must not end them.
        )
        rows = [store.rows[j.key] for j in jobs]
        errors = [r["error"] for r in rows if "error" in r]
        if errors and len(errors) == len(rows):
            raise InputError(errors[0], driver, "a driver and towns that can be driven")
        found = sum("error" in r or r["result"]["reason"] == NO_PLACE for r in rows)
        if found == misses or found > 4 * plan.drives + 100:
            return [r.get("result", {"error": r.get("error")}) for r in rows]
        misses = found


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means with 95 % intervals, rates, counts, and what went wrong, of drive records in order."""
    driven = [r for r in rows if "score" in r]
    scores = [r["score"] for r in driven]
    left_out = [
        r.get("error") or f"{r['order']['town']} {r['order']['scenario']}: {r['why']}" for r in rows if "score" not in r
    ]
    estimates = {}
    for name in MEANS:
        found = mean_interval([s[name] for s in scores if s[name] is not None])
        estimates[name] = found.to_json() if found else None
    for name in ("success", "scenario_success"):
        rate = rate_interval(sum(s[name] for s in scores), len(scores))
        estimates[f"{name}_rate"] = rate.to_json() if rate else None
    pdms = mean_interval([r["pdms"]["mean"] for r in driven if r["pdms"]["mean"] is not None])
    estimates["pdms"] = pdms.to_json() if pdms else None
    kilometres = sum(s["metres"] for s in scores) / 1000.0
    totals: dict[str, int] = defaultdict(int)
    for s in scores:
        for name, count in s["infractions"].items():
            totals[name] += count
    records = [record_from_json(r, "drive") for d in driven for r in d["reasoning"]]
    table = drive_table(driven) | reasoning_table(records)
    estimates |= {k: v.to_json() if v else None for k, v in table.items()}
    return {
        "drives": len(driven),
        "model_id": sorted({r["model_id"] for r in driven}),
        "estimates": estimates,
        **{k: (v["mean"] if v else None) for k, v in estimates.items()},
        "kilometres": kilometres,
        "take_overs_per_km": take_over_rate(sum(s["take_overs"] for s in scores), 1000.0 * kilometres),
        "infractions": dict(sorted(totals.items())),
        "infractions_per_km": {k: v / kilometres for k, v in sorted(totals.items())} if kilometres > 0.01 else {},
        "planner_hz": planner_hz(driven),
        "planner_cpu_hz": planner_cpu_hz(driven),
        "timings_ms": stage_medians(driven),
        "cpu_s": round(sum(r["cpu_s"] for r in driven), 1),
        "simulated_s": round(sum(s["seconds"] for s in scores), 1),
        "reasons": _counts(r["reason"] for r in driven),
        "seconds_in_state": _sums([r["seconds_in_state"] for r in driven]),
        "abilities": abilities(driven),
        "reasoning": reasoning_summary(records) if records else None,
        "failures": [
            {
                "drive": "/".join(str(r["order"][k]) for k in ("town", "scenario", "seed")),
                "reason": r["reason"],
                "first_wrong": r["first_wrong"],
                "picture": r.get("picture"),
            }
            for r in driven
            if not r["score"]["success"]
        ],
        "left_out": left_out,
    }


def abilities(driven: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Success and driving score a group of scenarios."""
    found = {}
    for ability, scenarios in ABILITIES.items():
        scores = [r["score"] for r in driven if r["order"]["scenario"] in scenarios]
        if scores:
            rate = rate_interval(sum(s["success"] for s in scores), len(scores))
            mean = mean_interval([s["driving_score"] for s in scores])
            found[ability] = {
                "success_rate": rate.to_json() if rate else None,
                "driving_score": mean.to_json() if mean else None,
                "scenarios": sorted({r["order"]["scenario"] for r in driven if r["order"]["scenario"] in scenarios}),
            }
    return found


def _counts(values: Iterator[str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for value in values:
        counts[value] += 1
    return dict(sorted(counts.items()))


def _sums(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for row in rows:
        for name, value in row.items():
            sums[name] += value
    return {k: round(v, 1) for k, v in sorted(sums.items())}
