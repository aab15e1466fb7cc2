"""Re-encoded nuScenes logs (``scene-*.json.gz``: ego, agents, lanes at 10 Hz) read as Scenes.

They hold no signals, no intersections and no boundaries. Lanes without an outline are connectors; their outline, and
with it the drivable area inside junctions, is a strip around the centreline, as wide as the lanes it joins.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from scipy.signal import savgol_filter

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, Pose2, arc_length, project_to_polyline
from vadv2_core.scene import Agent, Lane, RoadMap, Scene
from vadv2_core.stamps import stamp_from_seconds
from vadv2_core.taxonomy import AgentClass, DrivingAction, LaneKind
from vadv2_eval.logs.drive_log import DriveLog, lane_outline
from vadv2_eval.logs.driven_route import driven_route
from vadv2_eval.pdms.scene import ScoredVehicle

ZOE = ScoredVehicle(width=1.73, front=3.43, rear=0.654, wheel_base=2.588)
"""The recording car, Renault Zoe; its pose is the rear axle's."""
CONNECTOR_WIDTHS = (3.5, 6.0)
"""m; a connector is as wide as the lanes it joins, within these."""
GAP = 1.0
"""m; seams between outlines up to twice this wide count as drivable."""
JOINT = 0.5
"""m between the end of a lane and the start of one that continues it."""
CLASSES = {
    "VEHICLE": AgentClass.CAR,
    "PEDESTRIAN": AgentClass.PEDESTRIAN,
    "CYCLIST": AgentClass.BICYCLE,
    "TRAFFIC_CONE": AgentClass.TRAFFIC_CONE,
    "TRAFFIC_BARRIER": AgentClass.BARRIER,
}
MISSING = {
    "drivable_area_compliance": "drivable area = lane outlines, connectors as wide as their lanes, seams up to 2 m",
    "time_to_collision_within_bound": "without the intersection clause: the log has no intersections",
    "driving_direction_compliance": "the route is the lanes the human drove",
    "traffic_light_compliance": "not computed: the log has no signals",
    "lane_keeping": "not computed: the log has no intersections",
    "history_comfort": "not computed: v2 is not scored on this log",
}
LOOK_AHEAD = 60.0


def read_log(path: Path) -> DriveLog:
    """One log as a `DriveLog`.

    Raises:
        InputError: for a file that cannot be read or lacks a key, with the key.
    """
    where, expected = str(path), "a re-encoded nuScenes log (id, dt, steps, tracks with ego, lanes)"
    try:
        data = path.read_bytes()
        value = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except FileNotFoundError:
        raise InputError("no such file", where, expected) from None
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"cannot be read: {str(error).splitlines()[0]}", where, expected) from None
    for key in ("id", "dt", "steps", "tracks", "lanes"):
        if not isinstance(value, Mapping) or key not in value:
            raise InputError(f"key {key!r} is missing", where, expected)
    if abs(float(value["dt"]) - 0.1) > 1e-6 or "ego" not in value["tracks"]:
        raise InputError(f"dt is {value['dt']}, ego {'ego' in value['tracks']}", where, "10 Hz and a track 'ego'")
    road, outlines = _road(value, hashlib.sha256(data).hexdigest())
    egos = _ego_states(np.array(value["tracks"]["ego"]["x_y_heading_vx_vy_valid"], dtype=np.float64), where)
    poses = np.array([[e.pose.x, e.pose.y, e.pose.yaw] for e in egos])
    route = driven_route(road, poses[::2])
    agents = _agents(value["tracks"], len(egos))
    scenes = tuple(_scene(egos[i], agents[i], route.centerline, route.lanes) for i in range(len(egos)))
    return DriveLog(str(value["id"]), road, scenes, ZOE, route.lanes, route.centerline, outlines, MISSING)


def _scene(ego: EgoState, agents: list[Agent], centerline: Array, lanes: tuple[str, ...]) -> Scene:
    s = float(project_to_polyline(centerline, (ego.pose.x, ego.pose.y))[0])
    along = arc_length(centerline)
    ahead = centerline[(along >= s - 1.0) & (along <= s + LOOK_AHEAD)]
    route = Route(ego.stamp, ahead, lanes) if len(ahead) >= 2 else None
    command = DrivingCommand(ego.stamp, "follow the lane", DrivingAction.LANE_FOLLOW)
    return Scene(ego.stamp, ego, tuple(agents), {}, command, route)


