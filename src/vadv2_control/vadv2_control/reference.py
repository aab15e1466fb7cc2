"""A plan as control reads it: in odom, by time and by distance, between and beyond its points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vadv2_core.geometry import Array, Pose2, arc_length, wrap_angle
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_core.trajectory import Trajectory

_STANDSTILL_STEP = 0.02
"""Points closer together than this, m, say nothing about direction."""
_STANDING = 0.1
"""A plan that never gets farther than this, m, says nothing about direction either: its yaw is the vehicle's."""


@dataclass(frozen=True, slots=True)
class PathPlace:
    """The foot of the ego on the path.

    Attributes:
        station: Distance along the path, m.
        lateral: Ego left of the path, m.
        heading: Ego yaw minus path yaw, rad.
        curvature: Of the path there, 1/m.
    """

    station: float
    lateral: float
    heading: float
    curvature: float


class ReferencePath:
    """One trajectory prepared for many control steps.

    The path starts where the plan's first points come from, so that a step before them is inside it, and goes on
    straight beyond its end.
    """

    def __init__(self, trajectory: Trajectory) -> None:
        self.stamp: Stamp = trajectory.stamp
        origin, points = trajectory.origin_pose, trajectory.points
        self._times: Array = np.concatenate([[0.0], points[:, 0]])
        start_speed = points[0, 4] - points[0, 5] * points[0, 0]
        self._speeds: Array = np.concatenate([[max(start_speed, 0.0)], np.maximum(points[:, 4], 0.0)])
        self._accelerations: Array = np.concatenate([[points[0, 5]], points[:, 5]])
        # Back from the first points and not from the origin pose: a plan that starts beside the vehicle is then a path
        # with an offset, which the errors show, and not one with a kink, which hides it.
        planned = origin.transform(points[:, 1:3])
        back = points[0, 0] / (points[1, 0] - points[0, 0])
        xy = np.vstack([planned[0] - back * (planned[1] - planned[0]), planned])
        self._stations_by_time: Array = arc_length(xy)
        keep = [0]
        for index in range(1, len(xy)):
            # The straight way, not the driven one: a plan that jitters drives far and gets nowhere.
            if np.hypot(*(xy[index] - xy[keep[-1]])) > _STANDSTILL_STEP:
                keep.append(index)
        if len(keep) < 2 or np.hypot(*(xy - xy[0]).T).max() < _STANDING:
            ahead = np.array([np.cos(origin.yaw), np.sin(origin.yaw)])
            self._xy: Array = np.vstack([xy[0], xy[0] + ahead])
        else:
            self._xy = xy[keep]
        self._stations: Array = arc_length(self._xy)
        steps = np.diff(self._xy, axis=0)
        self._yaws: Array = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
        middles = 0.5 * (self._stations[1:] + self._stations[:-1])
        if len(middles) > 2:
            raw = np.gradient(self._yaws, middles)
            padded = np.concatenate([[raw[0]], raw, [raw[-1]]])
            self._curvatures: Array = (padded[:-2] + padded[1:-1] + padded[2:]) / 3.0
        else:
            self._curvatures = np.zeros(len(middles))
        self._middles: Array = middles

    @property
    def length(self) -> float:
        """Metres from the origin to where the plan ends."""
        return float(self._stations_by_time[-1])

    @property
    def duration(self) -> float:
        """Seconds from the stamp to the last point."""
        return float(self._times[-1])

    def elapsed(self, now: Stamp) -> float:
        """Seconds since the plan's stamp."""
        return seconds_between(self.stamp, now)

    def speed_at(self, time: float) -> float:
        """Planned speed at a time after the stamp, m/s; its last one beyond the end."""
        return float(np.interp(time, self._times, self._speeds))

    def acceleration_at(self, time: float) -> float:
        """Planned acceleration, m/s^2; 0 beyond the end."""
        return float(np.interp(time, self._times, self._accelerations, right=0.0))

    def station_at(self, time: float) -> float:
        """Planned distance travelled at a time after the stamp, m; goes on at the last speed beyond the end."""
        beyond = max(0.0, time - self.duration) * float(self._speeds[-1])
        return float(np.interp(time, self._times, self._stations_by_time)) + beyond

    def stop_station(self) -> float | None:
        """Distance at which the plan comes to stand and stays; None where it ends in motion."""
        if self._speeds[-1] > 0.2:
            return None
        return self.length

    def max_speed_within(self, start: float, horizon: float) -> float:
        """Largest planned speed between ``start`` and ``start + horizon`` seconds after the stamp."""
        inside = (self._times >= start) & (self._times <= start + horizon)
        return float(max(self._speeds[inside].max(initial=0.0), self.speed_at(start + horizon)))

    def locate(self, pose: Pose2) -> PathPlace:
        """Where a pose (odom) is on the path; beyond the ends on their straight continuation."""
        a, d = self._xy[:-1], np.diff(self._xy, axis=0)
        length = np.hypot(d[:, 0], d[:, 1])
        to = np.array([pose.x, pose.y]) - a
        u = (to * d).sum(-1) / length**2
        clipped = np.clip(u, 0.0, 1.0)
        gap = to - clipped[:, None] * d
        best = int((gap**2).sum(-1).argmin())
        along = u[best] if (best == len(u) - 1 and u[best] > 1) or (best == 0 and u[best] < 0) else clipped[best]
        station = float(self._stations[best] + along * length[best])
        yaw = self.yaw_at(station)
        foot = a[best] + along * d[best]
        offset = np.array([pose.x, pose.y]) - foot
        lateral = float(-np.sin(yaw) * offset[0] + np.cos(yaw) * offset[1])
        return PathPlace(station, lateral, float(wrap_angle(pose.yaw - yaw)), self.curvature_at(station))

    def yaw_at(self, station: float) -> float:
        """Direction of the path at a distance, rad, interpolated between the middles of its segments."""
        return float(np.interp(station, self._middles, self._yaws))

    def curvature_at(self, station: float) -> float:
        """Curvature of the path at a distance, 1/m; 0 beyond its end."""
        if station > self._stations[-1]:
            return 0.0
        return float(np.interp(station, self._middles, self._curvatures))

    def point_at(self, station: float) -> tuple[float, float]:
        """The place (odom) at a distance; beyond the end on the straight continuation."""
        last = float(self._stations[-1])
        x = float(np.interp(station, self._stations, self._xy[:, 0]))
        y = float(np.interp(station, self._stations, self._xy[:, 1]))
        if station > last:
            yaw = float(self._yaws[-1])
            x, y = x + (station - last) * np.cos(yaw), y + (station - last) * np.sin(yaw)
        return x, y
