"""One drive into which faults are injected, and what it left: places, states, commands, errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from vadv2_control import ControlConfig, Controller
from vadv2_control.configuration import DriveConfig
from vadv2_core.camera import load_rig
from vadv2_core.drive import DriveState, VehicleCommand
from vadv2_core.scene import Scene
from vadv2_core.trajectory import Trajectory, TrajectoryCandidates
from vadv2_eval.closed_loop.wheels import driver_config
from vadv2_eval.faults.injections import Fault, FaultMemory, Moment
from vadv2_sim.drive_events import EventKind
from vadv2_sim.expert import Expert
from vadv2_sim.world import World, WorldConfig

STEP = 0.1


@dataclass(frozen=True, slots=True)
class DriveSpec:
    """The drive that faults are injected into.

    Attributes:
        town: Of the simulator.
        scenario: Likewise.
        seed: Likewise.
        seconds: How long it is driven.
        begin: When the fault strikes, s.
        pictures: Drive by the model on rendered cameras instead of by the expert.
        frame_steps: Steps from one rendered frame, and plan on it, to the next.
        model: Folder of the model (perception, planner, vlm); empty for the default system.
        models: Directory of model directories.
        rig: Rig file.
    """

    town: str = "town_b"
    scenario: str = "free"
    seed: int = 4
    seconds: float = 14.0
    begin: float = 6.0
    pictures: bool = False
    frame_steps: int = 2
    model: str = ""
    models: str = "models"
    rig: str = "config/rig/surround6.yaml"


BLIND = DriveSpec()
"""Driven by the expert: into a bend at 8 m/s, where a wheel that is kept leads off the road."""
ON_PICTURES = DriveSpec("town_a", "free", 3, pictures=True)
"""Driven by a model on rendered pictures: a street of 8 m/s."""


@dataclass(slots=True)
class Trace:
    """What a drive left.

    Attributes:
        places: Of the ego, each step (x, y), map frame, m.
        states: Of the drive, each step.
        causes: The words they came with.
        commands: That left control, each step.
        exceptions: Errors that left a stage.
        collisions: Of the ego with anything, whoever was to blame.
        model_id: What planned.
    """

    places: list[tuple[float, float]] = field(default_factory=list)
    states: list[DriveState] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    commands: list[VehicleCommand] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)
    collisions: int = 0
    model_id: str = ""


Strike = Callable[..., None]
"""Injects the active faults of the named places into the moment."""


class _Planning(Protocol):
    """What drives: it looks at a scene, and plans from what the faults have left of what it saw."""

    model_id: str

    def look(self, scene: Scene, moment: Moment) -> None: ...

    def think(self, scene: Scene, moment: Moment, strike: Strike) -> None: ...

    def close(self) -> None: ...


class _Expert:
    """Plans from the truth: faults of the clock, odometry, and plans do not need pictures."""

    model_id = "expert"

    def __init__(self, world: World) -> None:
        self._expert = Expert(world.road, world.config.vehicle)

    def look(self, scene: Scene, moment: Moment) -> None:
        """Nothing to see."""

    def think(self, scene: Scene, moment: Moment, strike: Strike) -> None:
        """A plan of this scene."""
        moment.plan = replace(candidates_from(self._expert.plan(scene)), rationale=moment.rationale)

    def close(self) -> None:
        """Nothing to give back."""


class _Model:
    """Plans from pictures with the real stages, so that faults strike between them."""

    def __init__(self, world: World, spec: DriveSpec) -> None:
        from vadv2_driver.driver import Driver
        from vadv2_sim.renderer.renderer import Renderer

        vehicle = world.config.vehicle
        self._driver = Driver(driver_config("model", vehicle, Path(spec.models), spec.model))
        self._renderer = Renderer(world.road, load_rig(Path(spec.rig)), vehicle=vehicle)
        self._dead: frozenset[str] = frozenset()
        self.model_id = self._driver.model_id

    def look(self, scene: Scene, moment: Moment) -> None:
        """Render the cameras."""
        moment.frame = self._renderer.render(scene).frame

    def think(self, scene: Scene, moment: Moment, strike: Strike) -> None:
        """Encode, reason, plan, as far as the processes live; one that is back remembers nothing."""
        back, self._dead = self._dead - moment.dead, frozenset(moment.dead)
        if "perception" in back:
            self._driver.encoder.reset()
        if "planner" in back:
            self._driver.planner.reset()
        if "perception" in self._dead:
            return
        assert moment.frame is not None
        tokens = self._driver.encoder.encode(moment.frame, moment.ego)
        if self._driver.reasoner is not None and "vlm" not in self._dead:
            moment.embedding = self._driver.reasoner.embed(tokens, scene.command, scene.route)
        strike("reasoning")
        if "planner" not in self._dead:
            moment.plan = self._driver.planner.plan(
                tokens, moment.ego, scene.command, scene.route, moment.embedding, moment.rationale
            )

    def close(self) -> None:
        """Give the framebuffers back."""
        self._renderer.close()


def candidates_from(plan: Trajectory) -> TrajectoryCandidates:
    """The expert's plan as the planner's only mode."""
    return TrajectoryCandidates(
        plan.stamp,
        plan.origin_pose,
        plan.points[None],
        np.ones(1),
        0,
        "",
        plan.rationale,
        "expert",
        0,
        {},
        (),
        "expert",
    )


def is_finite(command: VehicleCommand) -> bool:
    """Whether every number of a command is."""
    return all(map(math.isfinite, (command.steering_angle, command.steering_rate, command.acceleration, command.speed)))


def drive(spec: DriveSpec, faults: Sequence[Fault]) -> Trace:
    """Drive once, with faults.

    Args:
        spec: Where, how long, and by whom.
        faults: Strike together, from ``spec.begin`` on, each for its own time.
    """
    world = World(spec.town, spec.scenario, spec.seed, WorldConfig(stop_on_collision=False))
    trace = Trace()
    scene = world.reset()
    planning: _Planning = _Model(world, spec) if spec.pictures else _Expert(world)
    trace.model_id = planning.model_id
    controller = Controller(ControlConfig(drive=DriveConfig(engage_automatically=True)), world.config.vehicle)
    memories = [FaultMemory() for _ in faults]
    cleared = False
    try:
        for index in range(round(spec.seconds / STEP)):
            time = index * STEP
            moment = Moment(scene.ego, scene.stamp)
            active = [(f, m) for f, m in zip(faults, memories, strict=True) if 0.0 <= time - spec.begin < f.seconds]
            due = not spec.pictures or index % spec.frame_steps == 0
            _plan(planning if due else None, scene, moment, active, trace)
            command, status = controller.step(moment.plan, moment.ego, moment.now)
            for _, memory in active:
                memory.seconds += STEP
            if status.state is DriveState.EMERGENCY and world.speed < 0.1:
                cleared = not controller.clear_emergency() or cleared
            if cleared and not controller.machine.engaged:
                controller.engage()  # whoever clears it wants to drive on, once that is possible
            trace.commands.append(command)
            trace.states.append(status.state)
            trace.causes.append(status.cause)
            trace.places.append((scene.ego.pose.x, scene.ego.pose.y))
            scene = world.step(command if is_finite(command) else _standstill(command))
    finally:
        planning.close()
        trace.collisions = sum(e.kind is EventKind.COLLISION for e in world.events)
        world.close()
    return trace


def _standstill(command: VehicleCommand) -> VehicleCommand:
    return replace(command, steering_angle=0.0, steering_rate=0.0, acceleration=0.0, speed=0.0)


def _plan(
    planning: _Planning | None, scene: Scene, moment: Moment, active: list[tuple[Fault, FaultMemory]], trace: Trace
) -> None:
    def strike(*places: str) -> None:
        for fault, memory in active:
            if fault.place in places:
                fault.inject(moment, memory)

    if planning is not None:
        planning.look(scene, moment)
    strike("camera", "odometry", "clock", "process")
    try:
        if planning is not None:
            planning.think(scene, moment, strike)
    except Exception as error:
        # A stage that refuses its input says so by an exception, which a node counts; control gets no plan.
        said = f"{type(error).__name__}: {error}"[:200]
        trace.exceptions.append(said)
        moment.plan = None
    strike("plan")
