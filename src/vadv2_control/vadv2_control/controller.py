"""Control: a plan and odometry in, a command the vehicle may obey and the state of the drive out."""

from __future__ import annotations

import math

from vadv2_control.configuration import ControlConfig
from vadv2_control.drive_state import DriveFacts, DriveStateMachine
from vadv2_control.intake import OdometryIntake, plan_fault
from vadv2_control.lateral import LateralController
from vadv2_control.limits import CommandLimiter
from vadv2_control.longitudinal import LongitudinalController
from vadv2_control.obstacle_check import time_to_collision
from vadv2_control.reference import ReferencePath
from vadv2_core.drive import DriveState, DriveStatus, VehicleCommand
from vadv2_core.ego import EgoState
from vadv2_core.obstacles import Obstacles
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.trajectory import TrajectoryCandidates
from vadv2_core.vehicle import VehicleConfig

_MAX_GAP = 1.0
"""Seconds without a step after which, as when time goes back, nothing of before is used."""
_NOTHING_KNOWN = DriveFacts(None, None, "", "", 0.0, 0.0, None, 0)
_FOLLOWS = (DriveState.DRIVING, DriveState.DEGRADED, DriveState.LAST_PLAN, DriveState.READY)


class Controller:
    """Tracks the newest usable plan, and knows what to do without one.

    It never waits and never raises on what it is given; all it returns is finite and within the vehicle's limits.

    Args:
        config: Gains and thresholds.
        vehicle: Its limits.
        machine: Of a controller before this one: an emergency stays latched.
    """

    def __init__(self, config: ControlConfig, vehicle: VehicleConfig, machine: DriveStateMachine | None = None) -> None:
        self.config, self.vehicle = config, vehicle
        self.machine = machine or DriveStateMachine(config.drive)
        self.machine.config = config.drive
        self.odometry = OdometryIntake(config.drive)
        self.lateral = LateralController(config.lateral, vehicle)
        self.longitudinal = LongitudinalController(config.longitudinal, vehicle)
        self.limiter = CommandLimiter(vehicle)
        self.obstacles: Obstacles | None = None
        self._path: ReferencePath | None = None
        self._way: ReferencePath | None = None
        self._plan_stamp: Stamp = 0
        self._seen: Stamp | None = None
        self._plan_fault = ""
        self._degraded = ""
        self._reasoning_age: float | None = None
        self._fresh_plans = 0
        self._now: Stamp | None = None
        self._stop_acceleration = 0.0
        self._resume = True
        self._facts = _NOTHING_KNOWN

    def configure(self, config: ControlConfig) -> None:
        """Take new gains and thresholds while running; nothing is reset."""
        self.config = config
        self.machine.config = self.odometry.config = config.drive
        self.lateral.config, self.longitudinal.config = config.lateral, config.longitudinal

    def step(
        self, candidates: TrajectoryCandidates | None, ego: EgoState, now: Stamp
    ) -> tuple[VehicleCommand, DriveStatus]:
        """One control step.

        Args:
            candidates: The newest plan message, the same one again or None where nothing new came.
            ego: The newest odometry.
            now: Present time on the odometry's clock.

        Returns:
            The command (stamped with the odometry it acts on) and the state of the drive.
        """
        dt = self._tick(now)
        self.odometry.accept(ego, now)
        if self.odometry.relocated:
            # The plan at hand is of the place before; the next one may be believed.
            seen = self._seen if candidates is None else candidates.stamp
            self._drop_plan("the localiser jumped")
            self._seen = seen
        believed = self.odometry.last
        if believed is None:
            return self._without_odometry(ego, dt)
        if self._way is not None and self._resume and self._deviation(believed) > self.config.drive.max_path_deviation:
            # Place jumped with time, or too long passed: that way leads elsewhere.
            self._way = None
        if candidates is not None and candidates.stamp != self._seen:
            self._take(candidates, believed, now)
        self._facts = self._look(believed, now)
        before = self.machine.state
        state = self.machine.advance(self._facts)
        if state is not before and state in (DriveState.SOFT_STOP, DriveState.EMERGENCY):
            self._stop_acceleration = min(self.limiter.acceleration, 0.0)
        return self._command(state, believed, now, dt), self._status(state, believed)

    def engage(self) -> str:
        """Let commands reach the vehicle; empty, or why not."""
        return self.machine.engage(self._facts)

    def disengage(self, cause: str = "disengaged by request") -> str:
        """Stop commanding the vehicle; always empty."""
        self.machine.disengage(cause)
        return ""

    def clear_emergency(self) -> str:
        """Unlatch an emergency at standstill; empty, or why not."""
        return self.machine.clear_emergency(self._facts)

    def human_takes_over(self, drives: bool) -> None:
        """The vehicle's control mode: True while a human drives."""
        self.machine.human_takes_over(drives)

    def reset(self) -> None:
        """Forget plans, odometry and integrals; engagement and a latched emergency stay."""
        self.odometry.reset()
        self.lateral.reset()
        self.longitudinal.reset()
        self.obstacles = None
        self._drop_plan("")
        self._now = None
        self._resume = True
        self._facts = _NOTHING_KNOWN

    def _tick(self, now: Stamp) -> float:
        dt = self.config.period if self._now is None else seconds_between(self._now, now)
        if dt < 0.0 or dt > _MAX_GAP:
            # What is known by time is worth nothing now. A way is a place: a vehicle that must stop stops along it.
            way = self._path or self._way
            self.reset()
            self._way = way
            dt = self.config.period
        self._now = now
        return min(max(dt, 1e-3), 0.2)

    def _take(self, candidates: TrajectoryCandidates, ego: EgoState, now: Stamp) -> None:
        self._seen = candidates.stamp
        plan = candidates.trajectory()
        fault = candidates.reason or "plan was withheld" if plan is None else ""
        if plan is not None:
            fault = plan_fault(plan, ego, now, self.config.drive, self.vehicle.max_speed)
            if not fault and self._path is not None and plan.stamp <= self._plan_stamp:
                fault = f"plan is {seconds_between(plan.stamp, self._plan_stamp):.2f} s older than the last"
        self._plan_fault = fault
        if plan is None or fault:
            self._fresh_plans = 0
            return
        self._path, self._way, self._plan_stamp = ReferencePath(plan), None, plan.stamp
        self._fresh_plans += 1
        self._degraded = "; ".join(candidates.degraded)
        self._reasoning_age = candidates.ages.get("reasoning")

    def _drop_plan(self, why: str) -> None:
        self._path = self._way = None
        self._plan_stamp, self._seen, self._fresh_plans, self._plan_fault = 0, None, 0, why

    def _deviation(self, ego: EgoState) -> float:
        path = self._path or self._way
        return 0.0 if path is None else abs(path.locate(ego.pose).lateral)

    def _look(self, ego: EgoState, now: Stamp) -> DriveFacts:
        contact = None
        if self._path is not None and self.obstacles is not None:
            limit = self.config.obstacles.time_to_collision
            soon = time_to_collision(self._path, ego, self.obstacles, now, self.config.obstacles, self.vehicle)
            contact = soon if soon is not None and soon <= limit else None
        plan_age = None if self._path is None else seconds_between(self._plan_stamp, now)
        if plan_age is not None and plan_age > self.config.drive.max_plan_age:
            self._fresh_plans = 0
        return DriveFacts(
            seconds_between(ego.stamp, now),
            plan_age,
            self._plan_fault,
            self._degraded,
            abs(ego.speed),
            self._deviation(ego),
            contact,
            self._fresh_plans,
        )

    def _command(self, state: DriveState, ego: EgoState, now: Stamp, dt: float) -> VehicleCommand:
        emergency = state is DriveState.EMERGENCY
        if not self.machine.engaged or self._resume:
            # Start from what the vehicle does, so that engaging is not felt, nor a gap in time.
            self._resume = False
            steering = ego.steering_angle if ego.steering_angle is not None else self.limiter.steering_angle
            self.limiter.reset(steering, ego.acceleration[0])
            self.lateral.reset()
            self.longitudinal.pid.reset()
        steering, acceleration, target = self.limiter.steering_angle, self._brake(state, ego, dt), 0.0
        # An emergency without believable odometry keeps the wheel where it is.
        blind = emergency and seconds_between(ego.stamp, now) > self.config.drive.max_odometry_age
        path = self._path or self._way
        if path is not None and not blind:
            frozen = not self.machine.engaged
            steering = self.lateral.steer(path, ego, dt, freeze_integrator=frozen)
            if self._path is not None and state in _FOLLOWS:
                cap = self.config.drive.speed_cap
                if self._degraded:  # the last plan of a degraded planner is no better for its silence
                    cap = min(cap, self.config.drive.degraded_speed_cap)
                acceleration = self.longitudinal.accelerate(
                    self._path, ego, now, dt, speed_limit=cap, freeze_integrator=frozen
                )
                target = self.longitudinal.target_speed
        if state not in _FOLLOWS:
            self.longitudinal.reset()
        return self.limiter.limit(
            stamp=ego.stamp,
            trajectory_stamp=self._plan_stamp,
            steering_angle=steering,
            acceleration=acceleration,
            target_speed=target,
            speed=ego.speed,
            dt=dt,
            emergency=emergency,
        )

    def _brake(self, state: DriveState, ego: EgoState, dt: float) -> float:
        drive, hold = self.config.drive, self.config.longitudinal.hold_acceleration
        if abs(ego.speed) <= self.config.longitudinal.stopped_speed:
            return hold
        if state is DriveState.EMERGENCY:
            return -drive.emergency_deceleration
        if state in (DriveState.SOFT_STOP, DriveState.STOPPED):
            step = drive.soft_stop_jerk * dt
            goal = -drive.soft_stop_deceleration
            self._stop_acceleration += min(max(goal - self._stop_acceleration, -step), step)
            return self._stop_acceleration
        return 0.0

    def _without_odometry(self, ego: EgoState, dt: float) -> tuple[VehicleCommand, DriveStatus]:
        self._facts = _NOTHING_KNOWN
        state = self.machine.advance(self._facts)
        command = VehicleCommand(ego.stamp, 0, 0.0, 0.0, self.config.longitudinal.hold_acceleration, 0.0)
        if self.machine.engaged:
            # It may be moving, and nothing says how: the wheel stays where it is.
            command = self.limiter.limit(
                stamp=ego.stamp,
                trajectory_stamp=0,
                steering_angle=self.limiter.steering_angle,
                acceleration=-self.config.drive.emergency_deceleration,
                target_speed=0.0,
                speed=0.0,
                dt=dt,
                emergency=True,
            )
        cause = self.odometry.reason or self.machine.cause
        return command, DriveStatus(ego.stamp, state, cause, self.machine.engaged)

    def _status(self, state: DriveState, ego: EgoState) -> DriveStatus:
        facts = self._facts
        ages = {"odometry": facts.odometry_age, "plan": facts.plan_age, "reasoning": self._reasoning_age}
        lateral, longitudinal = self.lateral.pid, self.longitudinal.pid
        terms = {
            "lateral_p": lateral.p,
            "lateral_i": lateral.i,
            "lateral_d": lateral.d,
            "lateral_f": lateral.f,
            "longitudinal_p": longitudinal.p,
            "longitudinal_i": longitudinal.i,
            "longitudinal_d": longitudinal.d,
            "longitudinal_f": longitudinal.f,
            "cross_track_error": self.lateral.cross_track_error,
            "heading_error": self.lateral.heading_error,
        }
        return DriveStatus(
            ego.stamp,
            state,
            self.machine.cause,
            self.machine.engaged,
            {name: age for name, age in ages.items() if age is not None and math.isfinite(age)},
            {},
            {name: value for name, value in terms.items() if math.isfinite(value)},
        )
