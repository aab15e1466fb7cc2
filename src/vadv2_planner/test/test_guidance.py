import numpy as np
import pytest
import torch

from vadv2_core.command import Route
from vadv2_core.geometry import Pose2
from vadv2_core.route_ahead import route_features
from vadv2_planner.guidance import ROUTE_SCALE, Guidance, Guide, route_relation

KNOTS, WIDTH, QUERY = 4, 16, 12


def route_of(points):
    return torch.from_numpy(route_features(Route(0, np.array(points, dtype=float)), Pose2(0.0, 0.0, 0.0))).float()[None]


@pytest.mark.parametrize(
    ("point", "left", "away", "along"), [((10, 2), 2, 2, 10), ((10, -2), -2, 2, 10), ((40, 0), 0, 0, 40)]
)
def test_a_point_is_related_to_a_straight_route_in_metres(point, left, away, along):
    route = route_of([(0, 0), (200, 0)])
    said = route_relation(torch.tensor([[point]], dtype=torch.float32), route)[0, 0]
    assert said[0].item() * 3.0 == pytest.approx(left, abs=0.05)
    # A soft minimum counts the neighbouring segments too.
    assert said[1].item() * 3.0 == pytest.approx(away, abs=0.2)
    # Neighbouring segments share a point that lies between them: within half a metre it is on the right one.
    assert said[2].item() * ROUTE_SCALE == pytest.approx(along, abs=0.5)


def test_left_is_left_of_the_route_where_it_turns():
    route = route_of([(0, 0), (30, 0), (30, 100)])
    inside, outside = torch.tensor([[[26.0, 30.0]]]), torch.tensor([[[34.0, 30.0]]])
    assert route_relation(inside, route)[0, 0, 0] > 0.5
    assert route_relation(outside, route)[0, 0, 0] < -0.5


def guide_of(guidance, scene, on_route=1.0):
    route = route_of([(0, 0), (200, 0)])
    shown = torch.full((1, 1), on_route)
    facts = guidance.facts(scene)
    return Guide(torch.zeros(1, WIDTH), route * shown.unsqueeze(-1), shown, facts)


def test_what_the_scene_says_is_held_against_each_mode():
    torch.manual_seed(0)
    guidance = Guidance(WIDTH, KNOTS, QUERY)
    near = torch.linspace(1.0, 8.0, KNOTS)
    modes = torch.stack([torch.stack([near * k, torch.zeros(KNOTS)], -1) for k in (1.0, 4.0)])[None]
    free, blocked = torch.zeros(1, QUERY), torch.ones(1, QUERY)
    change = guidance(modes, guide_of(guidance, blocked)) - guidance(modes, guide_of(guidance, free))
    assert (change[0, 0] - change[0, 1]).abs().max() > 1e-4


def test_without_a_route_modes_are_told_of_none():
    torch.manual_seed(0)
    guidance = Guidance(WIDTH, KNOTS, QUERY)
    modes = torch.randn(1, 3, KNOTS, 2) * 10.0
    added = guidance(modes, guide_of(guidance, torch.ones(1, QUERY), on_route=0.0))
    assert torch.equal(added[0, 0], added[0, 1])
