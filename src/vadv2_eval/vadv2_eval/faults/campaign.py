"""Drives with faults: each beside the same drive without, and what it did to the vehicle."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from vadv2_control import ControlConfig, Controller
from vadv2_control.configuration import DriveConfig
from vadv2_core.camera import load_rig
from vadv2_core.drive import DriveState, VehicleCommand
from vadv2_core.geometry import Array, project_to_polyline
from vadv2_core.scene import Scene
from vadv2_core.trajectory import Trajectory, TrajectoryCandidates
from vadv2_core.vehicle import VehicleConfig
from vadv2_eval.faults.injections import FAULTS, Fault, FaultMemory, Moment
from vadv2_sim.drive_events import EventKind
from vadv2_sim.expert import Expert
from vadv2_sim.world import World, WorldConfig

STEP = 0.1
_NORMAL = (DriveState.DRIVING, DriveState.DEGRADED)
_SEVERITY = (
    DriveState.DRIVING,
    DriveState.DEGRADED,
    DriveState.LAST_PLAN,
    DriveState.SOFT_STOP,
    DriveState.STOPPED,
    DriveState.EMERGENCY,
)


@dataclass(frozen=True, slots=True)
class FaultOutcome:
    """What a fault, or a pair of them, did to a drive.

    Attributes:
        name: Of the fault; a pair's names joined by ``+``.
        what: In words.
        state: Worst state of the drive.
        cause: The words that state came with.
        seconds: Time outside normal driving.
        max_deviation_m: Farthest from the line driven without the fault.
        recovered: It drove on, or stood with its emergency cleared, when the fault was over.
        nonfinite_commands: Commands with a number that is not finite.
        limit_violations: Commands beyond the vehicle's limits.
        collisions: The ego was to blame for, that the drive without the fault does not have.
        exceptions: Errors that left a stage; the campaign goes on.
    """

    name: str
    what: str
    state: str
    cause: str
    seconds: float
    max_deviation_m: float
    recovered: bool
    nonfinite_commands: int
    limit_violations: int
    collisions: int
    exceptions: tuple[str, ...] = ()


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
        models: Directory of model directories.
        rig: Rig file.
    """

    town: str = "town_a"
    scenario: str = "free"
    seed: int = 3
    seconds: float = 14.0
    begin: float = 4.0
    pictures: bool = False
    models: str = "models"
    rig: str = "config/rig/surround6.yaml"


@dataclass(slots=True)
class _Trace:
    places: list[tuple[float, float]] = field(default_factory=list)
    states: list[DriveState] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    commands: list[VehicleCommand] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)
    collisions: int = 0
    speed: float = 0.0


def _candidates(plan: Trajectory) -> TrajectoryCandidates:
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


class _Expert:
    """Plans from the truth: faults of the clock, odometry, plans and processes do not need pictures."""

    def __init__(self, world: World, spec: DriveSpec) -> None:
        del spec
        self._expert = Expert(world.road, world.config.vehicle)
        self._plan: TrajectoryCandidates | None = None

    def look(self, scene: Scene, moment: Moment) -> None:
        """Nothing to see."""

    def think(self, scene: Scene, moment: Moment) -> None:
        """A plan of this scene."""
        plan = _candidates(self._expert.plan(scene))
        moment.plan = replace(plan, rationale=moment.rationale)

    def close(self) -> None:
        """Nothing to give back."""


class _Model:
    """Plans from pictures with the real stages, so that faults strike between them."""

    def __init__(self, world: World, spec: DriveSpec) -> None:
        from vadv2_driver.configuration import DriverConfig
        from vadv2_driver.driver import Driver
        from vadv2_sim.renderer.renderer import Renderer

        self._renderer = Renderer(world.road, load_rig(Path(spec.rig)), vehicle=world.config.vehicle)
        self._driver = Driver(DriverConfig(models=spec.models))

    def look(self, scene: Scene, moment: Moment) -> None:
        """Render the cameras."""
        moment.frame = self._renderer.render(scene).frame

    def think(self, scene: Scene, moment: Moment) -> None:
        """Encode, reason, plan; the embedding is what the fault left of it."""
        assert moment.frame is not None
        tokens = self._driver.encoder.encode(moment.frame, moment.ego)
        moment.plan = self._driver.planner.plan(
            tokens, moment.ego, scene.command, scene.route, moment.embedding, moment.rationale
        )

    def reason(self, scene: Scene, moment: Moment) -> None:
        """The embedding of the moment's own frame."""
        assert moment.frame is not None and self._driver.reasoner is not None
        tokens = self._driver.encoder.encode(moment.frame, scene.ego)
        moment.embedding = self._driver.reasoner.embed(tokens, scene.command)

    def close(self) -> None:
        """Give the framebuffers back."""
        self._renderer.close()


def _is_finite(command: VehicleCommand) -> bool:
    return all(map(math.isfinite, (command.steering_angle, command.steering_rate, command.acceleration, command.speed)))


def _violations(commands: Sequence[VehicleCommand], vehicle: VehicleConfig) -> int:
    """Commands beyond the limits of the vehicle file, steering rate and jerk between neighbours included."""
    count = 0
    before: VehicleCommand | None = None
    for command in commands:
        beyond = (
            abs(command.steering_angle) > vehicle.max_steering_angle + 1e-6
            or abs(command.steering_rate) > vehicle.max_steering_rate + 1e-6
            or not -vehicle.max_deceleration - 1e-6 <= command.acceleration <= vehicle.max_acceleration + 1e-6
            or not 0.0 <= command.speed <= vehicle.max_speed
        )
        if before is not None:
            beyond = beyond or abs(command.acceleration - before.acceleration) > vehicle.max_emergency_jerk * 0.2 + 1e-6
            beyond = (
                beyond or abs(command.steering_angle - before.steering_angle) > vehicle.max_steering_rate * 0.2 + 1e-6
            )
        count += beyond
        before = command
    return count


