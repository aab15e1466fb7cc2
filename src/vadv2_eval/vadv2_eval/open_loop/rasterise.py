"""Other agents drawn on the grid, as each raster convention draws them (spec OPEN_LOOP, section 2).

The originals ran an older OpenCV whose fillPoly differs in a few cells a thousand; a grid that came with the data is
therefore preferred to one drawn here.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array, box_corners
from vadv2_eval.open_loop.grid import CELL, CELLS, Mask, Raster

VEHICLE_CLASSES = frozenset({0, 1, 2, 3, 4, 6, 7})
"""car, truck, construction vehicle, bus, trailer, motorcycle, bicycle."""
PEOPLE_CLASSES = frozenset({8})
OBJECT_CLASSES = frozenset({5, 9})
"""Barrier and cone: only the oriented convention counts them."""
VAD_CATEGORIES = frozenset({*range(2, 9), *range(14, 24)})
CLASS_SETS = {
    "uniad": "vehicles",
    "stp3": "vehicles and people",
    "vad": "vehicles and people of the current frame",
    "oriented": "all classes",
}


def draw_boxes(boxes: Array, raster: Raster) -> Mask:
    """(200, 200) occupancy of boxes (n, 5) x, y, length, width, heading."""
    image = np.zeros((CELLS, CELLS), dtype=np.uint8)
    if len(boxes):
        corners = box_corners(boxes[:, 0], boxes[:, 1], boxes[:, 4], boxes[:, 2], boxes[:, 3])
        columns = -corners[..., 0] if raster is Raster.STP3 else corners[..., 0]
        rows = -corners[..., 1] if raster is Raster.VAD else corners[..., 1]
        cells = np.round((np.stack([columns, rows], axis=-1) + 0.5 * CELL * CELLS) / CELL).astype(np.int32)
        for i in range(len(cells)):
            cv2.fillPoly(image, [cells[i]], 1.0)
    return image.astype(bool)


def draw_futures(boxes: Array, there: Mask, classes: NDArray[np.integer], frame_exists: Mask, raster: Raster) -> Mask:
    """(T, 200, 200) grids of one sample from its real future boxes, for UniAD and ST-P3.

    Args:
        boxes: (T, agents, 5).
        there: (T, agents).
        classes: (agents,) class numbers of the file format.
        frame_exists: (T,); UniAD fills a missing frame whole.
        raster: UNIAD or STP3.
    """
    wanted = VEHICLE_CLASSES if raster is Raster.UNIAD else VEHICLE_CLASSES | PEOPLE_CLASSES
    counted = np.isin(classes, list(wanted))
    grids = np.stack([draw_boxes(b[t & counted], raster) for b, t in zip(boxes, there, strict=True)])
    if raster is Raster.UNIAD:
        grids[~frame_exists] = True
    return grids


def draw_vad_futures(boxes: Array, features: Array, steps: int) -> Mask:
    """(steps, 200, 200) grids of one sample as VAD draws them: current boxes moved by their future displacements.

    Args:
        boxes: (agents, 9) x, y, z, width, length, height, yaw, vx, vy; heading is -(yaw + pi / 2).
        features: (agents, 34) VAD's attributes: displacements, mask, ..., category at 27, yaw increments from 28.
        steps: Future steps.
    """
    moved = boxes[:, None, :2] + np.cumsum(features[:, : 2 * steps].reshape(-1, steps, 2), axis=1)
    mask = features[:, 2 * steps : 3 * steps] == 1.0
    category = features[:, 27]
    heading = -(boxes[:, 6] + 0.5 * np.pi)[:, None] + np.cumsum(features[:, 28 : 28 + steps], axis=1)
    counted = np.isin(category, list(VAD_CATEGORIES))
    grids = []
    for t in range(steps):
        on = mask[:, t] & counted
        size = boxes[on][:, [4, 3]]
        grids.append(draw_boxes(np.column_stack([moved[on, t], size, heading[on, t]]), Raster.VAD))
    return np.stack(grids)
