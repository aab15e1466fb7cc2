"""One drive of a model with the expert beside it: who has the wheel, what goes wrong, what is written down."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_core.camera import load_rig
from vadv2_core.drive import VehicleCommand
from vadv2_core.errors import InputError
from vadv2_core.scene import Scene
from vadv2_core.scene_log import LogFrame, SceneLogWriter
from vadv2_core.trajectory import Trajectory
from vadv2_core.vehicle import VehicleConfig
from vadv2_driver import Driver, DriverConfig
from vadv2_sim.configuration import WorldConfig
from vadv2_sim.expert.expert import Expert
from vadv2_sim.plan_tracker import PlanTracker
from vadv2_sim.record import DriveOrder, event_rows, log_header
from vadv2_sim.renderer.renderer import Renderer
from vadv2_sim.world import World
from vadv2_training.correction import CorrectionConfig, Finding, Outcome
from vadv2_training.expert_plans import write_expert_plans

STEP = 0.1
COMPARED = 20
"""Points of two plans that are compared: 2 s."""
MAX_LATERAL, MAX_CURVATURE = 5.0, 0.35
"""A plan sharper than this (m/s^2, 1/m) within its first 3 s is none that a car can drive, and no lesson."""
SHORTEST = 20
"""Frames of the shortest log worth keeping: 2 s."""


class Pupil:
    """The model at the wheel: the driving stack in this process, without words.

    Args:
        model: Model directory; None for untrained weights.
        rig: Rig file.

    Raises:
        InputError: for a model that does not load.
    """

    def __init__(self, model: Path | None, rig: Path) -> None:
        if model is None:
            config = DriverConfig(models=".vadv2/none", reason_every=0)
        else:
            vlm = (model / "vlm").is_dir()
            config = DriverConfig(model=model.name, models=str(model.parent), use_vlm=vlm, reason_every=0)
        self.config = config
        self.driver = Driver(config)
        self.rig = load_rig(rig)

    def fresh(self) -> None:
        """Forget everything, a latched emergency too."""
        from vadv2_control import Controller

        self.driver.reset()
        self.driver.controller = Controller(self.driver.config.control, self.driver.config.vehicle)


def plan_distance(a: Trajectory, b: Trajectory) -> float:
    """The largest distance between two plans' points of the same time within their first 2 s, m."""
    n = min(COMPARED, len(a.points), len(b.points))
    apart = a.origin_pose.transform(a.points[:n, 1:3]) - b.origin_pose.transform(b.points[:n, 1:3])
    return float(np.hypot(apart[:, 0], apart[:, 1]).max())


def is_drivable(plan: Trajectory) -> bool:
    """Whether a plan keeps to what a car can do within its first 3 s."""
    points = plan.points[:30]
    if not np.isfinite(points).all():
        return False
    speed = np.maximum(points[:, 4], 0.0)
    turn = np.abs(np.diff(np.unwrap(points[:, 3])))
    moved = np.hypot(np.diff(points[:, 1]), np.diff(points[:, 2]))
    curvature = np.where(moved > 0.05, turn / np.maximum(moved, 0.05), 0.0)
    return bool(curvature.max() <= MAX_CURVATURE and (curvature * speed[1:] ** 2).max() <= MAX_LATERAL)


@dataclass(slots=True)
class Watch:
    """What the expert notices beside the model.

    Attributes:
        config: Thresholds.
        findings: So far.
        distances: Of every model plan from the expert's, m.
        standing: For so long while the expert would drive, s.
        apart: Whether the last plan disagreed.
    """

    config: CorrectionConfig
    findings: list[Finding] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    standing: float = 0.0
    apart: bool = False

    def compare(self, at: float, plan: Trajectory | None, wish: Trajectory, why: str) -> None:
        """Take note of a fresh plan of the model."""
        if plan is None:
            if not self.apart:
                self.findings.append(Finding(at, "withheld", why))
            self.apart = True
            return
        distance = plan_distance(plan, wish)
        self.distances.append(distance)
        if distance > self.config.disagreement and not self.apart:
            self.findings.append(Finding(at, "disagreement", f"{distance:.1f} m within 2 s"))
        self.apart = distance > self.config.disagreement

    def trouble(self, world: World, scene: Scene, wish: Trajectory, fresh: Sequence[Any]) -> Finding | None:
        """Whether the model has lost it at a scene; what the expert should take the wheel for."""
        at = round(world.time, 2)
        for event in fresh:
            if event.at_fault and str(event.kind) != "speeding":
                self.findings.append(Finding(at, str(event.kind), event.detail))
                if str(event.kind) in ("off_road", "wrong_way"):
                    return self.findings[-1]
        wants = float(wish.points[19, 4]) > 1.0
        self.standing = self.standing + STEP if wants and scene.ego.speed < 0.3 else 0.0
        if self.standing > self.config.stuck:
            self.standing = 0.0
            return self._found(at, "stuck", "stands where the expert would drive")
        aside, later = way_offsets(world, scene, wish)
        if abs(aside) > self.config.drift and abs(later) < abs(aside) - 0.4 * self.config.drift:
            return self._found(at, "drift", f"{aside:.1f} m beside the way")
        return None

    def _found(self, at: float, kind: str, detail: str) -> Finding:
        self.findings.append(Finding(at, kind, detail))
        return self.findings[-1]


