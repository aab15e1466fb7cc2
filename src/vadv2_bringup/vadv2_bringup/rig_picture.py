"""A rig drawn over its images: ground grid, horizon, where neighbours look, and the overlaps laid over each other."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_bringup.rig_matches import between_view, neighbours, overlap_columns, seen_from
from vadv2_core.camera import CameraModel, CameraRig
from vadv2_core.geometry import Array

Image = NDArray[np.uint8]
_TILE = 560
_ORDER = ("front_left", "front", "front_right", "back_left", "back", "back_right")
_GRID, _AXIS, _HORIZON, _NEIGHBOUR, _BAD = (90, 230, 190), (255, 214, 80), (255, 90, 90), (120, 170, 255), (230, 40, 40)
_NEAR = 0.3


def _line(image: Image, camera: CameraModel, points: Array, color: tuple[int, int, int], width: int = 1) -> None:
    """A polyline of the world, cut where it passes behind the camera."""
    pixels, depth = camera.project(points)
    good = (depth > _NEAR) & (np.abs(pixels) < 20000).all(axis=1)
    for i in np.flatnonzero(good[:-1] & good[1:]):
        a, b = ((int(x), int(y)) for x, y in np.round(pixels[i : i + 2] * 8).astype(int))
        cv2.line(image, a, b, color, width, cv2.LINE_AA, 3)


def _label(image: Image, text: str, at: tuple[int, int], color: tuple[int, int, int]) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1, cv2.LINE_AA)


def _tile(rig: CameraRig, index: int, image: Image, wrong: bool) -> Image:
    camera = rig.cameras[index]
    height = round(camera.height * _TILE / camera.width)
    small = camera.scaled(_TILE, height)
    tile: Image = np.array(cv2.resize(image, (_TILE, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    fine = np.linspace(-40.0, 40.0, 321)
    for offset in np.arange(-40.0, 41.0, 5.0):
        color, width = (_AXIS, 2) if offset == 0.0 else (_GRID, 1)
        fixed = np.full_like(fine, offset)
        _line(tile, small, np.column_stack([fine, fixed, 0 * fine]), color, width)
        _line(tile, small, np.column_stack([fixed, fine, 0 * fine]), color, width)
    around = np.linspace(-np.pi, np.pi, 721)
    far = 1e5 * np.column_stack([np.cos(around), np.sin(around), 0 * around])
    _line(tile, small, far, _HORIZON, 2)
    for j, other in enumerate(rig.cameras):
        columns = overlap_columns(camera, other) if j != index else None
        if columns is not None:
            shade = tile.copy()
            first, last = (round(c * _TILE / camera.width) for c in columns)
            cv2.rectangle(shade, (first, 0), (last, height), _NEIGHBOUR, -1)
            tile = np.asarray(cv2.addWeighted(shade, 0.22, tile, 0.78, 0.0), dtype=np.uint8)
            edge = min(max(first, 4), _TILE - 130)
            _label(tile, f"also {other.name}", (edge, height - 8 - 18 * (j % 2)), _NEIGHBOUR)
    _label(tile, camera.name + ("  LOOKS WRONG" if wrong else ""), (8, 20), _BAD if wrong else (255, 255, 255))
    if wrong:
        cv2.rectangle(tile, (1, 1), (_TILE - 2, height - 2), _BAD, 4)
    return tile


def _overlap(rig: CameraRig, images: list[Image], i: int, j: int, height: int) -> Image:
    """Two neighbours' overlap in red and cyan: far things fall together where the mounting is right."""
    a, b = rig.cameras[i], rig.cameras[j]
    view = between_view(a, b, 1.1)
    grey = [
        cv2.cvtColor(seen_from(view, c, image), cv2.COLOR_RGB2GRAY) for c, image in ((a, images[i]), (b, images[j]))
    ]
    mixed = np.dstack([grey[0], grey[1], grey[1]])
    width = max(120, round(mixed.shape[1] * height / mixed.shape[0]))
    picture: Image = np.array(cv2.resize(mixed, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    _label(picture, a.name, (4, 16), (255, 120, 120))
    _label(picture, b.name, (4, 34), (120, 255, 255))
    return picture


def _padded(image: Image, width: int) -> Image:
    return np.pad(image, ((0, 0), (0, max(0, width - image.shape[1])), (0, 0)))


def draw_rig(rig: CameraRig, images: list[Image], wrong: Mapping[str, bool]) -> Image:
    """One picture of the whole rig.

    Args:
        rig: The cameras.
        images: (H, W, 3) RGB, one of each camera.
        wrong: Cameras to mark, by name.

    Returns:
        (H, W, 3) RGB: the six images with a 5 m ground grid (yellow: the car's axes), the horizon (red) and shaded
        strips that a neighbour sees too; below them the overlaps as red and cyan.
    """
    names = [n for n in _ORDER if n in rig.names] + [n for n in rig.names if n not in _ORDER]
    tiles = [_tile(rig, rig.names.index(n), images[rig.names.index(n)], wrong.get(n, False)) for n in names]
    height = max(t.shape[0] for t in tiles)
    tiles = [np.pad(t, ((0, height - t.shape[0]), (0, 0), (0, 0))) for t in tiles]
    rows = [np.hstack(tiles[k : k + 3]) for k in range(0, len(tiles), 3)]
    strips = [_overlap(rig, images, i, j, 300) for i, j in neighbours(rig)]
    width = max(r.shape[1] for r in rows)
    if strips:
        strip = np.hstack([np.pad(s, ((0, 0), (0, 6), (0, 0))) for s in strips])
        scale = min(1.6, width / strip.shape[1])
        rows.append(np.asarray(cv2.resize(strip, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR), np.uint8))
    return np.vstack([_padded(r, width) for r in rows])
