"""Tracks at 10 Hz, and which of them a box touches (spec PDMS, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array
from vadv2_eval.pdms.scene import OBSERVATION_STEPS, SIMULATION_DT, STATIC_TYPES, Track

STOPPED_SPEED = 0.05
"""m/s; a track no faster than this at its first sighting counts as stopped for good."""
_PROPOSALS_AT_ONCE = 256
_FAR = 1e9
_MARGIN = 0.1

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TrackTable:
    """Every track at every simulated step.

    Attributes:
        tokens, types: (t,) names.
        static: (t,) of a static class.
        stopped: (t,) static, or no faster than 0.05 m/s when first seen; never looked at again.
        length, width: (t,) m.
        boxes: (t, steps, 3) x, y, heading of the box centre; NaN where the track does not exist.
    """

    tokens: tuple[str, ...]
    types: tuple[str, ...]
    static: Mask
    stopped: Mask
    length: Array
    width: Array
    boxes: Array

    def without(self, drop: Mask) -> TrackTable:
        """The table less the tracks marked in ``drop`` (t,)."""
        keep = np.flatnonzero(~drop)
        return TrackTable(
            tuple(self.tokens[i] for i in keep),
            tuple(self.types[i] for i in keep),
            self.static[keep],
            self.stopped[keep],
            self.length[keep],
            self.width[keep],
            self.boxes[keep],
        )


def track_table(tracks: Sequence[Track], frames: int) -> TrackTable:
    """Tracks interpolated to 10 Hz between consecutive observations of the first ``frames`` 2 Hz frames.

    A track exists from its first to its last observation, across gaps; one seen in a single frame stands there at
    every step. A track that is not seen in these frames is left out.
    """
    steps = (frames - 1) * OBSERVATION_STEPS + 1
    seen = [t for t in tracks if t.observed[:frames].any()]
    boxes = np.full((len(seen), steps, 3), np.nan)
    first_speed = np.zeros(len(seen))
    grid = np.arange(steps)
    for i, track in enumerate(seen):
        at = np.flatnonzero(track.observed[:frames])
        states = track.states[at]
        first_speed[i] = np.hypot(states[0, 3], states[0, 4])
        if len(at) == 1:
            boxes[i] = states[0, :3]
            continue
        knots = at * OBSERVATION_STEPS
        there = (grid >= knots[0]) & (grid <= knots[-1])
        for column, values in enumerate((states[:, 0], states[:, 1], np.unwrap(states[:, 2]))):
            boxes[i, there, column] = np.interp(grid[there], knots, values)
    static = np.array([t.type in STATIC_TYPES for t in seen], dtype=bool)
    return TrackTable(
        tuple(t.token for t in seen),
        tuple(t.type for t in seen),
        static,
        static | (first_speed <= STOPPED_SPEED),
        np.array([t.length for t in seen], dtype=np.float64),
        np.array([t.width for t in seen], dtype=np.float64),
        boxes,
    )


def boxes_touch(a: Array, a_size: tuple[Array, Array], b: Array, b_size: tuple[Array, Array]) -> Mask:
    """Whether pairs of oriented boxes overlap or touch, by separating axes.

    Args:
        a: (n, 3) centre x, y and heading.
        a_size: Half length and half width, each (n,); a half size of 0 makes a segment.
        b: (n, 3).
        b_size: As ``a_size``.

    Returns:
        (n,) bool.
    """
    a_cos, a_sin, b_cos, b_sin = np.cos(a[:, 2]), np.sin(a[:, 2]), np.cos(b[:, 2]), np.sin(b[:, 2])
    return _touch(b[:, 0] - a[:, 0], b[:, 1] - a[:, 1], a_cos, a_sin, b_cos, b_sin, a_size, b_size)


def _touch(
    dx: Array, dy: Array, a_cos: Array, a_sin: Array, b_cos: Array, b_sin: Array,
    a_size: tuple[Array | float, Array | float], b_size: tuple[Array, Array],
) -> Mask:  # fmt: skip
    c = np.abs(a_cos * b_cos + a_sin * b_sin)
    s = np.abs(a_cos * b_sin - a_sin * b_cos)
    (a_long, a_wide), (b_long, b_wide) = a_size, b_size
    return np.asarray(
        (np.abs(dx * a_cos + dy * a_sin) <= a_long + b_long * c + b_wide * s)
        & (np.abs(dy * a_cos - dx * a_sin) <= a_wide + b_long * s + b_wide * c)
        & (np.abs(dx * b_cos + dy * b_sin) <= b_long + a_long * c + a_wide * s)
        & (np.abs(dy * b_cos - dx * b_sin) <= b_wide + a_long * s + a_wide * c)
    )


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Pairs of an ego box and a track box that touch, in order of proposal, step, look-ahead, track.

    Attributes:
        proposal, step, ahead, track: (n,) indices; the track is taken ``ahead`` steps after ``step``.
    """

    proposal: Indices
    step: Indices
    ahead: Indices
    track: Indices

    def take(self, which: NDArray[np.generic]) -> Overlaps:
        """The pairs at these indices or under this mask."""
        return Overlaps(self.proposal[which], self.step[which], self.ahead[which], self.track[which])


