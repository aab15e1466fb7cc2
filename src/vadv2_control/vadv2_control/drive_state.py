"""The drive state machine: what the vehicle does when something breaks, and why, in words.

    INIT ─► WAITING ─► READY ─► DRIVING ◄─► DEGRADED
                         ▲         │ plan too old
                         │         ▼
                      STOPPED ◄─ SOFT_STOP ◄─ LAST_PLAN
                         ▲         │ off the path, odometry lost, contact ahead
                         └──── EMERGENCY (latched until cleared at standstill)

It decides on facts only (ages, flags, speed) and steers nothing: the controller acts on the state it returns.
"""

from __future__ import annotations

from dataclasses import dataclass

from vadv2_control.configuration import DriveConfig
from vadv2_core.drive import DriveState

_MOVING = 0.1
"""m/s; slower counts as standstill for engaging and for clearing an emergency."""


@dataclass(frozen=True, slots=True)
class DriveFacts:
    """What is known at one control step.

    Attributes:
        odometry_age: Seconds; None before the first odometry.
        plan_age: Seconds from the newest usable plan's stamp; None without one.
        plan_fault: Why the newest plan was withheld or is unusable; empty where it is fine.
        degraded: Why the newest plan is less than it could be; empty where it is whole.
        speed: m/s.
        path_deviation: Metres from the path that is being followed.
        contact: Seconds until a predicted contact; None for none.
        fresh_plans: Usable plans in a row up to now.
    """

    odometry_age: float | None
    plan_age: float | None
    plan_fault: str
    degraded: str
    speed: float
    path_deviation: float
    contact: float | None
    fresh_plans: int


class DriveStateMachine:
    """Engagement, the fallback ladder and the latch; every transition has a cause in words."""

    def __init__(self, config: DriveConfig) -> None:
        self.config = config
        self.state = DriveState.INIT
        self.cause = "no odometry yet"
        self.engaged = False
        self.human_drives = False
        self._by_itself = True

    def advance(self, facts: DriveFacts) -> DriveState:
        """One step of the machine.

        While a human drives, or nobody engaged, no error is raised: the state says only whether it could drive.
        """
        if not self.engaged:
            self._rest(facts)
            automatic = self.config.engage_automatically and self._by_itself
            if self.state is DriveState.READY and automatic and not self.human_drives:
                self.engage(facts)
        if self.engaged:
            self._drive(facts)
        return self.state

    def _to(self, state: DriveState, cause: str) -> None:
        self.state, self.cause = state, cause

    def _rest(self, facts: DriveFacts) -> None:
        if self.state is DriveState.EMERGENCY:
            return
        blocker = self._blocker(facts)
        if facts.odometry_age is None:
            self._to(DriveState.INIT, "no odometry yet")
        elif blocker:
            self._to(DriveState.WAITING, blocker)
        else:
            self._to(DriveState.READY, "ready to engage")

    def _blocker(self, facts: DriveFacts) -> str:
        if facts.odometry_age is None:
            return "no odometry yet"
        if facts.odometry_age > self.config.max_odometry_age:
            return f"odometry is {facts.odometry_age:.2f} s old"
        if facts.plan_age is None:
            return f"no plan yet{': ' + facts.plan_fault if facts.plan_fault else ''}"
        if facts.plan_age > self.config.max_plan_age:
            return f"plan is {facts.plan_age:.2f} s old{': ' + facts.plan_fault if facts.plan_fault else ''}"
        return ""

    def _drive(self, facts: DriveFacts) -> None:
        config = self.config
        if self.state is DriveState.EMERGENCY:
            return
        if facts.odometry_age is None or facts.odometry_age > config.max_odometry_age:
            age = "never came" if facts.odometry_age is None else f"is {facts.odometry_age:.2f} s old"
            self._to(DriveState.EMERGENCY, f"odometry {age}")
            return
        if facts.contact is not None:
            self._to(DriveState.EMERGENCY, f"contact predicted in {facts.contact:.1f} s")
            return
        fresh = facts.plan_age is not None and facts.plan_age <= config.max_plan_age
        stopping = self.state in (DriveState.SOFT_STOP, DriveState.STOPPED)
        if fresh and (not stopping or facts.fresh_plans >= config.recovery_plans):
            if facts.degraded:
                self._to(DriveState.DEGRADED, facts.degraded)
            else:
                self._to(DriveState.DRIVING, "following a fresh plan")
            return
        if stopping:
            if facts.path_deviation > config.max_path_deviation and facts.speed > _MOVING:
                self._to(DriveState.EMERGENCY, f"{facts.path_deviation:.1f} m off the path while stopping")
            elif facts.speed <= _MOVING:
                self._to(DriveState.STOPPED, self.cause)
            return
        why = facts.plan_fault or "planner is silent"
        age = "no plan" if facts.plan_age is None else f"plan is {facts.plan_age:.2f} s old"
        if facts.plan_age is not None and facts.plan_age <= config.max_plan_age + config.max_last_plan:
            self._to(DriveState.LAST_PLAN, f"{age}: {why}")
        else:
            self._to(DriveState.SOFT_STOP, f"{age}: {why}")

    def engage(self, facts: DriveFacts) -> str:
        """Let commands reach the vehicle.

        Returns:
            Empty, or why not: a latched emergency, a human at the wheel, missing inputs, or too fast.
        """
        if self.state is DriveState.EMERGENCY:
            return "emergency is latched: clear it at standstill first"
        if self.human_drives:
            return "a human drives: control_mode is manual"
        blocker = self._blocker(facts)
        if blocker:
            return blocker
        if facts.speed > self.config.speed_cap:
            return f"speed {facts.speed:.1f} m/s is above the cap of {self.config.speed_cap:.1f} m/s"
        self.engaged = True
        self._to(DriveState.DRIVING, "engaged")
        return ""

    def disengage(self, cause: str) -> None:
        """Stop commanding the vehicle, until somebody engages; an emergency stays latched."""
        self.engaged = self._by_itself = False
        if self.state is not DriveState.EMERGENCY:
            self._to(DriveState.WAITING, cause)

    def human_takes_over(self, drives: bool) -> None:
        """Whether a human drives (from the vehicle's control mode); taking over disengages."""
        if drives and self.engaged:
            self.disengage("driver took over")
        self.human_drives = drives

    def clear_emergency(self, facts: DriveFacts) -> str:
        """Unlatch the emergency.

        Returns:
            Empty, or why not: no emergency, moving, or nothing that says how fast.
        """
        if self.state is not DriveState.EMERGENCY:
            return "no emergency is latched"
        if facts.odometry_age is None or facts.odometry_age > self.config.max_odometry_age:
            return "it may be moving: no odometry says how fast"
        if facts.speed > _MOVING:
            return f"still moving at {facts.speed:.1f} m/s"
        self.engaged = self._by_itself = False
        self._to(DriveState.WAITING, "emergency cleared")
        return ""
