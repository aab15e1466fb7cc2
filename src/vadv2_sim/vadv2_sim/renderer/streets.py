"""What lies on and beside the roads: surfaces, kerbs, lane lines, arrows, crossings, stop lines, poles and signs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry import LineString, MultiPolygon, Point, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import nearest_points, unary_union
from shapely.strtree import STRtree

from vadv2_core.geometry import Array, arc_length, heading_at, point_at, wrap_angle
from vadv2_core.scene import Lane, RoadMap
from vadv2_core.taxonomy import LaneKind, LateralAction, StopControl
from vadv2_sim.renderer.figures import stop_sign, yield_sign
from vadv2_sim.renderer.mesh import Color, MeshBuilder, ribbon
from vadv2_sim.renderer.palette import Layer, Part, SemanticClass

ROAD_Z, MARKING_Z, KERB_Z, GROUND_Z = -0.02, 0.0, 0.09, -0.06
SIDEWALK_WIDTH = 2.6
"""Width of the pavement drawn round junctions and where a map has no sidewalk lane beside one, m."""
_WHITE: Color = (0.93, 0.93, 0.90)
_ASPHALT: Color = (0.33, 0.335, 0.345)
_PATH: Color = (0.46, 0.38, 0.33)
_POLE: Color = (0.33, 0.34, 0.36)


@dataclass(frozen=True, slots=True)
class StreetPlan:
    """Areas of a town: what is driven on, and what is walked on beside it."""

    road: BaseGeometry
    sidewalk: BaseGeometry


def polygons(geometry: BaseGeometry) -> Iterator[Polygon]:
    """The polygons of any geometry, slivers left out."""
    if isinstance(geometry, Polygon):
        if geometry.area > 0.05:
            yield geometry
    elif hasattr(geometry, "geoms"):
        for part in geometry.geoms:
            yield from polygons(part)


def _outline(points: Array) -> BaseGeometry:
    return Polygon(points).buffer(0) if len(points) >= 3 else Polygon()


def _band(lane: Lane, extra: float = 0.0) -> BaseGeometry:
    return LineString(lane.centerline).buffer(lane.width / 2 + extra, cap_style="flat", join_style="mitre")


def plan_streets(road_map: RoadMap) -> StreetPlan:
    """Read road and pavement areas off a map."""
    lanes = road_map.lanes.values()
    driven = [_band(x, 0.05) for x in lanes if x.kind not in (LaneKind.SIDEWALK, LaneKind.CROSSING)]
    driven += [_outline(p) for p in road_map.drivable]
    # Closing by half a metre fills the hairline gaps between lanes and junctions.
    road = unary_union(driven).buffer(0.5, join_style="mitre").buffer(-0.5, join_style="mitre")
    walks = [_band(x, 0.1) for x in lanes if x.kind is LaneKind.SIDEWALK]
    if walks:
        corners = [_outline(p).buffer(SIDEWALK_WIDTH) for p in road_map.junctions.values()]
        near = unary_union(walks).buffer(4.0)
        walks += [c.intersection(near.union(c.buffer(-1.0))) for c in corners]
    sidewalk = unary_union(walks).buffer(0.6, join_style="mitre").buffer(-0.6, join_style="mitre")
    return StreetPlan(road, sidewalk.difference(road.buffer(0.02)))


def _triangles(geometry: BaseGeometry) -> Array:
    found = [
        np.asarray(t.exterior.coords)[:3, :2]
        for p in polygons(geometry.simplify(0.03))
        for t in shapely.constrained_delaunay_triangles(p).geoms
    ]
    if not found:
        return np.zeros((0, 3, 2))
    triangles = np.stack(found)
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    turn = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return np.where((turn < 0)[:, None, None], triangles[:, ::-1], triangles)


def _rings(geometry: BaseGeometry) -> Iterator[Array]:
    """Outlines with the area on their left, without the repeated last point."""
    for polygon in polygons(geometry):
        oriented = shapely.geometry.polygon.orient(polygon)
        for ring in (oriented.exterior, *oriented.interiors):
            yield np.asarray(ring.coords)[:-1, :2]


def add_surfaces(m: MeshBuilder, road_map: RoadMap, plan: StreetPlan) -> None:
    """Road, cycle lanes and raised pavements with kerb stones."""
    m.semantic = SemanticClass.ROAD
    m.flat(_triangles(plan.road), ROAD_Z, _ASPHALT, layer=Layer.ASPHALT, scale=7.0, part=Part.ROAD_SURFACE)
    for lane in road_map.lanes.values():
        if lane.kind is LaneKind.BICYCLE:
            m.flat(
                ribbon(lane.centerline, lane.width - 0.2), -0.01, (0.42, 0.24, 0.2), layer=Layer.ASPHALT,
                part=Part.ROAD_SURFACE,
            )  # fmt: skip
    m.semantic = SemanticClass.SIDEWALK
    m.flat(_triangles(plan.sidewalk), KERB_Z, (0.60, 0.59, 0.56), layer=Layer.PAVING, scale=4.0, part=Part.ROAD_SURFACE)
    for ring in _rings(plan.sidewalk.simplify(0.03)):
        m.walls(ring, (GROUND_Z, KERB_Z), (0.66, 0.66, 0.64))
    # A pale band of kerb stone along the road.
    edge = plan.road.buffer(0.22).difference(plan.road).intersection(plan.sidewalk)
    m.flat(_triangles(edge), KERB_Z + 0.004, (0.74, 0.74, 0.72), layer=Layer.CONCRETE)


def _offset(line: Array, distance: float) -> Array:
    yaw = heading_at(line, arc_length(line))
    mean = np.concatenate([yaw[:1], np.arctan2(np.sin(yaw[:-1]) + np.sin(yaw[1:]), np.cos(yaw[:-1]) + np.cos(yaw[1:]))])
    if len(mean) > len(line):
        mean = mean[: len(line)]
    return line + distance * np.stack([-np.sin(mean), np.cos(mean)], axis=1)


def _dashes(line: Array, on: float, off: float) -> Iterator[Array]:
    length = float(arc_length(line)[-1])
    for start in np.arange(off / 2, length - 0.8, on + off):
        end = min(start + on, length)
        bent = abs(float(wrap_angle(heading_at(line, end) - heading_at(line, start)))) > 0.02
        yield point_at(line, np.linspace(start, end, 4 if bent else 2))


def add_lane_lines(m: MeshBuilder, road_map: RoadMap, plan: StreetPlan) -> None:
    """Dashed lines between lanes of one direction, a centre line between directions, solid lines at the edge."""
    m.semantic = SemanticClass.LANE_MARKING
    lanes = [x for x in road_map.lanes.values() if x.kind is LaneKind.ROAD and len(x.centerline) > 1]
    bands = [_band(x, -0.2) for x in lanes]
    tree = STRtree(bands) if bands else None
    neighbours = {x.left for x in lanes} | {x.right for x in lanes}
    for lane in lanes:
        length = float(arc_length(lane.centerline)[-1])
        if length < 4.0:
            continue
        left = _offset(lane.centerline, lane.width / 2)
        right = _offset(lane.centerline, -lane.width / 2)
        if lane.left in road_map.lanes and lane.left is not None:
            for dash in _dashes(left, 3.0, 4.5):
                m.flat(ribbon(dash, 0.14), MARKING_Z, _WHITE, layer=Layer.CONCRETE)
        else:
            beside = Point(point_at(_offset(lane.centerline, lane.width / 2 + 0.9), length / 2))
            across = [lanes[i].id for i in tree.query(beside) if bands[i].contains(beside)] if tree is not None else []
            if across:
                many = lane.right is not None or lane.speed_limit > 14.5 or lane.id in neighbours
                inner = _offset(lane.centerline, lane.width / 2 - 0.07)
                if many:
                    m.flat(ribbon(inner, 0.11), MARKING_Z, _WHITE, layer=Layer.CONCRETE)
                else:
                    # One of the two directions draws the dashes; the last metres before a junction are solid.
                    middle = _offset(lane.centerline, lane.width / 2)
                    for dash in _dashes(middle, 3.0, 4.5) if lane.id < min(across) else ():
                        m.flat(ribbon(dash, 0.13), MARKING_Z, _WHITE, layer=Layer.CONCRETE)
                    tail = point_at(inner, np.linspace(max(length - 14.0, 0.0), length, 6))
                    m.flat(ribbon(tail, 0.13), MARKING_Z, _WHITE, layer=Layer.CONCRETE)
            else:
                m.flat(
                    ribbon(_offset(lane.centerline, lane.width / 2 - 0.15), 0.14),
                    MARKING_Z, _WHITE, layer=Layer.CONCRETE,
                )  # fmt: skip
        if lane.right not in road_map.lanes:
            m.flat(
                ribbon(_offset(lane.centerline, -lane.width / 2 + 0.15), 0.12), MARKING_Z, _WHITE, layer=Layer.CONCRETE
            )
        elif road_map.lanes[str(lane.right)].kind is not LaneKind.ROAD:
            m.flat(ribbon(right, 0.16), MARKING_Z, _WHITE, layer=Layer.CONCRETE)


_ARROWS = {
    LateralAction.STRAIGHT: ([[0, 0], [3.2, 0]], [[3.2, 0.38], [3.2, -0.38], [4.6, 0.0]]),
    LateralAction.LEFT_TURN: ([[0, 0], [1.8, 0], [2.3, 0.45]], [[1.85, 0.4], [2.75, 0.3], [2.55, 1.25]]),
    LateralAction.RIGHT_TURN: ([[0, 0], [1.8, 0], [2.3, -0.45]], [[1.85, -0.4], [2.75, -0.3], [2.55, -1.25]]),
}


def add_arrows(m: MeshBuilder, road_map: RoadMap) -> None:
    """Turn arrows before junctions on roads of more than one lane a direction."""
    m.semantic = SemanticClass.LANE_MARKING
    for lane in road_map.lanes.values():
        if lane.kind is not LaneKind.ROAD or (lane.left is None and lane.right is None):
            continue
        turns = {road_map.lanes[s].turn for s in lane.successors if s in road_map.lanes}
        length = float(arc_length(lane.centerline)[-1])
        if length < 30.0 or not turns & {LateralAction.LEFT_TURN, LateralAction.RIGHT_TURN}:
            continue
        for back in (13.0, 32.0):
            if back > length - 6.0:
                continue
            x, y = point_at(lane.centerline, length - back)
            yaw = float(heading_at(lane.centerline, length - back))
            c, s = np.cos(yaw), np.sin(yaw)
            turn = np.array([[c, s], [-s, c]])
            for action in turns & set(_ARROWS):
                shaft, head = (np.array(v, dtype=np.float64) @ turn + [x, y] for v in _ARROWS[action])
                m.flat(ribbon(shaft, 0.2), MARKING_Z, _WHITE, layer=Layer.CONCRETE)
                a, b = head[1] - head[0], head[2] - head[0]
                ccw = a[0] * b[1] - a[1] * b[0] > 0
                m.flat((head if ccw else head[::-1])[None], MARKING_Z, _WHITE, layer=Layer.CONCRETE)


def add_crossings(m: MeshBuilder, road_map: RoadMap) -> None:
    """Zebra bars along the traffic on every pedestrian crossing, and stop lines."""
    m.semantic = SemanticClass.CROSSING
    for crossing in road_map.crossings:
        if len(crossing.polygon) < 3:
            continue
        area = Polygon(crossing.polygon).buffer(0)
        box = np.asarray(area.minimum_rotated_rectangle.exterior.coords)[:4]
        sides = np.roll(box, -1, axis=0) - box
        lengths = np.hypot(sides[:, 0], sides[:, 1])
        if lengths.min() < 0.3:
            continue
        walk = int(lengths[:2].argmax())
        start, along, across = box[walk], sides[walk], -sides[walk - 1]
        count = max(int(lengths[walk] / 1.1), 1)
        for k in range(count):
            a, b = (k + 0.25) / count, (k + 0.75) / count
            bar = Polygon(
                [start + a * along, start + b * along, start + b * along + across, start + a * along + across]
            )
            m.flat(_triangles(bar.intersection(area)), MARKING_Z + 0.003, _WHITE, layer=Layer.CONCRETE, scale=2.0)
    m.semantic = SemanticClass.STOP_LINE
    for line in road_map.stop_lines:
        if line.control in (StopControl.NONE, StopControl.PRIORITY_TO_THE_RIGHT):
            continue
        segment = np.asarray(line.segment, dtype=np.float64)
        if line.control is StopControl.YIELD_SIGN:
            for piece in _dashes(segment, 0.5, 0.35):
                m.flat(ribbon(piece, 0.4), MARKING_Z + 0.002, _WHITE, layer=Layer.CONCRETE)
        else:
            m.flat(ribbon(segment, 0.45), MARKING_Z + 0.002, _WHITE, layer=Layer.CONCRETE)


def add_posts(m: MeshBuilder, road_map: RoadMap, plan: StreetPlan) -> None:
    """Poles and mast arms of the signal heads (the heads themselves show states), and stop and yield signs."""
    m.semantic = SemanticClass.POLE
    kerb = plan.road.boundary
    for head in road_map.signal_heads:
        x, y, z = head.position
        back = Point(x - 0.24 * np.cos(head.yaw), y - 0.24 * np.sin(head.yaw))
        foot = back
        if plan.road.buffer(-0.1).contains(back):
            edge = nearest_points(kerb, back)[0]
            pull = np.array([edge.x - back.x, edge.y - back.y])
            pull *= 1 + 0.6 / max(float(np.hypot(*pull)), 0.3)
            foot = Point(back.x + pull[0], back.y + pull[1])
            m.cylinder((foot.x, foot.y, z), (back.x, back.y, z), 0.07, _POLE, sides=6)
        m.cylinder((foot.x, foot.y, GROUND_Z), (foot.x, foot.y, z + 0.3), 0.09, _POLE, end_radius=0.07, sides=7)
    for sign in road_map.signs:
        x, y, z = sign.position
        make = {StopControl.STOP_SIGN: stop_sign, StopControl.YIELD_SIGN: yield_sign}.get(sign.control)
        if make is not None:
            m.placed(make(max(z, 1.5)), x, y, 0.0, sign.yaw)


def as_multipolygon(geometry: BaseGeometry) -> MultiPolygon:
    """All polygons of a geometry as one."""
    return MultiPolygon(list(polygons(geometry)))
