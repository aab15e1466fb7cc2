"""People, cones, signs and signal heads as meshes in their own frame (x forward, y left, z up from the ground)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadv2_sim.renderer.mesh import Color, MeshBuilder
from vadv2_sim.renderer.palette import Layer, Part, SemanticClass

LAMP_DIAMETER = 0.36
"""Of a signal lamp, m; larger than real ones so that a small network reads it at 60 m (spec/SEEING.md)."""
WHITE: Color = (1.0, 1.0, 1.0)
GREY: Color = (0.5, 0.51, 0.53)


def pedestrian() -> NDArray[np.float32]:
    """A walking figure, 1.75 m tall; legs and arms swing by the instance's stride."""
    m = MeshBuilder(SemanticClass.PEDESTRIAN)
    skin: Color = (0.80, 0.60, 0.48)
    trousers: Color = (0.17, 0.2, 0.3)
    for side, part, other in (
        (1.0, Part.LIMB_FORWARD, Part.LIMB_BACKWARD),
        (-1.0, Part.LIMB_BACKWARD, Part.LIMB_FORWARD),
    ):
        y = side * 0.1
        m.cylinder((0, y, 0.06), (0, y, 0.88), 0.065, trousers, end_radius=0.1, sides=7, part=part)
        m.frustum((-0.08, 0.2), (y - 0.055, y + 0.055), (0.0, 0.09), (0.1, 0.08, 0.07), front=0.06, part=part)
        arm = side * 0.25
        m.cylinder((0, arm, 0.82), (0, arm - side * 0.02, 1.4), 0.045, skin, end_radius=0.065, sides=6, part=other)
    m.cylinder((0, 0, 0.8), (0, 0, 1.15), 0.15, WHITE, end_radius=0.16, sides=9, caps=False, part=Part.PAINT)
    m.cylinder((0, 0, 1.15), (0, 0, 1.45), 0.16, WHITE, end_radius=0.2, sides=9, part=Part.PAINT)
    m.cylinder((0, 0, 1.42), (0, 0, 1.54), 0.06, skin, sides=6, caps=False)
    m.ball((0.01, 0, 1.62), (0.105, 0.09, 0.13), skin)
    m.ball((-0.025, 0, 1.665), (0.105, 0.1, 0.105), (0.16, 0.11, 0.08))
    return m.build()


def cone() -> NDArray[np.float32]:
    """A traffic cone, 0.75 m tall."""
    m = MeshBuilder(SemanticClass.OBSTACLE)
    orange: Color = (1.0, 0.36, 0.05)
    m.frustum((-0.22, 0.22), (-0.22, 0.22), (0.0, 0.05), (0.15, 0.12, 0.1))
    bands = ((0.05, 0.3, orange), (0.3, 0.44, WHITE), (0.44, 0.56, orange), (0.56, 0.65, WHITE), (0.65, 0.75, orange))
    for z0, z1, color in bands:
        r0, r1 = 0.17 * (1 - z0 / 0.85), 0.17 * (1 - z1 / 0.85)
        m.cylinder((0, 0, z0), (0, 0, z1), r0, color, end_radius=r1, sides=10, caps=z1 > 0.7)
    return m.build()


def _face(m: MeshBuilder, corners: NDArray[np.float64], layer: Layer, x: float, centre: float, size: float) -> None:
    """A sign face towards +x from (y, z) corners about its centre, textured, and its grey back."""
    n = len(corners)
    points = np.stack([np.full(n, x), corners[:, 0], corners[:, 1] + centre], axis=1)
    # Seen from the front, +y (left of the sign) lies to the right of the reader.
    uv = np.stack([corners[:, 0] / size + 0.5, corners[:, 1] / size + 0.5], axis=1)
    fan = [[0, i, i + 1] for i in range(1, n - 1)]
    m.triangles(points[fan], WHITE, uv=uv[fan], layer=layer)
    back = points - np.array([0.02, 0, 0])
    m.triangles(back[[[a, c, b] for a, b, c in fan]], GREY)


