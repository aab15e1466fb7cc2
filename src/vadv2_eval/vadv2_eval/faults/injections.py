"""Faults as functions on what reaches the stages at one moment; a fault has a name, a place and a state of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vadv2_core.camera import CameraFrame
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.reasoning import ReasoningEmbedding
from vadv2_core.stamps import NANOSECONDS, Stamp, seconds_between
from vadv2_core.trajectory import TrajectoryCandidates


@dataclass(slots=True)
class Moment:
    """What is on its way to the stages; a fault changes it in place.

    Attributes:
        ego: The newest odometry.
        now: The clock.
        frame: Images; None where the drive needs none.
        embedding: The reasoning that reaches the planner; None for none.
        rationale: Its words.
        plan: What reaches control; None for nothing new.
        dead: Stages whose process does not live.
    """

    ego: EgoState
    now: Stamp
    frame: CameraFrame | None = None
    embedding: ReasoningEmbedding | None = None
    rationale: str = ""
    plan: TrajectoryCandidates | None = None
    dead: set[str] = field(default_factory=set)


@dataclass(slots=True)
class FaultMemory:
    """What a fault remembers while it lasts: anything by name, and seconds since it began."""

    seconds: float = 0.0
    kept: dict[str, Any] = field(default_factory=dict)


Injection = Callable[[Moment, FaultMemory], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        name: As in tables.
        place: ``camera``, ``odometry``, ``clock``, ``process``, ``reasoning`` or ``plan``: where it strikes.
        what: In words.
        inject: Changes a moment.
        seconds: How long it lasts.
    """

    name: str
    place: str
    what: str
    inject: Injection
    seconds: float = 1.5


def _with_image(frame: CameraFrame, index: int, image: np.ndarray[Any, Any], valid: bool = True) -> CameraFrame:
    images = list(frame.images)
    images[index] = np.ascontiguousarray(image)
    flags = frame.valid.copy()
    flags[index] = flags[index] and valid
    return replace(frame, images=tuple(images), valid=flags)


def _camera(change: Callable[[CameraFrame, FaultMemory], CameraFrame]) -> Injection:
    def inject(moment: Moment, memory: FaultMemory) -> None:
        if moment.frame is not None:
            moment.frame = change(moment.frame, memory)

    return inject


def _dead(frame: CameraFrame, _: FaultMemory) -> CameraFrame:
    return _with_image(frame, 0, np.zeros_like(frame.images[0]), valid=False)


def _frozen(frame: CameraFrame, memory: FaultMemory) -> CameraFrame:
    image, stamp = memory.kept.setdefault("frozen", (frame.images[0], int(frame.stamps[0])))
    stamps = frame.stamps.copy()
    stamps[0] = stamp
    return replace(_with_image(frame, 0, image), stamps=stamps)


def _black(frame: CameraFrame, _: FaultMemory) -> CameraFrame:
    return _with_image(frame, 0, np.zeros_like(frame.images[0]))


def _overexposed(frame: CameraFrame, _: FaultMemory) -> CameraFrame:
    return _with_image(frame, 0, np.full_like(frame.images[0], 255))


def _swapped(frame: CameraFrame, _: FaultMemory) -> CameraFrame:
    return _with_image(_with_image(frame, 0, frame.images[3]), 3, frame.images[0])


def _rotated(frame: CameraFrame, _: FaultMemory) -> CameraFrame:
    return _with_image(frame, 0, frame.images[0][::-1, ::-1])


def _late(frame: CameraFrame, memory: FaultMemory) -> CameraFrame:
    queue: list[tuple[np.ndarray[Any, Any], int]] = memory.kept.setdefault("late", [])
    queue.append((frame.images[0], int(frame.stamps[0])))
    image, stamp = next((seen for seen in reversed(queue) if seconds_between(seen[1], frame.stamp) >= 0.4), queue[0])
    stamps = frame.stamps.copy()
    stamps[0] = stamp
    return replace(_with_image(frame, 0, image), stamps=stamps)


def _odometry(change: Callable[[EgoState, FaultMemory], EgoState]) -> Injection:
    def inject(moment: Moment, memory: FaultMemory) -> None:
        moment.ego = change(moment.ego, memory)

    return inject


def _not_finite(value: float) -> Callable[[EgoState, FaultMemory], EgoState]:
    def change(ego: EgoState, _: FaultMemory) -> EgoState:
        return replace(ego, pose=Pose2(value, ego.pose.y, value), velocity=(value, 0.0), yaw_rate=value)

    return change


def _lost(ego: EgoState, memory: FaultMemory) -> EgoState:
    kept: EgoState = memory.kept.setdefault("ego", ego)
    return kept


def _clock(shift: Callable[[FaultMemory], float]) -> Injection:
    def inject(moment: Moment, memory: FaultMemory) -> None:
        moment.now += round(shift(memory) * NANOSECONDS)

    return inject


def _paused(moment: Moment, memory: FaultMemory) -> None:
    moment.now = memory.kept.setdefault("now", moment.now)
    moment.ego = replace(moment.ego, stamp=min(moment.ego.stamp, moment.now))


def _hangs(moment: Moment, _: FaultMemory) -> None:
    moment.embedding, moment.rationale = None, ""


def _garbage(moment: Moment, _: FaultMemory) -> None:
    values = np.full(256, np.nan, dtype=np.float32)
    values[::3] = 1e30
    moment.embedding = ReasoningEmbedding(moment.now, values, "garbage")
    moment.rationale = "\x00\ufffd" * 50


