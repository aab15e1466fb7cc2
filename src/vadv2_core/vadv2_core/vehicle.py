"""The vehicle: its sizes, limits and lags, and a kinematic bicycle that obeys them.

The simulator drives with it, control is tuned on it, the planner's validator and evaluation read its limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from vadv2_core.config import from_mapping, parameter, validate
from vadv2_core.drive import VehicleCommand
from vadv2_core.files import read_yaml
from vadv2_core.geometry import Pose2, wrap_angle


@dataclass(frozen=True, slots=True)
class VehicleConfig:
    """One vehicle; base_link is the rear axle on the ground."""

    length: float = parameter(4.5, "Bumper to bumper.", unit="m", minimum=0.5, maximum=25.0)
    width: float = parameter(1.85, "Without mirrors.", unit="m", minimum=0.3, maximum=4.0)
    height: float = parameter(1.6, "Ground to roof.", unit="m", minimum=0.2, maximum=5.0)
    wheel_base: float = parameter(2.7, "Axle to axle.", unit="m", minimum=0.3, maximum=15.0)
    rear_overhang: float = parameter(0.9, "Rear axle to rear bumper.", unit="m", minimum=0.0, maximum=10.0)
    max_steering_angle: float = parameter(0.6, "Largest tyre angle.", unit="rad", minimum=0.05, maximum=1.5)
    max_steering_rate: float = parameter(
        0.6, "Largest rate of the tyre angle.", unit="rad/s", minimum=0.05, maximum=5.0
    )
    max_acceleration: float = parameter(2.5, "Largest drive acceleration.", unit="m/s^2", minimum=0.1, maximum=10.0)
    max_deceleration: float = parameter(7.0, "Hardest braking.", unit="m/s^2", minimum=0.5, maximum=12.0)
    max_jerk: float = parameter(
        6.0, "Largest change of acceleration asked for.", unit="m/s^3", minimum=0.5, maximum=50.0
    )
    max_emergency_jerk: float = parameter(20.0, "The same in an emergency.", unit="m/s^3", minimum=0.5, maximum=100.0)
    max_lateral_acceleration: float = parameter(
        4.0, "Steering is bounded by it.", unit="m/s^2", minimum=0.5, maximum=12.0
    )
    max_speed: float = parameter(25.0, "Never asked for more.", unit="m/s", minimum=1.0, maximum=60.0)
    steering_lag: float = parameter(0.2, "First-order lag of the steering.", unit="s", minimum=0.0, maximum=2.0)
    acceleration_lag: float = parameter(0.3, "First-order lag of drive and brakes.", unit="s", minimum=0.0, maximum=2.0)

    def __post_init__(self) -> None:
        validate(self, "vehicle")

    @property
    def centre_offset(self) -> float:
        """Box centre ahead of the rear axle, m."""
        return 0.5 * self.length - self.rear_overhang


def load_vehicle(path: Path) -> VehicleConfig:
    """Read ``config/vehicle/<name>.yaml``.

    Raises:
        InputError: for an unreadable file, an unknown key or a value out of range.
    """
    return from_mapping(VehicleConfig, read_yaml(path, "a vehicle file"), str(path))


@dataclass(frozen=True, slots=True)
class VehicleState:
    """The bicycle's state after the lags: rear-axle pose, speed m/s, acceleration m/s^2, tyre angle rad."""

    pose: Pose2 = field(default_factory=lambda: Pose2(0.0, 0.0, 0.0))
    speed: float = 0.0
    acceleration: float = 0.0
    steering_angle: float = 0.0


def _toward(value: float, target: float, lag: float, dt: float) -> float:
    return target if lag <= 0.0 else target + (value - target) * math.exp(-dt / lag)


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def step_vehicle(state: VehicleState, command: VehicleCommand, config: VehicleConfig, dt: float) -> VehicleState:
    """Advance the kinematic bicycle by ``dt`` seconds under a command.

    Steering angle and acceleration follow the command through first-order lags (exact for a held command), within the
    vehicle's limits. Position is integrated by the midpoint rule in steps of at most 20 ms. The vehicle does not roll
    backwards: braking ends at standstill.
    """
    n = max(1, math.ceil(dt / 0.02 - 1e-9))
    h = dt / n
    wanted = _within(command.steering_angle, -config.max_steering_angle, config.max_steering_angle)
    target = _within(command.acceleration, -config.max_deceleration, config.max_acceleration)
    limit = config.max_steering_rate * h
    x, y, yaw = state.pose.x, state.pose.y, state.pose.yaw
    speed, acceleration, steering = state.speed, state.acceleration, state.steering_angle
    for _ in range(n):
        moved = _toward(steering, wanted, config.steering_lag, h) - steering
        next_steering = steering + _within(moved, -limit, limit)
        acceleration = _toward(acceleration, target, config.acceleration_lag, h)
        next_speed = _within(speed + acceleration * h, 0.0, config.max_speed)
        if next_speed == 0.0 and acceleration < 0.0:
            acceleration = 0.0
        mean_speed = 0.5 * (speed + next_speed)
        yaw_rate = mean_speed * math.tan(0.5 * (steering + next_steering)) / config.wheel_base
        middle = yaw + 0.5 * yaw_rate * h
        x += mean_speed * math.cos(middle) * h
        y += mean_speed * math.sin(middle) * h
        yaw += yaw_rate * h
        speed, steering = next_speed, next_steering
    return VehicleState(Pose2(x, y, float(wrap_angle(yaw))), speed, acceleration, steering)
