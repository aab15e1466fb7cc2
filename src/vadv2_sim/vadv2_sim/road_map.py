"""A `RoadMap` from a SUMO net: lanes and connectors, who yields to whom, stop lines, lamps, signs, drivable area."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import sumolib
from shapely.geometry import LineString, Polygon
from shapely.ops import unary_union

from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, arc_length, point_at
from vadv2_core.scene import Crossing, Lane, RoadMap, Sign, SignalHead, StopLine
from vadv2_core.taxonomy import LaneKind, LateralAction, StopControl
from vadv2_sim.town import Town, load_town

HEAD_HEIGHT = 3.3
"""Centre of a signal head on its pole, m."""
SIGN_HEIGHT = 2.3
POLE_GAP = 0.7
"""From the edge of the carriageway to a pole, m."""
STOP_LINE_GAP = 0.4
"""From the end of a lane back to its painted stop line, m."""

_TURNS = {
    "s": LateralAction.STRAIGHT,
    "l": LateralAction.LEFT_TURN,
    "L": LateralAction.LEFT_TURN,
    "t": LateralAction.LEFT_TURN,
    "r": LateralAction.RIGHT_TURN,
    "R": LateralAction.RIGHT_TURN,
}


@dataclass(frozen=True, slots=True)
class TownMap:
    """A road map with what ties it to SUMO.

    Attributes:
        road: The map.
        lane_of: SUMO lane id (inside junctions too) to the map's lane id.
        signal_links: Signal id to (traffic light id, link index) whose lamp it is.
        edges_between: Edge id to (from node, to node).
        net: The sumolib net, for routing on edges.
    """

    road: RoadMap
    lane_of: dict[str, str]
    signal_links: dict[str, tuple[str, int]]
    edges_between: dict[str, tuple[str, str]]
    net: Any


def _kind(lane: Any) -> LaneKind:
    allowed = set(lane.getPermissions())
    if not allowed:
        return LaneKind.PARKING
    if allowed <= {"pedestrian"}:
        return LaneKind.SIDEWALK
    if allowed <= {"bicycle", "pedestrian"}:
        return LaneKind.BICYCLE
    if not allowed & {"passenger", "private"}:
        return LaneKind.PARKING
    return LaneKind.DRIVEWAY if lane.getEdge().getType() == "driveway" else LaneKind.ROAD


def _points(shape: Any) -> Array:
    points = np.asarray([p[:2] for p in shape], dtype=np.float64)
    keep = np.concatenate([[True], np.hypot(*np.diff(points, axis=0).T) > 1e-6])
    return points[keep] if keep.sum() > 1 else points[:2]


def _via_chain(net: Any, first: str) -> list[Any]:
    chain = [net.getLane(first)]
    while True:
        onward = [c.getViaLaneID() for c in chain[-1].getOutgoing() if c.getViaLaneID()]
        if not onward:
            return chain
        chain.append(net.getLane(onward[0]))


def _colour_groups(net: Any) -> dict[tuple[str, int], str]:
    """(traffic light, link) to signal id: links of one approach whose colours never differ share a signal."""
    groups: dict[tuple[str, int], str] = {}
    for light in net.getTrafficLights():
        programs = list(light.getPrograms().values())
        states = [phase.state for phase in programs[0].getPhases()] if programs else []
        seen: dict[tuple[str, str], str] = {}
        for start, _end, link in sorted(light.getConnections(), key=lambda c: int(c[2])):
            colours = "".join(state[link].lower() for state in states)
            key = (start.getEdge().getID(), colours)
            groups[light.getID(), link] = seen.setdefault(key, f"{light.getID()}:{link}")
    return groups


def _control(edge: Any, connection: Any, passes_only: bool) -> StopControl:
    if connection.getTLSID():
        return StopControl.SIGNAL
    outs = [c for onward in edge.getOutgoing().values() for c in onward]
    states = {c.getState() for c in outs if _kind(c.getFromLane()) in (LaneKind.ROAD, LaneKind.DRIVEWAY)}
    if passes_only or "M" in states:
        return StopControl.NONE
    if states & {"s", "w"}:
        return StopControl.STOP_SIGN
    if "=" in states:
        return StopControl.PRIORITY_TO_THE_RIGHT
    return StopControl.YIELD_SIGN if "m" in states else StopControl.NONE


def _strip(centerline: Array, width: float) -> Polygon:
    return LineString(centerline).buffer(0.5 * width, cap_style="flat", join_style="mitre", mitre_limit=2.0)


def _rings(area: Any) -> list[Array]:
    parts = getattr(area, "geoms", [area])
    return [np.asarray(part.exterior.coords) for part in parts if isinstance(part, Polygon) and part.area > 0.05]


class _MapBuilder:
    """Collects the parts of one map; `build` runs its steps in order."""

    def __init__(self, town: Town) -> None:
        self.town = town
        try:
            self.net = sumolib.net.readNet(
                str(town.net), withInternal=True, withPedestrianConnections=True, withPrograms=True
            )
        except Exception as error:  # the XML reader raises what it likes
            raise InputError(f"not a SUMO net: {error}", str(town.net), "a net.xml") from None
        self.lanes: dict[str, Lane] = {}
        self.lane_of: dict[str, str] = {}
        self.signal_links: dict[str, tuple[str, int]] = {}
        self.groups = _colour_groups(self.net)
        self.edges = [e for e in self.net.getEdges(withInternal=False) if e.getFunction() in ("", "normal")]

    def build(self) -> TownMap:
        self._roads()
        self._connectors()
        stop_lines = self._stop_lines()
        heads, signs = self._poles()
        junctions: dict[str, Array] = {
            str(n.getID()): np.asarray(n.getShape(), dtype=np.float64)
            for n in self.net.getNodes()
            if n.getShape() and len(n.getShape()) > 2 and n.getType() not in ("internal", "dead_end")
        }
        drivable, boundaries = self._areas(junctions)
        road = RoadMap(
            self.town.name,
            self.town.net_hash,
            self.lanes,
            junctions,
            tuple(self._crossings()),
            tuple(stop_lines),
            tuple(heads),
            tuple(signs),
            tuple(drivable),
            tuple(boundaries),
        )
        between = {e.getID(): (e.getFromNode().getID(), e.getToNode().getID()) for e in self.edges}
        return TownMap(road, self.lane_of, self.signal_links, between, self.net)

    def _roads(self) -> None:
        for edge in self.edges:
            lanes = edge.getLanes()
            kinds = [_kind(lane) for lane in lanes]
            for i, lane in enumerate(lanes):
                drive = kinds[i] in (LaneKind.ROAD, LaneKind.DRIVEWAY)
                left, right = (
                    lanes[j].getID() if drive and 0 <= j < len(lanes) and kinds[j] == LaneKind.ROAD else None
                    for j in (i + 1, i - 1)
                )
                self.lanes[lane.getID()] = Lane(
                    lane.getID(),
                    kinds[i],
                    _points(lane.getShape()),
                    lane.getWidth(),
                    lane.getSpeed(),
                    left=left,
                    right=right,
                )
                self.lane_of[lane.getID()] = lane.getID()

    def _connectors(self) -> None:
        after: dict[str, list[str]] = defaultdict(list)
        before: dict[str, list[str]] = defaultdict(list)
        by_link: dict[tuple[str, int], str] = {}
        link_of: dict[str, tuple[Any, int]] = {}
        for edge in self.edges:
            node = edge.getToNode()
            neighbours = {e.getFromNode().getID() for e in node.getIncoming()} | {
                e.getToNode().getID() for e in node.getOutgoing()
            }
            passes_only = len(neighbours) <= 2
            for lane in edge.getLanes():
                if self.lanes[lane.getID()].kind not in (LaneKind.ROAD, LaneKind.DRIVEWAY):
                    continue
                for connection in lane.getOutgoing():
                    target = connection.getToLane().getID()
                    if not connection.getViaLaneID() or target not in self.lanes:
                        continue
                    if self.lanes[target].kind not in (LaneKind.ROAD, LaneKind.DRIVEWAY):
                        continue
                    connector = self._connector(edge, node, lane, connection, passes_only)
                    after[lane.getID()].append(connector.id)
                    before[target].append(connector.id)
                    index = node.getLinkIndex(connection)
                    by_link[node.getID(), index] = connector.id
                    link_of[connector.id] = (node, index)
        for name, (node, index) in link_of.items():
            row = node._prohibits.get(index, "")
            others = [k for k in range(len(row)) if row[len(row) - 1 - k] == "1"]
            yields = tuple(by_link[node.getID(), k] for k in others if (node.getID(), k) in by_link)
            self.lanes[name] = replace(self.lanes[name], yields_to=yields)
        for name in list(self.lanes):
            lane = self.lanes[name]
            if lane.kind != LaneKind.CONNECTOR:
                self.lanes[name] = replace(lane, successors=tuple(after[name]), predecessors=tuple(before[name]))

    def _connector(self, edge: Any, node: Any, lane: Any, connection: Any, passes_only: bool) -> Lane:
        chain = _via_chain(self.net, connection.getViaLaneID())
        name = chain[0].getID()
        target = connection.getToLane()
        points = np.concatenate([_points(part.getShape()) for part in chain])
        ends = self.lanes[lane.getID()].centerline[-1], self.lanes[target.getID()].centerline[0]
        points = _points(np.concatenate([ends[:1], points, ends[1:]]))
        signal = None
        if connection.getTLSID():
            link = (connection.getTLSID(), connection.getTLLinkIndex())
            signal = self.groups.get(link, f"{link[0]}:{link[1]}")
            self.signal_links.setdefault(signal, link)
        self.lanes[name] = Lane(
            name,
            LaneKind.CONNECTOR,
            points,
            min(lane.getWidth(), target.getWidth()),
            # SUMO's own speed inside a junction is how fast its cars take the bend, not what the law allows.
            max(lane.getSpeed(), target.getSpeed()),
            (target.getID(),),
            (lane.getID(),),
            junction=node.getID(),
            turn=_TURNS.get(connection.getDirection(), LateralAction.STRAIGHT),
            signal=signal,
            control=_control(edge, connection, passes_only),
        )
        for part in chain:
            self.lane_of[part.getID()] = name
        return self.lanes[name]

    def _approaches(self) -> dict[str, list[Lane]]:
        """Road lanes that end at a signal or sign, by edge, rightmost first."""
        found: dict[str, list[Lane]] = {}
        for edge in self.edges:
            lanes = [self.lanes[lane.getID()] for lane in edge.getLanes()]
            held = [lane for lane in lanes if lane.successors and self._held(lane) != StopControl.NONE]
            if held:
                found[edge.getID()] = held
        return found

    def _held(self, lane: Lane) -> StopControl:
        return self.lanes[lane.successors[0]].control if lane.successors else StopControl.NONE

    def _stop_lines(self) -> list[StopLine]:
        lines = []
        for lanes in self._approaches().values():
            for lane in lanes:
                control = self._held(lane)
                if control == StopControl.PRIORITY_TO_THE_RIGHT:
                    continue
                at, left = _end_frame(lane.centerline, STOP_LINE_GAP)
                segment = np.stack([at + 0.5 * lane.width * left, at - 0.5 * lane.width * left])
                signal = self.lanes[lane.successors[0]].signal
                lines.append(StopLine(f"stop:{lane.id}", lane.id, segment, control, signal))
        return lines

    def _poles(self) -> tuple[list[SignalHead], list[Sign]]:
        heads: list[SignalHead] = []
        signs: list[Sign] = []
        for edge, lanes in self._approaches().items():
            control = self._held(lanes[0])
            rightmost = lanes[0]
            at, left = _end_frame(rightmost.centerline, STOP_LINE_GAP)
            facing = math.atan2(left[1], left[0]) + 0.5 * math.pi  # opposite to travel
            road_edge = 0.5 * rightmost.width + self._parking_beside(edge)
            pole = at - (road_edge + POLE_GAP) * left
            if control in (StopControl.STOP_SIGN, StopControl.YIELD_SIGN):
                signs.append(Sign(f"sign:{edge}", control, (float(pole[0]), float(pole[1]), SIGN_HEIGHT), facing))
            if control != StopControl.SIGNAL:
                continue
            connectors = [self.lanes[s] for lane in lanes for s in lane.successors]
            for signal in sorted({c.signal for c in connectors if c.signal}):
                served = [c for c in connectors if c.signal == signal]
                shift = 0.0 if served[0].predecessors[0] == rightmost.id else 0.6
                near = pole - shift * left
                far = self._far_side(served, rightmost, at, left)
                for tag, (x, y) in (("near", near), ("far", far - shift * left)):
                    heads.append(SignalHead(f"{tag}:{signal}", signal, (float(x), float(y), HEAD_HEIGHT), facing))
        return heads, signs

    def _parking_beside(self, edge: str) -> float:
        lanes = [self.lanes[lane.getID()] for lane in self.net.getEdge(edge).getLanes()]
        return sum(lane.width for lane in lanes if lane.kind in (LaneKind.PARKING, LaneKind.BICYCLE))

    def _far_side(self, served: list[Lane], rightmost: Lane, at: Array, left: Array) -> Array:
        """Right of the exit straight ahead; without one, beyond the junction in the line of the approach."""
        ahead = [c for c in served if c.turn == LateralAction.STRAIGHT]
        if ahead:
            first = min(ahead, key=lambda c: float(c.centerline[-1] @ left))
            exit_lane = self.lanes[first.successors[0]]
            start, side = _end_frame(exit_lane.centerline[::-1], 0.5)
            edge = exit_lane.id.rpartition("_")[0]
            return start + (0.5 * exit_lane.width + self._parking_beside(edge) + POLE_GAP) * side
        junction = self.net.getNode(served[0].junction or "").getShape()
        forward = np.array([left[1], -left[0]])
        reach = max(float((np.asarray(p[:2]) - at) @ forward) for p in junction)
        return np.asarray(at + (reach + POLE_GAP) * forward)

    def _crossings(self) -> list[Crossing]:
        crossings = []
        for edge in self.net.getEdges(withInternal=True):
            if edge.getFunction() != "crossing":
                continue
            lane = edge.getLanes()[0]
            junction = edge.getID().rpartition("_")[0].lstrip(":")
            signal = self._crossing_signal(edge)
            area = _strip(_points(lane.getShape()), lane.getWidth())
            crossings.append(Crossing(edge.getID(), np.asarray(area.exterior.coords)[:-1], junction, signal))
        return crossings

    def _crossing_signal(self, edge: Any) -> str | None:
        for incoming in edge.getIncoming():
            for connection in incoming.getOutgoing().get(edge, ()):
                if connection.getTLSID():
                    signal = f"{connection.getTLSID()}:{connection.getTLLinkIndex()}"
                    self.signal_links.setdefault(signal, (connection.getTLSID(), connection.getTLLinkIndex()))
                    return signal
        return None

    def _areas(self, junctions: dict[str, Array]) -> tuple[list[Array], list[Array]]:
        corners = defaultdict(list)
        for edge in self.net.getEdges(withInternal=True):
            if edge.getFunction() == "walkingarea":
                shape = edge.getLanes()[0].getShape()
                if len(shape) > 2:
                    corners[edge.getID().rpartition("_")[0].lstrip(":")].append(Polygon(shape).buffer(0.0))
        areas = []
        for name, outline in junctions.items():
            inner = Polygon(outline).buffer(0.0)
            if corners[name]:
                inner = inner.difference(unary_union(corners[name]))
            areas.append(inner)
        driven = (LaneKind.ROAD, LaneKind.CONNECTOR, LaneKind.DRIVEWAY, LaneKind.PARKING, LaneKind.BICYCLE)
        # A little wider than the lane, so that neighbours and curbs' corners close up.
        areas += [_strip(lane.centerline, lane.width + 0.1) for lane in self.lanes.values() if lane.kind in driven]
        whole = unary_union(areas).buffer(0.05).buffer(-0.05)
        outlines = [ring for area in areas for ring in _rings(area)]
        edges = []
        for part in getattr(whole, "geoms", [whole]):
            for ring in (part.exterior, *part.interiors):
                if ring.length > 4.0:
                    edges.append(np.asarray(ring.simplify(0.03).coords))
        return outlines, edges


def _end_frame(centerline: Array, back: float) -> tuple[Array, Array]:
    """The point ``back`` m before a line's end and the unit vector to the left there."""
    along = arc_length(centerline)
    at = point_at(centerline, along[-1] - back)
    d = centerline[-1] - centerline[-2]
    d = d / np.hypot(*d)
    return at, np.array([-d[1], d[0]])


@lru_cache(maxsize=8)
def _town_map(net: str, _hash: str, folder: str) -> TownMap:
    return _MapBuilder(load_town(folder)).build()


def town_map(town: Town) -> TownMap:
    """The map of a town; read once a process.

    Raises:
        InputError: if the net cannot be read.
    """
    return _town_map(str(town.net), town.net_hash, str(town.net))
