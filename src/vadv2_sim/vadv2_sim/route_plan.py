"""The ego's way through a town: edges to lanes to a smooth polyline with the manoeuvres along it."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vadv2_core.command import Route
from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, arc_length, heading_at, point_at, wrap_angle
from vadv2_core.scene import Lane
from vadv2_core.stamps import Stamp
from vadv2_core.taxonomy import DrivingAction, LaneKind, LateralAction
from vadv2_sim.road_map import TownMap

SPACING = 1.0
"""Distance between a route's points, m."""
CHANGE_LENGTH = 32.0
"""Way over which a lane change is drawn, m."""
TIGHTEST_TURN = 2.8
"""A connector that bends more tightly is not the ego's to drive (it steers 3.9 m and may cut a corner a little), m."""
BEHIND, AHEAD = 4.0, 150.0
"""How much of the way a `Route` shows, m."""


@dataclass(frozen=True, slots=True)
class Manoeuvre:
    """One thing to do on the way.

    Attributes:
        action: LEFT, RIGHT, STRAIGHT, CHANGE_LEFT or CHANGE_RIGHT.
        start: Distance along the route where it begins, m.
        end: Where it ends.
        junction: The junction it lies in; empty for a lane change.
        exit: Which exit of a roundabout, counted from one; 0 elsewhere.
    """

    action: DrivingAction
    start: float
    end: float
    junction: str = ""
    exit: int = 0


@dataclass(frozen=True)
class RoutePlan:
    """A whole route.

    Attributes:
        edges: SUMO edges in order.
        lane_ids: Lanes and connectors in order; a lane change names both lanes.
        points: (n, 2) polyline, `SPACING` apart.
        lane_index: (n,) index into ``lane_ids`` of each point.
        limits: (n,) speed limits, m/s.
        manoeuvres: In order.
    """

    edges: tuple[str, ...]
    lane_ids: tuple[str, ...]
    points: Array
    lane_index: NDArray[np.int64]
    limits: Array
    manoeuvres: tuple[Manoeuvre, ...]

    @cached_property
    def along(self) -> Array:
        """(n,) distance of each point from the start, m."""
        return arc_length(self.points)

    @property
    def length(self) -> float:
        """M."""
        return float(self.along[-1])

    def project(self, x: float, y: float, near: float | None = None) -> tuple[float, float]:
        """Distance along the route and signed offset to its left of a point.

        Args:
            x: World, m.
            y: World, m.
            near: Last known distance; the search stays within -15 .. +40 m of it, so that a way that crosses itself
                does not jump.
        """
        low, high = 0, len(self.points)
        if near is not None:
            low, high = np.searchsorted(self.along, (near - 15.0, near + 40.0))
            low, high = min(int(low), len(self.points) - 2), max(int(high), int(low) + 2)
        window = self.points[low:high]
        k = int(np.argmin((window[:, 0] - x) ** 2 + (window[:, 1] - y) ** 2)) + low
        k = min(max(k, 1), len(self.points) - 2)
        tangent = self.points[k + 1] - self.points[k - 1]
        tangent /= np.hypot(*tangent)
        gap = np.array([x, y]) - self.points[k]
        s = float(self.along[k] + gap @ tangent)
        return min(max(s, 0.0), self.length), float(tangent[0] * gap[1] - tangent[1] * gap[0])

    def ahead(self, stamp: Stamp, s: float) -> Route:
        """What of the way is shown at distance ``s``: from a little behind to `AHEAD` m before."""
        first, last = (int(k) for k in np.searchsorted(self.along, (s - BEHIND, s + AHEAD)))
        low = min(first, len(self.points) - 2)
        high = min(max(last, low + 2), len(self.points))
        here = min(max(int(np.searchsorted(self.along, s, side="right")) - 1, low), high - 1)
        lanes = self.lane_ids[self.lane_index[low] : self.lane_index[high - 1] + 1]
        return Route(stamp, self.points[low:high], lanes, float(self.limits[here]))

    def pose_at(self, s: float) -> tuple[float, float, float]:
        """x, y, yaw on the route at distance ``s``."""
        x, y = point_at(self.points, s)
        return float(x), float(y), float(heading_at(self.points, s))


