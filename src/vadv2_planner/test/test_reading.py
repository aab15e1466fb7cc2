import numpy as np
import torch
import torch.nn.functional as F

from vadv2_planner.batch import camera_projections
from vadv2_planner.bench import bev_projection
from vadv2_planner.reading import lift, read_maps


def test_reading_is_bilinear_with_zeros_outside_and_pixel_centres_at_integers(tokens):
    maps = torch.from_numpy(tokens.tokens.astype(np.float32))[None, :1]
    projection = torch.from_numpy(
        camera_projections(tokens.k, tokens.t_base_camera, tokens.t_anchor_camera_time)
    ).float()[None, :1]
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.uniform([4, -12, 0], [60, 12, 2], (200, 3))).float()[None]
    ours = read_maps(points, maps, projection, torch.ones(1, 1))
    homogeneous = torch.cat([points, torch.ones(1, 200, 1)], -1) @ projection[0, 0].T
    uv = homogeneous[..., :2] / homogeneous[..., 2:]
    grid = torch.stack([(uv[..., 0] + 0.5) / 30 * 2 - 1, (uv[..., 1] + 0.5) / 14 * 2 - 1], -1)
    theirs = F.grid_sample(maps[0].permute(0, 3, 1, 2), grid[None, 0][:, None], align_corners=False)[0, :, 0].T
    assert torch.allclose(ours[0], theirs, atol=1e-5)
    assert (ours.abs().sum(-1) == 0).any()
    assert (ours.abs().sum(-1) > 0).any()


def test_points_behind_a_camera_and_invalid_cameras_read_nothing(tokens):
    maps = torch.ones(1, 6, 14, 30, 4)
    projection = torch.from_numpy(
        camera_projections(tokens.k, tokens.t_base_camera, tokens.t_anchor_camera_time)
    ).float()[None]
    ahead = torch.tensor([[[20.0, 0.0, 1.0]]])
    only_back = torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
    assert read_maps(ahead, maps, projection, only_back).abs().sum() == 0
    assert torch.allclose(read_maps(ahead, maps, projection, torch.ones(1, 6)), torch.ones(1, 1, 4))


def test_a_camera_that_exposed_earlier_is_read_from_where_the_ego_was(tokens):
    # The ego has moved 2 m on since the front camera exposed: a point 20 m ahead now was 22 m ahead then.
    late = tokens.t_anchor_camera_time.copy()
    late[0, 0, 2] = -2.0
    still = camera_projections(tokens.k, tokens.t_base_camera, tokens.t_anchor_camera_time)
    moved = camera_projections(tokens.k, tokens.t_base_camera, late)
    np.testing.assert_allclose(moved[0] @ [20.0, 1.0, 0.5, 1.0], still[0] @ [22.0, 1.0, 0.5, 1.0], atol=1e-9)


def test_birds_eye_rows_are_forward_and_columns_left():
    maps = torch.zeros(1, 1, 64, 64, 1)
    maps[0, 0, 42, 37] = 1.0  # x = 10.5, y = 5.5
    projection = torch.from_numpy(bev_projection(64, 64)).float()[None]
    points = torch.tensor([[[10.5, 5.5, 0.0], [5.5, 10.5, 0.0], [10.5, -5.5, 0.0]]])
    read = read_maps(points, maps, projection, torch.ones(1, 1))[0, :, 0]
    assert torch.allclose(read, torch.tensor([1.0, 0.0, 0.0]), atol=1e-5)


def test_lift_puts_heights_fastest():
    lifted = lift(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([0.0, 1.0]))
    assert lifted.tolist() == [[[1, 2, 0], [1, 2, 1], [3, 4, 0], [3, 4, 1]]]
