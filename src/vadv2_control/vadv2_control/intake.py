"""The door of control: which odometry and which plans are believed.

Everything behind it is trusted; everything that comes through it is finite, in order and physically possible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vadv2_control.configuration import DriveConfig
from vadv2_core.ego import EgoState
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.trajectory import Trajectory

_MAX_POINTS = 400
MAX_AHEAD = 0.1
"""Seconds that a stamp may be ahead of now: clocks of two computers, and topics that overtake one another. What is
stamped farther ahead would count as fresh for as long as that, also after its source died."""
_MAX_ACCELERATION = 30.0
"""m/s², beyond what any road vehicle does: a plan that asks for it is no plan."""
_JUMP_MARGIN = 1.0
"""Metres a pose may jump beyond what its speed explains (a localiser's small corrections)."""


@dataclass(slots=True)
class OdometryIntake:
    """Believes odometry that is finite, possible and continuous.

    After a jump it waits until ``relocation_samples`` samples agree with each other (a restarted localiser), and then
    believes the new place; the caller sees ``relocated`` for that one sample and must drop what it knows in odom.

    Attributes:
        rejected: Samples not believed so far.
        reason: Why the last one was not.
        relocated: The last accepted sample follows a jump.
    """

    config: DriveConfig
    last: EgoState | None = None
    rejected: int = 0
    reason: str = ""
    relocated: bool = False
    _doubted: EgoState | None = None
    _agreeing: int = 0

    def accept(self, ego: EgoState, now: Stamp) -> bool:
        """Whether this sample is believed; if so it is `last`.

        Args:
            ego: The sample; the same one may be shown again.
            now: Present time.
        """
        self.relocated = False
        reason = self._fault(ego, now)
        if reason:
            self.rejected += 1
            self.reason = reason
            self._doubted, self._agreeing = None, 0
            return False
        jump = self._jump(self.last, ego)
        if jump:
            if self._doubted is None or self._jump(self._doubted, ego):
                self._agreeing = 1
            elif ego.stamp > self._doubted.stamp:  # a sample that is shown again agrees with itself
                self._agreeing += 1
            self._doubted = ego
            if self._agreeing < self.config.relocation_samples:
                self.rejected += 1
                self.reason = jump
                return False
            self.relocated = True
        self.last, self._doubted, self._agreeing, self.reason = ego, None, 0, ""
        return True

    def _fault(self, ego: EgoState, now: Stamp) -> str:
        ahead = seconds_between(now, ego.stamp)
        if ahead > MAX_AHEAD:
            return f"odometry is stamped {ahead:.2f} s ahead of now"
        numbers = (ego.pose.x, ego.pose.y, ego.pose.yaw, *ego.velocity, *ego.acceleration, ego.yaw_rate)
        if not all(map(math.isfinite, numbers)):
            return "odometry is not finite"
        if ego.steering_angle is not None and not math.isfinite(ego.steering_angle):
            return "steering angle is not finite"
        if math.hypot(*ego.velocity) > self.config.max_odometry_speed:
            return f"odometry says {math.hypot(*ego.velocity):.0f} m/s"
        return ""

    def _jump(self, before: EgoState | None, ego: EgoState) -> str:
        if before is None:
            return ""
        dt = seconds_between(before.stamp, ego.stamp)
        if dt < 0.0:
            return f"odometry went back {-dt:.2f} s"
        moved = math.hypot(ego.pose.x - before.pose.x, ego.pose.y - before.pose.y)
        reach = 1.5 * max(abs(before.speed), abs(ego.speed)) * dt + 5.0 * dt * dt + _JUMP_MARGIN
        return f"odometry jumped {moved:.1f} m in {dt:.2f} s" if moved > reach else ""

    def reset(self) -> None:
        """Believe the next sample wherever it is."""
        self.last, self._doubted, self._agreeing, self.reason, self.relocated = None, None, 0, "", False


def plan_fault(plan: Trajectory, ego: EgoState, now: Stamp, config: DriveConfig, max_speed: float) -> str:
    """Why a plan cannot be driven, in words; empty where it can.

    The planner's validator has already looked at comfort and feasibility; this is the last look at sanity, because the
    plan may come from another process, another version, or a bag.
    """
    points = plan.points
    if points.ndim != 2 or points.shape[1] != 6 or not 2 <= len(points) <= _MAX_POINTS:
        return f"plan has shape {points.shape}, expected (2..{_MAX_POINTS}, 6)"
    origin = (plan.origin_pose.x, plan.origin_pose.y, plan.origin_pose.yaw)
    if not np.isfinite(points).all() or not all(map(math.isfinite, origin)):
        return "plan is not finite"
    steps = np.diff(points[:, 0], prepend=0.0)
    if steps.min() <= 1e-3 or steps.max() > 1.0:
        return f"plan's times step by {steps.min():.3f} to {steps.max():.3f} s"
    moved = np.hypot(*np.diff(points[:, 1:3], axis=0, prepend=[[0.0, 0.0]]).T)
    if (moved > 1.5 * max_speed * steps + 0.5).any():
        return f"plan teleports by {moved.max():.1f} m"
    if np.abs(points[:, 4]).max() > 1.5 * max_speed or np.abs(points[:, 5]).max() > _MAX_ACCELERATION:
        return f"plan asks for {np.abs(points[:, 4]).max():.0f} m/s and {np.abs(points[:, 5]).max():.0f} m/s^2"
    future = seconds_between(now, plan.stamp)
    if future > MAX_AHEAD:
        return f"plan's stamp is {future:.2f} s in the future"
    away = math.hypot(plan.origin_pose.x - ego.pose.x, plan.origin_pose.y - ego.pose.y)
    if away > config.max_path_deviation + max_speed * max(seconds_between(plan.stamp, ego.stamp), 0.0) + 0.5:
        return f"plan starts {away:.1f} m from the vehicle"
    return ""
