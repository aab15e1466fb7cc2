"""Steering along a path.

The lateral motion of a bicycle along a path obeys, for small errors, ``e' = v sin(psi)`` and
``psi' = v (kappa - kappa_path)``; a curvature ``kappa = kappa_path - k_e e - k_psi psi`` makes it a damped second-order
system in distance travelled, so gains in 1/m^2 and 1/m keep their meaning at any speed. They are scheduled on speed
because the steering's lag is one of time. Errors are taken where the vehicle will be after that lag.
"""

from __future__ import annotations

import math

from vadv2_control.configuration import LateralConfig
from vadv2_control.pid import PidController, scheduled
from vadv2_control.reference import ReferencePath
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2, wrap_angle
from vadv2_core.vehicle import VehicleConfig


def predict_pose(pose: Pose2, speed: float, yaw_rate: float, seconds: float) -> Pose2:
    """A pose after ``seconds`` of constant speed and yaw rate (an arc)."""
    turn = yaw_rate * seconds
    middle = pose.yaw + 0.5 * turn
    chord = speed * seconds * (math.sin(0.5 * turn) / (0.5 * turn) if abs(turn) > 1e-6 else 1.0)
    return Pose2(
        pose.x + chord * math.cos(middle), pose.y + chord * math.sin(middle), float(wrap_angle(pose.yaw + turn))
    )


class LateralController:
    """PID on cross-track and heading error with curvature feed-forward, as a tyre angle."""

    def __init__(self, config: LateralConfig, vehicle: VehicleConfig) -> None:
        self.config = config
        self.vehicle = vehicle
        self.pid = PidController()
        self.cross_track_error = 0.0
        self.heading_error = 0.0

    def steer(self, path: ReferencePath, ego: EgoState, dt: float, *, freeze_integrator: bool) -> float:
        """The tyre angle that brings the ego to the path, rad, unlimited in rate.

        Sets ``cross_track_error`` (m, ego left of the path) and ``heading_error`` (rad) of this moment.
        """
        config, speed = self.config, max(ego.speed, 0.0)
        now = path.locate(ego.pose)
        self.cross_track_error, self.heading_error = now.lateral, now.heading
        ahead = path.locate(predict_pose(ego.pose, speed, ego.yaw_rate, config.preview))
        largest = math.tan(self.vehicle.max_steering_angle) / self.vehicle.wheel_base
        gains = config.gain_speeds
        integral_limit = config.max_integral
        curvature = self.pid.update(
            -ahead.lateral,
            -math.sin(ahead.heading),
            kp=scheduled(speed, gains, config.cross_track_gain),
            ki=scheduled(speed, gains, config.integral_gain),
            kd=scheduled(speed, gains, config.heading_gain),
            feedforward=ahead.curvature,
            dt=dt,
            limits=(-largest, largest),
            freeze_integrator=freeze_integrator or speed < 1.0,
        )
        self.pid.i = min(max(self.pid.i, -integral_limit), integral_limit)
        return math.atan(curvature * self.vehicle.wheel_base)

    def reset(self) -> None:
        """Forget the integral."""
        self.pid.reset()
