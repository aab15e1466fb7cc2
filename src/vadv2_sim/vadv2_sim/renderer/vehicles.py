"""Vehicle meshes in their own frame: box centre at the origin, x forward, y left, standing on z = 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vadv2_sim.renderer.mesh import Color, MeshBuilder
from vadv2_sim.renderer.palette import Layer, Part, SemanticClass

GLASS: Color = (0.10, 0.13, 0.17)
RUBBER: Color = (0.07, 0.07, 0.08)
STEEL: Color = (0.62, 0.63, 0.65)
DARK: Color = (0.12, 0.12, 0.13)
WHITE: Color = (1.0, 1.0, 1.0)
TAIL_RED: Color = (0.45, 0.02, 0.03)
AMBER: Color = (0.75, 0.38, 0.05)
LENS: Color = (0.85, 0.87, 0.9)


def _wheels(m: MeshBuilder, axles: tuple[float, ...], half_width: float, radius: float, width: float = 0.22) -> None:
    for x in axles:
        for side in (-1.0, 1.0):
            outer = side * half_width
            m.cylinder((x, outer - side * width, radius), (x, outer, radius), radius, RUBBER, sides=12)
            m.cylinder((x, outer, radius), (x, outer + side * 0.012, radius), 0.58 * radius, STEEL, sides=8)
            # The dark arch above a wheel.
            m.frustum(
                (x - radius * 1.18, x + radius * 1.18),
                (outer - 0.02, outer + 0.006) if side > 0 else (outer - 0.006, outer + 0.02),
                (radius * 0.6, radius * 2.12),
                DARK,
                front=radius * 0.35,
                rear=radius * 0.35,
            )


def _plate(
    m: MeshBuilder, x: float, y: tuple[float, float], z: tuple[float, float], color: Color, part: Part = Part.FIXED
) -> None:
    """A rectangle across the vehicle, facing backwards where x < 0, else forwards."""
    (y0, y1), (z0, z1) = y, z
    corners = [[x, y0, z0], [x, y1, z0], [x, y1, z1], [x, y0, z1]]
    m.quads([corners if x > 0 else corners[::-1]], color, part=part)


def _lamps(
    m: MeshBuilder,
    front: float,
    rear: float,
    half_width: float,
    z_front: tuple[float, float],
    z_rear: tuple[float, float],
    lamp: float = 0.42,
) -> None:
    """Head, tail, brake lamps and indicators at both ends; drawn just proud of the body."""
    for side, indicator in ((1.0, Part.INDICATOR_LEFT), (-1.0, Part.INDICATOR_RIGHT)):

        def span(a: float, b: float, side: float = side) -> tuple[float, float]:
            return (min(side * a, side * b), max(side * a, side * b))

        inner, outer = half_width - lamp - 0.04, half_width - 0.03
        split = outer - 0.15
        _plate(m, front + 0.015, span(inner, split), z_front, LENS, Part.HEADLAMP)
        _plate(m, front + 0.015, span(split, outer), z_front, AMBER, indicator)
        _plate(m, rear - 0.015, span(inner, split), z_rear, TAIL_RED, Part.BRAKE_LAMP)
        _plate(m, rear - 0.015, span(split, outer), z_rear, AMBER, indicator)
        for x in (front - 0.55, rear + 0.25):
            y = side * (half_width + 0.012)
            z0, z1 = (z_front if x > 0 else z_rear)[0] + 0.03, (z_front if x > 0 else z_rear)[1]
            corners = [[x, y, z0], [x + 0.22, y, z0], [x + 0.22, y, z1], [x, y, z1]]
            m.quads([corners[::-1] if side > 0 else corners], AMBER, part=indicator)


def _glasshouse(
    m: MeshBuilder,
    x: tuple[float, float],
    half_width: float,
    z: tuple[float, float],
    front: float,
    rear: float,
    side: float,
) -> None:
    """A cabin in paint with glass panes just outside its four slopes."""
    (x0, x1), (z0, z1) = x, z
    m.frustum((x0, x1), (-half_width, half_width), z, WHITE, front=front, rear=rear, side=side, part=Part.PAINT)
    low, high = 0.10, 0.92

    def at(u: float, height: float, s: float) -> list[float]:
        left, right = x0 + rear * height, x1 - front * height
        return [left + u * (right - left), s * (half_width - side * height + 0.012), z0 + height * (z1 - z0)]

    panes = []
    for s in (1.0, -1.0):
        for u0, u1 in ((0.07, 0.49), (0.53, 0.94)):
            pane = [at(u0, low, s), at(u1, low, s), at(u1, high, s), at(u0, high, s)]
            panes.append(pane[::-1] if s > 0 else pane)
    for u, out in ((1.0, 0.012), (0.0, -0.012)):
        corners = []
        for height, s in ((low, -0.9), (low, 0.9), (high, 0.9), (high, -0.9)):
            p = at(u, height, 1.0)
            corners.append([p[0] + out, s * p[1], p[2]])
        panes.append(corners if u == 1.0 else corners[::-1])
    m.quads(panes, GLASS, part=Part.GLASS)


def car() -> NDArray[np.float32]:
    """A saloon, 4.5 x 1.8 x 1.5 m."""
    m = MeshBuilder(SemanticClass.VEHICLE)
    m.frustum((-2.2, 2.2), (-0.86, 0.86), (0.22, 0.45), DARK, side=-0.03, front=-0.05, rear=-0.05)
    m.frustum((-2.25, 2.25), (-0.89, 0.89), (0.42, 0.78), WHITE, front=0.05, rear=0.03, side=0.03, part=Part.PAINT)
    m.frustum((-2.21, 2.19), (-0.86, 0.86), (0.78, 0.93), WHITE, front=0.42, rear=0.12, side=0.08, part=Part.PAINT)
    _glasshouse(m, (-1.75, 1.15), 0.79, (0.90, 1.48), 0.78, 0.62, 0.17)
    _wheels(m, (-1.35, 1.38), 0.88, 0.33)
    _lamps(m, 2.25, -2.25, 0.86, (0.60, 0.75), (0.58, 0.78))
    _plate(m, 2.268, (-0.42, 0.42), (0.36, 0.54), DARK)
    _plate(m, -2.268, (-0.26, 0.26), (0.44, 0.56), (0.9, 0.9, 0.85))
    for side in (-1, 1):
        m.frustum((0.55, 0.72), (side * 0.95 - 0.08, side * 0.95 + 0.08), (0.92, 1.05), WHITE, part=Part.PAINT)
    return m.build()


def van() -> NDArray[np.float32]:
    """A sport utility or van, 4.7 x 1.85 x 1.8 m, for cars taller than 1.62 m."""
    m = MeshBuilder(SemanticClass.VEHICLE)
    m.frustum((-2.3, 2.3), (-0.88, 0.88), (0.28, 0.5), DARK, side=-0.03)
    m.frustum((-2.35, 2.35), (-0.92, 0.92), (0.46, 0.98), WHITE, front=0.06, rear=0.02, side=0.03, part=Part.PAINT)
    m.frustum((-2.33, 2.29), (-0.89, 0.89), (0.98, 1.12), WHITE, front=0.3, rear=0.02, side=0.05, part=Part.PAINT)
    _glasshouse(m, (-2.31, 1.5), 0.85, (1.08, 1.78), 0.66, 0.24, 0.14)
    _wheels(m, (-1.42, 1.45), 0.91, 0.37)
    _lamps(m, 2.35, -2.35, 0.89, (0.76, 0.94), (0.72, 1.02))
    _plate(m, 2.368, (-0.45, 0.45), (0.5, 0.74), DARK)
    _plate(m, -2.368, (-0.26, 0.26), (0.6, 0.72), (0.9, 0.9, 0.85))
    for side in (-1, 1):
        m.frustum((0.85, 1.02), (side * 0.98 - 0.08, side * 0.98 + 0.08), (1.1, 1.26), WHITE, part=Part.PAINT)
    return m.build()


def truck() -> NDArray[np.float32]:
    """A box lorry, 9 x 2.5 x 3.4 m."""
    m = MeshBuilder(SemanticClass.VEHICLE)
    m.frustum((-4.45, 4.3), (-0.55, 0.55), (0.55, 0.85), DARK)
    m.frustum((-4.5, 2.2), (-1.25, 1.25), (0.95, 3.4), (0.86, 0.87, 0.86))
    m.frustum((2.45, 4.5), (-1.2, 1.2), (0.55, 1.65), WHITE, part=Part.PAINT, front=0.04)
    _glasshouse(m, (2.45, 4.46), 1.19, (1.62, 2.75), 0.25, 0.02, 0.08)
    _wheels(m, (-3.0, -1.9, 3.45), 1.24, 0.5, 0.32)
    _lamps(m, 4.5, -4.5, 1.2, (0.72, 0.95), (0.75, 0.97), 0.5)
    _plate(m, 4.515, (-0.8, 0.8), (1.0, 1.4), DARK)
    # Coloured bands on the box, and the seam of its rear doors.
    for side in (-1.0, 1.0):
        y = side * 1.262
        corners = [[-4.4, y, 1.15], [2.1, y, 1.15], [2.1, y, 1.65], [-4.4, y, 1.65]]
        m.quads([corners[::-1] if side > 0 else corners], WHITE, part=Part.PAINT)
    _plate(m, -4.512, (-0.03, 0.03), (1.0, 3.3), STEEL)
    _plate(m, -4.512, (-1.2, 1.2), (1.0, 1.1), (0.8, 0.1, 0.08))
    return m.build()


def bus() -> NDArray[np.float32]:
    """A city bus, 12 x 2.55 x 3.1 m."""
    m = MeshBuilder(SemanticClass.VEHICLE)
    m.frustum((-5.95, 5.95), (-1.24, 1.24), (0.3, 0.6), DARK)
    m.frustum((-6.0, 6.0), (-1.275, 1.275), (0.5, 3.0), WHITE, side=0.04, front=0.08, part=Part.PAINT)
    m.frustum((-4.5, 3.5), (-0.9, 0.9), (3.0, 3.15), (0.85, 0.85, 0.85), front=0.2, rear=0.2, side=0.1)
    panes: list[list[list[float]]] = []
    for side in (1.0, -1.0):
        y = side * 1.268
        for x in (-5.7 + 1.45 * k for k in range(8)):
            pane = [[x, y, 1.45], [x + 1.33, y, 1.45], [x + 1.33, y, 2.6], [x, y, 2.6]]
            panes.append(pane[::-1] if side > 0 else pane)
    for x in (4.4, 0.1):
        pane = [[x, -1.285, 0.5], [x + 1.2, -1.285, 0.5], [x + 1.2, -1.27, 2.55], [x, -1.27, 2.55]]
        panes.append(pane)
    m.quads(panes, GLASS, part=Part.GLASS)
    _plate(m, 6.008, (-1.15, 1.15), (1.15, 2.5), GLASS, Part.GLASS)
    _plate(m, 6.008, (-0.8, 0.8), (2.58, 2.88), (0.95, 0.65, 0.1))
    _plate(m, -6.012, (-0.95, 0.95), (1.6, 2.5), GLASS, Part.GLASS)
    _wheels(m, (-3.6, 3.2), 1.27, 0.48, 0.3)
    _lamps(m, 6.0, -6.0, 1.24, (0.62, 0.88), (0.9, 1.3), 0.45)
    return m.build()


def ambulance() -> NDArray[np.float32]:
    """An emergency vehicle, 5.8 x 2.1 x 2.6 m: white, striped, with a blue light bar."""
    m = MeshBuilder(SemanticClass.VEHICLE)
    white: Color = (0.95, 0.95, 0.93)
    m.frustum((-2.8, 2.8), (-0.95, 0.95), (0.28, 0.52), DARK)
    m.frustum((-2.9, 1.35), (-1.05, 1.05), (0.5, 2.45), white, side=0.03, front=0.05)
    m.frustum((1.3, 2.9), (-1.0, 1.0), (0.5, 1.18), white, front=0.1)
    m.frustum((1.3, 2.6), (-0.98, 0.98), (1.15, 2.05), white, front=0.75, side=0.1)
    pane = [[2.56, -0.9, 1.2], [2.56, 0.9, 1.2], [1.92, 0.82, 1.98], [1.92, -0.82, 1.98]]
    m.quads([[[p[0] + 0.02, p[1], p[2]] for p in pane]], GLASS, part=Part.GLASS)
    for side in (1.0, -1.0):
        y = side * 0.96
        glass = [[1.42, y, 1.25], [2.2, y, 1.25], [1.8, side * 0.92, 1.92], [1.42, side * 0.92, 1.92]]
        m.quads([glass[::-1] if side > 0 else glass], GLASS, part=Part.GLASS)
        y = side * 1.062
        for z0, z1, color in ((0.95, 1.22, (0.85, 0.08, 0.07)), (1.22, 1.42, (0.95, 0.85, 0.1))):
            band = [[-2.88, y, z0], [1.32, y, z0], [1.32, y, z1], [-2.88, y, z1]]
            m.quads([band[::-1] if side > 0 else band], color)
        band = [[1.3, side * 1.012, 0.8], [2.75, side * 1.012, 0.8], [2.75, side * 1.012, 1.0]]
        band.append([1.3, side * 1.012, 1.0])
        m.quads([band[::-1] if side > 0 else band], (0.85, 0.08, 0.07))
    _plate(m, -2.912, (-1.0, 1.0), (0.95, 1.25), (0.85, 0.08, 0.07))
    _plate(m, -2.914, (-0.75, 0.75), (1.5, 2.15), GLASS, Part.GLASS)
    for part, side in ((Part.BLUE_LIGHT_LEFT, 1.0), (Part.BLUE_LIGHT_RIGHT, -1.0)):
        half = (0.08, 0.92) if side > 0 else (-0.92, -0.08)
        m.frustum((0.75, 1.25), half, (2.45, 2.75), (0.05, 0.12, 0.6), front=0.05, rear=0.05, part=part)
        m.frustum((-2.75, -2.4), half, (2.45, 2.7), (0.05, 0.12, 0.6), front=0.04, rear=0.04, part=part)
        edge = (0.5, 0.9) if side > 0 else (-0.9, -0.5)
        _plate(m, 2.91, edge, (1.02, 1.14), (0.05, 0.12, 0.6), part)
    _wheels(m, (-1.75, 1.95), 1.03, 0.38, 0.26)
    _lamps(m, 2.9, -2.9, 1.0, (0.68, 0.88), (0.62, 0.88))
    return m.build()


def _rider(m: MeshBuilder, seat: tuple[float, float], lean: float, helmet: Color) -> None:
    """A figure on a saddle at (x, z), leaning forward by ``lean`` metres at the shoulders."""
    x, z = seat
    skin: Color = (0.78, 0.58, 0.46)
    trousers: Color = (0.16, 0.18, 0.26)
    shoulder = (x + lean, z + 0.5)
    for side in (-1.0, 1.0):
        knee = (x + 0.34, side * 0.15, z - 0.22)
        m.cylinder((x, side * 0.1, z), knee, 0.085, trousers, end_radius=0.07, sides=6, caps=False)
        m.cylinder(knee, (x + 0.16, side * 0.14, z - 0.62), 0.07, trousers, end_radius=0.05, sides=6)
        elbow = (x + lean + 0.22, side * 0.24, z + 0.24)
        m.cylinder((*shoulder[:1], side * 0.19, shoulder[1]), elbow, 0.06, WHITE, sides=6, part=Part.PAINT)
        m.cylinder(elbow, (x + lean + 0.42, side * 0.22, z + 0.18), 0.045, skin, sides=6)
    m.cylinder((x, 0, z - 0.05), (shoulder[0], 0, shoulder[1] + 0.06), 0.16, WHITE, end_radius=0.21, part=Part.PAINT)
    m.ball((x + lean + 0.06, 0, z + 0.73), (0.12, 0.1, 0.14), skin)
    m.ball((x + lean + 0.04, 0, z + 0.79), (0.14, 0.12, 0.12), helmet)


def _spoked_wheel(m: MeshBuilder, x: float, radius: float, thickness: float) -> None:
    angle = np.arange(14) * 2 * np.pi / 14
    for inner, outer, color in ((0.86 * radius, radius, RUBBER),):
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        a, b = ring * inner, ring * outer
        following = np.roll(np.arange(14), -1)
        for y, flip in ((thickness / 2, True), (-thickness / 2, False)):

            def at(p: NDArray[np.float64], y: float = y) -> NDArray[np.float64]:
                return np.stack([p[:, 0] + x, np.full(len(p), y), p[:, 1] + radius], axis=1)

            quad = np.stack([at(a), at(b), at(b[following]), at(a[following])], axis=1)
            m.quads(quad[:, ::-1] if flip else quad, color)
        rim = np.stack([b[:, 0] + x, np.zeros(14), b[:, 1] + radius], axis=1)
        wide = np.array([0.0, thickness / 2, 0.0])
        tread = np.stack([rim + wide, rim[following] + wide, rim[following] - wide, rim - wide], axis=1)
        m.quads(tread, color)
    for k in range(3):
        c, s = np.cos(k * np.pi / 3) * radius * 0.9, np.sin(k * np.pi / 3) * radius * 0.9
        m.cylinder((x - c, 0, radius - s), (x + c, 0, radius + s), 0.012, STEEL, sides=3, caps=False)


def bicycle() -> NDArray[np.float32]:
    """A cyclist on a bicycle, 1.75 x 0.6 x 1.75 m."""
    m = MeshBuilder(SemanticClass.TWO_WHEELER)
    frame: Color = (0.2, 0.35, 0.55)
    for x in (-0.52, 0.52):
        _spoked_wheel(m, x, 0.34, 0.05)
    for a, b in (
        ((-0.52, 0, 0.34), (-0.05, 0, 0.30)),
        ((-0.05, 0, 0.30), (-0.2, 0, 0.92)),
        ((-0.17, 0, 0.8), (0.36, 0, 0.85)),
        ((-0.05, 0, 0.30), (0.38, 0, 0.78)),
        ((0.52, 0, 0.34), (0.34, 0, 1.0)),
        ((-0.52, 0, 0.34), (-0.18, 0, 0.8)),
    ):
        m.cylinder(a, b, 0.028, frame, sides=5, caps=False)
    m.cylinder((0.34, -0.27, 1.0), (0.34, 0.27, 1.0), 0.02, DARK, sides=5)
    m.frustum((-0.32, -0.1), (-0.07, 0.07), (0.9, 0.96), DARK)
    _rider(m, (-0.2, 0.96), 0.26, (0.85, 0.85, 0.8))
    _plate(m, -0.6, (-0.05, 0.05), (0.72, 0.82), TAIL_RED, Part.BRAKE_LAMP)
    return m.build()


def motorcycle() -> NDArray[np.float32]:
    """A motorcyclist, 2.2 x 0.8 x 1.6 m."""
    m = MeshBuilder(SemanticClass.TWO_WHEELER)
    for x in (-0.72, 0.74):
        m.cylinder((x, -0.07, 0.32), (x, 0.07, 0.32), 0.32, RUBBER, sides=12)
        m.cylinder((x, -0.08, 0.32), (x, 0.08, 0.32), 0.18, STEEL, sides=8)
    m.frustum((-0.35, 0.4), (-0.17, 0.17), (0.25, 0.62), DARK)
    m.frustum((-0.05, 0.52), (-0.18, 0.18), (0.62, 0.95), WHITE, front=0.1, rear=0.15, side=0.05, part=Part.PAINT)
    m.frustum((-0.85, 0.0), (-0.14, 0.14), (0.62, 0.8), DARK, rear=0.1)
    m.cylinder((0.74, 0.1, 0.32), (0.5, 0.1, 1.0), 0.035, STEEL, sides=5)
    m.cylinder((0.74, -0.1, 0.32), (0.5, -0.1, 1.0), 0.035, STEEL, sides=5)
    m.cylinder((0.46, -0.36, 1.02), (0.46, 0.36, 1.02), 0.022, DARK, sides=5)
    m.frustum((0.48, 0.68), (-0.14, 0.14), (0.78, 1.12), WHITE, front=0.1, part=Part.PAINT)
    _plate(m, 0.69, (-0.09, 0.09), (0.82, 0.98), LENS, Part.HEADLAMP)
    _plate(m, -0.88, (-0.1, 0.1), (0.68, 0.82), TAIL_RED, Part.BRAKE_LAMP)
    _plate(m, -0.89, (0.12, 0.2), (0.68, 0.78), AMBER, Part.INDICATOR_LEFT)
    _plate(m, -0.89, (-0.2, -0.12), (0.68, 0.78), AMBER, Part.INDICATOR_RIGHT)
    _rider(m, (-0.25, 0.86), 0.3, (0.12, 0.12, 0.14))
    return m.build()


def barrier() -> NDArray[np.float32]:
    """A striped barrier across x, 0.4 x 2 x 1 m, with an amber lamp."""
    m = MeshBuilder(SemanticClass.OBSTACLE)
    for y in (-0.8, 0.8):
        m.frustum((-0.2, 0.2), (y - 0.06, y + 0.06), (0.0, 0.1), DARK)
        m.frustum((-0.04, 0.04), (y - 0.04, y + 0.04), (0.1, 1.0), STEEL)
    for z0, z1 in ((0.62, 0.95), (0.25, 0.45)):
        for x, order in ((-0.055, [0, 3, 2, 1]), (0.055, [0, 1, 2, 3])):
            corners = np.array([[x, -1, z0], [x, 1, z0], [x, 1, z1], [x, -1, z1]])
            uv = np.array([[0, 0], [2.0, 0], [2.0, 0.33], [0, 0.33]])
            m.quads([corners[order]], WHITE, uv=[uv[order]], layer=Layer.STRIPES)
        m.frustum((-0.05, 0.05), (-1, 1), (z0, z1), (0.9, 0.9, 0.9))
    m.ball((0, 0.8, 1.07), (0.09, 0.09, 0.09), AMBER, part=Part.INDICATOR_LEFT)
    return m.build()
