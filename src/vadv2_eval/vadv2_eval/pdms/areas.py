"""Which map areas a box stands on, per proposal and step (spec PDMS, section 5).

A grid over the scene knows, per cell, which polygons cover it whole and which have an edge near it; only points in
cells near an edge are tested against the polygon itself (strictly inside, as the original does).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from vadv2_core.geometry import Array
from vadv2_eval.pdms.scene import DRIVABLE_LAYERS, INTERSECTION_LAYER, LANE_LAYERS, MapPolygon, ScoringMap

Bits = NDArray[np.uint64]
Mask = NDArray[np.bool_]
_WORD = 64
_MAX_CELLS = 1 << 18


class _Word:
    """Up to 64 polygons on a grid of cells, one bit each."""

    def __init__(self, polygons: list[MapPolygon], low: Array, cell: float, shape: tuple[int, int]) -> None:
        self._shapes = [shapely.Polygon(p.exterior) for p in polygons]
        shapely.prepare(self._shapes)
        starts = np.concatenate([p.exterior for p in polygons])
        ends = np.concatenate([np.roll(p.exterior, -1, axis=0) for p in polygons])
        owner = np.repeat(np.arange(len(polygons)), [len(p.exterior) for p in polygons])
        bit = np.left_shift(np.uint64(1), owner.astype(np.uint64))
        a, b = (starts - low) / cell, (ends - low) / cell
        self._edges = self._near_edges(a, b, bit, shape)
        self._inside = self._parity(a, b, bit, shape)

    @staticmethod
    def _near_edges(a: Array, b: Array, bit: Bits, shape: tuple[int, int]) -> Bits:
        grid = np.zeros(shape, dtype=np.uint64)
        count = np.ceil(np.hypot(*(b - a).T) / 0.7).astype(np.int64) + 1
        edge = np.repeat(np.arange(len(a)), count)
        share = (np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)) / np.maximum(count - 1, 1)[edge]
        at = np.floor(a[edge] + (b - a)[edge] * share[:, None]).astype(np.int64)
        on = (at >= -1).all(axis=1) & (at[:, 0] <= shape[1]) & (at[:, 1] <= shape[0])
        column, row = np.clip(at[on, 0], 0, shape[1] - 1), np.clip(at[on, 1], 0, shape[0] - 1)
        np.bitwise_or.at(grid.ravel(), row * shape[1] + column, bit[edge[on]])
        # Samples are 0.7 cells apart, so every cell an edge passes is a sample's cell or beside one.
        wide = grid.copy()
        wide[1:] |= grid[:-1]
        wide[:-1] |= grid[1:]
        near = wide.copy()
        near[:, 1:] |= wide[:, :-1]
        near[:, :-1] |= wide[:, 1:]
        return near

    @staticmethod
    def _parity(a: Array, b: Array, bit: Bits, shape: tuple[int, int]) -> Bits:
        """Which polygons hold each cell's centre: crossings toggled once a row, then summed along it."""
        grid = np.zeros((shape[0], shape[1] + 1), dtype=np.uint64)
        low, high = np.minimum(a[:, 1], b[:, 1]), np.maximum(a[:, 1], b[:, 1])
        first = np.clip(np.ceil(low - 0.5), 0, shape[0]).astype(np.int64)
        last = np.clip(np.ceil(high - 0.5), 0, shape[0]).astype(np.int64)
        count = last - first
        edge = np.repeat(np.arange(len(a)), count)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        share = (row + 0.5 - a[edge, 1]) / (b[edge, 1] - a[edge, 1])
        x = a[edge, 0] + share * (b[edge, 0] - a[edge, 0])
        column = np.clip(np.ceil(x - 0.5), 0, shape[1]).astype(np.int64)
        np.bitwise_xor.at(grid.ravel(), row * (shape[1] + 1) + column, bit[edge])
        return np.bitwise_xor.accumulate(grid, axis=1)[:, :-1]

    def of(self, points: Array, cells: NDArray[np.int64], wanted: np.uint64) -> Bits:
        edges = self._edges.ravel()[cells] & wanted
        bits = self._inside.ravel()[cells] & wanted & ~edges
        at = np.flatnonzero(edges)
        near, x, y = edges[at], points[at, 0], points[at, 1]
        exact = np.zeros(len(at), dtype=np.uint64)
        for i, shape in enumerate(self._shapes):
            bit = np.uint64(1 << i)
            of = np.flatnonzero(near & bit)
            if len(of):
                inside = shapely.contains_xy(shape, x[of], y[of])
                exact[of[inside]] |= bit
        bits[at] |= exact
        return bits


