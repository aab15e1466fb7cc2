"""A bird's-eye picture of one scored proposal with the places where it lost points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from vadv2_core.geometry import Array, box_corners
from vadv2_eval.pdms.causes import Cause
from vadv2_eval.pdms.metrics import ProposalBatch
from vadv2_eval.pdms.scene import DRIVABLE_LAYERS, SIMULATION_DT, PdmsScene
from vadv2_eval.pdms.tracks import TrackTable

MARGIN = 12.0
ROAD, LANE, INTERSECTION = "#e3e3e0", "#f6f6f3", "#d6dbe4"
CANDIDATE, REFERENCE, TRACK, STATIC, CAUSE = "#1463b0", "#7a9a3b", "#8d5a2b", "#c98a2d", "#c1272d"


def _draw_map(axes: Axes, scene: PdmsScene) -> None:
    order = {"CARPARK_AREA": 0, "ROADBLOCK": 0, "DRIVABLE_AREA": 0, "INTERSECTION": 1}
    for polygon in sorted(scene.map.polygons, key=lambda p: order.get(p.layer, 2)):
        on_route = polygon.id in scene.map.route_lane_ids
        if polygon.layer in DRIVABLE_LAYERS:
            color = INTERSECTION if polygon.layer == "INTERSECTION" else ROAD
            axes.fill(*polygon.exterior.T, color=color, zorder=order[polygon.layer])
        else:
            face = "#dfe9d2" if on_route else LANE
            axes.fill(*polygon.exterior.T, facecolor=face, edgecolor="#bdbdb8", linewidth=0.6, alpha=0.6, zorder=2)
    axes.plot(*scene.map.centerline.T, color="#9aa88a", linewidth=0.8, linestyle="--", zorder=3)


def _draw_tracks(axes: Axes, table: TrackTable, steps: int, blamed: Sequence[str]) -> None:
    for i, token in enumerate(table.tokens):
        there = np.flatnonzero(~np.isnan(table.boxes[i, : steps + 1, 0]))
        if not len(there):
            continue
        color = CAUSE if token in blamed else STATIC if table.static[i] else TRACK
        shown = there[:: max(1, len(there) // 5)]
        boxes = table.boxes[i, shown]
        corners = box_corners(boxes[:, 0], boxes[:, 1], boxes[:, 2], table.length[i], table.width[i])
        alphas = np.linspace(0.75, 0.2, len(shown))
        axes.add_collection(
            PolyCollection(
                list(corners), facecolors=[(*_rgb(color), a) for a in alphas], edgecolors=color, lw=0.5, zorder=5
            )
        )


def _rgb(color: str) -> tuple[float, float, float]:
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


def _draw_ego(axes: Axes, corners: Array, centres: Array, color: str, label: str) -> None:
    axes.plot(*centres.T, color=color, linewidth=1.6, zorder=7, label=label)
    shown = corners[:: max(1, len(corners) // 8)]
    axes.add_collection(
        PolyCollection(list(shown), facecolors=[(*_rgb(color), 0.10)], edgecolors=color, lw=0.7, zorder=6)
    )


def draw_proposal(
    path: Path,
    scene: PdmsScene,
    batch: ProposalBatch,
    table: TrackTable,
    row: int,
    causes: Sequence[Cause],
    title: str,
    reference: int | None = 0,
) -> None:
    """Write a PNG of one proposal (blue), the reference (green), the tracks over time and a red mark at every cause."""
    figure = Figure(figsize=(11.0, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes, words = figure.subplots(1, 2, width_ratios=(2.2, 1.0))
    steps = batch.centres.shape[1] - 1
    _draw_map(axes, scene)
    _draw_tracks(axes, table, steps, [c.track for c in causes if c.track])
    if reference is not None and reference != row:
        _draw_ego(axes, batch.corners[reference], batch.centres[reference], REFERENCE, "reference")
    _draw_ego(axes, batch.corners[row], batch.centres[row], CANDIDATE, "proposal")
    lines = []
    for number, cause in enumerate(causes, start=1):
        if cause.place is not None:
            axes.plot(*cause.place, marker="x", color=CAUSE, markersize=9, markeredgewidth=2.2, zorder=9)
            axes.annotate(
                str(number),
                cause.place,
                xytext=(6 + 11 * (number % 4), 6),
                textcoords="offset points",
                color=CAUSE,
                zorder=9,
                weight="bold",
            )
        lines.append(f"{number}. {cause.metric} = {cause.value:g}\n   {cause.words}")
    shown = np.concatenate([batch.centres[row], *([batch.centres[reference]] if reference is not None else [])])
    low, high = shown.min(axis=0) - MARGIN, shown.max(axis=0) + MARGIN
    half = max(float((high - low).max()) / 2, 20.0)
    middle = (low + high) / 2
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] - half, middle[1] + half)
    axes.set_aspect("equal")
    axes.set_xlabel("x, m")
    axes.set_ylabel("y, m")
    axes.legend(loc="upper right", fontsize=8)
    axes.set_title(title, fontsize=10)
    words.axis("off")
    body = "\n".join(lines) if lines else f"no points lost in {steps * SIMULATION_DT:g} s"
    words.text(0.0, 1.0, body, va="top", fontsize=8.5, wrap=True, transform=words.transAxes)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
