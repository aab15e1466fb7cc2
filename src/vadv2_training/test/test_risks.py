"""What a future comes to is read off where it lies, and lowers its score."""

import pytest
import torch

from vadv2_core.taxonomy import SignalState
from vadv2_core.vehicle import VehicleConfig
from vadv2_planner.decoder import Prediction, careful
from vadv2_planner.layers import RISKS
from vadv2_training.losses.risks import RiskTruth, risk_labels, risk_loss

VEHICLE = VehicleConfig()
TIMES = 0.1 * torch.arange(1, 81)
FRONT = VEHICLE.length - VEHICLE.rear_overhang


def straight(speed, brakes=0.0, sideways=0.0):
    """(80, 2) m that begin at a speed, brake to rest and reach ``sideways`` metres left after 2 s."""
    t = TIMES.clamp(max=speed / brakes) if brakes else TIMES
    return torch.stack([speed * t - 0.5 * brakes * t**2, sideways * (TIMES / 2.0).clamp(max=1.0)], -1)


def truth(box=None, edge=None, signal=SignalState.UNKNOWN, stop=None, speed=8.0, moves=0.0):
    """One sample: a box (x, y) that moves ahead, an edge at y, a light, a stop line."""
    others, known = torch.zeros(1, 16, 2, 5), torch.zeros(1, 16, 2)
    if box is not None:
        times = 0.5 * torch.arange(1, 17)
        others[0, :, 0] = torch.tensor([*box, 0.0, 4.5, 1.8])
        others[0, :, 0, 0] += moves * times
        known[0, :, 0] = 1.0
    edges, there = torch.zeros(1, 2, 10, 2), torch.zeros(1, 2)
    if edge is not None:
        edges[0, 0] = torch.stack([torch.linspace(-20.0, 60.0, 10), torch.full((10,), edge)], -1)
        there[0, 0] = 1.0
    line = torch.tensor([[0.0, 0.0] if stop is None else [1.0, stop]])
    return RiskTruth(others, known, edges, there, torch.tensor([int(signal)]), line, torch.tensor([speed]))


def labels(risk, *futures, driven=None, **scene):
    recorded = straight(8.0, 3.0) if driven is None else driven
    said = risk_labels(torch.stack(futures)[None], recorded[None], truth(**scene), VEHICLE)
    return said[0, :, RISKS.index(risk)].tolist()


def test_who_runs_into_somebody_collides_and_who_stops_or_passes_does_not():
    futures = straight(8.0), straight(8.0, brakes=3.0), straight(8.0, sideways=3.5)
    assert labels("collision", *futures, box=(24.0, 0.0)) == [1.0, 0.0, 0.0]
    assert labels("collision", *futures, box=(24.0, 0.0), moves=8.0) == [0.0, 0.0, 0.0]
    assert labels("collision", *futures) == [0.0, 0.0, 0.0]


def test_what_is_met_later_or_from_behind_or_at_rest_is_no_collision():
    assert labels("collision", straight(8.0), box=(8.0 * 4.5 + FRONT + 2.25, 0.0)) == [0.0]
    assert labels("collision", straight(4.0), box=(-8.0, 0.0), moves=7.0) == [0.0]
    assert labels("collision", straight(0.0), box=(12.0, 0.0), moves=-4.0) == [0.0]


def test_a_wheel_over_the_edge_is_off_the_road():
    half = 0.5 * VEHICLE.width
    futures = straight(8.0), straight(8.0, sideways=1.0)
    assert labels("off_road", *futures, edge=half + 0.6) == [0.0, 1.0]
    assert labels("off_road", *futures) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("scene", "label"),
    [
        ({"signal": SignalState.RED, "stop": 15.0}, 1.0),
        ({"signal": SignalState.RED_YELLOW, "stop": 15.0}, 1.0),
        ({"signal": SignalState.GREEN, "stop": 15.0}, 0.0),
        ({"signal": SignalState.RED}, 0.0),
        ({"signal": SignalState.RED, "stop": 33.0}, 0.0),
        ({"signal": SignalState.RED, "stop": 3.0}, 0.0),
    ],
)
def test_the_line_of_a_red_light_is_not_driven_over_where_it_can_be_stopped_at(scene, label):
    assert labels("red_light", straight(8.0), straight(8.0, brakes=3.0), **scene) == [label, 0.0]


def test_a_light_that_the_driver_was_let_through_by_is_no_risk():
    assert labels("red_light", straight(8.0), driven=straight(8.0), signal=SignalState.RED, stop=15.0) == [0.0]


def test_without_a_map_collisions_alone_are_learned():
    risks = torch.zeros(2, 4, 3, requires_grad=True)
    risk_loss(risks, torch.ones(2, 4, 3), torch.tensor([1.0, 0.0])).backward()
    assert (risks.grad[0] != 0).all()
    assert (risks.grad[1, :, 0] != 0).all() and not risks.grad[1, :, 1:].any()


def test_a_score_is_multiplied_by_what_it_does_not_risk():
    logits, risks = torch.tensor([[0.3, -1.0, 5.0, -80.0]]), torch.tensor([[[-1.0, 0.5, -3.0]] * 4])
    prediction = Prediction(torch.zeros(1, 4, 16, 2), logits, torch.zeros(1, 4, 8), risks)
    expected = logits.sigmoid() * (1.0 - risks.sigmoid()).prod(-1)
    assert torch.allclose(careful(prediction).logits.sigmoid(), expected, atol=1e-6)
    assert careful(prediction._replace(risks=None)).logits is logits
    sure = prediction._replace(logits=torch.full((1, 4), 90.0), risks=torch.full((1, 4, 3), -90.0))
    assert torch.isfinite(careful(sure).logits).all()
