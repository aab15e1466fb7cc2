"""A town as one mesh in square chunks, with a raster of its shadows and street light."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array
from vadv2_core.scene import RoadMap
from vadv2_core.taxonomy import LaneKind
from vadv2_sim.renderer.atmosphere import direction, main_direction
from vadv2_sim.renderer.blocks import CELL, Blocks, Raster, place_blocks
from vadv2_sim.renderer.mesh import VERTEX_FLOATS, MeshBuilder
from vadv2_sim.renderer.palette import Layer, SemanticClass
from vadv2_sim.renderer.streets import (
    GROUND_Z,
    KERB_Z,
    add_arrows,
    add_crossings,
    add_lane_lines,
    add_posts,
    add_surfaces,
    plan_streets,
)

CHUNK = 48.0
"""Side of a chunk, m."""
MARGIN = 60.0
"""How far houses and trees reach beyond the roads, m."""
SUN_ELEVATION = 0.85
"""Of the sun that the baked shadows belong to, rad."""


class Level(IntEnum):
    """When a chunk is drawn."""

    ALWAYS = 0
    NEAR = 1
    FAR = 2
    GROUND = 3


@dataclass(frozen=True, slots=True)
class City:
    """Everything of a town that does not move.

    Attributes:
        vertices: (n, `VERTEX_FLOATS`) float32, each once, in the order they are first met in.
        indices: (m,) uint32, three a triangle, chunk by chunk.
        chunks: (k, 2) first index and count.
        level: (k,) `Level` of each chunk.
        low, high: (k, 3) corners of each chunk's bounds.
        bake: (h, w, 2) uint8: sunlit share, street light; row 0 at the low y.
        origin: World x, y of the bake's low corner.
        extent: Its size, m.
        lamps: (n, 2) street lamps.
        low_sun: Azimuth of a low sun, rad.
        walks: (h, w) uint8, 1 on pavements; the bake's cells.
    """

    vertices: NDArray[np.float32]
    indices: NDArray[np.uint32]
    chunks: NDArray[np.int64]
    level: NDArray[np.int64]
    low: Array
    high: Array
    bake: NDArray[np.uint8]
    origin: Array
    extent: Array
    lamps: Array
    low_sun: float
    walks: NDArray[np.uint8]

    def ground_height(self, points: Array) -> Array:
        """Height (n,) of the ground under world points (n, 2): the kerb's on a pavement, else 0."""
        cells = np.floor((points - self.origin) / CELL).astype(int)
        h, w = self.walks.shape
        inside = (cells >= 0).all(axis=1) & (cells[:, 0] < w) & (cells[:, 1] < h)
        x, y = np.clip(cells[:, 0], 0, w - 1), np.clip(cells[:, 1], 0, h - 1)
        return np.where(inside & (self.walks[y, x] > 0), KERB_Z, 0.0)


def _bounds(road_map: RoadMap) -> tuple[Array, Array]:
    points = [lane.centerline for lane in road_map.lanes.values()] + list(road_map.drivable)
    stacked = np.concatenate(points) if points else np.zeros((1, 2))
    return stacked.min(axis=0) - MARGIN, stacked.max(axis=0) + MARGIN


def _bake(raster: Raster, blocks: Blocks, low_sun: float) -> NDArray[np.uint8]:
    """Shadows of houses and trees, and pools of street light, seen from above."""
    h, w = raster.taken.shape
    lit = np.full((h, w), 255, dtype=np.uint8)
    toward = direction(low_sun + 0.9, SUN_ELEVATION)
    slide = -toward[:2] / toward[2]
    for corners, height in blocks.footprints:
        points = np.concatenate([corners, corners + slide * height]).astype(np.float32)
        hull = cv2.convexHull(points)[:, 0]
        cv2.fillPoly(lit, [raster.cells(hull)], 70)
    for x, y, radius, height in blocks.trees:
        centre = np.array([x, y]) + slide * (height - radius)
        column, row = raster.cells(centre)
        cv2.ellipse(
            lit, (int(column), int(row)), (int(radius / CELL * 1.2), int(radius / CELL)),
            float(np.degrees(low_sun + 0.9)), 0, 360, 110, -1,
        )  # fmt: skip
    soft = cv2.GaussianBlur(lit, (5, 5), 0.9)
    light = np.zeros((h, w), dtype=np.float32)
    reach = int(22 / CELL)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] * CELL
    pool = 1.25 / (1.0 + (x**2 + y**2) / 45.0) ** 1.5
    pool *= np.clip(1.0 - np.hypot(x, y) / 22.0, 0, 1)
    for lamp in blocks.lamps:
        column, row = (int(v) for v in raster.cells(np.array(lamp)))
        y0, y1, x0, x1 = (
            max(row - reach, 0),
            min(row + reach + 1, h),
            max(column - reach, 0),
            min(column + reach + 1, w),
        )
        if y0 < y1 and x0 < x1:
            oy, ox = row - reach, column - reach
            light[y0:y1, x0:x1] += pool[y0 - oy : y1 - oy, x0 - ox : x1 - ox]
    return np.stack([soft, np.clip(light * 150, 0, 255).astype(np.uint8)], axis=-1)