def _endless_text(moment: Moment, _: FaultMemory) -> None:
    moment.rationale = "drive on " * 1_200_000


def _plan(change: Callable[[TrajectoryCandidates, FaultMemory], TrajectoryCandidates | None]) -> Injection:
    def inject(moment: Moment, memory: FaultMemory) -> None:
        if moment.plan is not None:
            moment.plan = change(moment.plan, memory)

    return inject


def _points(change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> Injection:
    return _plan(lambda plan, _: replace(plan, points=change(plan.points)))


def _teleport(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    moved = points.copy()
    moved[:, 20:, 2] += 40.0
    return moved


def _holes(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    broken = points.copy()
    broken[:, 7::9, 1:] = np.nan
    return broken


def _sideways(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    # A plan that is smooth and possible in itself, and beside the road.
    moved = points.copy()
    moved[:, :, 2] += 6.0
    return moved


def _dies(stage: str) -> Injection:
    return lambda moment, _: moment.dead.add(stage)


def _slow(moment: Moment, memory: FaultMemory) -> None:
    queue: list[TrajectoryCandidates] = memory.kept.setdefault("plans", [])
    if moment.plan is not None:
        queue.append(moment.plan)
    late = bool(queue) and seconds_between(queue[0].stamp, moment.now) >= 0.4
    moment.plan = queue.pop(0) if late else None


FAULTS: tuple[Fault, ...] = (
    Fault("camera_dead", "camera", "the front camera sends nothing", _camera(_dead)),
    Fault("camera_frozen", "camera", "the front camera repeats one image", _camera(_frozen)),
    Fault("camera_black", "camera", "the front camera is black and says it is fine", _camera(_black)),
    Fault("camera_overexposed", "camera", "the front camera is white", _camera(_overexposed)),
    Fault("camera_swapped", "camera", "front and back images are swapped", _camera(_swapped)),
    Fault("camera_rotated", "camera", "the front image stands on its head", _camera(_rotated)),
    Fault("camera_late", "camera", "the front image is 0.4 s late", _camera(_late)),
    Fault("odometry_nan", "odometry", "pose and speed are NaN", _odometry(_not_finite(math.nan))),
    Fault("odometry_inf", "odometry", "pose and speed are infinite", _odometry(_not_finite(math.inf))),
    Fault(
        "odometry_absurd",
        "odometry",
        "odometry says 300 m/s",
        _odometry(lambda ego, _: replace(ego, velocity=(300.0, 0.0))),
    ),
    Fault(
        "odometry_teleport",
        "odometry",
        "the localiser jumps by 30 m",
        _odometry(lambda ego, _: replace(ego, pose=Pose2(ego.pose.x + 30.0, ego.pose.y - 5.0, ego.pose.yaw))),
    ),
    Fault("odometry_lost", "odometry", "odometry stops coming", _odometry(_lost)),
    Fault("clock_forward", "clock", "the clock jumps ahead by 5 s", _clock(lambda _: 5.0), 0.3),
    Fault("clock_back", "clock", "the clock jumps back by 2 s", _clock(lambda _: -2.0), 0.3),
    Fault("clock_paused", "clock", "/clock stands still", _paused),
    Fault("reasoning_hangs", "reasoning", "the VLM never answers", _hangs),
    Fault("reasoning_garbage", "reasoning", "the VLM's embedding is NaN and its words are noise", _garbage),
    Fault("reasoning_endless", "reasoning", "the VLM says 10 MB of text", _endless_text, 0.5),
    Fault("perception_restarts", "process", "perception dies, and is back with no memory", _dies("perception"), 3.0),
    Fault("vlm_restarts", "process", "the VLM's process dies, and is back", _dies("vlm"), 3.0),
    Fault("planner_restarts", "process", "the planner dies, and is back with no memory", _dies("planner"), 3.0),
    Fault("plan_nan", "plan", "plans hold NaN", _points(_holes)),
    Fault("plan_teleport", "plan", "plans jump by 40 m", _points(_teleport)),
    Fault("plan_sideways", "plan", "plans start 6 m beside the vehicle", _points(_sideways)),
    Fault("plan_empty", "plan", "plans have no points", _points(lambda p: p[:, :0])),
    Fault("plan_thousand", "plan", "plans have 1040 points", _points(lambda p: np.repeat(p, 13, axis=1))),
    Fault(
        "plan_old",
        "plan",
        "plans are stamped 3 s ago",
        _plan(lambda plan, _: replace(plan, stamp=plan.stamp - 3 * NANOSECONDS)),
    ),
    Fault(
        "plan_future",
        "plan",
        "plans are stamped in 3 s",
        _plan(lambda plan, _: replace(plan, stamp=plan.stamp + 3 * NANOSECONDS)),
    ),
    Fault("planner_silent", "plan", "the planner says nothing", _plan(lambda *_: None), 3.0),
    Fault("slow_cpu", "plan", "every plan comes 0.4 s later", _slow, 3.0),
)
"""Every fault that can be injected into one process."""

SEEN = ("camera", "reasoning", "process")
"""Places that only a drive on pictures passes through."""


def fault(name: str) -> Fault:
    """A fault by name.

    Raises:
        KeyError: for an unknown one.
    """
    return {f.name: f for f in FAULTS}[name]
