"""Speed along a plan: drive, bring to a stop at its end, hold."""

from __future__ import annotations

import math
from enum import Enum

from vadv2_control.configuration import LongitudinalConfig
from vadv2_control.pid import PidController
from vadv2_control.reference import ReferencePath
from vadv2_core.ego import EgoState
from vadv2_core.stamps import Stamp
from vadv2_core.vehicle import VehicleConfig

_CAP_APPROACH = 1.5
"""m/s below the present speed that a speed cap asks for at most at a time: about 1.5 m/s^2 of braking."""


class LongitudinalState(Enum):
    """What the longitudinal controller is doing (Autoware's names)."""

    DRIVE = "drive"
    STOPPING = "stopping"
    STOPPED = "stopped"


class LongitudinalController:
    """PID on speed with the plan's acceleration fed forward; the last metres by distance, to stop where asked."""

    def __init__(self, config: LongitudinalConfig, vehicle: VehicleConfig) -> None:
        self.config = config
        self.vehicle = vehicle
        self.pid = PidController()
        self.state = LongitudinalState.STOPPED
        self.target_speed = 0.0

    def accelerate(
        self, path: ReferencePath, ego: EgoState, now: Stamp, dt: float, *, speed_limit: float, freeze_integrator: bool
    ) -> float:
        """The acceleration to ask for, m/s^2, before the jerk limit.

        ``speed_limit`` (m/s) caps the target speed. Sets ``target_speed`` and ``state``.
        """
        config = self.config
        time = path.elapsed(now)
        station = path.locate(ego.pose).station
        stop = path.stop_station()
        remaining = math.inf if stop is None else stop - station
        self._next_state(path, ego.speed, time, remaining)
        if self.state is LongitudinalState.STOPPED:
            self.pid.reset()
            self.target_speed = 0.0
            return config.hold_acceleration
        if self.state is LongitudinalState.STOPPING:
            self.pid.reset()
            self.target_speed = 0.0
            return self._stop_within(ego, remaining)
        ahead = time + config.preview
        lag = path.station_at(time) - station
        correction = min(max(config.station_gain * lag, -config.max_station_speed), config.max_station_speed)
        planned = path.speed_at(ahead)
        wanted = max(planned + correction, 0.0)
        feedforward = path.acceleration_at(ahead) if planned > 0.0 else 0.0
        # The vehicle's own speed at the end of its lag, so that a moving target is met and not chased.
        coming = max(ego.speed + ego.acceleration[0] * config.preview, 0.0)
        capped = max(wanted, coming) > speed_limit
        self.target_speed = wanted
        if capped:
            # A cap that falls below the present speed is approached gently, without winding the integral up; the plan's
            # own acceleration no longer belongs to the target and would push past it.
            self.target_speed = min(wanted, max(speed_limit, ego.speed - _CAP_APPROACH))
            feedforward = min(feedforward, 0.0)
        asked = self.pid.update(
            self.target_speed - coming,
            path.acceleration_at(time) - ego.acceleration[0],
            kp=config.speed_gain,
            ki=config.speed_integral_gain,
            kd=config.speed_rate_gain,
            feedforward=feedforward,
            dt=dt,
            limits=(-self.vehicle.max_deceleration, self.vehicle.max_acceleration),
            freeze_integrator=freeze_integrator or capped,
        )
        return max(asked, self._start(path, ego.speed, time)) if not capped else asked

    def _start(self, path: ReferencePath, speed: float, time: float) -> float:
        """The least acceleration of a start, m/s^2; the hardest braking where this is none.

        A plan that begins gently and is replaced 0.1 s later by one that begins anew would never leave standstill
        (openpilot's longcontrol.py has a state for the same).
        """
        config = self.config
        begun = speed < config.start_speed and path.speed_at(time + config.preview) >= path.speed_at(time)
        leaves = path.max_speed_within(time, config.start_horizon) > 2.0 * config.start_speed
        return config.start_acceleration if begun and leaves else -self.vehicle.max_deceleration

    def _next_state(self, path: ReferencePath, speed: float, time: float, remaining: float) -> None:
        config = self.config
        starts = path.max_speed_within(time, config.start_horizon) > config.start_speed
        standing = speed <= config.stopped_speed
        if self.state is LongitudinalState.STOPPED:
            if not standing or (starts and remaining > 0.3):
                self.state = LongitudinalState.DRIVE
            return
        planned = path.speed_at(time + config.preview)
        ending = math.isfinite(remaining) and planned < config.stopping_speed and remaining < self._stop_reach(speed)
        if standing and not starts:
            self.state = LongitudinalState.STOPPED
        elif ending and speed < config.stopping_speed:
            self.state = LongitudinalState.STOPPING
        elif self.state is LongitudinalState.STOPPING and remaining > 2.0 * self._stop_reach(speed) and starts:
            self.state = LongitudinalState.DRIVE

    def _stop_reach(self, speed: float) -> float:
        # Distance in which a brake as gentle as 0.5 m/s^2 still stops, and the way driven during the lag.
        return speed * speed / (2.0 * 0.5) + speed * self.config.preview + 0.1

    def _stop_within(self, ego: EgoState, remaining: float) -> float:
        # v^2 / 2d ends exactly at the point; the way driven during the actuator's lag is taken off first.
        left = remaining - ego.speed * self.config.preview * 0.5
        if left < 0.05:
            return -1.5
        return -min(ego.speed * ego.speed / (2.0 * left), self.vehicle.max_deceleration)

    def reset(self) -> None:
        """Forget the integral; the next step decides the state anew."""
        self.pid.reset()
        self.state = LongitudinalState.DRIVE
