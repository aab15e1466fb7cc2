import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vadv2_core.route_ahead import ROUTE_DISTANCES, ROUTE_FEATURES
from vadv2_core.taxonomy import MapElementClass
from vadv2_core.vehicle import VehicleConfig
from vadv2_planner.batch import EGO_FEATURES, PlannerBatch
from vadv2_planner.bench import surround_projections
from vadv2_planner.registry import make_network
from vadv2_planner.text import TEXT_LENGTH
from vadv2_training.losses import (
    STAGES,
    PlannerTargets,
    PlanningLossConfig,
    alignment_loss,
    boundary_loss,
    collision_loss,
    comfort_loss,
    focal_loss,
    imitation_loss,
    lane_direction_loss,
    nearest_anchor,
    path_distance,
    path_loss,
    planning_losses,
    trains,
    waypoint_loss,
)
from vadv2_training.losses.collision import SOFTNESS, box_distance, footprint_circles, headings
from vadv2_training.losses.road import EDGE_MARGIN, segment_distance

VEHICLE = VehicleConfig()
TIMES = torch.arange(1, 81) / 10.0


def straight(speed=8.0):
    return torch.stack([speed * TIMES, torch.zeros(80)], -1)


@pytest.fixture
def planner_batch():
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    return PlannerBatch(
        tokens=random(2, 6, 14, 30, 64),
        projection=torch.from_numpy(surround_projections(6, 14, 30)).float().expand(2, -1, -1, -1),
        camera_valid=torch.ones(2, 6),
        queries=random(2, 49, 128),
        aux=random(2, 4, 128),
        ego=random(2, EGO_FEATURES),
        velocity=torch.tensor([[8.0, 0.0], [0.0, 0.0]]),
        acceleration=torch.zeros(2, 2),
        action=torch.tensor([1, 2]),
        distance=torch.zeros(2, 1),
        text=torch.zeros(2, TEXT_LENGTH, dtype=torch.long),
        route=torch.zeros(2, len(ROUTE_DISTANCES), ROUTE_FEATURES),
        route_valid=torch.zeros(2, 1),
        reasoning=random(2, 256),
        reasoning_valid=torch.tensor([[1.0], [0.0]]),
        reasoning_age=torch.zeros(2, 1),
    )


@pytest.fixture
def planner_targets():
    generator = torch.Generator().manual_seed(1)
    others = torch.rand(2, 16, 3, 5, generator=generator) * torch.tensor([40.0, 6.0, 1.0, 1.0, 1.0])
    others = others + torch.tensor([0.0, -3.0, 0.0, 3.5, 1.5])
    lines = torch.stack([torch.linspace(-20, 60, 10), torch.full((10,), 1.5)], -1).expand(2, 2, 10, 2)
    return PlannerTargets(
        future=torch.stack([straight(8.0), straight(0.0)]),
        future_known=torch.ones(2, 80),
        others=others,
        others_known=torch.ones(2, 16, 3),
        map_points=lines,
        map_class=torch.tensor([[0, 1], [0, 1]]),
        map_known=torch.ones(2, 2),
        signal=torch.tensor([1, 0]),
        stop=torch.tensor([[1.0, 20.0], [0.0, 0.0]]),
    )


def test_nearest_anchor_is_the_clean_one_over_the_known_waypoints():
    anchors = torch.zeros(3, 16, 2)
    anchors[1, :, 0], anchors[2, :, 1] = 5.0, 5.0
    target = torch.zeros(2, 16, 2)
    target[0, :, 0] = 4.0
    target[1, :8, 1] = 4.0
    known = torch.ones(2, 16)
    assert nearest_anchor(anchors, target, known).tolist() == [1, 0]
    known[1, 8:] = 0.0
    assert nearest_anchor(anchors, target, known).tolist() == [1, 2]
    assert list(inspect.signature(nearest_anchor).parameters) == ["anchors", "target", "known"]


def test_focal_loss_is_the_sigmoid_one_and_a_mean_over_all_modes():
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
    p = logits.sigmoid().numpy()
    wanted = 0.0
    for row, positive in ((0, 0), (1, 2)):
        for mode in range(3):
            q = p[row, mode]
            wanted += -0.25 * (1 - q) ** 2 * np.log(q) if mode == positive else -0.75 * q**2 * np.log(1 - q)
    got = focal_loss(logits, torch.tensor([0, 2]), torch.ones(2))
    assert float(got) == pytest.approx(wanted / 6, rel=1e-5)


