"""The way ahead as a curve: distance along, offset, heading, curvature, and which lanes lie where on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vadv2_core.command import Route
from vadv2_core.geometry import Array
from vadv2_core.scene import Lane, RoadMap
from vadv2_core.taxonomy import LaneKind

STEP = 1.0
"""Spacing of the curve's points, m."""
SHARPEST = 0.225
"""Curvature that is driven at most, 1/m; a car's own limit is a little higher."""


@dataclass(frozen=True, slots=True)
class LaneSpan:
    """Where a lane of the route lies on the path: from ``start`` to ``end`` m; infinite where it reaches beyond."""

    lane: Lane
    start: float
    end: float


class RoutePath:
    """A route's polyline, spaced evenly, in world coordinates.

    Args:
        route: At least two points.
        road: Of the route's lanes.

    Attributes:
        points: (n, 2).
        along: (n,) distances from its start.
        yaw: (n,) unwrapped heading.
        curvature: (n,) 1/m, left positive.
        normal: (n, 2) unit vectors to the left.
        spans: Lanes and connectors in order.
    """

    def __init__(self, route: Route, road: RoadMap) -> None:
        raw = np.asarray(route.points, dtype=np.float64)
        gap = np.hypot(*np.diff(raw, axis=0).T)
        raw = raw[np.concatenate([[True], gap > 1e-3])]
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(raw, axis=0).T))])
        n = max(int(along[-1] / STEP) + 1, 3)
        self.along = np.linspace(0.0, along[-1], n)
        self.points = np.stack([np.interp(self.along, along, raw[:, k]) for k in (0, 1)], axis=1)
        self._bend()
        for _ in range(15):
            sharp = np.abs(self.curvature) > SHARPEST
            if not sharp.any():
                break
            # Tighter than a car can turn: cut the corner, little by little, some metres about it.
            weight = np.clip(np.convolve(sharp, np.ones(5), mode="same"), 0.0, 1.0)[1:-1, None] * 0.25
            for _ in range(2):
                bow = self.points[:-2] + self.points[2:] - 2 * self.points[1:-1]
                self.points[1:-1] += weight * bow
            self._bend()
        self.normal = np.stack([-np.sin(self.yaw), np.cos(self.yaw)], axis=1)
        self._square = (self.points**2).sum(axis=1)
        self.spans = self._lane_spans(route, road)

    def _bend(self) -> None:
        """Distances, heading and curvature of the points."""
        self.along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(self.points, axis=0).T))])
        tangent = np.gradient(self.points, self.along, axis=0)
        self.yaw = _smooth(np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0])))
        self.curvature = _smooth(np.gradient(self.yaw, self.along))

    @property
    def length(self) -> float:
        """M."""
        return float(self.along[-1])

    def project(self, points: Array, limit: float = np.inf) -> tuple[Array, Array]:
        """Distance along and offset to the left, (...) each, of points (..., 2); ``limit`` bounds the search, m."""
        q = points.reshape(-1, 2)
        n = len(self.along) if np.isinf(limit) else int(np.searchsorted(self.along, limit)) + 1
        square = self._square[:n] - 2.0 * (q @ self.points[:n].T)
        k = square.argmin(axis=1)
        gap = q - self.points[k]
        normal = self.normal[k]
        s = self.along[k] + gap[:, 0] * normal[:, 1] - gap[:, 1] * normal[:, 0]
        d = gap[:, 0] * normal[:, 0] + gap[:, 1] * normal[:, 1]
        return s.reshape(points.shape[:-1]), d.reshape(points.shape[:-1])

    def heading(self, s: Array | float) -> Array:
        """Yaw at distances ``s``."""
        return np.asarray(np.interp(s, self.along, self.yaw))

    def place(self, s: Array, d: Array) -> Array:
        """World points (..., 2) at distances ``s`` and offsets ``d``."""
        x = np.interp(s, self.along, self.points[:, 0])
        y = np.interp(s, self.along, self.points[:, 1])
        yaw = self.heading(s)
        return np.stack([x - d * np.sin(yaw), y + d * np.cos(yaw)], axis=-1)

    def _lane_spans(self, route: Route, road: RoadMap) -> tuple[LaneSpan, ...]:
        spans: list[LaneSpan] = []
        low = 0.0
        for name in route.lane_ids:
            lane = road.lanes.get(name)
            if lane is None:
                continue
            (start, end), (d0, d1) = self.project(np.stack([lane.centerline[0], lane.centerline[-1]]))
            wide = 2.0 * max(lane.width, 3.0)
            # Before the path's first point lies what is behind; a later lane cannot begin before an earlier one.
            if start < 0.5 or abs(d0) > wide or start < low - 2.0:
                start = -np.inf
            if end > self.length - 0.5 or (end > 0.0 and abs(d1) > wide):
                end = np.inf
            if spans and start == -np.inf and np.isfinite(spans[-1].end) and spans[-1].end > 0.0:
                start = spans[-1].end
            spans.append(LaneSpan(lane, float(start), float(end)))
            if np.isfinite(end) and lane.kind is LaneKind.CONNECTOR:
                low = max(float(end), low)
        return tuple(spans)


def _smooth(values: Array) -> Array:
    if len(values) < 7:
        return values
    padded = np.concatenate([np.full(2, values[0]), values, np.full(2, values[-1])])
    return np.convolve(padded, [0.1, 0.2, 0.4, 0.2, 0.1], mode="valid")
