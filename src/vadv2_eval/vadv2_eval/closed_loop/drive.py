"""One evaluated drive: a world, someone at the wheel, and everything that is scored afterwards."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.reasoning import Reasoning
from vadv2_core.scene import Scene
from vadv2_core.stamps import seconds_between
from vadv2_core.trajectory import Trajectory
from vadv2_eval.closed_loop.commands import TEXT_SCENARIO, HeldOutWords, command_outcomes
from vadv2_eval.closed_loop.encounters import red_light_encounters
from vadv2_eval.closed_loop.scores import drive_score, infraction_of
from vadv2_eval.closed_loop.told import ShuffledTeller, Teller, TrueTeller
from vadv2_eval.closed_loop.trace import DriveEventRecord, DriveTrace, motion_of, time_to_collision, traffic_speed
from vadv2_eval.closed_loop.wheels import (
    PLAN_EVERY,
    Pace,
    SceneWheel,
    StackWheel,
    Wheel,
    driver_config,
    drives_by_scene,
)
from vadv2_eval.logs.drive_log import DriveLog, scored_vehicle
from vadv2_eval.pdms.causes import causes_v1
from vadv2_eval.pdms.reference_planner import reference_plan
from vadv2_eval.pdms.score import score_proposals

PDMS_EVERY = 10
"""Steps between two moments whose plan is scored by PDMS."""
PDMS_NAME = "PDMS-like over the driven scenes (v1.1 rules, our vehicle and towns, recorded traffic)"
NO_PLACE = "no_place"
CUT_SHORT = "cut_short"
"""Ended by the time the user set, which is no time-out of the scenario."""


@dataclass(frozen=True, slots=True)
class DriveOrder:
    """One drive to evaluate.

    Attributes:
        driver: Name, as `vadv2_eval.closed_loop.wheels.make_wheel` takes it.
        town: Town name or folder.
        scenario: Scenario name.
        seed: Of the drive.
        seconds: Longest duration; 0 for the scenario's own.
        models: Folder of model directories.
        rig: Rig file.
        pictures: Folder for the picture of what went wrong; empty for none.
        model: Model directory of the driver ``model``; empty for the default system.
        plan_every, words_every: The stack's `vadv2_eval.closed_loop.wheels.Pace`, steps of 0.1 s.
        reasoning: What the planner is told, one of `vadv2_eval.closed_loop.told.REASONINGS`.
        embeddings: Folder of the shuffled ones.
    """

    driver: str
    town: str
    scenario: str
    seed: int
    seconds: float = 0.0
    models: str = "models"
    rig: str = "config/rig/surround6.yaml"
    pictures: str = ""
    model: str = ""
    plan_every: int = 1
    words_every: int = 10
    reasoning: str = "on"
    embeddings: str = ""

    @property
    def key(self) -> str:
        """Unique among the drives of a run."""
        return f"{self.driver}/{Path(self.town).name}/{self.scenario}/{self.seed}"


@dataclass(slots=True)
class _Course:
    """What is collected while driving."""

    scenes: list[Scene] = field(default_factory=list)
    progress: list[float] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)
    plans: dict[int, Trajectory] = field(default_factory=dict)
    reasonings: dict[int, tuple[Reasoning, Any, Any]] = field(default_factory=dict)
    timings: dict[str, list[float]] = field(default_factory=dict)


def run_drive(argument: dict[str, Any]) -> dict[str, Any]:
    """Drive one order (as JSON) and return its record; a job of `vadv2_eval.jobs`."""
    from vadv2_sim.world import World, WorldConfig

    order = DriveOrder(**argument)
    began = time.process_time()
    world = World(order.town, order.scenario, order.seed, WorldConfig(seconds=order.seconds))
    try:
        scene = world.reset()
    except InputError as error:
        if "no place" not in str(error):
            raise
        world.close()
        return {"order": asdict(order), "reason": NO_PLACE, "why": str(error)}
    try:
        wheel = _wheel(order, world)
        start = world.s
        course = _drive(world, wheel, scene)
        return _record(order, world, wheel, course, start) | {"cpu_s": round(time.process_time() - began, 2)}
    finally:
        world.close()


def _wheel(order: DriveOrder, world: Any) -> Wheel:
    vehicle = world.config.vehicle
    if drives_by_scene(order.driver):
        return SceneWheel(order.driver, world.road, vehicle)
    config = driver_config(order.driver, vehicle, Path(order.models), order.model)
    words = HeldOutWords(order.seed) if order.scenario == TEXT_SCENARIO else None
    if order.reasoning == "off":
        config = replace(config, use_vlm=False)

    def teller(reasoner: Any, renderer: Any) -> Teller:
        if order.reasoning == "true":
            return TrueTeller(reasoner, renderer, world.road, vehicle)
        return ShuffledTeller(Path(order.embeddings), reasoner, order.town, order.seed)

    tellers = teller if order.reasoning in ("shuffled", "true") else None
    pace = Pace(order.plan_every, order.words_every)
    return StackWheel(config, world.road, Path(order.rig), pace, words, tellers)


def _drive(world: Any, wheel: Wheel, scene: Scene) -> _Course:
    course = _Course()
    shadow = _Shadow(world)
    speaks = isinstance(wheel, StackWheel) and wheel.speaks
    while True:
        course.scenes.append(scene)
        course.progress.append(float(world.s))
        if world.finished:
            return course
        step = len(course.scenes) - 1
        answer = wheel.step(scene)
        if speaks and step % PLAN_EVERY == 0:
            shadow.see(scene)
        course.states.append(answer.status.state)
        if answer.plan is not None and step % PDMS_EVERY == 0:
            course.plans[step] = answer.plan
        if answer.reasoning is not None:
            course.reasonings[step] = (answer.reasoning, shadow.decision, answer.visible)
        for stage, milliseconds in (answer.timings or {}).items():
            course.timings.setdefault(stage, []).append(milliseconds)
        scene = world.step(answer.command)


class _Shadow:
    """The expert beside the driver: what it would do, for the reasonings. It looks at 5 Hz, as when it drives."""

    def __init__(self, world: Any) -> None:
        from vadv2_sim.drivers import make_scene_driver

        self._expert: Any = make_scene_driver("expert", world.road, world.config.vehicle)

    def see(self, scene: Scene) -> None:
        self._expert.plan(scene)

    @property
    def decision(self) -> Any:
        return getattr(self._expert, "last_decision", None)


def drive_log(world: Any, scenes: list[Scene]) -> DriveLog:
    """A driven world as a `DriveLog`."""
    vehicle = scored_vehicle(world.config.vehicle)
    return DriveLog(
        f"{world.town.name}/{world.scenario_name}/{world.seed}",
        world.road,
        tuple(scenes),
        vehicle,
        tuple(world.route.lane_ids),
        np.asarray(world.route.points, dtype=np.float64),
    )


def _trace(world: Any, course: _Course, log: DriveLog, start: float) -> DriveTrace:
    speeds, accelerations, yaws = motion_of(course.scenes)
    first = course.scenes[0].stamp
    events = tuple(
        DriveEventRecord(round(seconds_between(first, e.stamp), 3), str(e.kind), e.detail, bool(e.at_fault))
        for e in world.events
    )
    ahead = log.vehicle.centre_ahead
    centres = np.array([s.ego.pose.transform((ahead, 0.0)) for s in course.scenes])
    road = shapely.union_all([shapely.Polygon(p) for p in (*world.road.drivable, *world.road.junctions.values())])
    shapely.prepare(road)
    return DriveTrace(
        0.1,
        speeds,
        accelerations,
        yaws,
        np.array(course.progress),
        start,
        float(world.placement.goal),
        np.array([traffic_speed(s) for s in course.scenes]),
        ~shapely.contains_xy(road, centres),
        np.array([time_to_collision(s, log.vehicle) for s in course.scenes]),
        tuple(course.states),
        events,
        CUT_SHORT if world.reason == "time" and world.config.seconds > 0.0 else world.reason,
        bool(world.success),
    )


def _record(order: DriveOrder, world: Any, wheel: Wheel, course: _Course, start: float) -> dict[str, Any]:
    log = drive_log(world, course.scenes)
    trace = _trace(world, course, log, start)
    score = drive_score(trace)
    states = [s.name for s in course.states]
    seconds_in = {name: round(0.1 * states.count(name), 1) for name in sorted(set(states))}
    wrong = next((e for e in trace.events if infraction_of(e) is not None or e.kind in ("off_road", "wrong_way")), None)
    record: dict[str, Any] = {
        "order": asdict(order),
        "reason": trace.reason,
        "score": score.to_json(),
        "events": [asdict(e) for e in trace.events],
        "pdms": _plan_scores(log, course.plans),
        "signals": {
            "encounters": red_light_encounters(world, course.scenes, course.progress),
            "violations": sum(e.kind == "red_light" and e.at_fault for e in trace.events),
        },
        "commands": _commands(order, world, course),
        "reasoning": [r.to_json() for r in _reasonings(order, world, course)],
        "seconds_in_state": seconds_in,
        "first_wrong": asdict(wrong) if wrong else None,
        "model_id": wheel.model_id,
        "timings_ms": {k: float(np.median(v)) for k, v in course.timings.items()},
    }
    if order.pictures and not score.success:
        from vadv2_eval.closed_loop.picture import draw_failure

        record["picture"] = draw_failure(Path(order.pictures), order.key, log, course.plans, wrong, world.reason)
    return record


def _plan_scores(log: DriveLog, plans: dict[int, Trajectory]) -> dict[str, Any]:
    """PDMS by the v1.1 rules of the plans made every second, against what then happened."""
    values, zeros = [], []
    moments = set(log.moments(every=1))
    for index, plan in sorted(plans.items()):
        if index not in moments or len(plan.points) < 40 or not np.isfinite(plan.points).all():
            continue
        scene = log.pdms_scene(index)
        route = log.scenes[index].route
        reference = reference_plan(scene, limit=route.speed_limit if route else 0.0, vehicle=log.vehicle)
        poses = _poses(plan, log.scenes[index].ego.pose)
        scores = score_proposals(scene, poses[None], 0.5, reference, vehicle=log.vehicle)
        values.append(float(scores.score[1]))
        found = [c for c in causes_v1(scores, 1) if c.metric != "ego_progress" and c.value == 0.0]
        zeros += [{"plan_made_at": round(0.1 * index, 1), **c.to_json()} for c in found[:1] if scores.score[1] == 0.0]
    return {"name": PDMS_NAME, "mean": float(np.mean(values)) if values else None, "plans": len(values), "zeros": zeros}


def _poses(plan: Trajectory, now: Pose2) -> Any:
    """(8, 3) poses of a plan every 0.5 s, relative to the ego now."""
    xy = plan.origin_pose.transform(plan.points[4:40:5, 1:3])
    yaw = plan.points[4:40:5, 3] + plan.origin_pose.yaw - now.yaw
    return np.column_stack([now.inverse_transform(xy), (yaw + np.pi) % (2 * np.pi) - np.pi])


def _reasonings(order: DriveOrder, world: Any, course: _Course) -> list[Any]:
    from vadv2_eval.closed_loop.reasoning import FUTURE_SCENES, judged_reasoning

    rows = []
    for step, (reasoning, decision, visible) in sorted(course.reasonings.items()):
        future = course.scenes[step : step + FUTURE_SCENES]
        rows.append(judged_reasoning(reasoning, future, world.road, decision, order.key, 0.1 * step, visible))
    return rows


def _commands(order: DriveOrder, world: Any, course: _Course) -> list[dict[str, Any]]:
    """What became of each command that was given in held-out words alone."""
    if order.scenario != TEXT_SCENARIO or drives_by_scene(order.driver):
        return []
    return [outcome.to_json() for outcome in command_outcomes(world, course.scenes)]
