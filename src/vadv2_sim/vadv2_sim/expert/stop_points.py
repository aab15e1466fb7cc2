"""Where the rules make the ego wait: red lights, stop signs, closed lanes, the end of the drive, right of way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vadv2_core.geometry import wrap_angle
from vadv2_core.scene import RoadMap, Scene, StopLine
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.taxonomy import Cause, DrivingAction, SignalState, StopControl
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.expert.route_frame import RouteFrame

FRONT_GAP = 0.8
"""Metres kept between the front bumper and a line."""
_STOP_SIGN_WAIT = 1.0
_YELLOW_BRAKE = 3.0


@dataclass(frozen=True, slots=True)
class StopPoint:
    """A place before which the rear axle must stand, and why.

    Attributes:
        s: Distance along the route of the rear axle when standing there.
        cause: For the decision.
        line: Stop line it belongs to; empty for none.
    """

    s: float
    cause: Cause
    line: str = ""


@dataclass(frozen=True, slots=True)
class LineAhead:
    """A stop line on the way: where the route crosses it, and the line."""

    s: float
    line: StopLine


class StopRules:
    """Remembers which stop signs were obeyed; asks nothing of the driver but to stand before a point."""

    def __init__(self, road: RoadMap, vehicle: VehicleConfig) -> None:
        self._road = road
        self._front = vehicle.length - vehicle.rear_overhang
        self._middles = np.array([line.segment.mean(0) for line in road.stop_lines]).reshape(-1, 2)
        self._stood: dict[str, Stamp] = {}
        self._served: set[str] = set()
        self._committed: set[str] = set()

    def reset(self) -> None:
        """Forget every stop."""
        self._stood.clear()
        self._served.clear()
        self._committed.clear()

    def lines_ahead(self, scene: Scene, frame: RouteFrame, reach: float = 90.0) -> list[LineAhead]:
        """Stop lines that the route crosses within reach, nearest first; the one just behind the bumper too."""
        if not len(self._middles):
            return []
        pose = scene.ego.pose
        near = np.flatnonzero(np.hypot(*(self._middles - np.array([pose.x, pose.y])).T) < reach)
        if not near.size:
            return []
        s, d = frame.locate(self._middles[near])
        found = []
        for k, at, off in zip(near, s, d, strict=True):
            line = self._road.stop_lines[k]
            across = line.segment[0] - line.segment[1]
            # The segment runs left to right, so the way over it is a quarter turn to the right of its inverse.
            direction = np.arctan2(across[1], across[0]) - 0.5 * np.pi
            turned = abs(float(wrap_angle(direction - np.interp(at, frame.s, frame.yaw))))
            if abs(off) < 0.5 * float(np.hypot(*across)) + 0.2 and turned < 1.0 and at > frame.ego_s - 3.0:
                found.append(LineAhead(float(at), line))
        return sorted(found, key=lambda a: a.s)

    def stops(self, scene: Scene, frame: RouteFrame, lines: list[LineAhead]) -> list[StopPoint]:
        """What must be obeyed now."""
        speed = scene.ego.speed
        found: list[StopPoint] = []
        for ahead in lines:
            at = ahead.s - self._front - FRONT_GAP
            gap = ahead.s - frame.ego_s - self._front
            if gap < -0.3:
                continue
            if ahead.line.control is StopControl.SIGNAL:
                state = scene.signals.get(ahead.line.signal or "", SignalState.UNKNOWN)
                if state in (SignalState.RED, SignalState.RED_YELLOW):
                    found.append(StopPoint(at, Cause.RED_LIGHT, ahead.line.id))
                    self._committed.discard(ahead.line.id)
                elif state is SignalState.YELLOW:
                    # Who cannot stop any more drives on, and keeps to that.
                    hard = speed * speed / (2.0 * max(gap - 0.3, 0.1)) > _YELLOW_BRAKE
                    if hard or ahead.line.id in self._committed:
                        self._committed.add(ahead.line.id)
                    else:
                        found.append(StopPoint(at, Cause.YELLOW_LIGHT, ahead.line.id))
                else:
                    self._committed.discard(ahead.line.id)
            elif ahead.line.control is StopControl.STOP_SIGN and ahead.line.id not in self._served:
                if speed < 0.15 and gap < 3.0:
                    since = self._stood.setdefault(ahead.line.id, scene.stamp)
                    if seconds_between(since, scene.stamp) >= _STOP_SIGN_WAIT:
                        self._served.add(ahead.line.id)
                        continue
                found.append(StopPoint(at, Cause.STOP_SIGN, ahead.line.id))
        near = {ahead.line.id for ahead in lines}
        self._served &= near
        if scene.command.action is DrivingAction.STOP:
            # A little beyond the goal: a drive ends when its goal is reached, not when it is nearly reached.
            found.append(StopPoint(frame.ego_s + scene.command.distance + 1.5, Cause.GOAL))
        return sorted(found, key=lambda p: p.s)
