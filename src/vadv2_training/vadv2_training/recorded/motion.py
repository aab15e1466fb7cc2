"""Where a recorded ego was: its state, its future and its meta-action from nothing but stamped poses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.command import DrivingCommand
from vadv2_core.decision import Decision
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, Pose2, wrap_angle
from vadv2_core.language.commands import command_text
from vadv2_core.stamps import Stamp
from vadv2_core.taxonomy import Cause, DrivingAction, LateralAction, LongitudinalAction

_REACH = 0.3
"""Poses within so many seconds say how the ego moves."""
SENNA_SPEED, SENNA_STOP, SENNA_SIDE, SENNA_ANGLE = 3.0, 2.0, 4.0, math.radians(5.0)
"""Senna's thresholds: change of speed and stop (m/s), sideways (m), bearing of a turn (rad); see `meta_action`."""
COMMAND_AHEAD, COMMAND_TURN = 6.0, math.radians(30.0)
"""A drive that turns by so much within so many seconds had been asked to turn."""


@dataclass(frozen=True, slots=True)
class Track:
    """A recorded path.

    Attributes:
        stamps: (n,) int64, increasing, n >= 3.
        poses: (n, 3) x, y, yaw (unwrapped), odom.
    """

    stamps: NDArray[np.int64]
    poses: Array

    @property
    def end(self) -> Stamp:
        """Stamp of the last pose."""
        return int(self.stamps[-1])

    def poses_at(self, stamps: NDArray[np.int64]) -> Array:
        """(m, 3) poses between the recorded ones."""
        t = (np.asarray(stamps, dtype=np.int64) - self.stamps[0]) * 1e-9
        own = (self.stamps - self.stamps[0]) * 1e-9
        return np.column_stack([np.interp(t, own, column) for column in self.poses.T]).reshape(-1, 3)

    def state_at(self, stamp: Stamp) -> EgoState:
        """The ego at a stamp: a parabola through the poses within 0.3 s gives speed, acceleration and turn."""
        t = (self.stamps - stamp) * 1e-9
        near = np.abs(t) <= _REACH
        if near.sum() < 3:
            near = np.zeros(len(t), dtype=bool)
            near[np.argsort(np.abs(t))[:3]] = True
        degree = 2 if near.sum() >= 3 else 1
        x, y, yaw = (np.polynomial.polynomial.polyfit(t[near], c, degree) for c in self.poses[near].T)
        heading = float(yaw[0])
        c, s = math.cos(heading), math.sin(heading)
        speed, side = c * x[1] + s * y[1], -s * x[1] + c * y[1]
        ahead = 2.0 * (c * x[2] + s * y[2])
        rate = float(yaw[1])
        pose = Pose2(float(x[0]), float(y[0]), float(wrap_angle(heading)))
        return EgoState(stamp, pose, (float(speed), float(side)), (float(ahead), float(speed) * rate), rate)


def make_track(rows: list[tuple[Stamp, float, float, float]], where: str) -> Track:
    """A track of rows (stamp, x, y, yaw) in any order; one row a stamp.

    Raises:
        InputError: for fewer than three poses, or one that is not finite.
    """
    unique = {stamp: (x, y, yaw) for stamp, x, y, yaw in rows}
    stamps = np.array(sorted(unique), dtype=np.int64)
    if len(stamps) < 3:
        raise InputError(f"{len(stamps)} ego poses", where, "three or more")
    poses = np.array([unique[int(s)] for s in stamps], dtype=np.float64)
    if not np.isfinite(poses).all():
        raise InputError("an ego pose is not finite", where, "finite numbers")
    poses[:, 2] = np.unwrap(poses[:, 2])
    return Track(stamps, poses)


def meta_action(track: Track, stamp: Stamp) -> Decision:
    """What the ego did over the next 3 s by Senna's rule; the cause is not known (UNKNOWN).

    STOP where it stays below 2 m/s; else a change of speed of 3 m/s decides. Sideways by 4 m at the end is a turn where
    the end point's bearing is beyond 5 degrees, else a lane change. Unknown where less than 3 s are recorded.
    """
    if stamp + 3_000_000_000 > track.end:
        return Decision(LongitudinalAction.UNKNOWN, LateralAction.UNKNOWN, Cause.UNKNOWN)
    stamps = stamp + np.arange(0, 3_000_000_001, 500_000_000, dtype=np.int64)
    poses = track.poses_at(stamps)
    speeds = np.hypot(*np.diff(poses[:, :2], axis=0).T) / 0.5
    change = float(speeds[-1] - speeds[0])
    longitudinal = LongitudinalAction.KEEP
    if speeds.max() < SENNA_STOP:
        longitudinal = LongitudinalAction.STOP
    elif abs(change) >= SENNA_SPEED:
        longitudinal = LongitudinalAction.ACCELERATE if change > 0 else LongitudinalAction.DECELERATE
    x, y = Pose2(*poses[0]).inverse_transform(poses[-1, :2])
    lateral = LateralAction.STRAIGHT
    if abs(y) > SENNA_SIDE:
        turns = abs(math.atan2(y, x)) > SENNA_ANGLE
        left = (LateralAction.LEFT_TURN, LateralAction.LEFT_CHANGE)
        right = (LateralAction.RIGHT_TURN, LateralAction.RIGHT_CHANGE)
        lateral = (left if y > 0 else right)[0 if turns else 1]
    return Decision(longitudinal, lateral, Cause.UNKNOWN)


def driven_command(track: Track, stamp: Stamp) -> DrivingCommand:
    """What must have been asked of a drive whose navigation was not recorded: turn, or follow the lane.

    Read from where it went, as the field does; a leak of the future into the input, but of one word of it only.
    """
    until = min(stamp + round(COMMAND_AHEAD * 1e9), track.end)
    turn = float(np.diff(track.poses_at(np.array([stamp, until], dtype=np.int64))[:, 2])[0])
    action = DrivingAction.LANE_FOLLOW
    if abs(turn) > COMMAND_TURN:
        action = DrivingAction.LEFT if turn > 0 else DrivingAction.RIGHT
    return DrivingCommand(stamp, command_text(action), action)
