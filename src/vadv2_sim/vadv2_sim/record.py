"""Record drives as scene logs: many, seeded, in parallel, and again from where it was killed."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from vadv2_core.config import to_mapping
from vadv2_core.errors import InputError
from vadv2_core.files import read_json, whole_lines, write_json_atomic
from vadv2_core.road_map_file import save_road_map
from vadv2_core.scene_log import SCENE_LOG_SUFFIX, LogFrame, LoggedRoute, SceneLogHeader, SceneLogWriter
from vadv2_core.taxonomy import Weather
from vadv2_sim.drivers import make_scene_driver
from vadv2_sim.plan_tracker import PlanTracker
from vadv2_sim.road_map import town_map
from vadv2_sim.scenarios import SCENARIOS, make_scenario
from vadv2_sim.sumo_session import SUMO_GAVE_UP
from vadv2_sim.town import load_town
from vadv2_sim.world import World, WorldConfig

PLAN_EVERY = 2
"""Steps of 0.1 s between two plans: 5 Hz."""
PLAN_FILE = "recording.json"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DriveOrder:
    """One drive to record.

    Attributes:
        town: Town name or folder.
        scenario: Scenario name.
        seed: Of the drive.
        driver: See `vadv2_sim.drivers`.
        seconds: Longest duration; 0 for the scenario's own.
        weather: Name of the weather.
        weather_intensity: How strong.
    """

    town: str
    scenario: str
    seed: int
    driver: str = "expert"
    seconds: float = 0.0
    weather: str = "day"
    weather_intensity: float = 0.6

    @property
    def file(self) -> str:
        """Path of its log below the recording's folder."""
        return f"{Path(self.town).name}/{self.scenario}_{self.seed:06d}{SCENE_LOG_SUFFIX}"


@dataclass(frozen=True, slots=True)
class DriveOutcome:
    """What came of a drive.

    Attributes:
        order: The order.
        seconds: Driven, s.
        metres: Driven, m.
        reason: Why it ended: goal, time, collision, stuck; ``no_place`` where the town has none;
            ``crashed`` where the process died.
        success: By the scenario's own criterion.
        events: Kinds of events with blame, as ``kind`` or ``kind (not at fault)``.
    """

    order: DriveOrder
    seconds: float
    metres: float
    reason: str
    success: bool
    events: tuple[str, ...]


def logged_route(world: World) -> LoggedRoute:
    """The world's route as a log's header keeps it."""
    plan = world.route
    return LoggedRoute(plan.points, tuple(int(k) for k in plan.lane_index), plan.lane_ids)


def log_header(world: World, driver: str) -> SceneLogHeader:
    """The header of a log of a drive that was just reset."""
    notes = {
        "goal": round(world.placement.goal, 2),
        "start": round(world.placement.start, 2),
        "focus": round(world.placement.focus, 2),
        "parameters": world.scenario.values,
        "manoeuvres": [
            [int(m.action), round(m.start, 1), round(m.end, 1), m.exit] for m in world.route.manoeuvres
        ],
    }  # fmt: skip
    return SceneLogHeader(
        world.town.name,
        world.road.hash,
        world.scenario_name,
        world.seed,
        driver,
        vehicle=to_mapping(world.config.vehicle),
        route=logged_route(world),
        notes=notes,
    )


