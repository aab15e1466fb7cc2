"""The ego vehicle's state, as odometry and the CAN bus give it."""

from __future__ import annotations

from dataclasses import dataclass

from vadv2_core.geometry import Pose2
from vadv2_core.stamps import Stamp


@dataclass(frozen=True, slots=True)
class EgoState:
    """Ego at one moment; vectors are in base_link (rear axle on the ground, x forward, y left).

    Attributes:
        stamp: Time of the odometry.
        pose: Pose of base_link in the odom frame.
        velocity: (vx, vy) m/s at the rear axle.
        acceleration: (ax, ay) m/s^2 at the rear axle.
        yaw_rate: rad/s.
        steering_angle: Tyre angle, rad, left positive; None where there is no CAN bus.
    """

    stamp: Stamp
    pose: Pose2
    velocity: tuple[float, float]
    acceleration: tuple[float, float]
    yaw_rate: float
    steering_angle: float | None = None

    @property
    def speed(self) -> float:
        """Longitudinal speed, m/s, negative backwards."""
        return self.velocity[0]
