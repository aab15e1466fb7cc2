"""What stands beside the streets: houses, trees and street lamps, placed from a map's outline by its own seed."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from vadv2_core.geometry import Array, arc_length
from vadv2_sim.renderer.mesh import Color, MeshBuilder
from vadv2_sim.renderer.palette import Layer, Part, SemanticClass
from vadv2_sim.renderer.streets import GROUND_Z, StreetPlan, polygons

CELL = 0.5
"""Side of a cell of the occupancy and light rasters, m."""
_FACADES: tuple[tuple[Layer, tuple[Color, ...], tuple[float, float]], ...] = (
    (Layer.OFFICE, ((0.62, 0.68, 0.74), (0.78, 0.76, 0.72), (0.50, 0.55, 0.60)), (13.0, 13.5)),
    (Layer.BRICK, ((0.66, 0.38, 0.30), (0.56, 0.42, 0.36), (0.72, 0.56, 0.42)), (11.0, 12.0)),
    (Layer.PLASTER, ((0.90, 0.82, 0.66), (0.86, 0.72, 0.62), (0.78, 0.82, 0.76), (0.92, 0.90, 0.84)), (11.0, 12.0)),
)


Layers = tuple[MeshBuilder, MeshBuilder, MeshBuilder]
"""Meshes of what is always drawn, of fine things near by, and of the same things from afar."""


@dataclass(slots=True)
class Raster:
    """A grid of cells over a town: which are taken, which lie in shadow, where lamps shine.

    Attributes:
        origin: World x, y of the grid's low corner.
        taken: (h, w) uint8, 1 where something stands or is driven on.
    """

    origin: Array
    taken: NDArray[np.uint8]

    def cells(self, points: Array) -> NDArray[np.int32]:
        """Cell columns and rows of world points."""
        return np.asarray(np.floor((points - self.origin) / CELL), dtype=np.int32)

    def fill(self, target: NDArray[np.uint8], geometry: BaseGeometry, value: int) -> None:
        """Write ``value`` into the cells of a geometry's polygons."""
        for polygon in polygons(geometry):
            rings = [self.cells(np.asarray(r.coords)[:, :2]) for r in (polygon.exterior, *polygon.interiors)]
            cv2.fillPoly(target, rings, value)

    def claim(self, corners: Array, margin: float = 0.0) -> bool:
        """Take an outline's cells if every one is free."""
        middle = corners.mean(axis=0)
        grown = middle + (corners - middle) * (1 + margin)
        cells = self.cells(grown)
        low, high = cells.min(axis=0), cells.max(axis=0) + 1
        h, w = self.taken.shape
        if low[0] < 0 or low[1] < 0 or high[0] > w or high[1] > h:
            return False
        window = self.taken[low[1] : high[1], low[0] : high[0]]
        mask = np.zeros_like(window)
        cv2.fillPoly(mask, [cells - low], 1)
        if (window & mask).any():
            return False
        window |= mask
        return True


@dataclass(slots=True)
class Blocks:
    """What was placed: footprints with heights, trees and lamps, for shadows and light.

    Attributes:
        footprints: Corners (4, 2) and height of each house.
        trees: (n, 4) x, y, crown radius, height.
        lamps: (n, 2) where street lamps shine.
    """

    footprints: list[tuple[Array, float]] = field(default_factory=list)
    trees: list[tuple[float, float, float, float]] = field(default_factory=list)
    lamps: list[tuple[float, float]] = field(default_factory=list)


