"""One drive, frame by frame: the world, what the cameras show of it, and what a driver on the Scene plans and says.

The simulator's node publishes these frames and obeys; everything here runs without ROS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_core.camera import CameraFrame, CameraRig, load_rig
from vadv2_core.decision import Decision
from vadv2_core.drive import VehicleCommand
from vadv2_core.reasoning import Reasoning
from vadv2_core.scene import Scene
from vadv2_core.taxonomy import Cause, EdgeCaseFlag, LateralAction, LongitudinalAction
from vadv2_core.trajectory import Trajectory, TrajectoryCandidates
from vadv2_sim.drivers import make_scene_driver
from vadv2_sim.narrator import Narration, Narrator, Visibility
from vadv2_sim.node_configuration import MODEL, SimNodeConfig
from vadv2_sim.record import event_rows
from vadv2_sim.rig_files import default_rig
from vadv2_sim.world import World

SPEAK_EVERY = 5
"""Frames between two narrations: 2 Hz; what is hidden from the cameras is only known on these."""


@dataclass(frozen=True, slots=True)
class DriveFrame:
    """One moment of a drive.

    Attributes:
        scene: The truth.
        images: What the cameras show; None where they are off.
        candidates: What the driver on the Scene plans, as a plan of one mode; None where the model drives.
        reasoning: What there is to say of the moment and of that plan, every `SPEAK_EVERY` frames; else None.
    """

    scene: Scene
    images: CameraFrame | None
    candidates: TrajectoryCandidates | None
    reasoning: Reasoning | None


def candidates_of(plan: Trajectory, driver: str) -> TrajectoryCandidates:
    """A single plan in the planner's form."""
    return TrajectoryCandidates(
        plan.stamp,
        plan.origin_pose,
        plan.points[None],
        np.array([1.0]),
        0,
        "",
        plan.rationale,
        driver,
        0,
        {"ego": 0.0},
        (),
        driver,
    )


def reasoning_of(narration: Narration, decision: Decision | None, driver: str) -> Reasoning:
    """A narration in the VLM's form; what is certain has probability 1."""
    flags = np.zeros(len(EdgeCaseFlag), dtype=np.float32)
    flags[[k for k, on in enumerate(narration.flags) if on]] = 1.0
    return Reasoning(
        narration.stamp,
        narration.scene_text,
        narration.intent_text,
        decision.cause if decision else Cause.UNKNOWN,
        flags,
        narration.trace_text,
        decision.longitudinal if decision else LongitudinalAction.UNKNOWN,
        1.0 if decision else 0.0,
        decision.lateral if decision else LateralAction.UNKNOWN,
        1.0 if decision else 0.0,
        driver,
        0.0,
        False,
    )


class DriveSession:
    """A world that is driven through and looked at.

    Everything that touches SUMO and the renderer happens in the thread that calls `start` and `step`: neither library
    allows more.

    Args:
        config: What to drive.

    Raises:
        InputError: for a town, scenario or rig that cannot be used.
    """

    def __init__(self, config: SimNodeConfig) -> None:
        self.config = config
        self.world = World(config.town, config.scenario, config.seed, config.world)
        self.rig: CameraRig = load_rig(Path(config.rig_file)) if config.rig_file else default_rig()
        self._narrator = Narrator(self.world.road)
        self._renderer: Any = None
        self._driver: Any = None
        self._words = np.random.default_rng(config.seed)
        self._looked, self._intent = 0, ""

    def start(self) -> DriveFrame:
        """The first frame.

        Raises:
            InputError: where the scenario has no place, or EGL is missing.
        """
        scene = self.world.reset()
        self._looked, self._intent = 0, ""
        self._words = np.random.default_rng(self.config.seed)
        if self.config.driver != MODEL:
            self._driver = make_scene_driver(self.config.driver, self.world.road, self.config.world.vehicle)
        if self.config.cameras and self._renderer is None:
            from vadv2_sim.renderer import Renderer

            self._renderer = Renderer(self.world.road, self.rig, vehicle=self.config.world.vehicle)
        return self._look(scene)

    def step(self, command: VehicleCommand) -> DriveFrame:
        """Obey a command for 0.1 s and look again."""
        return self._look(self.world.step(command))

    def truth(self, scene: Scene) -> dict[str, Any]:
        """A scene of this drive, and what has gone wrong so far, as JSON values."""
        agents = [
            [a.id, a.cls.name, round(a.x, 2), round(a.y, 2), round(a.yaw, 3), a.length, a.width, *a.velocity]
            for a in scene.agents
        ]
        return {
            "stamp": scene.stamp,
            "agents": agents,
            "signals": {k: v.name for k, v in scene.signals.items()},
            "closed_lanes": sorted(scene.closed_lanes),
            "lane": scene.ego_lane,
            "scenario": scene.scenario,
            "events": list(scene.events),
            "infractions": event_rows(self.world.events),
        }

    def close(self) -> None:
        """End the simulation and give the renderer back."""
        self.world.close()
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _look(self, scene: Scene) -> DriveFrame:
        plan, decision = None, None
        if self._driver is not None:
            plan = self._driver.plan(scene)
            decision = getattr(self._driver, "last_decision", None)
        speaks = self._looked % SPEAK_EVERY == 0
        self._looked += 1
        images, visibility = None, None
        if self._renderer is not None:
            rendered = self._renderer.render(scene, ground_truth=speaks)
            images = rendered.frame
            if rendered.truth is not None:
                visibility = Visibility(rendered.truth.visible_agents(), rendered.truth.visible_signals())
        reasoning = None
        if speaks:
            fault = images is not None and not images.valid.all()
            narration = self._narrator.narrate(scene, decision, visibility, self._words, fault)
            reasoning = reasoning_of(narration, decision, self.config.driver)
            self._intent = narration.intent_text
        if plan is None:
            return DriveFrame(scene, images, None, reasoning)
        candidates = candidates_of(replace(plan, rationale=self._intent), self.config.driver)
        return DriveFrame(scene, images, candidates, reasoning)