def share_vertices(vertices: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Rows (n, k), each once in the order they are first met in, and the index (m,) of every row among them.

    A vertex that several triangles share is then shaded once: the same picture for a third of the work.
    """
    rows = np.ascontiguousarray(vertices)
    _, first, inverse = np.unique(
        rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel(),
        return_index=True,
        return_inverse=True,
    )
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), dtype=np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    return np.ascontiguousarray(rows[first[order]]), np.ascontiguousarray(rank[inverse])


def _chunked(
    parts: dict[Level, MeshBuilder],
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], Array, Array]:
    """Vertices sorted by level and square; first and count, level, and bounds of each piece."""
    meshes = {level: m.build() for level, m in parts.items()}
    triangles: NDArray[np.float32] = np.concatenate(list(meshes.values())).reshape(-1, 3, VERTEX_FLOATS)
    levels = np.concatenate([np.full(len(v) // 3, level) for level, v in meshes.items()])
    a, b = triangles[:, 1, :3] - triangles[:, 0, :3], triangles[:, 2, :3] - triangles[:, 0, :3]
    solid = np.abs(np.cross(a, b)).max(axis=1) > 0.0  # a ball's poles are quads with one side of no length
    triangles, levels = triangles[solid], levels[solid]
    key = np.floor(triangles[:, :, :2].mean(axis=1) / CHUNK).astype(np.int64) + (1 << 15)
    code = (levels << 40) + (key[:, 0] << 20) + key[:, 1]
    order = np.argsort(code, kind="stable")
    triangles, code, levels = triangles[order], code[order], levels[order]
    starts = np.flatnonzero(np.concatenate([[True], code[1:] != code[:-1]]))
    counts = np.diff(np.concatenate([starts, [len(code)]]))
    low = np.minimum.reduceat(triangles[:, :, :3].min(axis=1), starts, axis=0).astype(np.float64)
    high = np.maximum.reduceat(triangles[:, :, :3].max(axis=1), starts, axis=0).astype(np.float64)
    flat = np.ascontiguousarray(triangles.reshape(-1, VERTEX_FLOATS))
    return flat, np.stack([starts * 3, counts * 3], axis=1), levels[starts], low, high


def build_city(road_map: RoadMap, buildings: bool = True, dressing: int = 0) -> City:
    """Build a map's city; the same map and dressing give the same city, vertex by vertex.

    Args:
        road_map: The roads.
        buildings: Whether anything stands beside them.
        dressing: As in `RendererConfig.dressing`.
    """
    name = f"{road_map.name}:{road_map.hash}" + (f":{dressing}" if dressing else "")
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    low, high = _bounds(road_map)
    size = np.ceil((high - low) / CELL).astype(int)
    plan = plan_streets(road_map)
    raster = Raster(low, np.zeros((size[1], size[0]), dtype=np.uint8))
    street = plan.road.union(plan.sidewalk)
    raster.fill(raster.taken, street.buffer(0.4), 1)
    walks = np.zeros_like(raster.taken)
    raster.fill(walks, plan.sidewalk, 1)
    parts = {level: MeshBuilder(SemanticClass.GROUND) for level in Level}
    m = parts[Level.ALWAYS]
    far = 700.0
    (x0, y0), (x1, y1) = low - far, high + far
    outer = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    parts[Level.GROUND].flat(outer[None], GROUND_Z, (0.33, 0.44, 0.22), layer=Layer.GRASS, scale=14.0)
    blocks = Blocks()
    limits = [lane.speed_limit for lane in road_map.lanes.values() if lane.kind is LaneKind.ROAD]
    if buildings:
        for head in road_map.signal_heads:
            raster.taken[_around(raster, head.position[0], head.position[1])] = 1
        for sign in road_map.signs:
            raster.taken[_around(raster, sign.position[0], sign.position[1])] = 1
        blocks = place_blocks(
            (m, parts[Level.NEAR], parts[Level.FAR]), plan, raster, seed, float(np.median(limits)) if limits else 13.9
        )
    add_surfaces(m, road_map, plan)
    add_lane_lines(m, road_map, plan)
    add_arrows(m, road_map)
    add_crossings(m, road_map)
    add_posts(m, road_map, plan)
    low_sun = main_direction(road_map)
    every, chunks, level, chunk_low, chunk_high = _chunked(parts)
    vertices, indices = share_vertices(every)
    lamps = np.array(blocks.lamps, dtype=np.float64).reshape(-1, 2)
    bake = _bake(raster, blocks, low_sun)
    return City(vertices, indices, chunks, level, chunk_low, chunk_high, bake, low, size * CELL, lamps, low_sun, walks)


def _around(raster: Raster, x: float, y: float) -> tuple[slice, slice]:
    column, row = (int(v) for v in raster.cells(np.array([x, y])))
    return slice(max(row - 2, 0), row + 3), slice(max(column - 2, 0), column + 3)
