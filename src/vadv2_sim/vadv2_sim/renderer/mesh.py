"""Meshes as flat vertex arrays, put together from quads, frustums, cylinders, balls and prisms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vadv2_core.geometry import Array
from vadv2_sim.renderer.palette import Layer, Part, SemanticClass

Color = tuple[float, float, float]
VERTEX_FLOATS = 14
"""Floats of a vertex: position 3, normal 3, texture u, v, layer, colour 3, part, semantic class."""


def ribbon(line: ArrayLike, width: float) -> Array:
    """Quads (n - 1, 4, 2) of a band of ``width`` along a polyline (n, 2), mitred at its points."""
    p = np.asarray(line, dtype=np.float64)
    step = np.diff(p, axis=0)
    step /= np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-9)
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1)
    at = np.concatenate([normal[:1], normal[:-1] + normal[1:], normal[-1:]])
    length = np.linalg.norm(at, axis=1, keepdims=True)
    at = np.where(length > 0.3, at / np.maximum(length, 1e-9), np.concatenate([normal[:1], normal]))
    left, right = p + at * width / 2, p - at * width / 2
    return np.stack([left[:-1], right[:-1], right[1:], left[1:]], axis=1)


class MeshBuilder:
    """Collects triangles; `build` gives them as (n, `VERTEX_FLOATS`) float32, three rows a triangle.

    Attributes:
        semantic: Class written to the triangles added next.
        part: Part written to the triangles added next where a call names none.
    """

    def __init__(self, semantic: SemanticClass = SemanticClass.GROUND) -> None:
        self.semantic = semantic
        self.part = Part.FIXED
        self._blocks: list[NDArray[np.float32]] = []

    def triangles(
        self,
        points: ArrayLike,
        color: Color,
        *,
        part: Part | None = None,
        uv: ArrayLike | None = None,
        layer: Layer = Layer.PLAIN,
        normals: ArrayLike | None = None,
    ) -> None:
        """Add triangles (n, 3, 3), counter-clockwise from outside; ``uv`` (n, 3, 2), ``normals`` (n, 3, 3) or flat."""
        p = np.asarray(points, dtype=np.float64).reshape(-1, 3, 3)
        block = np.zeros((len(p), 3, VERTEX_FLOATS), dtype=np.float32)
        block[..., 0:3] = p
        if normals is None:
            n = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
            block[..., 3:6] = (n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12))[:, None]
        else:
            block[..., 3:6] = np.asarray(normals).reshape(-1, 3, 3)
        if uv is not None:
            block[..., 6:8] = np.asarray(uv).reshape(-1, 3, 2)
        block[..., 8] = layer
        block[..., 9:12] = color
        block[..., 12] = self.part if part is None else part
        block[..., 13] = self.semantic
        self._blocks.append(block.reshape(-1, VERTEX_FLOATS))

    def quads(
        self,
        corners: ArrayLike,
        color: Color,
        *,
        part: Part | None = None,
        uv: ArrayLike | None = None,
        layer: Layer = Layer.PLAIN,
    ) -> None:
        """Add quads (n, 4, 3), counter-clockwise from outside; ``uv`` (n, 4, 2), else the unit square."""
        q = np.asarray(corners, dtype=np.float64).reshape(-1, 4, 3)
        t = np.broadcast_to([[0, 0], [1, 0], [1, 1], [0, 1]], (len(q), 4, 2)) if uv is None else np.asarray(uv)
        t = t.reshape(-1, 4, 2)
        order = [0, 1, 2, 0, 2, 3]
        self.triangles(q[:, order].reshape(-1, 3, 3), color, part=part, uv=t[:, order].reshape(-1, 3, 2), layer=layer)

    def flat(
        self,
        outline: ArrayLike,
        z: float,
        color: Color,
        *,
        layer: Layer = Layer.PLAIN,
        scale: float = 4.0,
        part: Part | None = None,
    ) -> None:
        """Add level triangles (n, 3, 2) or quads (n, 4, 2) at height ``z``, textured by world position."""
        p = np.asarray(outline, dtype=np.float64)
        points = np.concatenate([p, np.full((*p.shape[:-1], 1), z)], axis=-1)
        if p.shape[1] == 4:
            points, p = points[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3, 3), p[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3, 2)
        up = np.broadcast_to([0.0, 0.0, 1.0], points.shape)
        self.triangles(points, color, part=part, uv=p / scale, layer=layer, normals=up)

    def frustum(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        z: tuple[float, float],
        color: Color,
        *,
        front: float = 0.0,
        rear: float = 0.0,
        side: float = 0.0,
        part: Part | None = None,
        bottom: bool = False,
    ) -> None:
        """Add a box whose top is drawn in by ``front``, ``rear`` and ``side`` metres."""
        (x0, x1), (y0, y1), (z0, z1) = x, y, z
        low = np.array([[x0, y0, z0], [x1, y0, z0], [x1, y1, z0], [x0, y1, z0]])
        top = np.array(
            [
                [x0 + rear, y0 + side, z1],
                [x1 - front, y0 + side, z1],
                [x1 - front, y1 - side, z1],
                [x0 + rear, y1 - side, z1],
            ]
        )
        faces = [[low[i], low[(i + 1) % 4], top[(i + 1) % 4], top[i]] for i in range(4)] + [list(top)]
        if bottom:
            faces.append(list(low[::-1]))
        self.quads(faces, color, part=part)

    def cylinder(
        self,
        start: Sequence[float],
        end: Sequence[float],
        radius: float,
        color: Color,
        *,
        end_radius: float | None = None,
        sides: int = 8,
        caps: bool = True,
        part: Part | None = None,
    ) -> None:
        """Add a cylinder (or cone) from ``start`` to ``end``."""
        a, b = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
        axis = (b - a) / max(float(np.linalg.norm(b - a)), 1e-9)
        u = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
        u /= np.linalg.norm(u)
        v = np.cross(axis, u)
        angle = np.arange(sides) * 2 * np.pi / sides
        ring = np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * v
        low, top = a + ring * radius, b + ring * (radius if end_radius is None else end_radius)
        following = np.roll(np.arange(sides), -1)
        self.quads(np.stack([low, low[following], top[following], top], axis=1), color, part=part)
        if caps:
            middle_a, middle_b = np.broadcast_to(a, low.shape), np.broadcast_to(b, top.shape)
            self.triangles(np.stack([middle_a, low[following], low], axis=1), color, part=part)
            self.triangles(np.stack([middle_b, top, top[following]], axis=1), color, part=part)

    def ball(
        self,
        centre: Sequence[float],
        radii: Sequence[float],
        color: Color,
        *,
        rings: int = 4,
        sides: int = 7,
        layer: Layer = Layer.PLAIN,
        part: Part | None = None,
    ) -> None:
        """Add an ellipsoid with smooth normals."""
        polar = np.linspace(0, np.pi, rings + 1)
        azimuth = np.linspace(0, 2 * np.pi, sides + 1)
        t, f = np.meshgrid(polar, azimuth, indexing="ij")
        unit = np.stack([np.sin(t) * np.cos(f), np.sin(t) * np.sin(f), np.cos(t)], axis=-1)
        r = np.asarray(radii, dtype=np.float64)
        points = unit * r + np.asarray(centre, dtype=np.float64)
        normal = unit / r
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        uv = np.stack([f / np.pi, t / np.pi], axis=-1) * float(r.max())
        corners = [(slice(0, -1), slice(0, -1)), (slice(1, None), slice(0, -1))]
        corners += [(slice(1, None), slice(1, None)), (slice(0, -1), slice(1, None))]
        order = [0, 1, 2, 0, 2, 3]

        def pick(values: Array) -> Array:
            quad = np.stack([values[c] for c in corners], axis=2)
            return np.asarray(quad[:, :, order].reshape(-1, 3, values.shape[-1]))

        self.triangles(pick(points), color, part=part, uv=pick(uv), layer=layer, normals=pick(normal))

    def walls(
        self,
        outline: ArrayLike,
        z: tuple[float, float],
        color: Color,
        *,
        layer: Layer = Layer.PLAIN,
        tile: tuple[float, float] = (4.0, 4.0),
        part: Part | None = None,
    ) -> None:
        """Add upright walls over a closed counter-clockwise outline (n, 2); the texture repeats every ``tile`` m."""
        p = np.asarray(outline, dtype=np.float64)
        q = np.roll(p, -1, axis=0)
        length = np.linalg.norm(q - p, axis=1)
        z0, z1 = (np.full((len(p), 1), h) for h in z)
        corners = np.stack([np.hstack([p, z0]), np.hstack([q, z0]), np.hstack([q, z1]), np.hstack([p, z1])], axis=1)
        # Whole tiles to a wall, so that no window is cut at a corner.
        across = np.maximum(np.round(length / tile[0]), 1.0) if layer is not Layer.PLAIN else length
        up = max(round((z[1] - z[0]) / tile[1]), 1)
        zero = np.zeros_like(across)
        rise = np.full_like(across, float(up))
        uv = np.stack(
            [np.stack(c, axis=1) for c in ((zero, zero), (across, zero), (across, rise), (zero, rise))], axis=1
        )
        self.quads(corners, color, part=part, uv=uv, layer=layer)

    def placed(self, mesh: NDArray[np.float32], x: float, y: float, z: float, yaw: float, scale: float = 1.0) -> None:
        """Add a built mesh, scaled, turned and moved."""
        block = mesh.copy()
        c, s = np.cos(yaw), np.sin(yaw)
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], dtype=np.float32)
        block[:, 0:3] = block[:, 0:3] @ turn * scale + np.array([x, y, z], dtype=np.float32)
        block[:, 3:6] = block[:, 3:6] @ turn
        self._blocks.append(block)

    def build(self) -> NDArray[np.float32]:
        """Everything added so far, (n, `VERTEX_FLOATS`) float32."""
        if not self._blocks:
            return np.zeros((0, VERTEX_FLOATS), dtype=np.float32)
        return np.ascontiguousarray(np.concatenate(self._blocks))
