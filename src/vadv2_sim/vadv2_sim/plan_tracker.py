"""Follows a plan in the simulator's own recordings: curvature feed-forward with feedback ahead of the vehicle's lags.

The driving stack's controller (`vadv2_control`) does far more about what may go wrong; here nothing does, and an hour
is recorded in a minute. Both obey the same vehicle model.
"""

from __future__ import annotations

import math

import numpy as np

from vadv2_core.drive import VehicleCommand
from vadv2_core.ego import EgoState
from vadv2_core.stamps import seconds_between
from vadv2_core.trajectory import Trajectory
from vadv2_core.vehicle import VehicleConfig


class PlanTracker:
    """Turns the newest plan into commands.

    Args:
        vehicle: The ego's limits and lags.
    """

    speed_gain = 1.2

    def __init__(self, vehicle: VehicleConfig) -> None:
        self._vehicle = vehicle
        self._plan: Trajectory | None = None

    def take(self, plan: Trajectory) -> None:
        """A new plan to follow."""
        self._plan = plan
        points = np.vstack([np.zeros((1, plan.points.shape[1])), plan.points])
        points[0, 4], points[0, 5] = plan.points[0, 4] - 0.1 * plan.points[0, 5], plan.points[0, 5]
        self._time, self._line = points[:, 0], points[:, 1:3]
        step = np.diff(self._line, axis=0)
        self._step = np.hypot(step[:, 0], step[:, 1])
        self._along = np.concatenate([[0.0], np.cumsum(self._step)])
        self._speed, self._acceleration = points[:, 4], points[:, 5]
        yaw = np.unwrap(np.concatenate([[0.0], plan.points[:, 3]]))
        self._yaw = yaw
        moved = np.maximum(self._step, 1e-3)
        self._curvature = np.where(self._step > 0.02, np.diff(yaw) / moved, 0.0)

    def command(self, ego: EgoState) -> VehicleCommand:
        """What to do now; a full stop where there is no plan."""
        v, plan = self._vehicle, self._plan
        if plan is None:
            return VehicleCommand(ego.stamp, 0, 0.0, 0.0, -v.max_deceleration, 0.0)
        t = seconds_between(plan.stamp, ego.stamp)
        speed = ego.speed
        steering = ego.steering_angle or 0.0
        # Where the car will be when what is asked for now has passed the steering's lag.
        lag = v.steering_lag
        yaw_rate = speed * math.tan(steering) / v.wheel_base
        pose = plan.origin_pose.relative(ego.pose)
        yaw = pose.yaw + yaw_rate * lag
        middle = pose.yaw + 0.5 * yaw_rate * lag
        x, y = pose.x + speed * lag * math.cos(middle), pose.y + speed * lag * math.sin(middle)
        k = int(np.argmin((self._line[:, 0] - x) ** 2 + (self._line[:, 1] - y) ** 2))
        reference = float(self._yaw[k])
        dx, dy = x - float(self._line[k, 0]), y - float(self._line[k, 1])
        e_lateral = -math.sin(reference) * dx + math.cos(reference) * dy
        e_yaw = math.remainder(yaw - reference, 2.0 * math.pi)
        reach = max(4.0, 0.8 * speed)
        here = float(self._along[k])
        near = (self._along[:-1] >= here - 0.5) & (self._along[:-1] <= here + 0.3 * speed + 0.5) & (self._step > 0.02)
        curvature = float(self._curvature[near].mean()) if near.any() else math.tan(steering) / v.wheel_base
        curvature -= e_lateral / reach**2 + 1.6 * e_yaw / reach
        angle = math.atan(v.wheel_base * curvature)
        if speed < 0.2 and self._along[-1] - here < 0.5:
            angle = steering
        later = t + v.acceleration_lag
        wanted = float(np.interp(later, self._time, self._speed))
        a = float(np.interp(later, self._time, self._acceleration))
        predicted = max(0.0, speed + ego.acceleration[0] * v.acceleration_lag)
        a += self.speed_gain * (wanted - predicted)
        if wanted < 0.05 and speed < 0.5:
            a = min(a, -1.0)
        return VehicleCommand(ego.stamp, plan.stamp, angle, 0.0, a, wanted)
