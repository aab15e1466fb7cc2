"""What went wrong on a drive: collisions and whose fault, off-road, red lights, stop signs, wrong way, speed, stuck."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from vadv2_core.geometry import Array, Pose2, box_corners
from vadv2_core.scene import Agent, RoadMap
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.taxonomy import SignalState, StopControl
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.lane_finder import LaneFinder, LaneMatch

STOPPED = 0.3
"""Slower than this is standing, m/s."""
STOP_ZONE = 8.0
"""A stop counts where the front stands at most so far before a stop line, m."""
STUCK_AFTER = 60.0
"""Standing so long without a red light is stuck, s."""


class EventKind(StrEnum):
    """Kinds of events."""

    COLLISION = "collision"
    OFF_ROAD = "off_road"
    RED_LIGHT = "red_light"
    STOP_SIGN = "stop_sign"
    WRONG_WAY = "wrong_way"
    SPEEDING = "speeding"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class DriveEvent:
    """Something that went wrong.

    Attributes:
        stamp: When it began.
        kind: What.
        detail: The other road user, signal, lane or speed, in words.
        at_fault: Whether the ego is to blame.
    """

    stamp: Stamp
    kind: EventKind
    detail: str
    at_fault: bool = True


def boxes_overlap(a: Array, b: Array) -> bool:
    """Whether two rectangles given by corners (4, 2) overlap (separating axes)."""
    for corners in (a, b):
        for axis in (corners[0] - corners[1], corners[1] - corners[2]):
            pa, pb = a @ axis, b @ axis
            if pa.max() < pb.min() or pb.max() < pa.min():
                return False
    return True


def _cross(a: Array, b: Array) -> Array:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


class EventDetector:
    """Watches a drive step by step; every event is reported once, when it begins.

    Args:
        road: The town.
        finder: Its lanes.
        vehicle: The ego's sizes.
    """

    def __init__(self, road: RoadMap, finder: LaneFinder, vehicle: VehicleConfig) -> None:
        self._finder, self._vehicle, self._road = finder, vehicle, road
        lines = road.stop_lines
        self._lines = lines
        self._segments = np.array([line.segment for line in lines]).reshape(-1, 2, 2)
        self._middles = self._segments.mean(axis=1)
        self._hit: dict[str, int] = {}
        self._since: dict[EventKind, Stamp] = {}
        self._active: set[EventKind] = set()
        self._front: tuple[float, float] | None = None
        self._stops: deque[tuple[float, float]] = deque(maxlen=400)
        self._step = 0

    def step(
        self,
        stamp: Stamp,
        pose: Pose2,
        speed: float,
        match: LaneMatch,
        limit: float,
        agents: tuple[Agent, ...],
        signals: dict[str, SignalState],
    ) -> list[DriveEvent]:
        """Events that begin at this step."""
        self._step += 1
        v = self._vehicle
        c, s = np.cos(pose.yaw), np.sin(pose.yaw)
        centre = (pose.x + v.centre_offset * c, pose.y + v.centre_offset * s)
        box = box_corners(*centre, pose.yaw, v.length, v.width)
        front = (float(box[0, 0] + box[3, 0]) / 2, float(box[0, 1] + box[3, 1]) / 2)
        found = self._collisions(stamp, centre, box, pose.yaw, speed, match, agents)
        found += self._lines_crossed(stamp, front, speed, signals)
        held = [
            (EventKind.OFF_ROAD, not self._finder.on_road(box), 0.0, "a wheel left the road"),
            (EventKind.WRONG_WAY, match.against and speed > 0.5, 0.7, "in the opposing lane"),
            (
                EventKind.SPEEDING,
                limit > 0 and speed > 1.1 * limit + 0.5,
                1.0,
                f"{speed:.1f} m/s where {limit:.1f} hold",
            ),
            (EventKind.STUCK, speed < STOPPED and not self._waits_at_red(front, signals), STUCK_AFTER, "no way on"),
        ]
        for kind, bad, after, detail in held:
            if not bad:
                self._since.pop(kind, None)
                self._active.discard(kind)
            elif kind not in self._active:
                since = self._since.setdefault(kind, stamp)
                if seconds_between(since, stamp) >= after:
                    self._active.add(kind)
                    found.append(DriveEvent(stamp, kind, detail))
        if speed < STOPPED:
            self._stops.append(front)
        self._front = front
        return found

    def _collisions(
        self,
        stamp: Stamp,
        centre: tuple[float, float],
        box: Array,
        yaw: float,
        speed: float,
        match: LaneMatch,
        agents: tuple[Agent, ...],
    ) -> list[DriveEvent]:
        found = []
        reach = 0.5 * np.hypot(self._vehicle.length, self._vehicle.width)
        for agent in agents:
            dx, dy = agent.x - centre[0], agent.y - centre[1]
            far = reach + 0.5 * (agent.length + agent.width)
            if dx * dx + dy * dy > far * far:
                continue
            if not boxes_overlap(box, box_corners(agent.x, agent.y, agent.yaw, agent.length, agent.width)):
                continue
            if self._step - self._hit.get(agent.id, -1000) > 20:
                fault = self._is_fault(box, dx, dy, yaw, speed, match, agent)
                detail = f"{agent.cls.name.lower()} {agent.id} at {speed:.1f} m/s"
                found.append(DriveEvent(stamp, EventKind.COLLISION, detail, fault))
            self._hit[agent.id] = self._step
        return found

    def _is_fault(
        self, box: Array, dx: float, dy: float, yaw: float, speed: float, match: LaneMatch, agent: Agent
    ) -> bool:
        """NuPlan's rule: a standing ego and one hit from behind are not to blame; who drives into something is."""
        if speed < STOPPED:
            return False
        other = float(np.hypot(*agent.velocity))
        if other < STOPPED:
            return True
        ahead = dx * np.cos(yaw) + dy * np.sin(yaw)
        if ahead < -0.3 * self._vehicle.length and other > speed:
            return False
        nose = np.array([box[0], box[3], box[3] + 0.01, box[0] + 0.01])
        if boxes_overlap(nose, box_corners(agent.x, agent.y, agent.yaw, agent.length, agent.width)):
            return True
        return match.lane is None or abs(match.offset) > 0.9

    def _lines_crossed(
        self, stamp: Stamp, front: tuple[float, float], speed: float, signals: dict[str, SignalState]
    ) -> list[DriveEvent]:
        if self._front is None or not len(self._segments) or self._front == front:
            return []
        before, now = np.asarray(self._front), np.asarray(front)
        move = now - before
        left, right = self._segments[:, 0], self._segments[:, 1]
        if np.abs(self._middles - now).max(axis=1).min() > 6.0:
            return []
        across = right - left
        denominator = _cross(move, across)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = _cross(left - before, across) / denominator
            u = _cross(left - before, move) / denominator
        # Only in the direction of travel: the line runs left to right, so the way on lies to its left.
        forward = _cross(move, across) < 0.0
        found = []
        for k in np.flatnonzero((t > 0.0) & (t <= 1.0) & (u >= -0.05) & (u <= 1.05) & forward):
            line = self._lines[k]
            if line.control == StopControl.SIGNAL and signals.get(line.signal or "") == SignalState.RED:
                found.append(DriveEvent(stamp, EventKind.RED_LIGHT, f"signal {line.signal} at {speed:.1f} m/s"))
            if line.control == StopControl.STOP_SIGN and not self._stood_before(left[k], right[k]):
                found.append(DriveEvent(stamp, EventKind.STOP_SIGN, f"{line.id} at {speed:.1f} m/s"))
        return found

    def _stood_before(self, left: Array, right: Array) -> bool:
        middle = 0.5 * (left + right)
        return any((x - middle[0]) ** 2 + (y - middle[1]) ** 2 < STOP_ZONE**2 for x, y in self._stops)

    def _waits_at_red(self, front: tuple[float, float], signals: dict[str, SignalState]) -> bool:
        """Whether a red light within 60 m may be what the ego, or the queue it stands in, waits for."""
        if not len(self._segments):
            return False
        distance = np.hypot(*(self._middles - np.asarray(front)).T)
        states = (signals.get(self._lines[k].signal or "") for k in np.flatnonzero(distance < 60.0))
        return any(state in (SignalState.RED, SignalState.YELLOW, SignalState.RED_YELLOW) for state in states)