def _drive(spec: DriveSpec, faults: Sequence[Fault]) -> _Trace:
    world = World(spec.town, spec.scenario, spec.seed, WorldConfig(stop_on_collision=False))
    vehicle = world.config.vehicle
    trace = _Trace()
    scene = world.reset()
    planner: Any = (_Model if spec.pictures else _Expert)(world, spec)
    controller = Controller(ControlConfig(drive=DriveConfig(engage_automatically=True)), vehicle)
    memories = [FaultMemory() for _ in faults]
    try:
        for index in range(round(spec.seconds / STEP)):
            time = index * STEP
            moment = Moment(scene.ego, scene.stamp)
            active = [(f, m) for f, m in zip(faults, memories, strict=True) if 0.0 <= time - spec.begin < f.seconds]
            _stages(planner, scene, moment, active, trace)
            command, status = controller.step(moment.plan, moment.ego, moment.now)
            for _, memory in active:
                memory.seconds += STEP
            if status.state is DriveState.EMERGENCY and world.speed < 0.1:
                controller.clear_emergency()
            trace.commands.append(command)
            trace.states.append(status.state)
            trace.causes.append(status.cause)
            trace.places.append((scene.ego.pose.x, scene.ego.pose.y))
            scene = world.step(command if _is_finite(command) else _standstill(command))
    finally:
        planner.close()
        trace.collisions = sum(e.kind is EventKind.COLLISION and e.at_fault for e in world.events)
        trace.speed = world.speed
        world.close()
    return trace


def _standstill(command: VehicleCommand) -> VehicleCommand:
    return replace(command, steering_angle=0.0, steering_rate=0.0, acceleration=0.0, speed=0.0)


def _stages(planner: Any, scene: Scene, moment: Moment, active: list[tuple[Fault, FaultMemory]], trace: _Trace) -> None:
    def strike(*places: str) -> None:
        for fault, memory in active:
            if fault.place in places:
                fault.inject(moment, memory)

    planner.look(scene, moment)
    strike("camera", "odometry", "clock")
    try:
        if isinstance(planner, _Model):
            planner.reason(scene, moment)
        strike("reasoning")
        planner.think(scene, moment)
    except Exception as error:
        # A stage that refuses its input says so by an exception, which a node counts; control gets no plan.
        trace.exceptions.append(f"{type(error).__name__}: {error}"[:200])
        moment.plan = None
    strike("plan")


def _outcome(faults: Sequence[Fault], spec: DriveSpec, trace: _Trace, plain: _Trace) -> FaultOutcome:
    begin = round(spec.begin / STEP)
    after = [s for s in trace.states[begin:] if s in _SEVERITY] or [trace.states[-1]]
    worst = max(after, key=lambda s: _SEVERITY.index(s) if s in _SEVERITY else 0)
    cause = next((c for s, c in zip(trace.states[begin:], trace.causes[begin:], strict=True) if s is worst), "")
    line: Array = np.array(plain.places)
    line = line[np.concatenate([[True], np.hypot(*np.diff(line, axis=0).T) > 1e-3])]
    deviation = 0.0
    if len(line) > 1:
        _, lateral = project_to_polyline(line, np.array(trace.places))
        deviation = float(np.abs(lateral).max())
    abnormal = sum(s not in _NORMAL for s in trace.states[begin:]) * STEP
    return FaultOutcome(
        "+".join(f.name for f in faults),
        "; ".join(f.what for f in faults),
        worst.name,
        cause,
        round(abnormal, 2),
        round(deviation, 3),
        trace.states[-1] in _NORMAL or plain.states[-1] not in _NORMAL,
        sum(not _is_finite(c) for c in trace.commands),
        _violations(trace.commands, VehicleConfig()),
        max(trace.collisions - plain.collisions, 0),
        tuple(dict.fromkeys(trace.exceptions)),
    )


def chosen_faults(short: bool) -> list[tuple[Fault, ...]]:
    """Single faults and pairs, seeded: all of them, or a share that takes under two minutes."""
    singles: list[tuple[Fault, ...]] = [(f,) for f in FAULTS]
    pairs: list[tuple[Fault, ...]] = [
        (a, b)
        for a, b in combinations(FAULTS, 2)
        if "camera" not in (a.place, b.place) and "reasoning" not in (a.place, b.place)
    ]
    Random(7).shuffle(pairs)
    if short:
        return [s for s in singles if s[0].place not in ("camera", "reasoning")] + pairs[:6]
    return singles + pairs[:60]


def run(spec: DriveSpec, orders: Sequence[tuple[Fault, ...]]) -> Iterator[FaultOutcome]:
    """Drive every order and compare it with the same drive without faults; pictures where they are needed."""
    plain: dict[bool, _Trace] = {}
    for faults in orders:
        pictures = any(f.place in ("camera", "reasoning") for f in faults)
        here = replace(spec, pictures=pictures)
        if pictures not in plain:
            plain[pictures] = _drive(here, ())
        yield _outcome(faults, here, _drive(here, faults), plain[pictures])


def summary(outcomes: Sequence[FaultOutcome]) -> dict[str, Any]:
    """The file of a campaign."""
    return {
        "nonfinite_commands": sum(o.nonfinite_commands for o in outcomes),
        "limit_violations": sum(o.limit_violations for o in outcomes),
        "collisions": sum(o.collisions for o in outcomes),
        "faults": [asdict(o) for o in outcomes],
    }