def way_offsets(world: World, scene: Scene, wish: Trajectory) -> tuple[float, float]:
    """How far left of the way the ego is, and where the expert would be in 4 s, m."""
    pose = scene.ego.pose
    _, aside = world.route.project(pose.x, pose.y, world.s)
    x, y = wish.origin_pose.transform(wish.points[39, 1:3])
    _, later = world.route.project(float(x), float(y), world.s)
    return aside, later


@dataclass(slots=True)
class _Notes:
    frames: list[LogFrame] = field(default_factory=list)
    plans: list[Trajectory] = field(default_factory=list)
    model: list[bool] = field(default_factory=list)


def corrected_drive(order: DriveOrder, folder: Path, pupil: Pupil, config: CorrectionConfig) -> Outcome:
    """Drive once and leave the log with the expert's plans beside it.

    Raises:
        InputError: for an unknown town or scenario, or where SUMO died.
    """
    begun = time.process_time()
    frame = WorldConfig(
        vehicle=VehicleConfig(),
        weather=order.weather,
        weather_intensity=order.weather_intensity,
        seconds=config.seconds,
    )
    world = World(order.town, order.scenario, order.seed, frame)
    try:
        scene = world.reset()
    except InputError as error:
        world.close()
        if "no place for scenario" not in str(error):
            raise
        return Outcome(order, 0.0, "no_place", cpu_seconds=round(time.process_time() - begun, 1))
    renderer = Renderer(world.road, pupil.rig, vehicle=world.config.vehicle)
    pupil.fresh()
    try:
        watch, notes, cut = _drive(world, scene, renderer, pupil, config, begun)
    finally:
        renderer.close()
        world.close()
    reason = world.reason or cut
    log = _write(order, folder, world, notes, watch, reason, pupil.driver.model_id)
    return Outcome(
        order,
        round(world.time, 1),
        reason,
        tuple(watch.findings),
        round(float(np.mean(notes.model)), 3) if notes.model else 0.0,
        round(float(np.mean(watch.distances)), 3) if watch.distances else None,
        round(time.process_time() - begun, 1),
        log,
    )


def _drive(
    world: World, scene: Scene, renderer: Renderer, pupil: Pupil, config: CorrectionConfig, begun: float
) -> tuple[Watch, _Notes, str]:
    expert, tracker = Expert(world.road, world.config.vehicle), PlanTracker(world.config.vehicle)
    watch, notes = Watch(config), _Notes()
    driver = pupil.driver
    known, since = 0, math.inf
    step = 0
    while True:
        wish = expert.plan(scene)
        fresh, known = world.events[known:], len(world.events)
        teaching = since < math.inf
        trouble = watch.trouble(world, scene, wish, fresh) if not teaching else None
        if trouble is not None:
            since, teaching = world.time, True
        elif teaching:
            held = world.time - since
            aside, later = way_offsets(world, scene, wish)
            back = abs(aside) < 0.4 * config.drift or abs(aside - later) < 0.3
            if (held >= config.takeover and back) or held >= 3.0 * config.takeover:
                since, teaching = math.inf, False
                pupil.fresh()
                watch.apart, step = False, 0
        command: VehicleCommand
        if teaching:
            tracker.take(wish)
            command = tracker.command(scene.ego)
        elif step % config.plan_every == 0:
            seen = renderer.render(scene).frame
            said = driver.step(seen, scene.ego, scene.command, scene.route)
            watch.compare(round(world.time, 2), said.candidates.trajectory(), wish, said.candidates.reason)
            command = said.command
        else:
            command, _ = driver.controller.step(None, scene.ego, scene.stamp)
        step += 1
        blameless = [event for event in fresh if not event.at_fault]
        said_notes = {"decision": asdict(expert.last_decision)} if expert.last_decision is not None else {}
        notes.frames.append(LogFrame(scene, command, said_notes, event_rows(blameless)))
        notes.plans.append(wish)
        notes.model.append(not teaching)
        if world.finished:
            return watch, notes, ""
        if time.process_time() - begun > config.cpu_seconds:
            return watch, notes, "cpu"
        scene = world.step(command)


def _write(
    order: DriveOrder, folder: Path, world: World, notes: _Notes, watch: Watch, reason: str, model_id: str
) -> str:
    """Leave the log; its name below the folder, or an empty one where too little was driven."""
    # At the moment of a collision there is nothing left to teach.
    count = len(notes.frames) - (3 if reason == "collision" else 0)
    if count < SHORTEST:
        return ""
    path = folder / order.file
    header = log_header(world, "correction")
    found = [asdict(finding) for finding in watch.findings]
    header = replace(header, notes={**header.notes, "model": model_id, "findings": found})
    with SceneLogWriter(path, header) as log:
        for frame in notes.frames[:count]:
            log.write(frame)
        plans = notes.plans[:count]
        write_expert_plans(path, plans, [is_drivable(plan) for plan in plans], notes.model[:count])
        log.close({"reason": "corrected", "ended": reason, "seconds": round(STEP * count, 1)})
    return order.file