def _house(m: MeshBuilder, rng: np.random.Generator, corners: Array, height: float, style: float) -> None:
    """Walls, a shop front where it is tall, and a flat or a pitched roof; ``corners`` run counter-clockwise."""
    m.semantic = SemanticClass.BUILDING
    kind = 0 if height > 18 and rng.random() < 0.75 else int(rng.integers(1, 3))
    layer, tints, tile = _FACADES[kind]
    red, green, blue = (float(v) for v in np.array(tints[rng.integers(len(tints))]) * rng.uniform(0.9, 1.08))
    tint: Color = (red, green, blue)
    base = GROUND_Z
    if height > 10 and style > 0.35:
        red, green, blue = (float(v) for v in rng.uniform(0.55, 1.05, 3))
        m.walls(corners, (base, 4.0), (red, green, blue), layer=Layer.SHOPS, tile=(9.0, 4.0), part=Part.FACADE)
        base = 4.0
    m.walls(corners, (base, height), tint, layer=layer, tile=tile, part=Part.FACADE)
    if height > 13 or rng.random() < 0.15:
        m.flat(corners[None], height - 0.4, (0.45, 0.45, 0.46), layer=Layer.CONCRETE)
        return
    # A ridge along the longer side.
    if np.linalg.norm(corners[1] - corners[0]) < np.linalg.norm(corners[2] - corners[1]):
        corners = np.roll(corners, -1, axis=0)
    rise = 0.38 * float(np.linalg.norm(corners[2] - corners[1]))
    middle = corners.mean(axis=0)
    eaves = middle + (corners - middle) * 1.06
    ridge = np.stack([(eaves[0] + eaves[3]) / 2, (eaves[1] + eaves[2]) / 2])
    e = np.hstack([eaves, np.full((4, 1), height - 0.1)])
    r = np.hstack([ridge, np.full((2, 1), height + rise)])
    color: Color = ((0.55, 0.24, 0.18), (0.40, 0.30, 0.27), (0.34, 0.35, 0.38))[int(rng.integers(3))]
    length, slope = float(np.linalg.norm(e[1] - e[0])) / 4, float(np.hypot(rise, np.linalg.norm(e[2] - e[1]) / 2)) / 4
    uv = np.array([[0, 0], [length, 0], [length, slope], [0, slope]])
    m.quads([[e[0], e[1], r[1], r[0]], [e[2], e[3], r[0], r[1]]], color, uv=np.stack([uv, uv]), layer=Layer.ROOF)
    m.triangles([[e[1], e[2], r[1]], [e[3], e[0], r[0]]], tint)
    m.quads([e[::-1]], tint)  # the soffit: without it the sky is seen between wall and gable


def _tree(layers: Layers, rng: np.random.Generator, x: float, y: float, radius: float, height: float) -> None:
    """A trunk and two crowns near by, one coarse crown from afar."""
    _, near, far = layers
    near.semantic = far.semantic = SemanticClass.VEGETATION
    bark: Color = (0.30, 0.22, 0.16)
    # Into the crown, however small that is: no crown hangs in the air.
    trunk = max(0.55 * height, height - 1.4 * radius)
    near.cylinder((x, y, GROUND_Z), (x, y, trunk), 0.16, bark, sides=5, caps=False)
    far.cylinder((x, y, GROUND_Z), (x, y, trunk), 0.16, bark, sides=3, caps=False)
    tint = np.array([0.30, 0.46, 0.18]) * rng.uniform(0.75, 1.2) + rng.uniform(-0.03, 0.05, 3)
    color: Color = (float(tint[0]), float(tint[1]), float(tint[2]))
    for _ in range(2):
        dx, dy = rng.uniform(-0.3, 0.3, 2) * radius
        centre = (x + dx, y + dy, height - radius * rng.uniform(0.8, 1.3))
        crown = (radius, radius, radius * float(rng.uniform(0.9, 1.3)))
        near.ball(centre, crown, color, rings=4, sides=6, layer=Layer.LEAVES)
    wide = (1.15 * radius, 1.15 * radius, 1.3 * radius)
    far.ball((x, y, height - 1.05 * radius), wide, color, rings=3, sides=4, layer=Layer.LEAVES)


def _lamp(layers: Layers, x: float, y: float, inward: Array) -> tuple[float, float]:
    """A lamp post with an arm over the road; gives where it shines."""
    _, m, far = layers
    m.semantic = far.semantic = SemanticClass.POLE
    grey: Color = (0.36, 0.37, 0.39)
    top = (x + 2.6 * inward[0], y + 2.6 * inward[1], 7.4)
    m.cylinder((x, y, GROUND_Z), (x, y, 7.0), 0.08, grey, end_radius=0.05, sides=5, caps=False)
    m.cylinder((x, y, 7.0), top, 0.045, grey, sides=4, caps=False)
    far.cylinder((x, y, GROUND_Z), (x, y, 7.2), 0.09, grey, sides=3, caps=False)
    m.cylinder((*top[:2], 7.28), (*top[:2], 7.38), 0.28, (0.8, 0.8, 0.78), sides=6, part=Part.STREET_LAMP)
    return (top[0], top[1])


