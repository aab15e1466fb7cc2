"""The 200 x 200 grid of the raster conventions, and which of its cells an ego stands on (spec OPEN_LOOP, section 1).

LiDAR frame of the current sample: x right, y forward, metres.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

CELLS = 200
CELL = 0.5
FIRST_CENTRE = -49.75
EGO_WIDTH, EGO_LENGTH, EGO_AHEAD = 1.85, 4.084, 0.5

Mask = NDArray[np.bool_]
Cells = NDArray[np.int64]


class Raster(Enum):
    """Whose grid: the three disagree on mirroring, on rounding, and on where row 0 lies."""

    UNIAD = "uniad"
    STP3 = "stp3"
    VAD = "vad"


def footprint() -> tuple[Cells, Cells]:
    """Rows and columns (32,) of the cells under an ego at the origin: their integer coordinate lies in its box."""
    along = (np.array([-0.5, 0.5]) * EGO_LENGTH + EGO_AHEAD - FIRST_CENTRE) / CELL
    across = (np.array([-0.5, 0.5]) * EGO_WIDTH - FIRST_CENTRE) / CELL
    rows = np.arange(np.ceil(along[0]), np.floor(along[1]) + 1)
    columns = np.arange(np.ceil(across[0]), np.floor(across[1]) + 1)
    row, column = np.meshgrid(rows, columns, indexing="ij")
    return row.ravel().astype(np.int64), column.ravel().astype(np.int64)


def _in_cells(positions: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # The originals divide in single precision and add in double.
    p = np.asarray(positions, dtype=np.float32) / np.float32(CELL)
    return p[..., 0].astype(np.float64), p[..., 1].astype(np.float64)


def footprint_hits(grids: Mask, positions: ArrayLike, raster: Raster) -> Mask:
    """Whether any footprint cell is occupied.

    Args:
        grids: (..., 200, 200).
        positions: (..., 2) x right, y forward; the footprint is moved there, never turned, and clipped at the border.
        raster: Whose grid it is.

    Returns:
        (...) bool.
    """
    row, column = footprint()
    x, y = (v[..., None] for v in _in_cells(positions))
    rows = CELLS - (y + row) if raster is Raster.VAD else y + row
    columns = (-x if raster is Raster.STP3 else x) + column
    r, c = (np.clip(np.trunc(v).astype(np.int64), 0, CELLS - 1) for v in (rows, columns))
    return np.asarray(_lookup(grids, r, c).any(axis=-1))


def point_hits(grids: Mask, positions: ArrayLike, raster: Raster) -> Mask:
    """Whether the ego's point lies in an occupied cell; off the grid it does not.

    VAD halves the offset (24.875 for 49.75 m), so it looks 25.125 m ahead and to the left of the ego; kept as it is.
    """
    p = np.asarray(positions, dtype=np.float32)
    x, y = p[..., 0], p[..., 1]
    offset, half = np.float32(-FIRST_CENTRE), np.float32(-FIRST_CENTRE / 2.0)
    if raster is Raster.VAD:
        rows, columns = half - y, half + x
    else:
        rows, columns = y + offset, (-x if raster is Raster.STP3 else x) + offset
    r, c = (np.trunc(v / np.float32(CELL)).astype(np.int64) for v in (rows, columns))
    inside = (r >= 0) & (r < CELLS) & (c >= 0) & (c < CELLS)
    clipped = (np.clip(v, 0, CELLS - 1)[..., None] for v in (r, c))
    return np.asarray(_lookup(grids, *clipped)[..., 0] & inside)


def _lookup(grids: Mask, rows: Cells, columns: Cells) -> Mask:
    flat = grids.reshape(*grids.shape[:-2], -1)
    return np.take_along_axis(flat, rows * CELLS + columns, axis=-1)
