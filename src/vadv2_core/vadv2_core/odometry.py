"""The ego state at an image's stamp, from odometry that comes faster and at other times."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from vadv2_core.config import parameter, validate
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2, wrap_angle
from vadv2_core.stamps import Stamp, seconds_between


@dataclass(frozen=True, slots=True)
class OdometryConfig:
    """How odometry is buffered, interpolated and differentiated."""

    depth: int = parameter(200, "States kept.", minimum=2, maximum=10000)
    max_extrapolation: float = parameter(
        0.15, "How far beyond the newest state one is guessed.", unit="s", minimum=0.0, maximum=1.0
    )
    max_gap: float = parameter(
        1.0, "A longer gap between states, or time going back, empties the buffer.", unit="s", minimum=0.01
    )
    acceleration_window: float = parameter(
        0.3, "Time over which acceleration is fitted where odometry has none.", unit="s", minimum=0.02, maximum=2.0
    )

    def __post_init__(self) -> None:
        validate(self, "odometry")


@dataclass(slots=True)
class OdometryCounters:
    """What happened to odometry since the start."""

    received: int = 0
    not_finite: int = 0
    out_of_order: int = 0
    restarts: int = 0


def is_finite(ego: EgoState, *, has_acceleration: bool = True) -> bool:
    """Whether every number of a state that is known is finite."""
    numbers = (ego.pose.x, ego.pose.y, ego.pose.yaw, *ego.velocity, ego.yaw_rate, ego.steering_angle or 0.0)
    return all(map(math.isfinite, (*numbers, *(ego.acceleration if has_acceleration else ()))))


class OdometryBuffer:
    """Ego states in order of time, interpolated to a stamp.

    ``nav_msgs/Odometry`` has no acceleration; a state pushed without one gets the slope of the speed over the last
    `OdometryConfig.acceleration_window`, and v * yaw rate across.
    """

    def __init__(self, config: OdometryConfig | None = None) -> None:
        self.config = config or OdometryConfig()
        self.counters = OdometryCounters()
        self._states: deque[EgoState] = deque(maxlen=self.config.depth)

    def __len__(self) -> int:
        return len(self._states)

    @property
    def newest(self) -> EgoState | None:
        """The latest state, or None."""
        return self._states[-1] if self._states else None

    def reset(self) -> None:
        """Forget every state."""
        self._states.clear()

    def push(self, ego: EgoState, *, has_acceleration: bool = True) -> EgoState | None:
        """Take a state; one that is not finite or older than the newest by less than the gap is counted and left out.

        Args:
            ego: The state.
            has_acceleration: False where its acceleration says nothing and is to be fitted.

        Returns:
            The state as kept, None where it was left out.
        """
        self.counters.received += 1
        if not is_finite(ego, has_acceleration=has_acceleration):
            self.counters.not_finite += 1
            return None
        if self._states:
            ahead = seconds_between(self._states[-1].stamp, ego.stamp)
            if -self.config.max_gap <= ahead <= 0.0:
                self.counters.out_of_order += 1
                return None
            if abs(ahead) > self.config.max_gap:
                self.counters.restarts += 1
                self._states.clear()
        if not has_acceleration:
            ego = replace(ego, acceleration=self._fitted_acceleration(ego))
        self._states.append(ego)
        return ego

    def _fitted_acceleration(self, ego: EgoState) -> tuple[float, float]:
        window = [s for s in self._states if seconds_between(s.stamp, ego.stamp) <= self.config.acceleration_window]
        lateral = ego.velocity[0] * ego.yaw_rate
        if not window:
            return 0.0, lateral
        t = np.array([seconds_between(ego.stamp, s.stamp) for s in window] + [0.0])
        v = np.array([s.velocity[0] for s in window] + [ego.velocity[0]])
        t -= t.mean()
        return float(t @ (v - v.mean()) / (t @ t)), lateral

    def at(self, stamp: Stamp) -> EgoState | None:
        """The state at a stamp: interpolated, or carried on by at most `OdometryConfig.max_extrapolation`.

        Returns:
            None where no state is near enough.
        """
        if not self._states:
            return None
        first, last = self._states[0], self._states[-1]
        if stamp >= last.stamp or stamp <= first.stamp:
            nearest = last if stamp >= last.stamp else first
            ahead = seconds_between(nearest.stamp, stamp)
            return carried(nearest, stamp) if abs(ahead) <= self.config.max_extrapolation else None
        after = next(i for i, s in enumerate(self._states) if s.stamp >= stamp)
        return interpolated(self._states[after - 1], self._states[after], stamp)


def carried(ego: EgoState, stamp: Stamp) -> EgoState:
    """The state moved to another stamp with its own speed, acceleration and yaw rate held (a short time only)."""
    dt = seconds_between(ego.stamp, stamp)
    if dt == 0.0:
        return ego
    ahead = ego.velocity[0] * dt + 0.5 * ego.acceleration[0] * dt * dt
    across = ego.velocity[1] * dt
    half = 0.5 * ego.yaw_rate * dt
    turned = Pose2(
        ahead * math.cos(half) - across * math.sin(half),
        ahead * math.sin(half) + across * math.cos(half),
        ego.yaw_rate * dt,
    )
    velocity = (ego.velocity[0] + ego.acceleration[0] * dt, ego.velocity[1])
    return replace(ego, stamp=stamp, pose=ego.pose.compose(turned), velocity=velocity)


def interpolated(a: EgoState, b: EgoState, stamp: Stamp) -> EgoState:
    """Between two states, linear in every number, yaw the short way round; exact at both ends."""
    if stamp == a.stamp:
        return a
    if stamp == b.stamp:
        return b
    w = (stamp - a.stamp) / (b.stamp - a.stamp)

    def mix(p: float, q: float) -> float:
        return p + w * (q - p)

    turn = float(wrap_angle(b.pose.yaw - a.pose.yaw))
    steering = None
    if a.steering_angle is not None and b.steering_angle is not None:
        steering = mix(a.steering_angle, b.steering_angle)
    return EgoState(
        stamp,
        Pose2(mix(a.pose.x, b.pose.x), mix(a.pose.y, b.pose.y), float(wrap_angle(a.pose.yaw + w * turn))),
        (mix(a.velocity[0], b.velocity[0]), mix(a.velocity[1], b.velocity[1])),
        (mix(a.acceleration[0], b.acceleration[0]), mix(a.acceleration[1], b.acceleration[1])),
        mix(a.yaw_rate, b.yaw_rate),
        steering,
    )