def test_path_loss_is_the_distance_from_the_driven_line_at_any_speed():
    angle = torch.linspace(0.0, 1.2, 81)[1:]
    arc = 20.0 * torch.stack([angle.sin(), 1.0 - angle.cos()], dim=-1)
    slower = 20.0 * torch.stack([(angle / 2).sin(), 1.0 - (angle / 2).cos()], dim=-1)
    wider = 20.5 * torch.stack([(angle / 2).sin(), 1.0 - (angle / 2).cos()], dim=-1) - torch.tensor([0.0, 0.5])
    known = torch.ones(1, 80)
    assert float(path_loss(slower[None], arc[None], known)) < 1e-3
    assert float(path_loss(wider[None], arc[None], known)) == pytest.approx(0.45, abs=0.05)


def test_path_loss_counts_nothing_beyond_the_end_of_what_was_driven():
    driven, known = straight(4.0)[None], torch.ones(1, 80)
    ahead = straight(8.0)[None].clone()
    ahead[:, 40:, 1] = 9.0
    ahead.requires_grad_()
    beside = path_distance(ahead, driven, known)[1]
    assert beside[0, :39].all() and not beside[0, 41:].any()
    path_loss(ahead + torch.tensor([0.0, 0.3]), driven, known).backward()
    assert (ahead.grad[0, :39, 1] > 0).all() and ahead.grad[0, :39, 0].abs().max() < 1e-6
    assert ahead.grad[0, 41:].abs().max() == 0.0
    known[:, 20:] = 0.0
    assert path_distance(ahead, driven, known)[1].sum() < 12
    for nothing in (torch.zeros(1, 80), torch.ones(1, 80)):
        still = torch.zeros(1, 80, 2)
        assert float(path_loss(ahead.detach(), still, nothing)) == 0.0


def test_waypoint_loss_is_l1_in_metres_over_the_known_times():
    target = straight()[None]
    known = torch.ones(1, 80)
    assert float(waypoint_loss(target + torch.tensor([0.4, -0.2]), target, known)) == pytest.approx(0.3, abs=1e-5)
    known[:, 40:] = 0.0
    off = target.clone()
    off[:, 40:] += 100.0
    assert float(waypoint_loss(off, target, known)) == 0.0


def test_only_the_nearest_mode_is_regressed_and_every_logit_learns():
    positions = (straight()[None, None] + torch.randn(2, 5, 80, 2)).requires_grad_(True)
    logits = torch.zeros(2, 5, requires_grad=True)
    focal, l1 = imitation_loss(
        positions, logits, torch.tensor([3, 1]), straight()[None].repeat(2, 1, 1), torch.ones(2, 80)
    )
    (focal + l1).backward()
    moved = positions.grad.abs().sum((-1, -2)) > 0
    assert moved.tolist() == [[False, False, False, True, False], [False, True, False, False, False]]
    assert (logits.grad != 0).all()


def test_alignment_is_one_minus_cosine_and_moves_only_the_reasoning():
    reasoning = torch.tensor([[1.0, 0.0], [1.0, 1.0]], requires_grad=True)
    trajectory = torch.tensor([[0.0, 2.0], [3.0, 3.0]], requires_grad=True)
    loss = alignment_loss(reasoning, trajectory, torch.ones(2))
    assert float(loss) == pytest.approx(0.5)
    loss.backward()
    assert trajectory.grad is None
    assert reasoning.grad.abs().sum() > 0
    assert float(alignment_loss(reasoning, trajectory, torch.tensor([0.0, 1.0]))) == pytest.approx(0.0, abs=1e-6)


def test_box_distance_inside_outside_and_turned():
    box = torch.tensor([10.0, 0.0, np.pi / 2, 4.0, 2.0])
    points = torch.tensor([[10.0, 0.0], [10.0, 3.0], [12.0, 0.0], [12.0, 3.0]])
    wanted = torch.tensor([-1.0, 1.0, 1.0, 2**0.5])
    assert torch.allclose(box_distance(points, box), wanted, atol=1e-4)