def edge_of(lane: str) -> str:
    """The SUMO edge of a lane id."""
    return lane.rpartition("_")[0]


def edges_of(lanes: Iterable[str]) -> tuple[str, ...]:
    """The edges that lanes lie on, in order; a way may come by the same edge again."""
    edges = [edge_of(name) for name in lanes if not name.startswith(":")]
    return tuple(edge for k, edge in enumerate(edges) if k == 0 or edge != edges[k - 1])


def _turn_radius(lane: Lane) -> float:
    """Smallest radius of a connector over 4 m of its way, m; infinite for one that hardly turns."""
    length = float(arc_length(lane.centerline)[-1])
    line = _smooth(point_at(lane.centerline, np.arange(0.0, length, 0.5)))
    step = np.diff(line, axis=0)
    yaw = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
    if len(yaw) < 10:
        return float("inf")
    turned = float(np.abs(yaw[8:] - yaw[:-8]).max())
    return 4.0 / turned if turned > 0.3 else float("inf")


class RouteFinder:
    """Draws routes on a town's lanes.

    Args:
        town_map: The town.
        closed: Lanes that are not to be driven.
    """

    def __init__(self, town_map: TownMap, closed: Iterable[str] = ()) -> None:
        self.map, self.closed = town_map, frozenset(closed)
        lanes = town_map.road.lanes
        self.lanes_of: dict[str, list[Lane]] = {}
        for lane in lanes.values():
            if lane.kind in (LaneKind.ROAD, LaneKind.DRIVEWAY):
                self.lanes_of.setdefault(edge_of(lane.id), []).append(lane)
        self.links: dict[tuple[str, str], list[Lane]] = {}
        self.onward: dict[str, list[str]] = {edge: [] for edge in self.lanes_of}
        for lane in lanes.values():
            if lane.kind != LaneKind.CONNECTOR or self.closed.intersection((*lane.predecessors, *lane.successors)):
                continue
            if _turn_radius(lane) < TIGHTEST_TURN:
                continue
            pair = edge_of(lane.predecessors[0]), edge_of(lane.successors[0])
            if pair not in self.links:
                self.onward[pair[0]].append(pair[1])
            self.links.setdefault(pair, []).append(lane)
        self.roundabouts = [frozenset(r.getNodes()) for r in town_map.net.getRoundabouts()]
        self.endless = self._endless()

    def _endless(self) -> frozenset[str]:
        """Edges from which one can drive on for ever."""
        alive = {e for e, lanes in self.lanes_of.items() if lanes[0].kind == LaneKind.ROAD}
        while True:
            kept = {e for e in alive if any(n in alive for n in self.onward[e])}
            if kept == alive:
                return frozenset(alive)
            alive = kept

    def wander(self, start: str, length: float, rng: random.Random) -> tuple[str, ...]:
        """A random way of at least ``length`` m from an edge on, turning as often as it can without going back."""
        edges, driven = [start], self.edge_length(start)
        while driven < length:
            here = edges[-1]
            choices = [n for n in self.onward[here] if n in self.endless] or self.onward[here]
            recent = {self.map.edges_between[e] for e in edges[-6:]}
            choices = [n for n in choices if self.map.edges_between[n][::-1] not in recent] or choices
            if not choices:
                break
            fresh = [n for n in choices if n not in edges[-8:]] or choices
            edges.append(rng.choice(fresh))
            driven += self.edge_length(edges[-1])
        return tuple(edges)

    def edge_length(self, edge: str) -> float:
        """Length of an edge, m."""
        return float(arc_length(self.lanes_of[edge][0].centerline)[-1])

    def shortest(self, start: str, end: str) -> tuple[str, ...]:
        """Edges of the shortest way; empty where there is none."""
        queue: list[tuple[float, tuple[str, ...]]] = [(0.0, (start,))]
        done: set[str] = set()
        while queue:
            cost, way = heapq.heappop(queue)
            if way[-1] == end:
                return way
            if way[-1] in done:
                continue
            done.add(way[-1])
            for onward in self.onward[way[-1]]:
                heapq.heappush(queue, (cost + self.edge_length(onward), (*way, onward)))
        return ()

    def plan(
        self, edges: Sequence[str], start_lane: str | None = None, change_at: dict[str, float] | None = None
    ) -> RoutePlan:
        """Lanes, polyline and manoeuvres of a way given by its edges.

        Args:
            edges: In order, each linked to the next.
            start_lane: Lane to begin on; the best where None.
            change_at: Distance along an edge at which its lane change begins; a third of its length elsewhere.

        Raises:
            InputError: if two edges are not linked.
        """
        for pair in pairwise(edges):
            if pair not in self.links:
                raise InputError(f"{pair[0]} does not lead to {pair[1]}", "route", "linked edges")
        pieces = self._choose_lanes(edges, start_lane)
        return _draw(self, tuple(edges), pieces, change_at or {})

    def _choose_lanes(self, edges: Sequence[str], start_lane: str | None) -> list[tuple[Lane, Lane, Lane | None]]:
        """For each edge the lane entered, the lane left and the connector after it, with the fewest lane changes."""
        first = [a for a in self.lanes_of[edges[0]] if start_lane in (None, a.id)] or self.lanes_of[edges[0]]
        best: dict[str, tuple[float, list[tuple[Lane, Lane, Lane | None]]]] = {
            a.id: (self._penalty(a), []) for a in first
        }
        lanes = self.map.road.lanes
        for k, edge in enumerate(edges):
            order = [a.id for a in self.lanes_of[edge]]
            follow: dict[str, tuple[float, list[tuple[Lane, Lane, Lane | None]]]] = {}
            exits = self.links.get((edge, edges[k + 1]), []) if k + 1 < len(edges) else [None]
            for entered, (cost, pieces) in best.items():
                for connector in exits:
                    left = connector.predecessors[0] if connector is not None else entered
                    changes = abs(order.index(left) - order.index(entered))
                    if changes and not self._joined(entered, left):
                        continue
                    onto = connector.successors[0] if connector is not None else entered
                    total = cost + 10.0 * changes + self._penalty(lanes[left]) * bool(changes)
                    total += self._penalty(lanes[onto]) if connector is not None else 0.0
                    if onto not in follow or total < follow[onto][0]:
                        follow[onto] = (total, [*pieces, (lanes[entered], lanes[left], connector)])
            best = follow
        if not best:
            raise InputError(f"no lanes lead along {' '.join(edges[:6])}", "route", "a drivable way")
        return min(best.values(), key=lambda item: item[0])[1]

    def _joined(self, a: str, b: str) -> bool:
        lanes = self.map.road.lanes
        for side in ("left", "right"):
            at: str | None = a
            while at is not None and at != b:
                at = getattr(lanes[at], side)
            if at == b:
                return True
        return False

    def _penalty(self, lane: Lane) -> float:
        # A closed lane only where nothing else leads on; among equals the right lane, as the rules ask.
        return 500.0 * (lane.id in self.closed) + 0.5 * (lane.right is not None)


