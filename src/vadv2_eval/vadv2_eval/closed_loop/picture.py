"""The first moment that went wrong on a drive, seen from above."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from vadv2_core.geometry import box_corners
from vadv2_core.taxonomy import AgentClass, SignalState
from vadv2_core.trajectory import Trajectory
from vadv2_eval.closed_loop.trace import DriveEventRecord
from vadv2_eval.logs.drive_log import DriveLog

REACH = 35.0
BEFORE = 20
"""Steps of the past that are drawn."""
COLORS = {AgentClass.PEDESTRIAN: "#8e44ad", AgentClass.BICYCLE: "#16a085", AgentClass.EMERGENCY_VEHICLE: "#2452d6"}
LAMPS = {SignalState.RED: "#c1272d", SignalState.YELLOW: "#e0a800", SignalState.GREEN: "#2e8b57"}


def draw_failure(
    folder: Path,
    key: str,
    log: DriveLog,
    plans: dict[int, Trajectory],
    wrong: DriveEventRecord | None,
    reason: str,
) -> str:
    """Write the picture of the first wrong moment (the last one where nothing but time ran out); its path."""
    index = len(log.scenes) - 1 if wrong is None else min(round(wrong.time / 0.1), len(log.scenes) - 1)
    scene, vehicle = log.scenes[index], log.vehicle
    x, y = scene.ego.pose.x, scene.ego.pose.y
    figure = Figure(figsize=(7.5, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for outline in log.road.drivable:
        axes.fill(*outline.T, color="#e6e6e3", zorder=0)
    for outline in log.road.junctions.values():
        axes.fill(*outline.T, color="#dadfe8", zorder=1)
    for lane in log.road.lanes.values():
        if np.abs(lane.centerline - (x, y)).min() < REACH:
            axes.plot(*lane.centerline.T, color="#c9c9c4", lw=0.6, zorder=2)
    for line in log.road.stop_lines:
        color = LAMPS.get(scene.signals.get(line.signal or "", SignalState.UNKNOWN), "#777777")
        axes.plot(*line.segment.T, color=color, lw=2.5, zorder=3)
    axes.plot(*log.centerline.T, color="#7a9a3b", lw=1.2, ls="--", zorder=3, label="route")
    for agent in scene.agents:
        corners = box_corners(agent.x, agent.y, agent.yaw, agent.length, agent.width)
        color = COLORS.get(agent.cls, "#8d5a2b")
        axes.add_collection(PolyCollection([corners], facecolors=color, edgecolors="black", lw=0.4, zorder=5))
        axes.plot([agent.x, agent.x + agent.velocity[0]], [agent.y, agent.y + agent.velocity[1]], color=color, lw=1.0)
    past = log.poses()[max(index - BEFORE, 0) : index + 1]
    heading = np.column_stack([np.cos(past[:, 2]), np.sin(past[:, 2])])
    centres = past[:, :2] + vehicle.centre_ahead * heading
    boxes = box_corners(centres[:, 0], centres[:, 1], past[:, 2], vehicle.length, vehicle.width)
    alphas = np.linspace(0.05, 0.6, len(boxes))
    faces = [(0.08, 0.39, 0.69, a) for a in alphas]
    axes.add_collection(PolyCollection(list(boxes), facecolors=faces, edgecolors="#1463b0", lw=0.5, zorder=6))
    made = [i for i in plans if i <= index]
    if made:
        plan = plans[max(made)]
        axes.plot(
            *plan.origin_pose.transform(plan.points[:, 1:3]).T, color="#1463b0", lw=1.5, zorder=7, label="last plan"
        )
    axes.set_xlim(x - REACH, x + REACH)
    axes.set_ylim(y - REACH, y + REACH)
    axes.set_aspect("equal")
    axes.legend(loc="upper right", fontsize=8)
    what = (
        f"{wrong.kind} at {wrong.time:.1f} s: {wrong.detail}" if wrong else f"ended by {reason} at {0.1 * index:.1f} s"
    )
    axes.set_title(f"{key}\n{what}", fontsize=10)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key.replace('/', '_')}.png"
    figure.savefig(path, dpi=90)
    return str(path)