def test_footprint_covers_the_vehicle_and_follows_the_motion():
    arc = TIMES * 0.3
    positions = torch.stack([10 * torch.sin(arc), 10 * (1 - torch.cos(arc))], -1)[None]
    centres, radius = footprint_circles(positions, VEHICLE)
    middle = centres[0, 40, 2] - positions[0, 40]
    heading = torch.stack([torch.cos(arc[40]), torch.sin(arc[40])])
    assert torch.allclose(middle / VEHICLE.centre_offset, heading, atol=0.03)
    assert radius == 0.5 * VEHICLE.width
    front = centres[0, 0, -1, 0] + radius - positions[0, 0, 0]
    assert float(front) == pytest.approx(VEHICLE.length - VEHICLE.rear_overhang, abs=1e-3)
    still = headings(torch.zeros(1, 10, 2))
    assert torch.allclose(still, torch.tensor([1.0, 0.0]).expand(1, 10, 2))


def test_collision_loss_pushes_a_mode_off_an_occupied_place_at_its_time():
    positions = straight()[None, None, 4::5].clone().requires_grad_(True)
    boxes = torch.zeros(1, 16, 1, 5)
    boxes[..., 3], boxes[..., 4] = 4.5, 2.0
    boxes[..., 0], boxes[..., 1] = 40.0 + 1.35, 1.0
    loss = collision_loss(positions, boxes, torch.ones(1, 16, 1), VEHICLE)
    loss.backward()
    at_five_seconds = positions.grad[0, 0, 9]
    assert at_five_seconds[1] > 0
    assert positions.grad[0, 0, 2].abs().sum() < 1e-6
    free = collision_loss(positions, boxes + torch.tensor([0, 20.0, 0, 0, 0]), torch.ones(1, 16, 1), VEHICLE)
    nobody = collision_loss(positions, boxes, torch.zeros(1, 16, 1), VEHICLE)
    assert float(free) < 1e-6 < float(loss)
    assert float(nobody) == 0.0
    early = boxes.clone()
    early[:, 5:, :, 1] = 50.0
    assert float(collision_loss(positions, early, torch.ones(1, 16, 1), VEHICLE)) < float(loss) / 3


def test_comfort_is_free_within_bounds_and_grows_beyond_them():
    smooth = straight()[None, None]
    velocity = torch.tensor([[8.0, 0.0]])
    assert float(comfort_loss(smooth, velocity)) == pytest.approx(0.0, abs=1e-5)
    hard = torch.stack([8 * TIMES - 3.0 * TIMES**2, torch.zeros(80)], -1)[None, None, :12]
    harder = torch.stack([8 * TIMES - 4.0 * TIMES**2, torch.zeros(80)], -1)[None, None, :12]
    assert 0.01 < float(comfort_loss(hard, velocity)) < float(comfort_loss(harder, velocity))
    arc = TIMES * 1.2
    circle = torch.stack([5 * torch.sin(arc), 5 * (1 - torch.cos(arc))], -1)[None, None]
    assert float(comfort_loss(circle, torch.tensor([[6.0, 0.0]]))) > 0.01


def test_boundary_loss_is_how_far_the_footprint_comes_too_near():
    edge = torch.stack([torch.linspace(-20, 80, 10), torch.full((10,), 1.0)], -1)[None, None]
    at_knots = straight()[None, None, 4::5].clone().requires_grad_(True)
    loss = boundary_loss(at_knots, edge, torch.ones(1, 1), VEHICLE)
    assert float(loss) == pytest.approx(0.5 * VEHICLE.width + 0.3 - 1.0, abs=0.02)
    loss.backward()
    assert (at_knots.grad[..., 1] > 0).all()
    assert float(boundary_loss(at_knots, edge + 5.0, torch.ones(1, 1), VEHICLE)) == 0.0
    assert float(boundary_loss(at_knots, edge, torch.zeros(1, 1), VEHICLE)) == 0.0


def gradient(loss, positions):
    moved = positions.clone().requires_grad_()
    value = loss(moved)
    value.backward()
    return value.detach(), moved.grad


