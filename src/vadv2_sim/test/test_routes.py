"""Routes: linked, smooth, with the manoeuvres that the lanes ask for."""

from __future__ import annotations

import random

import numpy as np
import pytest

from vadv2_core.errors import InputError
from vadv2_core.geometry import heading_at, wrap_angle
from vadv2_core.taxonomy import DrivingAction
from vadv2_sim.lane_finder import LaneFinder
from vadv2_sim.road_map import town_map
from vadv2_sim.route_plan import RouteFinder
from vadv2_sim.town import TOWN_NAMES, load_town


@pytest.mark.parametrize("name", TOWN_NAMES)
def test_random_ways_are_drivable(name: str) -> None:
    town = town_map(load_town(name))
    finder, lanes = RouteFinder(town), LaneFinder(town.road)
    rng = random.Random(name)
    for _ in range(6):
        plan = finder.plan(finder.wander(rng.choice(sorted(finder.endless)), 500.0, rng))
        assert plan.length > 400.0
        step = np.diff(plan.points, axis=0)
        assert np.hypot(*step.T).max() < 1.2
        yaw = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
        assert np.abs(np.diff(yaw)).max() < 0.45  # 1/m at 1 m: nothing a car cannot steer for a metre
        assert lanes.on_road(plan.points)
        turned = {DrivingAction.LEFT: 1.0, DrivingAction.RIGHT: -1.0}
        for m in plan.manoeuvres:
            if m.action in turned and not m.exit:
                turn = wrap_angle(heading_at(plan.points, m.end + 2.0) - heading_at(plan.points, max(0, m.start - 2.0)))
                assert float(turn) * turned[m.action] > 0.2


def test_projection_stays_on_its_branch() -> None:
    town = town_map(load_town("town_b"))
    finder = RouteFinder(town)
    rng = random.Random(4)
    plan = finder.plan(finder.wander(sorted(finder.endless)[3], 1500.0, rng))
    s = 0.0
    for k in range(0, len(plan.points), 2):
        x, y = plan.points[k]
        s, offset = plan.project(float(x) + 0.3, float(y), s)
        assert abs(s - plan.along[k]) < 1.5
        assert abs(offset) < 0.6


def test_closed_lanes_are_left_and_never_entered() -> None:
    town = town_map(load_town("town_a"))
    free = RouteFinder(town)
    lane = next(a for a in town.road.lanes.values() if a.left and a.id.startswith("n11_n21"))
    closed = RouteFinder(town, {lane.id})
    for seed in range(5):
        rng = random.Random(seed)
        plan = closed.plan(closed.wander("n11_n21", 300.0, rng), lane.id)
        assert plan.lane_ids[0] == lane.id
        assert lane.id not in plan.lane_ids[1:]
        assert plan.manoeuvres[0].action == DrivingAction.CHANGE_LEFT
    assert len(closed.links) <= len(free.links)


def test_unlinked_edges_are_refused() -> None:
    finder = RouteFinder(town_map(load_town("town_a")))
    with pytest.raises(InputError, match="does not lead"):
        finder.plan(("n11_n21", "n00_n01"))
