"""The lateral meta-action of a path on its map: what the lanes it runs over make of it, not how it bends.

Numbers that are not the expert's own were chosen on recordings of the training towns, never on held-out scenes.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vadv2_core.geometry import Array, arc_length, heading_at, project_to_polyline
from vadv2_core.meta_action import HORIZON, MetaAction, driven_action
from vadv2_core.scene import Lane, RoadMap
from vadv2_core.taxonomy import LaneKind, LateralAction

LOOK_AHEAD = 8.0
"""s of a path that are looked at: where it goes later says on which of the lanes that part in a junction it is now."""
SHORTEST_TURN = 4.0
"""m within which a turn counts that a slow path reaches only after `HORIZON`, as the expert's does."""
CHANGE_HORIZON = 5.0
"""s within which the path comes over to another lane; the expert says a change for as long as it prepares it."""
SHORTEST_SHIFT = 8.0
"""m within which a path swings out or back, where it drives less in `HORIZON`, as the expert's does."""
SHIFT = 1.2
"""m to the side that the expert calls a change where it passes something."""
DRIVEN = (LaneKind.ROAD, LaneKind.CONNECTOR, LaneKind.DRIVEWAY)
TURNS = (LateralAction.LEFT_TURN, LateralAction.RIGHT_TURN)

STEP = 1.0
"""m between two looks at the path."""
REACH = 7.0
"""m beside a lane's middle at which a path may still be the lane's: one that passes something swings out that far."""
ALIGNED = np.cos(np.deg2rad(75.0))
"""Of the angle between path and lane; beyond it the path is not on the lane."""
TURNED_COST = 8.0
"""m^2 that a squared radian between path and lane counts for: six degrees are as bad as 0.3 m."""
CHANGE_COST, JUMP_COST = 6.0, 60.0
"""m^2 of going over to the lane beside, and to one that neither continues nor adjoins the last; going on is free."""


def action_on_road(road: RoadMap, times: ArrayLike, poses: ArrayLike, speeds: ArrayLike) -> MetaAction:
    """Meta-actions of a path on its map.

    Args:
        road: The map.
        times: (n,) s from now, rising, the first 0; at least to `HORIZON`.
        poses: (n, 3) x, y, yaw of base_link in the map's frame.
        speeds: (n,) m/s, the first the present one.
    """
    longitudinal, _ = driven_action(times, poses, speeds)  # Of the speeds alone; what the bend suggests is not asked.
    return longitudinal, lateral_on_road(road, times, poses)


def lateral_on_road(road: RoadMap, times: ArrayLike, poses: ArrayLike) -> LateralAction:
    """The lateral meta-action of a path, from the lanes it runs over; UNKNOWN for one that is on none.

    The rules are those by which the expert names its own plan (`vadv2_sim.expert.decide.lateral_of`), as far as a path
    and a map can tell, so that what was planned, driven and decided are judged alike. The first that holds:

    1. A connector that turns, of those it is on within `HORIZON` (`SHORTEST_TURN` at least): that turn. A road that
       bends is no connector, and a turn that is not yet begun is one that comes.
    2. Within `CHANGE_HORIZON` it comes over to the lane beside: that change. Once it is over, nothing changes any more.
    3. It begins or ends off its lane, and moves by more than `SHIFT` to a side within `HORIZON` (`SHORTEST_SHIFT` at
       least): a change to there, such as past an obstacle over the other direction's lane, and back.
    4. STRAIGHT.

    What the path cannot show is not said: a path that waits for room to change lanes stays in its lane.

    Args:
        road: The map.
        times: (n,) s from now, rising, the first 0; up to `LOOK_AHEAD` is looked at.
        poses: (n, 3) x, y, yaw of base_link in the map's frame.
    """
    t, rows = np.asarray(times, dtype=np.float64), np.asarray(poses, dtype=np.float64)
    seen = t <= LOOK_AHEAD + 1e-6
    t, driven = t[seen], arc_length(rows[seen, :2])
    s = np.linspace(0.0, driven[-1], max(int(np.ceil(driven[-1] / STEP)), 1) + 1)
    x, y, yaw = (np.interp(s, driven, v[seen]) for v in (rows[:, 0], rows[:, 1], np.unwrap(rows[:, 2])))
    found = _lanes_of(road, np.column_stack([x, y, yaw]))
    if found is None:
        return LateralAction.UNKNOWN
    lanes, offset = found
    soon = float(np.interp(HORIZON, t, driven))
    for lane in lanes[: _count(s, max(soon, SHORTEST_TURN))]:
        if lane.kind is LaneKind.CONNECTOR and lane.turn in TURNS:
            return lane.turn
    change = max(float(np.interp(CHANGE_HORIZON, t, driven)), SHORTEST_SHIFT)
    for before, after in pairwise(lanes[: _count(s, change)]):
        if after.id in (before.left, before.right):
            return LateralAction.LEFT_CHANGE if after.id == before.left else LateralAction.RIGHT_CHANGE
    end = _count(s, max(soon, SHORTEST_SHIFT)) - 1
    shift = float(offset[end] - offset[0])
    if abs(shift) > SHIFT and max(abs(offset[0]), abs(offset[end])) > 0.5 * lanes[0].width:
        return LateralAction.LEFT_CHANGE if shift > 0.0 else LateralAction.RIGHT_CHANGE
    return LateralAction.STRAIGHT


