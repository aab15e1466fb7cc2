"""What is kept of a drive for scoring: motion, surroundings and events, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vadv2_core.drive import DriveState
from vadv2_core.geometry import Array
from vadv2_core.scene import Scene
from vadv2_core.taxonomy import STATIC_CLASSES, AgentClass
from vadv2_eval.pdms.scene import ScoredVehicle
from vadv2_eval.pdms.tracks import boxes_touch

NEAR = 30.0
"""m within which other vehicles count as surrounding traffic."""
TTC_HORIZON = 5.0
TTC_STEP = 0.1


@dataclass(frozen=True, slots=True)
class DriveEventRecord:
    """Something that went wrong: seconds since the start, kind, what with, and whose fault."""

    time: float
    kind: str
    detail: str
    at_fault: bool

    @property
    def partner(self) -> str:
        """First word of the detail: the class of the other road user in a collision."""
        return self.detail.split(" ", 1)[0].lower()


@dataclass(frozen=True)
class DriveTrace:
    """One drive.

    Attributes:
        dt: Seconds a step.
        speeds: (n,) m/s, signed.
        accelerations: (n, 2) body frame, m/s^2.
        yaws: (n,) rad.
        progress: (n,) m along the route.
        start, goal: m along the route.
        traffic_speeds: (n,) mean speed of vehicles within 30 m, NaN without one.
        off_road: (n,) box centre outside the drivable area.
        ttc: (n,) seconds to the first overlap at constant velocities, infinite beyond 5 s.
        states: (n,) drive states; empty for a driver without the state machine.
        events: In order of time.
        reason: Why the drive ended.
        success: By the scenario's own criterion.
    """

    dt: float
    speeds: Array
    accelerations: Array
    yaws: Array
    progress: Array
    start: float
    goal: float
    traffic_speeds: Array
    off_road: NDArray[np.bool_]
    ttc: Array
    states: tuple[DriveState, ...] = ()
    events: tuple[DriveEventRecord, ...] = field(default=())
    reason: str = ""
    success: bool = False

    @property
    def seconds(self) -> float:
        """Length of the drive."""
        return self.dt * max(len(self.speeds) - 1, 0)

    @property
    def metres(self) -> float:
        """Driven distance."""
        return float(np.abs(self.speeds[1:]).sum() * self.dt)


def traffic_speed(scene: Scene) -> float:
    """Mean speed of the vehicles within 30 m of the ego, NaN without one."""
    people = STATIC_CLASSES | {AgentClass.PEDESTRIAN}
    pose = scene.ego.pose
    speeds = [
        float(np.hypot(*a.velocity))
        for a in scene.agents
        if a.cls not in people and np.hypot(a.x - pose.x, a.y - pose.y) <= NEAR
    ]
    return float(np.mean(speeds)) if speeds else float("nan")


def time_to_collision(scene: Scene, vehicle: ScoredVehicle) -> float:
    """Seconds until the ego's box touches another's when all keep their velocity; infinite beyond 5 s.

    A road user who is behind and faster is left out: it is not the ego's to avoid.
    """
    ego = scene.ego
    if not scene.agents or ego.speed < 0.1:
        return float("inf")
    c, s = np.cos(ego.pose.yaw), np.sin(ego.pose.yaw)
    centre = np.array([ego.pose.x + vehicle.centre_ahead * c, ego.pose.y + vehicle.centre_ahead * s])
    rows = np.array([(a.x, a.y, a.yaw, a.length, a.width, *a.velocity) for a in scene.agents])
    relative = rows[:, :2] - centre
    ahead = relative[:, 0] * c + relative[:, 1] * s
    reach = (np.hypot(rows[:, 5], rows[:, 6]) + ego.speed) * TTC_HORIZON + vehicle.length + rows[:, 3]
    rows = rows[(np.hypot(*relative.T) < reach) & (ahead > -0.5 * vehicle.length)]
    if not len(rows):
        return float("inf")
    times = np.arange(0.0, TTC_HORIZON + 1e-9, TTC_STEP)
    t = np.repeat(times, len(rows))
    other = np.tile(rows, (len(times), 1))
    mine = np.column_stack(
        [centre[0] + ego.speed * c * t, centre[1] + ego.speed * s * t, np.full(len(t), ego.pose.yaw)]
    )
    theirs = np.column_stack([other[:, :2] + other[:, 5:7] * t[:, None], other[:, 2]])
    half = (np.full(len(t), 0.5 * vehicle.length), np.full(len(t), 0.5 * vehicle.width))
    touch = boxes_touch(mine, half, theirs, (0.5 * other[:, 3], 0.5 * other[:, 4]))
    return float(t[touch].min()) if touch.any() else float("inf")


def motion_of(scenes: Sequence[Scene]) -> tuple[Array, Array, Array]:
    """Speeds (n,), accelerations (n, 2) and unwrapped yaws (n,) of the ego."""
    speeds = np.array([s.ego.speed for s in scenes])
    accelerations = np.array([s.ego.acceleration for s in scenes]).reshape(-1, 2)
    return speeds, accelerations, np.unwrap([s.ego.pose.yaw for s in scenes])
