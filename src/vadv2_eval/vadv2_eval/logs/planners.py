"""Planners that need no pictures, by name, as they are scored on logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from vadv2_core.errors import InputError
from vadv2_core.geometry import Array
from vadv2_eval.logs.drive_log import DriveLog
from vadv2_eval.pdms.reference_planner import reference_plan
from vadv2_eval.pdms.scene import PoseSequence

HORIZON_STEPS = 8
PLAN_DT = 0.5


class LogPlanner(Protocol):
    """Plans 4 s, every 0.5 s, relative to the rear axle, at a moment of a log."""

    def __call__(self, log: DriveLog, index: int) -> PoseSequence:
        """The plan made at scene ``index``."""
        ...


def constant_velocity(log: DriveLog, index: int) -> PoseSequence:
    """Straight on at the present velocity."""
    vx, vy = log.scenes[index].ego.velocity
    t = PLAN_DT * np.arange(1, HORIZON_STEPS + 1)
    return PoseSequence(PLAN_DT, np.column_stack([vx * t, vy * t, np.zeros(HORIZON_STEPS)]))


def ego_status(log: DriveLog, index: int) -> PoseSequence:
    """The present speed, acceleration and yaw rate driven on; braking ends at standstill."""
    ego = log.scenes[index].ego
    fine = 50
    dt = PLAN_DT / fine
    v = np.maximum(ego.speed + ego.acceleration[0] * dt * (np.arange(HORIZON_STEPS * fine) + 0.5), 0.0)
    rate = ego.yaw_rate * v / max(ego.speed, 0.5)
    yaw = np.cumsum(rate) * dt
    middle = yaw - 0.5 * rate * dt
    path = np.column_stack([np.cumsum(v * np.cos(middle)), np.cumsum(v * np.sin(middle))]) * dt
    return PoseSequence(PLAN_DT, np.column_stack([path, yaw])[fine - 1 :: fine])


def log_replay(log: DriveLog, index: int) -> PoseSequence:
    """What the human drove."""
    return log.driven(index)


def rule_reference(log: DriveLog, index: int) -> PoseSequence:
    """The specification's reference planner itself."""
    plan = reference_plan(log.pdms_scene(index), vehicle=log.vehicle)
    return PoseSequence(PLAN_DT, plan.poses[4::5])


LOG_PLANNERS: dict[str, LogPlanner] = {
    "constant_velocity": constant_velocity,
    "ego_status_extrapolation": ego_status,
    "log_replay": log_replay,
    "reference": rule_reference,
}


def log_planner(name: str) -> LogPlanner:
    """A planner by name; ``planner:NAME`` is one of the planner registry that needs no pictures.

    Raises:
        InputError: for an unknown name, or a planner that needs pictures.
    """
    if name in LOG_PLANNERS:
        return LOG_PLANNERS[name]
    if name.startswith("planner:"):
        return _registered(name.removeprefix("planner:"))
    raise InputError(f"{name!r} is unknown", "planner", "one of " + ", ".join((*LOG_PLANNERS, "planner:NAME")))


def _registered(name: str) -> LogPlanner:
    from vadv2_driver import Driver, DriverConfig
    from vadv2_planner.config import PlannerConfig

    driver = Driver(DriverConfig(use_vlm=False, reason_every=0, planner=PlannerConfig(planner=name)))

    def plan(log: DriveLog, index: int) -> PoseSequence:
        scene = log.scenes[index]
        driver.reset()
        candidates = driver.step(None, scene.ego, scene.command, scene.route).candidates
        points = candidates.points[0 if candidates.chosen is None else candidates.chosen]
        if not np.isfinite(points).all():
            raise InputError(f"{name} gave a plan that is not finite", f"{log.name}, scene {index}", "finite points")
        return PoseSequence(PLAN_DT, at_half_seconds(points))

    return plan


def at_half_seconds(points: Array) -> Array:
    """(8, 3) poses at 0.5 s steps of plan points (n, 6)."""
    t = PLAN_DT * np.arange(1, HORIZON_STEPS + 1)
    stamps = np.concatenate([[0.0], points[:, 0]])
    columns = [np.concatenate([[0.0], points[:, 1 + i]]) for i in range(2)]
    columns.append(np.unwrap(np.concatenate([[0.0], points[:, 3]])))
    return np.column_stack([np.interp(t, stamps, c) for c in columns])


PlannerMaker = Callable[[str], LogPlanner]