def place_blocks(layers: Layers, plan: StreetPlan, raster: Raster, seed: int, speed_limit: float) -> Blocks:
    """Line the streets with houses, trees and lamps.

    Args:
        layers: Get the houses, the trees and lamps near by, and the same from afar.
        plan: Streets; nothing is put on them.
        raster: Its taken cells are read and extended.
        seed: Of the town.
        speed_limit: Median of the town's roads, m/s: faster towns stand further back and taller.
    """
    rng = np.random.default_rng(seed)
    style = float(rng.uniform(0.2, 1.0))
    tall = style > 0.6 and speed_limit < 20.0
    setback = 1.2 if speed_limit < 11.5 else 3.0 + 2.0 * rng.random()
    placed = Blocks()
    street = plan.road.union(plan.sidewalk).buffer(0.05)
    for polygon in polygons(street.simplify(0.4)):
        for index, ring in enumerate((polygon.exterior, *polygon.interiors)):
            line = np.asarray(ring.coords)[:, :2]
            if ring.is_ccw != (index == 0):
                line = line[::-1]
            along = arc_length(line)
            _walk(layers, rng, raster, placed, (line, along), (setback, style, tall))
    return placed


def _walk(
    layers: Layers,
    rng: np.random.Generator,
    raster: Raster,
    placed: Blocks,
    edge: tuple[Array, Array],
    manner: tuple[float, float, bool],
) -> None:
    """Go once round an outline that has the street on its left, and place things on its right."""
    (line, along), (setback, style, tall) = edge, manner
    length = float(along[-1])

    def at(s: float | Array) -> Array:
        return np.stack([np.interp(s, along, line[:, 0]), np.interp(s, along, line[:, 1])], axis=-1)

    def outward(s: float) -> Array:
        d = at(min(s + 1.5, length)) - at(max(s - 1.5, 0.0))
        d = d / max(float(np.hypot(*d)), 1e-6)
        return np.array([d[1], -d[0]])

    s = float(rng.uniform(4, 15))
    while s < length:
        n = outward(s)
        foot = at(s) + 1.2 * n
        post = foot + 0.3 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        if raster.claim(post):
            placed.lamps.append(_lamp(layers, float(foot[0]), float(foot[1]), -n))
        s += float(rng.uniform(24, 30))
    s = float(rng.uniform(0, 6))
    while s < length - 5:
        front = float(rng.uniform(9, 24))
        a, b = at(s), at(min(s + front, length))
        chord = b - a
        span = float(np.hypot(*chord))
        if span > 6.0 and rng.random() > 0.12:
            d = chord / span
            n = np.array([d[1], -d[0]])
            depth, gap = float(rng.uniform(9, 17)), setback * float(rng.uniform(0.8, 1.6))
            p = a + gap * n
            # Street on the left of the edge, house on the right: its outline runs backwards to be counter-clockwise.
            corners = np.stack([p + span * d, p, p + depth * n, p + depth * n + span * d])
            if raster.claim(corners, 0.04):
                height = float(rng.uniform(14, 42) if tall and rng.random() < 0.7 else rng.uniform(5.5, 12.5))
                _house(layers[0], rng, corners, height, style)
                placed.footprints.append((corners, height))
        s += front * float(rng.uniform(0.9, 1.25)) + (0.0 if tall else float(rng.uniform(0, 5)))
    s = float(rng.uniform(2, 12))
    while s < length:
        n = outward(s)
        radius = float(rng.uniform(1.3, 2.5))
        x, y = at(s) + n * float(rng.uniform(1.4, 2.6) if rng.random() < 0.6 else rng.uniform(3, 18))
        post = np.array([x, y]) + 0.7 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        if raster.claim(post):
            height = float(rng.uniform(4.5, 8.0)) + radius
            _tree(layers, rng, float(x), float(y), radius, height)
            placed.trees.append((float(x), float(y), radius, height))
        s += float(rng.uniform(5, 14))