@pytest.mark.parametrize("absent", ["some", "all of a sample"])
def test_the_nearest_edge_and_box_are_those_of_every_pair(absent):
    generator = torch.Generator().manual_seed(3)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    positions = (random(3, 5, 16, 2).abs() * torch.tensor([3.0, 0.3])).cumsum(2)
    edges, boxes = random(3, 6, 8, 2).cumsum(2) * 4.0, random(3, 16, 7, 5) * torch.tensor([15.0, 15.0, 1.0, 2.0, 2.0])
    boxes[..., 3:] = boxes[..., 3:].abs() + 0.5
    edges_known, boxes_known = (random(3, 6) > 0).float(), (random(3, 16, 7) > 0).float()
    if absent == "all of a sample":
        edges_known[0], boxes_known[0] = 0.0, 0.0

    def nearest_of_all_edges(moved):
        centres, _ = footprint_circles(moved, VEHICLE)
        middle = centres[..., centres.shape[-2] // 2, :].flatten(1, 2).unsqueeze(2)
        start, end = edges[:, None, :, :-1].flatten(2, 3), edges[:, None, :, 1:].flatten(2, 3)
        there = edges_known.repeat_interleave(7, dim=1).unsqueeze(1) > 0
        nearest = segment_distance(middle, start, end).masked_fill(~there, 1e3).amin(-1)
        return (0.5 * VEHICLE.width + EDGE_MARGIN - nearest).clamp(min=0.0).mean()

    def nearest_of_all_boxes(moved):
        centres, radius = footprint_circles(moved, VEHICLE)
        distance = box_distance(centres.unsqueeze(-2), boxes[:, None, :, None])
        nearest = distance.masked_fill(boxes_known[:, None, :, None] <= 0, 1e3).flatten(-2).amin(-1)
        timed = (boxes_known.amax(-1) > 0).float().unsqueeze(1).expand_as(nearest)
        return (F.softplus((radius - nearest) / SOFTNESS) * timed).sum() / timed.sum()

    for ours, theirs in (
        (lambda moved: boundary_loss(moved, edges, edges_known, VEHICLE), nearest_of_all_edges),
        (lambda moved: collision_loss(moved, boxes, boxes_known, VEHICLE), nearest_of_all_boxes),
    ):
        for mine, reference in zip(gradient(ours, positions), gradient(theirs, positions), strict=True):
            torch.testing.assert_close(mine, reference)
        assert gradient(ours, positions)[1].abs().max() > 0


def test_lane_direction_fits_the_best_lane_nearby():
    along = torch.stack([torch.linspace(0, 80, 10), torch.zeros(10)], -1)
    lanes = torch.stack([along, along.flip(0)])[None]
    driven = straight()[None, 4::5]
    assert float(lane_direction_loss(driven, lanes[:, 1:], torch.ones(1, 1))) == pytest.approx(2.0, abs=0.01)
    assert float(lane_direction_loss(driven, lanes, torch.ones(1, 2))) == pytest.approx(0.0, abs=1e-4)
    far = lanes[:, 1:] + torch.tensor([0.0, 10.0])
    assert float(lane_direction_loss(driven, far, torch.ones(1, 1))) == 0.0


@pytest.mark.parametrize("name", ["truncated_diffusion", "vanilla_diffusion", "regression", "ego_status", "minimal"])
def test_every_planner_learns_from_the_same_losses(name, planner_batch, planner_targets):
    network = make_network(name).train()
    extra = (planner_targets.waypoints,) if network.noises_target else ()
    predictions = network(planner_batch, torch.Generator().manual_seed(0), *extra)
    losses = planning_losses(network, predictions, planner_batch, planner_targets, PlanningLossConfig(), VEHICLE)
    assert all(torch.isfinite(v) for v in losses.values())
    assert float(losses["total"]) == pytest.approx(sum(float(v) for k, v in losses.items() if k != "total"), rel=1e-4)
    losses["total"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_vocabulary_learns_scores_alone(planner_batch, planner_targets):
    network = make_network("vocabulary").train()
    losses = planning_losses(
        network, network(planner_batch), planner_batch, planner_targets, PlanningLossConfig(), VEHICLE
    )
    assert float(losses["focal"]) > 0
    assert float(losses["waypoints"]) == 0


def test_stages_say_what_trains():
    network = make_network("truncated_diffusion")
    everything = trains(network, STAGES[1]["planner"])
    assert len(everything) == len(list(network.parameters()))
    second = trains(network, STAGES[2]["planner"])
    assert second
    assert all("vlm_projector" in n or "alignment_head" in n or "reasoning_age" in n for n in second)
    assert trains(network, STAGES[2]["perception"]) == []
    assert {k for stage in STAGES.values() for k in stage} == {"perception", "planner", "vlm"}


def test_losses_see_targets_and_the_network_does_not(planner_batch, planner_targets):
    network = make_network("truncated_diffusion").eval()
    with torch.no_grad():
        one = network(planner_batch, torch.Generator().manual_seed(0))[-1]
    assert F.mse_loss(one.logits, network(planner_batch, torch.Generator().manual_seed(0))[-1].logits) == 0
    assert int(planner_targets.map_class.max()) <= max(MapElementClass)