def _ego_states(rows: Array, where: str) -> list[EgoState]:
    if rows.ndim != 2 or rows.shape[1] != 6 or len(rows) < 60 or not np.isfinite(rows).all():
        raise InputError(f"the ego's states have the shape {rows.shape}", where, "(60 or more, 6) finite numbers")
    heading = np.unwrap(rows[:, 2])
    # The recorded velocity is a forward difference and 0 at the end; a short parabola gives the one at the pose.
    fit = {"window_length": 7, "polyorder": 2, "delta": 0.1, "axis": 0}
    velocity = savgol_filter(rows[:, :2], deriv=1, **fit)
    acceleration = savgol_filter(rows[:, :2], 11, 2, deriv=2, delta=0.1, axis=0)
    yaw_rate = savgol_filter(heading, deriv=1, **fit)
    states = []
    for i in range(len(rows)):
        frame = Pose2(0.0, 0.0, float(heading[i]))
        vx, vy = frame.inverse_transform(velocity[i])
        ax, ay = frame.inverse_transform(acceleration[i])
        pose = Pose2(float(rows[i, 0]), float(rows[i, 1]), float(rows[i, 2]))
        stamp = stamp_from_seconds(1.0 + 0.1 * i)
        states.append(EgoState(stamp, pose, (float(vx), float(vy)), (float(ax), float(ay)), float(yaw_rate[i])))
    return states


def _agents(tracks: Mapping[str, Any], count: int) -> list[list[Agent]]:
    frames: list[list[Agent]] = [[] for _ in range(count)]
    for name, track in tracks.items():
        if name == "ego":
            continue
        cls = CLASSES.get(track["type"], AgentClass.GENERIC_OBJECT)
        for i, row in enumerate(track["x_y_heading_vx_vy_valid"], start=int(track["first_step"])):
            if row[5] and i < count:
                x, y, yaw, vx, vy = (float(v) for v in row[:5])
                box = float(track["length"]), float(track["width"])
                frames[i].append(Agent(name, cls, x, y, yaw, *box, 1.6, (vx, vy)))
    return frames


def _road(value: Mapping[str, Any], digest: str) -> tuple[RoadMap, dict[str, Array]]:
    lines: dict[str, Array] = {
        str(k): np.array(v["centerline"], dtype=np.float64)[:, :2]
        for k, v in value["lanes"].items()
        if len(v["centerline"]) >= 2
    }
    outlines: dict[str, Array] = {}
    for name in lines:
        polygon = value["lanes"][name].get("polygon")
        shape = shapely.Polygon(polygon) if polygon and len(polygon) >= 4 else None
        if shape is not None and shape.is_valid and shape.area > 0.0:
            outlines[name] = np.asarray(shape.exterior.coords)[:-1, :2]
    names = list(lines)
    starts, ends = np.array([lines[k][0] for k in names]), np.array([lines[k][-1] for k in names])
    joined = np.linalg.norm(ends[:, None] - starts[None], axis=-1) < JOINT
    widths = {k: _width(lines[k], outline) for k, outline in outlines.items()}
    for i, name in enumerate(names):
        if name not in outlines:
            beside = [widths[names[j]] for j in np.flatnonzero(joined[i] | joined[:, i]) if names[j] in outlines]
            widths[name] = float(np.clip(np.mean(beside), *CONNECTOR_WIDTHS)) if beside else CONNECTOR_WIDTHS[0]
    strips = {k: lane_outline(lines[k], widths[k]) for k in lines if k not in outlines}
    lanes = {}
    for i, name in enumerate(names):
        connector = name not in outlines
        lanes[name] = Lane(
            name,
            LaneKind.CONNECTOR if connector else LaneKind.ROAD,
            lines[name],
            widths[name],
            0.0,
            successors=tuple(names[j] for j in np.flatnonzero(joined[i]) if j != i),
            predecessors=tuple(names[j] for j in np.flatnonzero(joined[:, i]) if j != i),
        )
    drivable = _drivable([*outlines.values()], lines, {k: widths[k] for k in strips})
    return RoadMap(str(value["id"]), digest, lanes, drivable=drivable), outlines | strips


def _width(line: Array, outline: Array) -> float:
    """Median width of an outline across its centreline, m."""
    middle = 0.5 * (line[1:] + line[:-1])
    d = np.diff(line, axis=0)
    d /= np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-9)
    across = 20.0 * np.column_stack([-d[:, 1], d[:, 0]])
    chords = shapely.linestrings(np.stack([middle - across, middle + across], axis=1))
    return float(np.median(shapely.length(shapely.intersection(chords, shapely.Polygon(outline)))))


def _drivable(outlines: list[Array], lines: dict[str, Array], strips: dict[str, float]) -> tuple[Array, ...]:
    """The outlines of lanes and connector strips, and the seams between them."""
    connectors = [shapely.LineString(lines[k]).buffer(0.5 * width) for k, width in strips.items()]
    pieces = [*(shapely.Polygon(o) for o in outlines), *connectors]
    whole = shapely.union_all(pieces)
    seams = whole.buffer(GAP).buffer(-GAP).difference(whole)
    parts = [g for g in getattr(seams, "geoms", [seams]) if g.area > 1e-4]
    # A seam only touches its neighbours; grown a little, it overlaps them and leaves no line between.
    pieces += [g.buffer(0.05) for g in parts]
    return tuple(np.asarray(p.exterior.coords)[:-1, :2] for p in pieces if p.geom_type == "Polygon" and not p.is_empty)
