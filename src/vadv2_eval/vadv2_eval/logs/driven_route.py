"""The lanes a recorded ego drove, and one centreline along them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vadv2_core.geometry import Array, arc_length, heading_at, project_to_polyline, wrap_angle
from vadv2_core.scene import Lane, RoadMap

REACH = 4.0
"""m from a lane's centreline within which the ego may be on it."""
TURNED = np.deg2rad(60.0)
"""Largest angle between ego and lane."""
CONTINUES, CHANGES, JUMPS = 0.2, 4.0, 25.0
"""Cost, in squared metres, of going on to a successor, of changing to another lane nearby, of anything else."""
AHEAD = 80.0
"""m of centreline kept beyond the last pose."""


@dataclass(frozen=True, slots=True)
class DrivenRoute:
    """Lane ids in order, and the centreline (n, 2) along them with the way on beyond the end."""

    lanes: tuple[str, ...]
    centerline: Array


def _matches(lanes: list[Lane], pose: Array) -> dict[str, float]:
    """Squared distance by id of the lanes the pose may be on."""
    found = {}
    for lane in lanes:
        line = lane.centerline
        if (pose[:2] < line.min(axis=0) - REACH).any() or (pose[:2] > line.max(axis=0) + REACH).any():
            continue
        s, offset = project_to_polyline(line, pose[:2])
        gap = float(np.linalg.norm(pose[:2] - _point(line, float(s))))
        if gap <= REACH and abs(float(wrap_angle(pose[2] - heading_at(line, s)))) <= TURNED:
            found[lane.id] = gap**2
        del offset
    return found


def _point(line: Array, s: float) -> Array:
    along = arc_length(line)
    return np.array([np.interp(s, along, line[:, 0]), np.interp(s, along, line[:, 1])])


def _cost(road: RoadMap, before: str, after: str) -> float:
    if before == after:
        return 0.0
    if after in road.lanes[before].successors:
        return CONTINUES
    if set(road.lanes[before].successors) & set(road.lanes[after].predecessors):
        return CONTINUES  # a lane shorter than the sampling was skipped
    return CHANGES if after in (road.lanes[before].left, road.lanes[before].right) else JUMPS


def driven_route(road: RoadMap, poses: Array) -> DrivenRoute:
    """The cheapest sequence of lanes through poses (n, 3), by dynamic programming; poses off every lane are skipped."""
    lanes = [lane for lane in road.lanes.values() if len(lane.centerline) >= 2]
    best: dict[str, tuple[float, tuple[tuple[str, int], ...]]] = {}
    for i, pose in enumerate(poses):
        found = _matches(lanes, pose)
        if not found:
            continue
        following = {}
        for name, gap in found.items():
            cost, way = min(
                ((c + _cost(road, before, name), w) for before, (c, w) in best.items()), default=(0.0, ()),
                key=lambda pair: pair[0],
            )  # fmt: skip
            following[name] = (cost + gap, way if way and way[-1][0] == name else (*way, (name, i)))
        best = following
    if not best:
        return DrivenRoute((), poses[:, :2].copy())
    way = min(best.values(), key=lambda pair: pair[0])[1]
    return DrivenRoute(_with_gaps(road, [name for name, _ in way]), _centerline(road, way, poses))


def _with_gaps(road: RoadMap, names: list[str]) -> tuple[str, ...]:
    """The lanes with short skipped ones put back in."""
    whole: list[str] = []
    for before, after in zip([None, *names], names, strict=False):
        if before is not None and after not in road.lanes[before].successors:
            between = set(road.lanes[before].successors) & set(road.lanes[after].predecessors)
            whole += sorted(between)[:1]
        whole.append(after)
    return tuple(whole)


def _centerline(road: RoadMap, way: tuple[tuple[str, int], ...], poses: Array) -> Array:
    pieces = []
    for i, (name, entered) in enumerate(way):
        line = road.lanes[name].centerline
        along = arc_length(line)
        start, end = 0.0, along[-1]
        if i > 0 and name not in road.lanes[way[i - 1][0]].successors:
            start = float(project_to_polyline(line, poses[entered, :2])[0])
        if i + 1 < len(way) and way[i + 1][0] not in road.lanes[name].successors:
            end = float(project_to_polyline(line, poses[way[i + 1][1], :2])[0])
        inside = line[(along > start) & (along < end)]
        pieces.append(np.concatenate([[_point(line, start)], inside, [_point(line, max(end, start))]]))
    line = np.concatenate([*pieces, *_way_on(road, way[-1][0], poses[-1])])
    apart = np.linalg.norm(np.diff(line, axis=0), axis=1) > 1e-3
    return np.concatenate([line[:1], line[1:][apart]])


def _way_on(road: RoadMap, name: str, pose: Array) -> list[Array]:
    """Centrelines of the straightest successors until 80 m lie ahead of the last pose."""
    line = road.lanes[name].centerline
    left = AHEAD - (arc_length(line)[-1] - float(project_to_polyline(line, pose[:2])[0]))
    pieces = []
    seen = {name}
    while left > 0.0:
        heading = float(heading_at(line, arc_length(line)[-1]))
        ways = [road.lanes[n] for n in road.lanes[name].successors if n in road.lanes and n not in seen]
        if not ways:
            break
        nxt = min(ways, key=lambda w: abs(float(wrap_angle(heading_at(w.centerline, 5.0) - heading))))
        name, line = nxt.id, nxt.centerline
        seen.add(name)
        pieces.append(line)
        left -= arc_length(line)[-1]
    return pieces