def find_overlaps(
    centres: Array, headings: Array, speeds: Array, size: tuple[float, float], table: TrackTable, aheads: Sequence[int]
) -> Overlaps:
    """Which ego boxes touch which tracks, now and moved ahead along their heading.

    Args:
        centres: (p, k, 2) box centres.
        headings: (p, k).
        speeds: (p, k) m/s; a box is moved by speed * 0.1 s * ahead.
        size: Length and width of the ego, m.
        table: The tracks.
        aheads: Steps to look ahead; a track that does not exist at step + ahead touches nothing.
    """
    found: list[tuple[Indices, Indices, Indices, Indices]] = []
    if table.tokens:
        for start in range(0, len(centres), _PROPOSALS_AT_ONCE):
            part = slice(start, start + _PROPOSALS_AT_ONCE)
            for ahead in aheads:
                p, k, t = _overlaps_ahead(centres[part], headings[part], speeds[part], size, table, ahead)
                found.append((p + start, k, np.full(len(p), ahead), t))
    if not found:
        empty = np.zeros(0, dtype=np.int64)
        return Overlaps(empty, empty, empty, empty)
    proposal, step, look, track = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(((proposal * centres.shape[1] + step) * 100 + look) * len(table.tokens) + track)
    return Overlaps(proposal[order], step[order], look[order], track[order])


def _overlaps_ahead(
    centres: Array, headings: Array, speeds: Array, size: tuple[float, float], table: TrackTable, ahead: int
) -> tuple[Indices, Indices, Indices]:
    steps = min(centres.shape[1], table.boxes.shape[1] - ahead)
    half_long, half_wide = 0.5 * size[0], 0.5 * size[1]
    cos, sin = np.cos(headings[:, :steps]).T, np.sin(headings[:, :steps]).T
    moved = speeds[:, :steps].T * (SIMULATION_DT * ahead)
    x = centres[:, :steps, 0].T + moved * cos
    y = centres[:, :steps, 1].T + moved * sin
    boxes = table.boxes[:, ahead : ahead + steps]
    near = _near(x, y, boxes, np.hypot(half_long, half_wide) + 0.5 * np.hypot(table.length, table.width))
    k, p, t = np.unravel_index(near, (steps, len(centres), len(table.tokens)))
    track_cos, track_sin = np.cos(boxes[:, :, 2]), np.sin(boxes[:, :, 2])
    dx, dy = boxes[t, k, 0] - x[k, p], boxes[t, k, 1] - y[k, p]
    touch = _touch(
        dx, dy, cos[k, p], sin[k, p], track_cos[t, k], track_sin[t, k],
        (half_long, half_wide), (0.5 * table.length[t], 0.5 * table.width[t]),
    )  # fmt: skip
    return p[touch], k[touch], t[touch]


def _near(x: Array, y: Array, boxes: Array, reach: Array) -> Indices:
    """Flat indices into (k, p, t) of pairs whose circumscribed circles come within a margin.

    |c|^2 - 2 c.t + |t|^2 - reach^2 is one small matrix product a step, in single precision around the first centre.
    """
    origin_x, origin_y = x[0, 0], y[0, 0]
    ego = np.empty((*x.shape, 4), dtype=np.float32)
    ego[..., 0], ego[..., 1], ego[..., 3] = x - origin_x, y - origin_y, 1.0
    ego[..., 2] = ego[..., 0] ** 2 + ego[..., 1] ** 2
    track_x, track_y = boxes[:, :, 0].T - origin_x, boxes[:, :, 1].T - origin_y
    track = np.empty((x.shape[0], 4, boxes.shape[0]), dtype=np.float32)
    missing = np.isnan(track_x)
    track_x, track_y = np.where(missing, 0.0, track_x), np.where(missing, 0.0, track_y)
    track[:, 0], track[:, 1], track[:, 2] = -2.0 * track_x, -2.0 * track_y, 1.0
    # Single precision loses about 1e-7 of the squared distance from the origin.
    slack = 1e-5 * (track_x**2 + track_y**2)
    track[:, 3] = np.where(missing, _FAR, track_x**2 + track_y**2 - (reach + _MARGIN) ** 2 - slack)
    return np.flatnonzero(np.matmul(ego, track) <= 0.0)
