"""Facts that a sentence can state, as plain data: what the narrator says, the parser gives back, evaluation checks.

Every number in a statement is one of a few rounded values, so that a small model can say it and a reader can check it
within a known tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from vadv2_core.taxonomy import (
    AgentClass,
    AgentIntention,
    Cause,
    DrivingAction,
    EdgeCaseFlag,
    LateralAction,
    LongitudinalAction,
    SignalState,
    StopControl,
    Weather,
)

DISTANCES = (1, 3, 5, 8, 12, 16, 20, 25, 30, 40, 50, 60, 80)
"""Spoken distances, m."""
SPEEDS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 25, 30)
"""Spoken speeds, m/s."""


class Zone(IntEnum):
    """Where something is, seen from the ego."""

    AHEAD = 0
    AHEAD_LEFT = 1
    AHEAD_RIGHT = 2
    LEFT = 3
    RIGHT = 4
    BEHIND = 5
    BEHIND_LEFT = 6
    BEHIND_RIGHT = 7


class Motion(IntEnum):
    """How something moves, seen along the ego's heading."""

    STANDING = 0
    ALONG = 1
    ONCOMING = 2
    ACROSS = 3


@dataclass(frozen=True, slots=True)
class WeatherStatement:
    """The light and the air."""

    weather: Weather


@dataclass(frozen=True, slots=True)
class EgoStatement:
    """The ego's speed, m/s, one of `SPEEDS`."""

    speed: int


@dataclass(frozen=True, slots=True)
class CommandStatement:
    """What the ego is asked to do."""

    action: DrivingAction


@dataclass(frozen=True, slots=True)
class SignalStatement:
    """The traffic light that holds the ego's way: its state and the distance to its stop line, m."""

    state: SignalState
    distance: int


@dataclass(frozen=True, slots=True)
class StopControlStatement:
    """What other than a light holds the ego's way, and the distance to it, m."""

    control: StopControl
    distance: int


@dataclass(frozen=True, slots=True)
class CrossingStatement:
    """A pedestrian crossing on the ego's way, m."""

    distance: int


@dataclass(frozen=True, slots=True)
class ObjectStatement:
    """Someone or something near the ego: class, zone, distance to its centre, m, and motion."""

    cls: AgentClass
    zone: Zone
    distance: int
    motion: Motion


@dataclass(frozen=True, slots=True)
class IntentionStatement:
    """What an agent is about to do."""

    cls: AgentClass
    zone: Zone
    intention: AgentIntention


@dataclass(frozen=True, slots=True)
class ClearStatement:
    """Nothing stands or drives in the ego's way within ``distance`` m."""

    distance: int


@dataclass(frozen=True, slots=True)
class ClosureStatement:
    """A lane on the ego's way is closed, first at this distance, m."""

    distance: int


@dataclass(frozen=True, slots=True)
class FlagStatement:
    """An edge case is there, or is not."""

    flag: EdgeCaseFlag
    present: bool


@dataclass(frozen=True, slots=True)
class DecisionStatement:
    """The intent and its cause."""

    longitudinal: LongitudinalAction
    lateral: LateralAction
    cause: Cause


@dataclass(frozen=True, slots=True)
class ActionStatement:
    """The action that a trace ends on."""

    longitudinal: LongitudinalAction
    lateral: LateralAction


Statement = (
    WeatherStatement
    | EgoStatement
    | CommandStatement
    | SignalStatement
    | StopControlStatement
    | CrossingStatement
    | ObjectStatement
    | IntentionStatement
    | ClearStatement
    | ClosureStatement
    | FlagStatement
    | DecisionStatement
    | ActionStatement
)


def spoken_distance(metres: float) -> int:
    """The nearest of `DISTANCES` by ratio; beyond both ends, the end."""
    return DISTANCES[int(np.argmin(np.abs(np.log(np.asarray(DISTANCES)) - np.log(max(metres, 0.1)))))]


def distance_agrees(spoken: int, metres: float) -> bool:
    """Whether a spoken distance is right for a true one: within 25 % or 2 m (the spacing of `DISTANCES`)."""
    return abs(spoken - metres) <= max(2.0, 0.25 * max(float(spoken), metres))


def spoken_speed(speed: float) -> int:
    """The nearest of `SPEEDS`."""
    return SPEEDS[int(np.argmin(np.abs(np.asarray(SPEEDS) - speed)))]


def speed_agrees(spoken: int, speed: float) -> bool:
    """Whether a spoken speed is right for a true one: within 1 m/s or 15 %; standing means below 0.5 m/s."""
    if spoken == 0:
        return abs(speed) < 0.6
    return abs(spoken - speed) <= max(1.0, 0.15 * abs(speed))


def zone_of(x: float, y: float) -> Zone:
    """The zone of a point in base_link: a corridor ahead and behind, a band beside, corners between.

    Ahead is a corridor 3 m wide that opens by 0.1 m a metre from 10 m on; beside is from 4 m behind the rear axle to
    5 m before it.
    """
    in_corridor = abs(y) <= 1.5 + 0.05 * max(abs(x) - 10.0, 0.0)
    left = y > 0.0
    if -4.0 <= x <= 5.0 and not (in_corridor and x > 3.0):
        return Zone.LEFT if left else Zone.RIGHT
    if x > 0.0:
        return Zone.AHEAD if in_corridor else (Zone.AHEAD_LEFT if left else Zone.AHEAD_RIGHT)
    return Zone.BEHIND if in_corridor else (Zone.BEHIND_LEFT if left else Zone.BEHIND_RIGHT)


def zones_near(x: float, y: float, margin: float = 0.75) -> frozenset[Zone]:
    """Every zone within ``margin`` metres of a point: what may be said of it without being wrong."""
    steps = (-margin, 0.0, margin)
    return frozenset(zone_of(x + dx, y + dy) for dx in steps for dy in steps)


def motion_of(vx: float, vy: float, standing: float = 0.5) -> Motion:
    """How a velocity in base_link axes, m/s over ground, looks along the ego's heading."""
    if float(np.hypot(vx, vy)) < standing:
        return Motion.STANDING
    if abs(vy) > abs(vx):
        return Motion.ACROSS
    return Motion.ALONG if vx > 0.0 else Motion.ONCOMING


def motions_near(vx: float, vy: float) -> frozenset[Motion]:
    """Every motion that may be said of a velocity: near a boundary, both sides of it."""
    angle, speed = float(np.arctan2(vy, vx)), float(np.hypot(vx, vy))
    around = {motion_of(speed * float(np.cos(angle + d)), speed * float(np.sin(angle + d))) for d in (-0.15, 0.0, 0.15)}
    if 0.3 < speed < 0.8:
        around |= {Motion.STANDING, motion_of(vx, vy, standing=0.0)}
    return frozenset(around)