def event_rows(events: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    """Drive events as JSON values."""
    return tuple({"stamp": e.stamp, "kind": str(e.kind), "detail": e.detail, "at_fault": e.at_fault} for e in events)


def record_drive(order: DriveOrder, folder: Path) -> DriveOutcome:
    """Drive once and write the log.

    Raises:
        InputError: for an unknown town, scenario or driver, or where SUMO died.
    """
    weather = WorldConfig(weather=order.weather, weather_intensity=order.weather_intensity, seconds=order.seconds)
    world = World(order.town, order.scenario, order.seed, weather)
    scene = world.reset()
    driver = make_scene_driver(order.driver, world.road, world.config.vehicle)
    tracker = PlanTracker(world.config.vehicle)
    begin = world.s
    with SceneLogWriter(folder / order.file, log_header(world, order.driver)) as log:
        known = 0
        step = 0
        while True:
            notes: dict[str, Any] = {}
            if step % PLAN_EVERY == 0:
                plan = driver.plan(scene)
                tracker.take(plan)
                notes["plan"] = [[round(float(v), 2) for v in row[1:5]] for row in plan.points[4::5]]
                decision = getattr(driver, "last_decision", None)
                if decision is not None:
                    notes["decision"] = decision if isinstance(decision, dict) else asdict(decision)
            command = tracker.command(scene.ego)
            fresh = world.events[known:]
            known = len(world.events)
            log.write(LogFrame(scene, command, notes, event_rows(fresh)))
            if world.finished:
                break
            scene = world.step(command)
            step += 1
        outcome = DriveOutcome(order, world.time, world.s - begin, world.reason, world.success, _kinds(world))
        log.close(_end(outcome))
    world.close()
    return outcome


def _kinds(world: World) -> tuple[str, ...]:
    return tuple(str(e.kind) if e.at_fault else f"{e.kind} (not at fault)" for e in world.events)


def _end(outcome: DriveOutcome) -> dict[str, Any]:
    values = asdict(outcome)
    values.pop("order")
    return values | {"events": list(outcome.events)}


_MIX = (
    ("free", 10), ("red_light", 2), ("stop_sign", 2), ("unprotected_left", 2), ("pedestrian_crossing", 2),
    ("jaywalker", 2), ("cut_in", 1), ("hard_brake", 1), ("stopped_bus", 1), ("construction", 1),
    ("emergency_behind", 1), ("emergency_crossing", 1), ("accident", 1), ("wrong_way", 1), ("cyclist", 1),
    ("roundabout", 1), ("merge", 1), ("lane_change", 2), ("text_command", 1), ("weather", 1),
)  # fmt: skip
"""Shares of scenarios in a recording without ``--scenarios``."""
_WEATHERS = (
    (Weather.DAY, 6),
    (Weather.DUSK, 1),
    (Weather.NIGHT, 1),
    (Weather.RAIN, 1),
    (Weather.FOG, 1),
    (Weather.GLARE, 1),
)


def plan_recording(
    towns: Sequence[str], scenarios: Sequence[str], seed: int, driver: str = "expert", seconds: float = 0.0
) -> Iterator[DriveOrder]:
    """Orders without end, the same for the same arguments: towns in turn, scenarios and weathers drawn by share."""
    mix = [(name, weight) for name, weight in _MIX if name in SCENARIOS and (not scenarios or name in scenarios)]
    mix += [(name, 1) for name in scenarios if name not in dict(_MIX)]
    index = 0
    while True:
        rng = random.Random(f"{seed}:{index}")
        scenario = rng.choices([n for n, _ in mix], [w for _, w in mix])[0]
        weather = rng.choices([w for w, _ in _WEATHERS], [w for _, w in _WEATHERS])[0]
        yield DriveOrder(
            towns[index % len(towns)],
            scenario,
            seed * 100_000 + index,
            driver,
            seconds,
            weather.name.lower(),
            round(rng.uniform(0.3, 1.0), 2),
        )
        index += 1


def _work(job: tuple[DriveOrder, str]) -> DriveOutcome:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    order, folder = job
    try:
        return record_drive(order, Path(folder))
    except InputError as error:
        if "no place for scenario" in str(error):
            return DriveOutcome(order, 0.0, 0.0, "no_place", False, ())
        if SUMO_GAVE_UP in str(error):
            os._exit(1)  # as where SUMO takes its process with it: the drive is left out, the next has a fresh one
        raise


def record(
    folder: Path,
    towns: Sequence[str],
    hours: float,
    scenarios: Sequence[str] = (),
    seed: int = 0,
    workers: int = 2,
    driver: str = "expert",
    seconds: float = 0.0,
) -> Iterator[DriveOutcome]:
    """Record until ``hours`` of driving lie in a folder; yields each drive's outcome as it is done.

    Which drives a recording holds depends on its arguments alone: what a killed run had finished is kept, a log it had
    begun is driven again. Outcomes of the earlier run are yielded first.

    Raises:
        InputError: for a folder that holds a recording with other arguments, or an unknown town, scenario or driver.
    """
    for name in scenarios:
        make_scenario(name, 0)
    loaded_towns = [load_town(town) for town in dict.fromkeys(towns)]
    told = {
        "version": 1,
        "towns": [str(t) for t in towns],
        "scenarios": list(scenarios),
        "seed": seed,
        "driver": driver,
        "seconds": seconds,
    }
    plan_file = folder / PLAN_FILE
    if plan_file.exists():
        if read_json(plan_file) != told:
            raise InputError(
                "holds a recording made with other arguments", str(folder), "the same ones, or a new folder"
            )
    else:
        write_json_atomic(plan_file, told)
    for loaded in loaded_towns:
        path = folder / "maps" / f"{loaded.net_hash[:16]}.map.zst"
        if not path.exists():
            save_road_map(path, town_map(loaded).road)
    done = _done(folder)
    orders = plan_recording([str(t) for t in towns], scenarios, seed, driver, seconds)
    total, wanted = 0.0, hours * 3600.0
    # Outcomes are taken up in the order of the plan, so that the same drives are counted whoever is faster.
    queue: deque[tuple[DriveOrder, DriveOutcome | ProcessFuture[Any]]] = deque()
    # A drive has a process that may die: SUMO takes the interpreter with it.
    ahead = 1 if workers <= 1 else 2 * workers
    with ProcessPool(max(workers, 1), max_tasks=40, context=multiprocessing.get_context("spawn")) as pool:
        while total < wanted:
            known = sum(kept.seconds for _, kept in queue if isinstance(kept, DriveOutcome))
            while len(queue) < ahead and total + known < wanted:
                order = next(orders)
                kept = done.get(order.file)
                queue.append((order, kept or pool.schedule(_work, args=((order, str(folder)),))))
                known += kept.seconds if kept else 0.0
            outcome = _taken(folder, *queue.popleft())
            total += outcome.seconds
            yield outcome
        for order, late in queue:  # begun before the last hour was full: finished and kept
            yield _taken(folder, order, late)


def _taken(folder: Path, order: DriveOrder, kept: DriveOutcome | ProcessFuture[Any]) -> DriveOutcome:
    """The outcome of a drive of an earlier run, or of one that a process drives now."""
    if isinstance(kept, DriveOutcome):
        return kept
    try:
        outcome: DriveOutcome = kept.result()
    except ProcessExpired as error:
        (folder / order.file).unlink(missing_ok=True)
        _LOG.warning("%s: the process that drove it died (%s); the drive is left out", order.file, error)
        outcome = DriveOutcome(order, 0.0, 0.0, "crashed", False, ())
    return _finish(folder, outcome)


def _finish(folder: Path, outcome: DriveOutcome) -> DriveOutcome:
    with (folder / "drives.jsonl").open("a") as out:
        out.write(json.dumps(asdict(outcome)) + "\n")
    return outcome


def _done(folder: Path) -> dict[str, DriveOutcome]:
    """Finished drives of an earlier run: told of in drives.jsonl, and their logs are there."""
    found: dict[str, DriveOutcome] = {}
    for line in whole_lines(folder / "drives.jsonl"):
        try:
            values = json.loads(line)
            order = DriveOrder(**values.pop("order"))
            outcome = DriveOutcome(order, **{**values, "events": tuple(values["events"])})
        except (ValueError, KeyError, TypeError):
            continue  # its drive is made again
        if outcome.reason in ("no_place", "crashed") or (folder / order.file).exists():
            found[order.file] = outcome
    return found
