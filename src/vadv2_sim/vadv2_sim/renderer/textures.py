"""The texture array: asphalt, walls, leaves and sign faces, painted from a fixed seed (nothing is read from a file).

Red, green and blue multiply a vertex's colour. Alpha is the share of a texel that shines at night (lit windows).
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_sim.renderer.palette import Layer

TEXTURE_SIZE = 256
_Image = NDArray[np.float32]


def _noise(rng: np.random.Generator, cells: int) -> _Image:
    """Smooth noise in [-1, 1] that tiles, with ``cells`` bumps across."""
    small = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    tiled = np.tile(small, (3, 3))
    big = cv2.resize(tiled, (3 * TEXTURE_SIZE, 3 * TEXTURE_SIZE), interpolation=cv2.INTER_CUBIC)
    middle = big[TEXTURE_SIZE : 2 * TEXTURE_SIZE, TEXTURE_SIZE : 2 * TEXTURE_SIZE]
    return np.asarray(middle, dtype=np.float32)


def _plain(level: float) -> _Image:
    image = np.full((TEXTURE_SIZE, TEXTURE_SIZE, 4), level, dtype=np.float32)
    image[..., 3] = 0.0
    return image


def _surface(rng: np.random.Generator, amounts: dict[int, float], level: float = 0.9) -> _Image:
    image = _plain(level)
    for cells, amount in amounts.items():
        image[..., :3] += (_noise(rng, cells) * amount)[..., None]
    return image


def _asphalt(rng: np.random.Generator) -> _Image:
    image = _surface(rng, {4: 0.035, 16: 0.03, 128: 0.05, 256: 0.05}, 0.88)
    for _ in range(3):
        walk = np.cumsum(rng.normal(0, 5, (24, 2)), axis=0) + rng.uniform(40, 216, 2)
        cv2.polylines(image, [walk.astype(np.int32)], False, (0.68, 0.68, 0.68, 0.0), 1, cv2.LINE_AA)
    return image


def _paving(rng: np.random.Generator) -> _Image:
    image = _surface(rng, {8: 0.03, 128: 0.03}, 0.9)
    slab = TEXTURE_SIZE // 8
    for i in range(8):
        for j in range(8):
            image[i * slab : (i + 1) * slab, j * slab : (j + 1) * slab, :3] *= 1 + rng.uniform(-0.06, 0.06)
    image[::slab, :, :3] *= 0.72
    image[:, ::slab, :3] *= 0.72
    return image


def _grass(rng: np.random.Generator) -> _Image:
    image = _surface(rng, {4: 0.08, 16: 0.07, 64: 0.07, 256: 0.08}, 0.85)
    image[..., 0] += _noise(rng, 6) * 0.06
    return image


def _facade(rng: np.random.Generator, columns: int, rows: int, kind: Layer) -> _Image:
    image = _surface(rng, {8: 0.02, 128: 0.02}, 0.94)
    size = TEXTURE_SIZE
    if kind is Layer.BRICK:
        for row in range(0, size, 6):
            image[row, :, :3] *= 0.84
            image[row : row + 6, (row // 6 % 2) * 7 :: 14, :3] *= 0.86
    width, height = size // columns, size // rows
    for row in range(rows):
        for column in range(columns):
            x0, y0 = column * width, row * height
            if kind is Layer.OFFICE:
                left, right, low, high = 0.08, 0.92, 0.22, 0.9
            elif kind is Layer.BRICK:
                left, right, low, high = 0.27, 0.73, 0.25, 0.8
            else:
                left, right, low, high = 0.33, 0.67, 0.2, 0.8
            a, b = (int(x0 + left * width), int(y0 + low * height)), (int(x0 + right * width), int(y0 + high * height))
            cv2.rectangle(image, (a[0] - 3, a[1] - 3), (b[0] + 3, b[1] + 3), (1.05, 1.05, 1.05, 0.0), -1)
            lit = rng.random() < 0.4
            pane = np.array([0.22, 0.28, 0.36]) * rng.uniform(0.7, 1.3)
            cv2.rectangle(image, a, b, (*pane.tolist(), float(rng.uniform(0.6, 1.0)) if lit else 0.04), -1)
            # A bright band: the sky in the upper half of the pane.
            middle = (a[1] + b[1]) // 2
            image[middle : b[1] + 1, a[0] : b[0] + 1, :3] *= 1.35
            cross = (a[0] + b[0]) // 2
            image[a[1] : b[1] + 1, cross : cross + 2] = (0.9, 0.9, 0.9, 0.0)
            if kind is Layer.PLASTER:
                shutter = int(0.14 * width)
                for x in (a[0] - shutter - 2, b[0] + 3):
                    cv2.rectangle(image, (x, a[1]), (x + shutter, b[1]), (0.45, 0.55, 0.48, 0.0), -1)
    return image


def _shops(rng: np.random.Generator) -> _Image:
    image = _surface(rng, {16: 0.02}, 0.75)
    for x0 in (8, 136):
        hue = rng.uniform(0.25, 0.95, 3)
        cv2.rectangle(image, (x0, 20), (x0 + 74, 150), (0.30, 0.36, 0.42, 0.85), -1)
        image[90:150, x0 : x0 + 74, :3] *= 1.3
        cv2.rectangle(image, (x0 + 80, 0), (x0 + 106, 150), (0.32, 0.24, 0.2, 0.3), -1)
        cv2.rectangle(image, (x0, 160), (x0 + 108, 205), (*hue.tolist(), 0.5), -1)
    return image


def _roof(rng: np.random.Generator) -> _Image:
    image = _surface(rng, {8: 0.05, 64: 0.05}, 0.9)
    for row in range(0, TEXTURE_SIZE, 16):
        image[row : row + 3, :, :3] *= 0.72
        image[row : row + 16, (row // 16 % 2) * 8 :: 16, :3] *= 0.85
    return image


def _leaves(rng: np.random.Generator) -> _Image:
    image = _surface(rng, {8: 0.12, 24: 0.16, 96: 0.14}, 0.82)
    image[..., 0] += _noise(rng, 12) * 0.07
    return image


def _stripes() -> _Image:
    y, x = np.mgrid[0:TEXTURE_SIZE, 0:TEXTURE_SIZE]
    red = ((x + y) // 32) % 2 == 0
    image = _plain(1.0)
    image[red, :3] = (0.82, 0.1, 0.08)
    return image


def _text(image: _Image, words: str, scale: float, y: int, color: tuple[float, float, float], thick: int) -> None:
    (width, _), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    # Row 0 is the bottom of the texture, so letters are written on a flipped copy.
    canvas = np.ascontiguousarray(image[::-1])
    origin = ((TEXTURE_SIZE - width) // 2, y)
    cv2.putText(canvas, words, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, (*color, 0.1), thick, cv2.LINE_AA)
    image[:] = canvas[::-1]


def _stop_sign() -> _Image:
    image = _plain(0.95)
    angle = np.pi / 8 + np.arange(8) * np.pi / 4
    corners = 128 + 118 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    cv2.fillPoly(image, [corners.astype(np.int32)], (0.8, 0.05, 0.07, 0.0))
    _text(image, "STOP", 2.5, 155, (1.0, 1.0, 1.0), 12)
    return image


def _yield_sign() -> _Image:
    image = _plain(0.95)
    image[..., :3] = (0.85, 0.07, 0.08)
    inner = np.array([[128, 66], [56, 196], [200, 196]])
    cv2.fillPoly(image, [inner.astype(np.int32)], (0.97, 0.97, 0.97, 0.0))
    return image


def _road_work_sign() -> _Image:
    image = _plain(1.0)
    image[..., :3] = (1.0, 0.52, 0.05)
    cv2.rectangle(image, (8, 8), (247, 247), (0.05, 0.05, 0.05, 0.0), 8)
    black = (0.05, 0.05, 0.05, 0.0)
    cv2.circle(image, (118, 186), 17, black, -1)
    for a, b in (((112, 165), (96, 108)), ((96, 108), (80, 60)), ((96, 108), (124, 60)), ((110, 150), (158, 122))):
        cv2.line(image, a, b, black, 15)
    cv2.line(image, (130, 140), (186, 84), black, 9)
    cv2.fillPoly(image, [np.array([[160, 60], [216, 60], [188, 100]])], black)
    return image


def _glow() -> _Image:
    y, x = np.mgrid[0:TEXTURE_SIZE, 0:TEXTURE_SIZE]
    r = np.hypot(x - 127.5, y - 127.5) / 128
    fall = np.clip(1 - r, 0, 1) ** 2.5
    image = _plain(1.0)
    image[..., :3] = fall[..., None]
    return image


def _clouds(rng: np.random.Generator) -> _Image:
    image = _plain(0.5)
    for cells, amount in ((4, 0.2), (8, 0.15), (16, 0.09), (32, 0.05), (64, 0.03)):
        image[..., :3] += (_noise(rng, cells) * amount)[..., None]
    return image


@cache
def texture_array() -> NDArray[np.uint8]:
    """(layers, size, size, 4) uint8, row 0 at the bottom, one layer per `Layer`."""
    rng = np.random.default_rng(7)
    images: dict[Layer, _Image] = {
        Layer.PLAIN: _plain(1.0),
        Layer.ASPHALT: _asphalt(rng),
        Layer.PAVING: _paving(rng),
        Layer.GRASS: _grass(rng),
        Layer.OFFICE: _facade(rng, 4, 4, Layer.OFFICE),
        Layer.BRICK: _facade(rng, 4, 4, Layer.BRICK),
        Layer.PLASTER: _facade(rng, 4, 4, Layer.PLASTER),
        Layer.ROOF: _roof(rng),
        Layer.LEAVES: _leaves(rng),
        Layer.SHOPS: _shops(rng),
        Layer.CONCRETE: _surface(rng, {6: 0.05, 32: 0.03, 256: 0.03}, 0.9),
        Layer.STOP_SIGN: _stop_sign(),
        Layer.YIELD_SIGN: _yield_sign(),
        Layer.ROAD_WORK_SIGN: _road_work_sign(),
        Layer.STRIPES: _stripes(),
        Layer.GLOW: _glow(),
        Layer.CLOUDS: _clouds(rng),
    }
    stack = np.stack([images[layer] for layer in Layer])
    return np.asarray(np.clip(stack * 255 + 0.5, 0, 255), dtype=np.uint8)