def _draw(
    finder: RouteFinder,
    edges: tuple[str, ...],
    pieces: list[tuple[Lane, Lane, Lane | None]],
    change_at: dict[str, float],
) -> RoutePlan:
    points: list[Array] = []
    ids: list[str] = []
    index: list[NDArray[np.int64]] = []
    limits: list[Array] = []
    manoeuvres: list[Manoeuvre] = []
    s = 0.0

    def add(line: Array, names: Sequence[str], where: Array, limit: float) -> None:
        nonlocal s
        base = len(ids)
        ids.extend(names)
        points.append(line)
        index.append(where.astype(np.int64) + base)
        limits.append(np.full(len(line), limit))
        s += float(arc_length(line)[-1])

    for edge, (entered, left, connector) in zip(edges, pieces, strict=True):
        if entered.id == left.id:
            line = entered.centerline
            add(line, (entered.id,), np.zeros(len(line)), entered.speed_limit)
        else:
            line, where, span = _change(entered, left, change_at.get(edge))
            goes_left = finder.lanes_of[edge].index(left) > finder.lanes_of[edge].index(entered)
            action = DrivingAction.CHANGE_LEFT if goes_left else DrivingAction.CHANGE_RIGHT
            manoeuvres.append(Manoeuvre(action, s + span[0], s + span[1]))
            add(line, (entered.id, left.id), where, entered.speed_limit)
        if connector is not None:
            line = connector.centerline
            length = float(arc_length(line)[-1])
            if len(set(finder.onward[edge])) > 1 or connector.junction in _nodes(finder):
                action = {
                    LateralAction.LEFT_TURN: DrivingAction.LEFT,
                    LateralAction.RIGHT_TURN: DrivingAction.RIGHT,
                }.get(connector.turn, DrivingAction.STRAIGHT)
                manoeuvres.append(Manoeuvre(action, s, s + length, connector.junction or ""))
            add(line, (connector.id,), np.zeros(len(line)), connector.speed_limit)
    raw = np.concatenate(points)
    keep = np.concatenate([[True], np.hypot(*np.diff(raw, axis=0).T) > 1e-3])
    raw, lane_index, limit = raw[keep], np.concatenate(index)[keep], np.concatenate(limits)[keep]
    along = arc_length(raw)
    at = np.arange(0.0, along[-1], SPACING)
    line = _smooth(point_at(raw, at))
    pick = np.clip(np.searchsorted(along, at + 1e-6, side="right") - 1, 0, len(raw) - 1)
    plan = RoutePlan(edges, tuple(ids), line, lane_index[pick], limit[pick], ())
    return RoutePlan(
        edges, tuple(ids), line, lane_index[pick], limit[pick], tuple(_merge_roundabouts(finder, plan, manoeuvres))
    )


