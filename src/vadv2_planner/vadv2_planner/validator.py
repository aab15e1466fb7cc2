"""Withholds a plan that must not be driven, and says why; each check by its own name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vadv2_core.ego import EgoState
from vadv2_core.geometry import Array, Pose2, wrap_angle
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.trajectory import PLAN_POINTS, PLAN_RATE_HZ, Trajectory
from vadv2_core.vehicle import VehicleConfig
from vadv2_planner.config import ValidatorConfig

MOVING = 1.0
"""m/s; curvature and steering of slower points mean nothing."""

DYNAMIC_CHECKS = (
    "curvature",
    "lateral_acceleration",
    "lateral_jerk",
    "longitudinal_acceleration",
    "longitudinal_jerk",
    "steering",
    "steering_rate",
)
"""What a plan asks too much of: a vehicle that follows it stays within its limits (`vadv2_planner.following`)."""
CHECKS = (
    "finite",
    "length",
    "time_spacing",
    "space_spacing",
    *DYNAMIC_CHECKS,
    "deviation",
    "jump",
    "forward_length",
    "age",
)
"""Names of the checks, in order; the diagnostics carry one count each."""


class Validator:
    """Holds plans to the bounds of a config and a vehicle.

    Attributes:
        counts: How many plans each check has failed, by name.
    """

    def __init__(self, config: ValidatorConfig, vehicle: VehicleConfig) -> None:
        self.config = config
        self.vehicle = vehicle
        self.counts: dict[str, int] = dict.fromkeys(CHECKS, 0)

    def check(
        self,
        points: Array,
        ego: EgoState,
        previous: Trajectory | None,
        origin_pose: Pose2,
        now: Stamp,
        stamp: Stamp | None = None,
    ) -> tuple[bool, str]:
        """Check one trajectory; the first check that fails names itself.

        Args:
            points: (n, 6) [t, x, y, yaw, v, a] in base_link at the plan's stamp.
            ego: The vehicle at ``now``.
            previous: The last plan that was driven; None for none.
            origin_pose: base_link in odom at the plan's stamp.
            now: When the plan is to be used.
            stamp: Of the plan's frame; ``now`` where left out.

        Returns:
            Whether it may be driven, and why not in words: ``"curvature: 0.41 1/m, allowed 0.25"``.
        """
        found = next(self.failures(points, ego, previous, origin_pose, now, stamp), None)
        if found is None:
            return True, ""
        name, reason = found
        self.counts[name] += 1
        return False, f"{name}: {reason}"

    def failures(
        self,
        points: Array,
        ego: EgoState,
        previous: Trajectory | None,
        origin_pose: Pose2,
        now: Stamp,
        stamp: Stamp | None = None,
    ) -> Iterator[tuple[str, str]]:
        """Every check that fails, by name, and why, uncounted; arguments as in `check`."""
        if self.config.enabled:
            yield from self._failures(points, ego, previous, origin_pose, now, now if stamp is None else stamp)

    def _failures(
        self, points: Array, ego: EgoState, previous: Trajectory | None, origin: Pose2, now: Stamp, stamp: Stamp
    ) -> Iterator[tuple[str, str]]:
        c = self.config
        if not np.isfinite(points).all():
            yield "finite", "a value is not finite"
            return
        if points.ndim != 2 or points.shape[1] != 6 or not c.min_points <= len(points) <= PLAN_POINTS:
            yield "length", f"shape {points.shape}, expected {c.min_points} .. {PLAN_POINTS} points of 6 values"
            return
        age = seconds_between(stamp, now)
        if not 0.0 <= age <= c.max_age:
            yield "age", f"{age:.2f} s, allowed 0 .. {c.max_age:g} s"
        yield from self._spacing(points)
        yield from self._dynamics(points)
        yield from self._against_vehicle(points, ego, origin, age)
        if previous is not None:
            yield from self._against_previous(points, previous, origin, stamp)

    def _spacing(self, points: Array) -> Iterator[tuple[str, str]]:
        c, dt = self.config, 1.0 / PLAN_RATE_HZ
        off = np.abs(np.diff(points[:, 0], prepend=0.0) - dt).max()
        if off > c.interval_tolerance:
            yield "time_spacing", f"a step is off by {off:.3f} s, allowed {c.interval_tolerance:g} s"
        step = np.hypot(*np.diff(points[:, 1:3], axis=0, prepend=np.zeros((1, 2))).T)
        yield from _above("space_spacing", step, c.max_spacing, "m")

    def _dynamics(self, points: Array) -> Iterator[tuple[str, str]]:
        c, dt = self.config, 1.0 / PLAN_RATE_HZ
        points = points[points[:, 0] <= c.dynamics_horizon + 0.5 * dt]
        if len(points) < 2:
            return
        _, _, _, yaw, v, a = points.T
        step = np.hypot(*np.diff(points[:, 1:3], axis=0).T)
        turned = np.asarray(wrap_angle(np.diff(yaw)))
        moving = step > MOVING * dt
        curvature = np.where(moving, turned / np.maximum(step, MOVING * dt), 0.0)
        yield from _above("curvature", curvature, c.max_curvature, "1/m")
        lateral = turned / dt * 0.5 * (v[1:] + v[:-1])
        yield from _above("lateral_acceleration", lateral, c.max_lateral_acceleration, "m/s^2")
        yield from _above("lateral_jerk", np.diff(lateral) / dt, c.max_lateral_jerk, "m/s^3")
        # The plan's own accelerations, and those that its speeds imply: a plan may not lie about either.
        implied = np.concatenate([a, np.diff(v) / dt])
        yield from _above("longitudinal_acceleration", np.maximum(implied, 0.0), c.max_acceleration, "m/s^2")
        yield from _above("longitudinal_acceleration", np.minimum(implied, 0.0), c.max_deceleration, "m/s^2 of braking")
        # Brakes let go at once where the vehicle comes to rest; that is no jerk anyone asked for.
        rolling = np.minimum(v[1:], v[:-1]) > MOVING
        yield from _above("longitudinal_jerk", np.where(rolling, np.diff(a) / dt, 0.0), c.max_jerk, "m/s^3")
        steering = np.arctan(self.vehicle.wheel_base * curvature)
        yield from _above("steering", steering, c.steering_margin * self.vehicle.max_steering_angle, "rad")
        both = moving[1:] & moving[:-1]
        rate = np.where(both, np.diff(steering) / dt, 0.0)
        yield from _above("steering_rate", rate, c.steering_rate_margin * self.vehicle.max_steering_rate, "rad/s")

    def _against_vehicle(self, points: Array, ego: EgoState, origin: Pose2, age: float) -> Iterator[tuple[str, str]]:
        c, dt = self.config, 1.0 / PLAN_RATE_HZ
        planned = _at(points, age + dt)
        place = origin.compose(Pose2(float(planned[1]), float(planned[2]), float(planned[3])))
        turn = ego.yaw_rate * dt
        there = ego.pose.compose(Pose2(ego.velocity[0] * dt, ego.velocity[1] * dt, turn))
        gap = there.relative(place)
        distance = float(np.hypot(gap.x, gap.y))
        if distance > c.max_deviation:
            yield "deviation", f"{distance:.2f} m from the vehicle, allowed {c.max_deviation:g} m"
        if abs(gap.yaw) > c.max_yaw_deviation:
            yield "deviation", f"{abs(gap.yaw):.2f} rad from the vehicle, allowed {c.max_yaw_deviation:g} rad"
        slower = abs(float(planned[4]) - max(ego.speed, 0.0))
        if slower > c.max_speed_deviation:
            yield "deviation", f"{slower:.2f} m/s from the vehicle, allowed {c.max_speed_deviation:g} m/s"
        way = float(np.hypot(*np.diff(points[:, 1:3], axis=0, prepend=np.zeros((1, 2))).T).sum())
        time = float(points[-1, 0])
        shortest = max(ego.speed, 0.0) * time - 0.5 * c.max_deceleration * time**2
        if ego.speed < c.max_deceleration * time:
            shortest = ego.speed**2 / (2.0 * c.max_deceleration)
        # Below a metre, odometry creeping at rest would ask for a way.
        if shortest > 1.0 and way < c.min_forward_length * shortest:
            yield "forward_length", f"{way:.1f} m, while stopping takes {shortest:.1f} m"

    def _against_previous(
        self, points: Array, previous: Trajectory, origin: Pose2, stamp: Stamp
    ) -> Iterator[tuple[str, str]]:
        c = self.config
        elapsed = seconds_between(previous.stamp, stamp)
        if not 0.0 <= elapsed <= c.jump_memory:
            return
        times = np.arange(1, 21) / PLAN_RATE_HZ
        times = times[(times + elapsed <= previous.points[-1, 0]) & (times <= points[-1, 0])]
        if len(times) == 0:
            return
        old = np.stack([_at(previous.points, t + elapsed) for t in times])
        new = np.stack([_at(points, t) for t in times])
        placed = previous.origin_pose.inverse_transform(origin.transform(new[:, 1:3]))
        d = placed - old[:, 1:3]
        sideways = -np.sin(old[:, 3]) * d[:, 0] + np.cos(old[:, 3]) * d[:, 1]
        yield from _above("jump", sideways, c.max_jump, "m sideways of the last plan")
        # Only faster than before is a jump: somebody may step into the road at any time.
        faster = np.maximum(new[:, 4] - old[:, 4], 0.0)
        yield from _above("jump", faster, c.max_speed_jump, "m/s faster than the last plan")


def _at(points: Array, t: float) -> Array:
    """The row of a plan at a time since its stamp; before its first point, between the origin and it."""
    first = points[0].copy()
    first[:4] = 0.0
    table = np.concatenate([first[None], points])
    return np.array([np.interp(t, table[:, 0], column) for column in table.T])


def _above(name: str, values: Array, bound: float, unit: str) -> Iterator[tuple[str, str]]:
    worst = float(np.abs(values).max(initial=0.0))
    if worst > bound:
        yield name, f"{worst:.2f} {unit}, allowed {bound:.2f}"
