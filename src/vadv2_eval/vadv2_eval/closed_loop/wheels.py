"""Who sits at the wheel of an evaluated drive: the expert, or the driving stack with any of its planners."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vadv2_core.drive import DriveStatus, VehicleCommand
from vadv2_core.errors import InputError
from vadv2_core.reasoning import Reasoning
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.trajectory import Trajectory, TrajectoryCandidates
from vadv2_core.vehicle import VehicleConfig
from vadv2_eval.closed_loop.commands import HeldOutWords
from vadv2_eval.closed_loop.kept_parts import fresh_driver, kept_renderer
from vadv2_eval.closed_loop.told import Teller

FRAME_CPU = "frame_cpu"
"""Timing of a whole frame without words (perception, embedding, planner, control) in processor time, which other work
on the machine lengthens least."""
PLAN_EVERY = 2
"""Steps of 0.1 s between two plans of a driver on the Scene."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the stack plans and speaks, in steps of 0.1 s; control always works at 10 Hz, as its node does.

    Attributes:
        plan: Steps between two frames that are rendered, perceived and planned on.
        words: Steps between two reasonings in words, a multiple of ``plan``; 0 for none.
    """

    plan: int = 1
    words: int = 10


def pace_of(plan_hz: float, words_seconds: float) -> Pace:
    """The pace for rates as a user says them.

    Raises:
        InputError: for a rate that steps of 0.1 s cannot keep.
    """
    plan = round(10.0 / plan_hz) if plan_hz > 0.0 else 0
    if plan < 1 or abs(10.0 / plan - plan_hz) > 0.05:
        raise InputError(f"{plan_hz:g} Hz", "--plan-hz", "10, 5, 3.33, 2.5 or 2")
    words = round(10.0 * words_seconds)
    if words % plan:
        raise InputError(f"{words_seconds:g} s between words", "--words-every", f"a multiple of {0.1 * plan:g} s")
    return Pace(plan, words)


@dataclass(frozen=True, slots=True)
class WheelAnswer:
    """What one step at the wheel gives.

    Attributes:
        command: To the vehicle.
        status: Of the drive.
        plan: Made at this step; None where none was made or it was withheld.
        reasoning: Said at this step; None where nothing was.
        visible: Ids of agents and of signals that the cameras see, where something was said.
        timings: Wall time by stage, ms.
    """

    command: VehicleCommand
    status: DriveStatus
    plan: Trajectory | None
    reasoning: Reasoning | None = None
    visible: tuple[frozenset[str], frozenset[str]] | None = None
    timings: dict[str, float] | None = None


class Wheel(Protocol):
    """One driver of one drive."""

    model_id: str

    def step(self, scene: Scene) -> WheelAnswer:
        """The command for a scene."""
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


def _as_candidates(plan: Trajectory, name: str) -> TrajectoryCandidates:
    return TrajectoryCandidates(
        plan.stamp, plan.origin_pose, plan.points[None], np.ones(1), 0, "", "", name, 0, {}, (), name
    )


class StackWheel:
    """The driving stack: six rendered cameras through Driver, or none for a planner that needs no pictures.

    Args:
        config: Of the stack (`driver_config`).
        road: Of the town.
        rig: Rig file.
        pace: How often it plans and speaks.
        words: Says commands in held-out words, and hides the route; None hands both on as they are.
        tellers: Makes who tells the planner what to think, from the reasoner and the renderer; None for the reasoner.
    """

    def __init__(
        self,
        config: Any,
        road: RoadMap,
        rig: Path,
        pace: Pace,
        words: HeldOutWords | None = None,
        tellers: Callable[[Any, Any], Teller] | None = None,
    ) -> None:
        self._driver = fresh_driver(config)
        pictures = self._driver.planner.needs_pictures
        self.model_id = self._driver.model_id if pictures else self._driver.planner.model_id
        self._renderer: Any = kept_renderer(road, rig, config.vehicle) if pictures else None
        self._pace, self._words = pace, words
        reasons = tellers is not None and self._renderer is not None and self._driver.reasoner is not None
        self._teller = tellers(self._driver.reasoner, self._renderer) if reasons and tellers else None
        self._step = -1

    @property
    def speaks(self) -> bool:
        """Whether there will be reasoning in words to judge."""
        return bool(self._pace.words) and self._renderer is not None and self._driver.reasoner is not None

    def step(self, scene: Scene) -> WheelAnswer:
        """See `Wheel.step`."""
        self._step += 1
        if self._step % self._pace.plan:
            command, status = self._driver.controller.step(None, scene.ego, scene.stamp)
            return WheelAnswer(command, status, None)
        frame = None if self._renderer is None else self._renderer.render(scene).frame
        asked, route = (scene.command, scene.route) if self._words is None else (self._words.say(scene.command), None)
        speak = bool(self._pace.words) and self._step % self._pace.words == 0
        began = time.process_time()
        teller = self._teller
        told = None if teller is None else lambda tokens: teller.tell(scene, tokens)
        said = self._driver.step(frame, scene.ego, asked, route, reason=speak, told=told)
        timings = dict(said.timings)
        if said.reasoning is None:
            timings[FRAME_CPU] = 1e3 * (time.process_time() - began)
        visible = None
        if said.reasoning is not None and self._renderer is not None:
            truth = self._renderer.visibility(scene)
            visible = truth.visible_agents(), truth.visible_signals()
        return WheelAnswer(said.command, said.status, said.candidates.trajectory(), said.reasoning, visible, timings)


def driver_config(name: str, vehicle: VehicleConfig, models: Path, model: str = "") -> Any:
    """The stack's configuration by name.

    ``model`` is the folder ``model`` (perception, planner, vlm), or the default system where that is empty; a folder
    below ``models`` is another one; any other name is a planner of the registry: with the folder ``models/NAME`` where
    there is one, else with untrained weights (its ``model_id`` says so), and without pictures where it needs none.

    Raises:
        InputError: for a name that is none of these.
    """
    from vadv2_driver import DriverConfig
    from vadv2_planner.config import PlannerConfig
    from vadv2_planner.registry import NETWORKS, PLANNERS

    planner = PlannerConfig(vehicle=vehicle)
    if name == "model" and model:
        folder = Path(model).resolve()
        if not any((folder / stage).is_dir() for stage in ("perception", "planner", "vlm")):
            raise InputError("is no model", model, "a folder with perception, planner and vlm")
        return DriverConfig(model=folder.name, models=str(folder.parent), vehicle=vehicle, planner=planner)
    if name == "model":
        return DriverConfig(models=str(models), vehicle=vehicle, planner=planner)
    if name not in PLANNERS:
        if (models / name).is_dir():
            return DriverConfig(model=name, models=str(models), vehicle=vehicle, planner=planner)
        known = ", ".join(("expert", "lane_follower", "model", *PLANNERS))
        raise InputError(f"driver {name!r} is unknown", "--driver", f"one of {known}, or a folder below {models}")
    planner = replace(planner, planner=name)
    if (models / name).is_dir():
        return DriverConfig(model=name, models=str(models), planner=planner, vehicle=vehicle)
    pictures = name in NETWORKS and getattr(NETWORKS[name], "needs_pictures", True)
    untrained = str(models / "none")
    return DriverConfig(models=untrained, use_vlm=pictures, planner=planner, vehicle=vehicle)


def check_driver(name: str, models: Path, model: str = "") -> None:
    """Refuse an unknown driver before anything is driven.

    Raises:
        InputError: naming the known ones.
    """
    if not drives_by_scene(name):
        driver_config(name, VehicleConfig(), models, model)


def drives_by_scene(name: str) -> bool:
    """Whether a driver reads the Scene, so that no model changes what it does."""
    from vadv2_sim.drivers import SCENE_DRIVERS

    return name in SCENE_DRIVERS