def _nodes(finder: RouteFinder) -> frozenset[str]:
    return frozenset().union(*finder.roundabouts) if finder.roundabouts else frozenset()


def _change(entered: Lane, left: Lane, begin: float | None) -> tuple[Array, Array, tuple[float, float]]:
    """The line of a lane change, which of the two lanes each point is on, and the span of the change."""
    length = float(arc_length(entered.centerline)[-1])
    target = float(arc_length(left.centerline)[-1])
    start = min(length / 3.0 if begin is None else begin, max(0.0, length - 8.0))
    end = min(start + CHANGE_LENGTH, max(start + 5.0, length - 3.0))
    s = np.append(np.arange(0.0, length, 1.0), length)
    u = np.clip((s - start) / max(end - start, 1e-3), 0.0, 1.0)
    blend = u * u * u * (10.0 - 15.0 * u + 6.0 * u * u)
    line = (1.0 - blend)[:, None] * point_at(entered.centerline, s)
    line = line + blend[:, None] * point_at(left.centerline, s * target / max(length, 1e-6))
    return line, (blend > 0.5).astype(np.float64), (start, end)


def _smooth(points: Array) -> Array:
    """Points with the kinks of joined lanes taken out (moves a 6 m curve by less than 0.1 m); ends stay."""
    if len(points) < 5:
        return points
    padded = np.concatenate([2 * points[:1] - points[2:0:-1], points, 2 * points[-1:] - points[-2:-4:-1]])
    weights = np.array([0.1, 0.24, 0.32, 0.24, 0.1])
    return np.stack([np.convolve(padded[:, k], weights, mode="valid") for k in (0, 1)], axis=-1)


def _merge_roundabouts(finder: RouteFinder, plan: RoutePlan, manoeuvres: list[Manoeuvre]) -> list[Manoeuvre]:
    """One manoeuvre a roundabout: which exit, and the way it turns one altogether."""
    merged: list[Manoeuvre] = []
    group: list[Manoeuvre] = []

    def close() -> None:
        if not group:
            return
        start, end = group[0].start, group[-1].end
        turn = float(wrap_angle(heading_at(plan.points, end + 2.0) - heading_at(plan.points, max(0.0, start - 2.0))))
        action = DrivingAction.RIGHT if turn < -0.8 else DrivingAction.LEFT if turn > 0.8 else DrivingAction.STRAIGHT
        if abs(turn) > 2.6:
            action = DrivingAction.LEFT  # once round: counter-clockwise, whatever the sign of the angle
        merged.append(Manoeuvre(action, start, end, group[0].junction, max(1, len(group) - 1)))
        group.clear()

    circle: frozenset[str] = frozenset()
    for m in manoeuvres:
        home = next((nodes for nodes in finder.roundabouts if m.junction in nodes), frozenset())
        if not home or (group and home != circle):
            close()
        if home:
            circle = home
            group.append(m)
        else:
            merged.append(m)
    close()
    return merged
