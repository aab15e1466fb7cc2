"""Which lane a pose is on, and whether it is on the road at all; vectorised over a town's segments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.ops import unary_union

from vadv2_core.geometry import Array
from vadv2_core.scene import RoadMap
from vadv2_core.taxonomy import LaneKind

DRIVEN = (LaneKind.ROAD, LaneKind.CONNECTOR, LaneKind.DRIVEWAY)
"""Kinds of lanes that a car drives on."""
CURB_TOLERANCE = 0.3
"""A wheel so far over the edge of the road is not yet off it, m."""


@dataclass(frozen=True, slots=True)
class LaneMatch:
    """Where a pose is.

    Attributes:
        lane: The lane driven along; None off the lanes or against all of them.
        offset: Distance left of its centre, m.
        against: A lane contains the pose, but only lanes of the other direction do.
        in_junction: The best lane is a connector.
    """

    lane: str | None
    offset: float
    against: bool
    in_junction: bool


class LaneFinder:
    """Matches poses to the lanes of a map."""

    def __init__(self, road: RoadMap) -> None:
        lanes = [lane for lane in road.lanes.values() if lane.kind in DRIVEN]
        self._ids = [lane.id for lane in lanes]
        self._junction = np.array([lane.kind == LaneKind.CONNECTOR for lane in lanes])
        starts, ends, owner = [], [], []
        for k, lane in enumerate(lanes):
            starts.append(lane.centerline[:-1])
            ends.append(lane.centerline[1:])
            owner.append(np.full(len(lane.centerline) - 1, k))
        self._a = np.concatenate(starts)
        self._d = np.concatenate(ends) - self._a
        self._length = np.maximum(np.hypot(*self._d.T), 1e-6)
        self._u = self._d / self._length[:, None]
        self._owner = np.concatenate(owner)
        self._half = 0.5 * np.array([lane.width for lane in lanes])
        self._looked_at = np.array([np.inf, np.inf])
        self._nearby: NDArray[np.int64]
        self._near_a: Array
        self._near_u: Array
        self._near_length: Array
        self._near_reach: Array
        area = unary_union([Polygon(p).buffer(0.0) for p in road.drivable]).buffer(CURB_TOLERANCE)
        shapely.prepare(area)
        self._area = area

    def match(self, x: float, y: float, yaw: float, preferred: frozenset[str] = frozenset()) -> LaneMatch:
        """The lane a pose is on; among lanes that overlap (in a junction) a preferred one, then the best aligned."""
        at = np.array([x, y])
        self._look_around(at)
        u = self._near_u
        gap = at - self._near_a
        along = np.minimum(np.maximum(gap[:, 0] * u[:, 0] + gap[:, 1] * u[:, 1], 0.0), self._near_length)
        off = gap - along[:, None] * u
        hit = off[:, 0] ** 2 + off[:, 1] ** 2 < self._near_reach
        near, off = self._nearby[hit], off[hit]
        if not len(near):
            return LaneMatch(None, 0.0, False, False)
        forward = self._u[near, 0] * np.cos(yaw) + self._u[near, 1] * np.sin(yaw)
        side = self._u[near, 0] * off[:, 1] - self._u[near, 1] * off[:, 0]
        liked = np.array([self._ids[k] in preferred for k in self._owner[near]])
        score = np.abs(side) + 3.0 * (1.0 - forward) - 1.5 * liked
        best = int(np.argmin(score))
        owner = int(self._owner[near[best]])
        junction = bool(self._junction[self._owner[near]].any())
        if forward[best] < -0.3:
            return LaneMatch(None, float(side[best]), not junction, junction)
        return LaneMatch(self._ids[owner], float(side[best]), False, bool(self._junction[owner]))

    def _look_around(self, at: Array) -> None:
        """Take up the segments near a point; they are kept until the point has moved on."""
        if np.abs(at - self._looked_at).max() <= 15.0:
            return
        middle = self._a + 0.5 * self._d
        reach = 25.0 + 0.5 * self._length
        near = np.flatnonzero(np.abs(middle - at).max(axis=1) < reach)
        self._nearby, self._looked_at = near, at
        self._near_a, self._near_u, self._near_length = self._a[near], self._u[near], self._length[near]
        self._near_reach = (self._half[self._owner[near]] + 0.3) ** 2

    def on_road(self, points: Array) -> bool:
        """Whether all of (n, 2) points lie on the drivable area, `CURB_TOLERANCE` over its edge at most."""
        return bool(shapely.contains_xy(self._area, points[:, 0], points[:, 1]).all())
