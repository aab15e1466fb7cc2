"""The ego's body: the vehicle model of vadv2_core under VehicleCommand, and the odometry it gives."""

from __future__ import annotations

import math

from vadv2_core.drive import VehicleCommand
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.stamps import Stamp
from vadv2_core.vehicle import VehicleConfig, VehicleState, step_vehicle

NO_COMMAND = VehicleCommand(0, 0, 0.0, 0.0, 0.0, 0.0)
"""Rolls on: no steering, no drive, no brakes."""


class EgoVehicle:
    """The ego on the road.

    Args:
        config: Sizes, limits and lags.
        pose: Rear axle, world.
        speed: m/s.
    """

    def __init__(self, config: VehicleConfig, pose: Pose2, speed: float = 0.0) -> None:
        self.config = config
        self.state = VehicleState(pose, speed)

    def step(self, command: VehicleCommand, dt: float) -> None:
        """Obey a command for ``dt`` seconds; a command that is not finite is taken as a full brake."""
        values = (command.steering_angle, command.acceleration)
        if not all(math.isfinite(v) for v in values):
            command = VehicleCommand(
                command.stamp, 0, self.state.steering_angle, 0.0, -self.config.max_deceleration, 0.0
            )
        self.state = step_vehicle(self.state, command, self.config, dt)

    def ego_state(self, stamp: Stamp) -> EgoState:
        """Odometry and CAN at a stamp."""
        s = self.state
        yaw_rate = s.speed * math.tan(s.steering_angle) / self.config.wheel_base
        return EgoState(stamp, s.pose, (s.speed, 0.0), (s.acceleration, s.speed * yaw_rate), yaw_rate, s.steering_angle)

    def centre(self) -> tuple[float, float]:
        """Centre of the box, world."""
        pose, ahead = self.state.pose, self.config.centre_offset
        return pose.x + ahead * math.cos(pose.yaw), pose.y + ahead * math.sin(pose.yaw)
