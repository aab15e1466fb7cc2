"""What of perception's answers stands in the slots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from vlm_scenes import scene_tokens

from vadv2_core.command import Route
from vadv2_core.geometry import Pose2
from vadv2_core.route_ahead import ROUTE_DISTANCES, route_ahead
from vadv2_core.taxonomy import EdgeCaseFlag, Weather
from vadv2_vlm.config import SlotConfig
from vadv2_vlm.slots import AHEAD_FEATURES, WAY_FEATURES, scene_slots


def test_the_row_ahead_ends_in_the_weather_and_the_flags():
    draw = np.random.default_rng(0)
    weather, flags = draw.dirichlet(np.ones(len(Weather))), draw.uniform(size=len(EdgeCaseFlag))
    plain = scene_tokens(0)
    told = replace(
        plain, ahead=replace(plain.ahead, weather=weather.astype(np.float32), flags=flags.astype(np.float32))
    )
    without, row = (scene_slots(t, SlotConfig()).ahead for t in (plain, told))
    assert row.shape == without.shape == (AHEAD_FEATURES,)
    np.testing.assert_allclose(row[-len(EdgeCaseFlag) :], flags, atol=1e-3)
    np.testing.assert_allclose(row[-len(EdgeCaseFlag) - len(Weather) : -len(EdgeCaseFlag)], weather, atol=1e-3)
    told_before = AHEAD_FEATURES - len(Weather) - len(EdgeCaseFlag)
    np.testing.assert_array_equal(row[:told_before], without[:told_before])


def test_the_route_is_shown_as_it_lies_before_the_ego():
    # In odom the ego looks north from (3, 4); the route leads 20 m north, then to the west, which is its left.
    route = Route(0, np.array([[3.0, -10.0], [3.0, 24.0], [-100.0, 24.0]]))
    way = route_ahead(route, Pose2(3.0, 4.0, np.pi / 2))
    tokens = scene_tokens(0)
    row = scene_slots(tokens, SlotConfig(), way).way
    assert row.shape == (WAY_FEATURES,) and row[-1] == 1.0
    points = row[:-1].reshape(len(ROUTE_DISTANCES), -1)
    near, far = int(np.searchsorted(ROUTE_DISTANCES, 10.0)), int(np.searchsorted(ROUTE_DISTANCES, 50.0))
    np.testing.assert_allclose(points[near], [10.0 / 50.0, 0.0, 1.0, 0.0, 1.0], atol=2e-3)
    np.testing.assert_allclose(points[far], [20.0 / 50.0, 30.0 / 50.0, 0.0, 1.0, 1.0], atol=2e-3)
    assert not scene_slots(tokens, SlotConfig()).way.any(), "no route is nothing, not a place"
    assert route_ahead(None, Pose2(0.0, 0.0, 0.0)) is None
    assert route_ahead(Route(0, np.zeros((1, 2))), Pose2(0.0, 0.0, 0.0)) is None
