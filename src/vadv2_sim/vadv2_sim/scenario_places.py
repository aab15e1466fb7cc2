"""Suitable places in a town: ways through a junction, along a road with more than one lane, over a crossing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from vadv2_core.errors import InputError
from vadv2_core.geometry import arc_length
from vadv2_core.scene import Crossing, Lane
from vadv2_core.taxonomy import LaneKind
from vadv2_sim.route_plan import RoutePlan, edge_of
from vadv2_sim.scenario import Placement, Site


def shuffled(site: Site, lanes: Iterable[Lane]) -> list[Lane]:
    """Lanes in an order of the drive's own."""
    found = sorted(lanes, key=lambda lane: lane.id)
    site.rng.shuffle(found)
    return found


def long_roads(site: Site, metres: float, suits: Callable[[Lane], bool] = lambda lane: True) -> list[Lane]:
    """Open lanes of roads that lead on, longer than some metres, shuffled."""
    return shuffled(
        site,
        (
            lane
            for lane in site.map.road.lanes.values()
            if lane.kind == LaneKind.ROAD
            and edge_of(lane.id) in site.finder.endless
            and lane.id not in site.finder.closed
            and float(arc_length(lane.centerline)[-1]) > metres
            and suits(lane)
        ),
    )


def connectors(site: Site, suits: Callable[[Lane], bool]) -> list[Lane]:
    """Open connectors between real roads that suit, shuffled."""
    closed = site.finder.closed
    return shuffled(
        site,
        (
            lane
            for lane in site.map.road.lanes.values()
            if lane.kind == LaneKind.CONNECTOR
            and not closed.intersection((*lane.predecessors, *lane.successors))
            and site.lane(lane.predecessors[0]).kind == LaneKind.ROAD
            and edge_of(lane.successors[0]) in site.finder.endless
            and suits(lane)
        ),
    )


def wide_lanes(site: Site, length: float, side: str | None = None) -> list[Lane]:
    """Road lanes of at least ``length`` m with a neighbour (on ``side``: left or right), all open, shuffled."""
    return shuffled(
        site,
        (
            lane
            for lane in site.map.road.lanes.values()
            if lane.kind == LaneKind.ROAD
            and lane.id not in site.finder.closed
            and (getattr(lane, side) if side else lane.left or lane.right)
            and not site.finder.closed.intersection((lane.left, lane.right))
            and float(arc_length(lane.centerline)[-1]) >= length
            and edge_of(lane.id) in site.finder.endless
        ),
    )


def upstream(site: Site, edge: str, length: float) -> list[str]:
    """Edges that lead to an edge, at least ``length`` m of them where there are, drawn by the site's chance."""
    before: dict[str, list[str]] = {}
    for start, end in site.finder.links:
        before.setdefault(end, []).append(start)
    edges: list[str] = []
    total = 0.0
    while total < length:
        first = edges[0] if edges else edge
        choices = [e for e in sorted(before.get(first, [])) if e not in edges and e != edge]
        if not choices:
            break
        edges.insert(0, site.rng.choice(choices))
        total += site.finder.edge_length(edges[0])
    return edges


def through(
    site: Site, connector: Lane, before: float, after: float, speed: float = 7.0, beyond: tuple[str, ...] = ()
) -> Placement | None:
    """A way of ``before`` m to a connector's start and ``after`` m from its end on; None where it cannot be driven."""
    into, out = edge_of(connector.predecessors[0]), edge_of(connector.successors[0])
    need = before - site.finder.edge_length(into) + 12.0
    lead = upstream(site, into, need) if need > 0.0 else []
    tail = list(beyond) or [out]
    onward = site.finder.wander(tail[-1], after + 60.0, site.rng)
    edges = (*lead, into, *tail[:-1], *onward)
    plan = try_plan(site, edges)
    if plan is None:
        return None
    focus = distance_of(plan, site, into, out)
    end = focus + float(arc_length(connector.centerline)[-1])
    if focus < 0.6 * before:
        return None
    return Placement(edges, max(6.0, focus - before), focus, end + after, speed)


def along(
    site: Site, lane: Lane, start: float, after: float, speed: float = 8.0, before: float = 0.0, stay: bool = True
) -> Placement | None:
    """A way that begins ``start`` m along a lane (or ``before`` m ahead of that) and goes on for ``after`` m.

    With ``stay`` the way first follows the lane itself, not a neighbour.
    """
    edge = edge_of(lane.id)
    lead = upstream(site, edge, before - start) if before > start else []
    for _ in range(6):
        edges = (*lead, *site.finder.wander(edge, after + 80.0, site.rng))
        plan = try_plan(site, edges, lane.id if stay and not lead else None)
        if plan is None:
            continue
        if stay and lane.id not in plan.lane_ids:
            continue
        offset = sum_before(plan, lane.id if lane.id in plan.lane_ids else edge)
        focus = offset + start
        if stay and changes_within(plan, focus - 5.0, focus + after):
            continue
        own = lane.id if stay and not lead else None
        return Placement(edges, max(3.0, focus - before), focus, focus + after, speed, own)
    return None


def changes_within(plan: RoutePlan, low: float, high: float) -> bool:
    """Whether the way changes lanes between two distances."""
    return any(not m.junction and m.end > low and m.start < high for m in plan.manoeuvres)


def try_plan(site: Site, edges: tuple[str, ...], start_lane: str | None = None) -> RoutePlan | None:
    """A plan, or None where the lanes do not lead along."""
    try:
        return site.finder.plan(edges, start_lane)
    except InputError:
        return None


def distance_of(plan: RoutePlan, site: Site, into: str, out: str) -> float:
    """Distance along a way to the connector between two edges; -1 where it is not on it."""
    for k, name in enumerate(plan.lane_ids):
        lane = site.lane(name)
        if lane.kind != LaneKind.CONNECTOR or edge_of(lane.predecessors[0]) != into:
            continue
        if edge_of(lane.successors[0]) == out:
            return float(plan.along[int(np.argmax(plan.lane_index == k))])
    return -1.0


def sum_before(plan: RoutePlan, name: str) -> float:
    """Distance along a way to the first point on a lane or edge."""
    for k, lane in enumerate(plan.lane_ids):
        if name in (lane, edge_of(lane)):
            hits = np.flatnonzero(plan.lane_index == k)
            if len(hits):
                return float(plan.along[hits[0]])
    return 0.0


def first_of(site: Site, lanes: list[Lane], build: Callable[[Lane], Placement | None]) -> Placement | None:
    """The first placement that can be built."""
    for lane in lanes[:60]:
        placement = build(lane)
        if placement is not None:
            return placement
    return None


def crossing_over(site: Site, connector: Lane) -> Crossing | None:
    """An unsignalled crossing that a connector runs over."""
    for crossing in site.map.road.crossings:
        if crossing.junction == connector.junction and not crossing.signal:
            low, high = crossing.polygon.min(axis=0), crossing.polygon.max(axis=0)
            inside = ((connector.centerline > low) & (connector.centerline < high)).all(axis=1)
            middle = crossing.polygon.mean(axis=0)
            if inside.any() or np.hypot(*(connector.centerline - middle).T).min() < 2.0:
                return crossing
    return None


def later(placement: Placement, metres: float) -> Placement:
    """The same place with its focus moved along."""
    return replace(placement, focus=placement.focus + metres)