def stop_sign(height: float = 2.3) -> NDArray[np.float32]:
    """A red octagon, 0.9 m, centred ``height`` above the ground, on a post."""
    m = MeshBuilder(SemanticClass.SIGN)
    angle = np.pi / 8 + np.arange(8) * np.pi / 4
    _face(m, 0.48 * np.stack([np.cos(angle), np.sin(angle)], axis=1), Layer.STOP_SIGN, 0.06, height, 0.97)
    m.semantic = SemanticClass.POLE
    m.cylinder((0, 0, 0), (0, 0, height), 0.04, GREY, sides=6)
    return m.build()


def yield_sign(height: float = 2.3) -> NDArray[np.float32]:
    """A white triangle with a red border, point down, on a post."""
    m = MeshBuilder(SemanticClass.SIGN)
    corners = np.array([[0.0, -0.5], [0.52, 0.4], [-0.52, 0.4]])
    _face(m, corners, Layer.YIELD_SIGN, 0.06, height, 1.0)
    m.semantic = SemanticClass.POLE
    m.cylinder((0, 0, 0), (0, 0, height), 0.04, GREY, sides=6)
    return m.build()


def road_work_sign() -> NDArray[np.float32]:
    """An orange diamond with a worker, facing backwards (-x is where traffic comes from), 2 m tall."""
    m = MeshBuilder(SemanticClass.SIGN)
    corners = np.array([[0.6, 0.6], [-0.6, 0.6], [-0.6, -0.6], [0.6, -0.6]])
    _face(m, corners, Layer.ROAD_WORK_SIGN, 0.04, 1.25, 1.2)
    m.frustum((-0.3, 0.3), (-0.4, 0.4), (0.0, 0.08), (0.2, 0.2, 0.2))
    m.cylinder((0, 0.25, 0), (0, 0.25, 0.7), 0.03, GREY, sides=5)
    m.cylinder((0, -0.25, 0), (0, -0.25, 0.7), 0.03, GREY, sides=5)
    turned = MeshBuilder(SemanticClass.SIGN)
    turned.placed(m.build(), 0.0, 0.0, 0.0, np.pi)
    return turned.build()


def box() -> NDArray[np.float32]:
    """A unit box on the ground, for objects without a shape of their own."""
    m = MeshBuilder(SemanticClass.OBSTACLE)
    m.frustum((-0.5, 0.5), (-0.5, 0.5), (0.0, 1.0), WHITE, part=Part.PAINT, bottom=True)
    return m.build()


def signal_head() -> NDArray[np.float32]:
    """A dark housing with three lamps of `LAMP_DIAMETER`, centred at the origin, facing +x."""
    m = MeshBuilder(SemanticClass.SIGNAL)
    black: Color = (0.035, 0.04, 0.04)
    step = LAMP_DIAMETER + 0.08
    half = 1.5 * step + 0.06
    m.frustum((-0.14, 0.1), (-0.29, 0.29), (-half, half), black, bottom=True)
    # A backing board makes the lamps stand out against the sky.
    m.frustum((-0.06, -0.03), (-0.44, 0.44), (-half - 0.14, half + 0.14), (0.06, 0.065, 0.07), bottom=True)
    angle = np.arange(14) * 2 * np.pi / 14
    lamps = ((step, Part.LAMP_RED), (0.0, Part.LAMP_AMBER), (-step, Part.LAMP_GREEN))
    colors: tuple[Color, ...] = ((0.13, 0.025, 0.02), (0.13, 0.085, 0.015), (0.02, 0.10, 0.05))
    for (z, part), color in zip(lamps, colors, strict=True):
        ring = np.stack(
            [np.full(14, 0.115), np.cos(angle) * LAMP_DIAMETER / 2, np.sin(angle) * LAMP_DIAMETER / 2 + z], axis=1
        )
        following = np.roll(np.arange(14), -1)
        middle = np.broadcast_to([0.115, 0.0, z], ring.shape)
        m.triangles(np.stack([middle, ring, ring[following]], axis=1), color, part=part)
        m.frustum((0.1, 0.26), (-0.21, 0.21), (z + 0.19, z + 0.21), black, front=0.02, bottom=True)
    return m.build()
