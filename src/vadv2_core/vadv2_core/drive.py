"""What control says: the command to the vehicle and the state of the drive."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from vadv2_core.stamps import Stamp


class DriveState(IntEnum):
    """States of the drive, from nothing to moving to stopped."""

    INIT = 0
    WAITING = 1
    READY = 2
    DRIVING = 3
    DEGRADED = 4
    LAST_PLAN = 5
    SOFT_STOP = 6
    EMERGENCY = 7
    STOPPED = 8


@dataclass(frozen=True, slots=True)
class VehicleCommand:
    """What the vehicle is told, one control step.

    Attributes:
        stamp: Of the odometry it acts on.
        trajectory_stamp: Of the plan it follows; 0 where there is none.
        steering_angle: Tyre angle, rad, left positive.
        steering_rate: rad/s.
        acceleration: m/s^2.
        speed: Target speed, m/s.
    """

    stamp: Stamp
    trajectory_stamp: Stamp
    steering_angle: float
    steering_rate: float
    acceleration: float
    speed: float


@dataclass(frozen=True, slots=True)
class DriveStatus:
    """The state of the drive and why.

    Attributes:
        stamp: Of the odometry it was decided on.
        state: Where the state machine is.
        cause: Why, in words.
        engaged: Commands reach the vehicle.
        ages: Seconds by input name (``plan``, ``odometry``, ``reasoning``).
        timings: Milliseconds by stage name.
        terms: Controller terms by name (``lateral_p`` ..., ``longitudinal_i`` ...), for tuning.
    """

    stamp: Stamp
    state: DriveState
    cause: str
    engaged: bool
    ages: dict[str, float] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    terms: dict[str, float] = field(default_factory=dict)
