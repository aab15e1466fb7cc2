"""Who sits at the wheel of an evaluated drive: the expert, or the driving stack with any of its planners."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vadv2_core.drive import DriveStatus, VehicleCommand
from vadv2_core.reasoning import Reasoning
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.trajectory import Trajectory, TrajectoryCandidates
from vadv2_core.vehicle import VehicleConfig

PLAN_EVERY = 2
"""Steps of 0.1 s between two plans of a driver on the Scene."""


@dataclass(frozen=True, slots=True)
class WheelAnswer:
    """What one step at the wheel gives."""

    command: VehicleCommand
    status: DriveStatus
    plan: Trajectory | None
    reasoning: Reasoning | None = None
    timings: dict[str, float] | None = None


class Wheel(Protocol):
    """One driver of one drive."""

    model_id: str

    def step(self, scene: Scene) -> WheelAnswer:
        """The command for a scene."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class SceneWheel:
    """A driver that reads the Scene (expert, lane follower), through the same control as the stack."""

    def __init__(self, name: str, road: RoadMap, vehicle: VehicleConfig) -> None:
        from vadv2_control import ControlConfig, Controller
        from vadv2_control.configuration import DriveConfig
        from vadv2_sim.drivers import make_scene_driver

        self.model_id = name
        self._driver = make_scene_driver(name, road, vehicle)
        self._controller = Controller(ControlConfig(drive=DriveConfig(engage_automatically=True)), vehicle)
        self._step = 0
        self._plan: Trajectory | None = None

    def step(self, scene: Scene) -> WheelAnswer:
        """See `Wheel.step`."""
        fresh = self._step % PLAN_EVERY == 0
        self._step += 1
        if fresh:
            self._plan = self._driver.plan(scene)
        candidates = _as_candidates(self._plan, self.model_id) if fresh and self._plan is not None else None
        command, status = self._controller.step(candidates, scene.ego, scene.stamp)
        return WheelAnswer(command, status, self._plan if fresh else None)

    def close(self) -> None:
        """See `Wheel.close`."""


def _as_candidates(plan: Trajectory, name: str) -> TrajectoryCandidates:
    return TrajectoryCandidates(
        plan.stamp, plan.origin_pose, plan.points[None], np.ones(1), 0, "", "", name, 0, {}, (), name
    )


class StackWheel:
    """The driving stack: six rendered cameras through Driver, or none for a planner that needs no pictures."""

    def __init__(self, name: str, road: RoadMap, vehicle: VehicleConfig, models: Path, rig: Path) -> None:
        from vadv2_driver import Driver

        self._driver = Driver(driver_config(name, vehicle, models))
        pictures = self._driver.planner.needs_pictures
        self.model_id = self._driver.model_id if pictures else self._driver.planner.model_id
        self._renderer: Any = None
        if pictures:
            from vadv2_core.camera import load_rig
            from vadv2_sim.renderer import Renderer

            self._renderer = Renderer(road, load_rig(rig), vehicle=vehicle)

    def step(self, scene: Scene) -> WheelAnswer:
        """See `Wheel.step`."""
        frame = None if self._renderer is None else self._renderer.render(scene).frame
        said = self._driver.step(frame, scene.ego, scene.command, scene.route)
        return WheelAnswer(said.command, said.status, said.candidates.trajectory(), said.reasoning, said.timings)

    def close(self) -> None:
        """See `Wheel.close`."""
        if self._renderer is not None:
            self._renderer.close()


def driver_config(name: str, vehicle: VehicleConfig, models: Path) -> Any:
    """The stack's configuration by name.

    ``model`` is the default system; a folder below ``models`` is another one; any other name is a planner of the
    registry: with the folder ``models/NAME`` where there is one, else with untrained weights (its ``model_id`` says
    so), and without pictures where it needs none.

    Raises:
        InputError: for a name that is none of these.
    """
    from vadv2_core.errors import InputError
    from vadv2_driver import DriverConfig
    from vadv2_planner.config import PlannerConfig
    from vadv2_planner.registry import NETWORKS, PLANNERS

    if name == "model":
        return DriverConfig(models=str(models), vehicle=vehicle)
    if name not in PLANNERS:
        if (models / name).is_dir():
            return DriverConfig(model=name, models=str(models), vehicle=vehicle)
        known = ", ".join(("expert", "lane_follower", "model", *PLANNERS))
        raise InputError(f"driver {name!r} is unknown", "--driver", f"one of {known}, or a folder below {models}")
    planner = PlannerConfig(planner=name)
    if (models / name).is_dir():
        return DriverConfig(model=name, models=str(models), planner=planner, vehicle=vehicle)
    pictures = name in NETWORKS and getattr(NETWORKS[name], "needs_pictures", True)
    untrained = str(models / "none")
    return DriverConfig(models=untrained, use_vlm=pictures, planner=planner, vehicle=vehicle)


def check_driver(name: str, models: Path) -> None:
    """Refuse an unknown driver before anything is driven.

    Raises:
        InputError: naming the known ones.
    """
    from vadv2_sim.drivers import SCENE_DRIVERS

    if name not in SCENE_DRIVERS:
        driver_config(name, VehicleConfig(), models)


def make_wheel(name: str, road: RoadMap, vehicle: VehicleConfig, models: Path, rig: Path) -> Wheel:
    """A driver by name.

    Raises:
        InputError: for an unknown name or a model that does not load.
    """
    from vadv2_sim.drivers import SCENE_DRIVERS

    if name in SCENE_DRIVERS:
        return SceneWheel(name, road, vehicle)
    return StackWheel(name, road, vehicle, models, rig)