def _count(s: Array, reach: float) -> int:
    return int(np.searchsorted(s, reach + 1e-6))


def _lanes_of(road: RoadMap, path: Array) -> tuple[list[Lane], Array] | None:
    """The likeliest lane at each pose (n, 3) of a path, and how far left of its middle the pose is (n,), m.

    The cheapest sequence by dynamic programming: near the lane's middle, along it, and from lane to lane where one goes
    on. None where no pose is on any lane.
    """
    near = _near(road, path)
    if not near:
        return None
    offsets, costs = (np.stack(v) for v in zip(*(_fit(lane, path) for lane in near), strict=True))
    if (costs >= REACH**2).all():
        return None
    step = _steps(near)
    best, back = costs[:, 0], []
    everyone = np.arange(len(near))
    for cost in costs.T[1:]:
        total = best[:, None] + step
        back.append(total.argmin(axis=0))
        best = total[back[-1], everyone] + cost
    way = [int(best.argmin())]
    for came in reversed(back):
        way.append(int(came[way[-1]]))
    way.reverse()
    return [near[k] for k in way], offsets[way, np.arange(len(path))]


def _near(road: RoadMap, path: Array) -> list[Lane]:
    """Lanes whose bounding boxes the path comes within `REACH` of."""
    lanes = [lane for lane in road.lanes.values() if lane.kind in DRIVEN and len(lane.centerline) > 1]
    if not lanes:
        return []
    starts = np.cumsum([0] + [len(lane.centerline) for lane in lanes[:-1]])
    points = np.concatenate([lane.centerline for lane in lanes])
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    inside = (high >= path[:, :2].min(axis=0) - REACH) & (low <= path[:, :2].max(axis=0) + REACH)
    return [lanes[k] for k in np.flatnonzero(inside.all(axis=1))]


def _fit(lane: Lane, path: Array) -> tuple[Array, Array]:
    """Offsets (n,) left of a lane's middle, m, and the cost (n,) of being on the lane, m^2; `REACH` squared if off."""
    along, offset = project_to_polyline(lane.centerline, path[:, :2])
    aligned = np.cos(path[:, 2] - heading_at(lane.centerline, along))
    cost = offset**2 + 2.0 * TURNED_COST * (1.0 - aligned)
    return offset, np.where(aligned < ALIGNED, REACH**2, np.minimum(cost, REACH**2))


def _steps(lanes: list[Lane]) -> NDArray[np.float64]:
    """What it costs (before, after) to come from lane to lane, m^2."""
    place = {lane.id: k for k, lane in enumerate(lanes)}
    cost = np.full((len(lanes), len(lanes)), JUMP_COST)
    for k, lane in enumerate(lanes):
        cost[k, [place[n] for n in (lane.left, lane.right) if n in place]] = CHANGE_COST
        cost[k, [k, *(place[n] for n in lane.successors if n in place)]] = 0.0
    return cost