class AreaIndex:
    """The map's polygons, ready to say which of them hold a point."""

    def __init__(self, scoring_map: ScoringMap, low: Array, high: Array, points: int) -> None:
        span = np.maximum(high - low, 1.0)
        # A fine grid pays only when many points are looked up in it.
        cell = float(max(np.clip(30.0 / np.sqrt(points), 0.15, 1.0), np.sqrt(span.prod() / _MAX_CELLS)))
        self._low, self._cell = low - cell, cell
        self._shape = (int(span[1] / cell) + 3, int(span[0] / cell) + 3)
        reach = high + cell
        self.polygons = [
            p
            for p in scoring_map.polygons
            if (p.exterior.max(axis=0) >= self._low).all() and (p.exterior.min(axis=0) <= reach).all()
        ]
        self._words = [
            _Word(self.polygons[i : i + _WORD], self._low, cell, self._shape)
            for i in range(0, len(self.polygons), _WORD)
        ]

    def mask(self, chosen: Mask | list[bool]) -> Bits:
        """One bit a polygon as (words,), from (polygons,) bool."""
        words = np.zeros(max(len(self._words), 1), dtype=np.uint64)
        for i in np.flatnonzero(np.asarray(chosen, dtype=bool)):
            words[i // _WORD] |= np.uint64(1 << (int(i) % _WORD))
        return words

    def containing(self, points: Array, wanted: Bits) -> Bits:
        """Which wanted polygons hold points (n, 2): bits (words, n)."""
        at = np.floor((points - self._low) / self._cell).astype(np.int64)
        cells = at[:, 1] * self._shape[1] + at[:, 0]
        if not self._words:
            return np.zeros((1, len(points)), dtype=np.uint64)
        return np.stack([word.of(points, cells, wanted[i]) for i, word in enumerate(self._words)])


@dataclass(frozen=True, slots=True)
class AreaFlags:
    """Where the ego box stands, each (p, k).

    Attributes:
        multiple_lanes: Corners in more than one lane and no lane holds all four.
        non_drivable: A corner in no drivable area.
        off_route: The box centre in no lane of the route.
        axle_in_intersection: The rear axle lies in an intersection.
        centre_in_intersection: The box centre does.
        corner_in_drivable: (p, k, 4) per corner.
        corner_polygons: (words, p, k, 4) bits of the polygons that hold each corner.
        index: What the bits mean.
    """

    multiple_lanes: Mask
    non_drivable: Mask
    off_route: Mask
    axle_in_intersection: Mask
    centre_in_intersection: Mask
    corner_in_drivable: Mask
    corner_polygons: Bits
    index: AreaIndex


def area_flags(scoring_map: ScoringMap, corners: Array, centres: Array, axles: Array) -> AreaFlags:
    """Flags of boxes with corners (p, k, 4, 2), centres (p, k, 2) and rear axles (p, k, 2)."""
    points = corners.size // 2
    low, high = corners.min(axis=(0, 1, 2)), corners.max(axis=(0, 1, 2))
    index = AreaIndex(scoring_map, low, high, points)
    layers = [p.layer for p in index.polygons]
    drivable = index.mask([layer in DRIVABLE_LAYERS for layer in layers])
    lanes = index.mask([layer in LANE_LAYERS for layer in layers])
    route = index.mask([p.layer in LANE_LAYERS and p.id in scoring_map.route_lane_ids for p in index.polygons])
    intersections = index.mask([layer == INTERSECTION_LAYER for layer in layers])
    shape = corners.shape[:2]
    held = index.containing(corners.reshape(-1, 2), drivable | lanes).reshape(-1, *shape, 4)
    lane_bits = held & lanes[:, None, None, None]
    any_corner = np.bitwise_or.reduce(lane_bits, axis=-1)
    all_corners = np.bitwise_and.reduce(lane_bits, axis=-1)
    centre_bits = index.containing(centres.reshape(-1, 2), route | intersections).reshape(-1, *shape)
    axle_bits = index.containing(axles.reshape(-1, 2), intersections).reshape(-1, *shape)
    in_drivable = ((held & drivable[:, None, None, None]) != 0).any(axis=0)
    return AreaFlags(
        multiple_lanes=(np.bitwise_count(any_corner).sum(axis=0) > 1) & ~(all_corners != 0).any(axis=0),
        non_drivable=~in_drivable.all(axis=-1),
        off_route=~((centre_bits & route[:, None, None]) != 0).any(axis=0),
        axle_in_intersection=(axle_bits != 0).any(axis=0),
        centre_in_intersection=((centre_bits & intersections[:, None, None]) != 0).any(axis=0),
        corner_in_drivable=in_drivable,
        corner_polygons=held,
        index=index,
    )
