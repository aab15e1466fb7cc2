"""The last thing before the vehicle: steering angle, rate, acceleration and jerk inside the vehicle file's limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vadv2_core.drive import VehicleCommand
from vadv2_core.stamps import Stamp
from vadv2_core.vehicle import VehicleConfig


@dataclass(slots=True)
class CommandLimiter:
    """Holds every command to the vehicle's limits, relative to the command before it.

    Attributes:
        steering_angle: Last commanded tyre angle, rad.
        acceleration: Last commanded acceleration, m/s^2.
    """

    vehicle: VehicleConfig
    steering_angle: float = 0.0
    acceleration: float = 0.0

    def limit(
        self,
        *,
        stamp: Stamp,
        trajectory_stamp: Stamp,
        steering_angle: float,
        acceleration: float,
        target_speed: float,
        speed: float,
        dt: float,
        emergency: bool,
    ) -> VehicleCommand:
        """A finite command within the limits.

        A steering angle that is not finite is replaced by the last command's, such an acceleration by 0, or by full
        braking in an emergency.
        """
        vehicle = self.vehicle
        if not math.isfinite(steering_angle):
            steering_angle = self.steering_angle
        if not math.isfinite(acceleration):
            acceleration = -vehicle.max_deceleration if emergency else 0.0
        largest = vehicle.max_steering_angle
        if abs(speed) > 1.0:
            largest = min(largest, math.atan(vehicle.max_lateral_acceleration * vehicle.wheel_base / speed**2))
        wanted = min(max(steering_angle, -largest), largest)
        step = vehicle.max_steering_rate * dt
        angle = min(max(wanted, self.steering_angle - step), self.steering_angle + step)
        angle = min(max(angle, -vehicle.max_steering_angle), vehicle.max_steering_angle)
        jerk = vehicle.max_emergency_jerk if emergency else vehicle.max_jerk
        wanted = min(max(acceleration, -vehicle.max_deceleration), vehicle.max_acceleration)
        accelerated = min(max(wanted, self.acceleration - jerk * dt), self.acceleration + jerk * dt)
        rate = (angle - self.steering_angle) / dt if dt > 0.0 else 0.0
        self.steering_angle, self.acceleration = angle, accelerated
        target = target_speed if math.isfinite(target_speed) else 0.0
        return VehicleCommand(
            stamp, trajectory_stamp, angle, rate, accelerated, min(max(target, 0.0), vehicle.max_speed)
        )

    def reset(self, steering_angle: float = 0.0, acceleration: float = 0.0) -> None:
        """Start from what the vehicle does now."""
        largest = self.vehicle.max_steering_angle
        self.steering_angle = min(max(steering_angle, -largest), largest)
        self.acceleration = min(max(acceleration, -self.vehicle.max_deceleration), self.vehicle.max_acceleration)
