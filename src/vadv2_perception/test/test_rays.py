"""The torch geometry agrees with `vadv2_core.camera`, so that training and drawing look at the same place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from vadv2_core.camera import CameraModel, CameraRig
from vadv2_perception.rays import (
    ground_points,
    inside,
    project,
    ray_features,
    read_tokens,
    token_intrinsics,
    token_rays,
)


def _tensors(rig: CameraRig) -> tuple[torch.Tensor, torch.Tensor]:
    k = torch.tensor(np.stack([c.k for c in rig.cameras]))
    return token_intrinsics(k, 16)[None], torch.tensor(np.stack([c.t_base_camera for c in rig.cameras]))[None]


def test_token_rays_are_the_rays_of_their_centre_pixels(make_rig: Callable[..., CameraRig]) -> None:
    rig = make_rig()
    direction, origin = token_rays(*_tensors(rig), (4, 6))
    for i, camera in enumerate(rig.cameras):
        np.testing.assert_allclose(direction[0, i, 2, 5], camera.rays((5 * 16 + 7.5, 2 * 16 + 7.5)), atol=1e-9)
        np.testing.assert_allclose(origin[0, i, 0, 0], camera.t_base_camera[:3, 3])


def test_projection_agrees_with_the_camera_model(make_rig: Callable[..., CameraRig]) -> None:
    rig = make_rig()
    k, t = _tensors(rig)
    points = np.random.default_rng(0).uniform(-20, 20, (50, 3))
    uv, depth = project(torch.tensor(points)[None], k, t)
    for i, camera in enumerate(rig.cameras):
        pixels, expected = camera.project(points)
        front = expected > 0.2
        np.testing.assert_allclose(depth[0, i], expected, atol=1e-9)
        np.testing.assert_allclose(uv[0, i][front], ((pixels + 0.5) / 16 - 0.5)[front], atol=1e-6)


def test_a_token_is_read_back_at_its_own_ray(make_rig: Callable[..., CameraRig]) -> None:
    k, t = _tensors(make_rig(1))
    direction, origin = token_rays(k, t, (4, 6))
    uv, depth = project((origin + 7 * direction).reshape(1, -1, 3), k, t)
    tokens = torch.randn(1, 3, 4, 6, dtype=torch.float64)
    assert inside(uv, depth, (4, 6)).all()
    torch.testing.assert_close(read_tokens(tokens, uv.reshape(1, 4, 6, 2)), tokens, atol=1e-5, rtol=1e-5)


def test_rays_below_the_horizon_end_on_the_ground(make_rig: Callable[..., CameraRig]) -> None:
    direction, origin = token_rays(*_tensors(make_rig()), (4, 6))
    points = ground_points(direction, origin, farthest=1000.0)
    falling = direction[..., 2] < -0.05
    assert falling.any()
    torch.testing.assert_close(points[..., 2][falling], torch.zeros_like(points[..., 2][falling]), atol=1e-6, rtol=0)


def test_ray_features_know_height_direction_and_lens(make_rig: Callable[..., CameraRig]) -> None:
    def features(rig: CameraRig) -> torch.Tensor:
        return ray_features(*token_rays(*_tensors(rig), (4, 6)))

    base = features(make_rig())
    assert torch.isfinite(base).all()
    for other in (make_rig(up=2.4), make_rig(turned=0.3)):
        assert (features(other) - base).abs().amax() > 0.05
    longer = CameraRig(
        tuple(
            CameraModel(c.name, 96, 64, c.k * np.array([[2.0, 1, 1], [1, 2, 1], [1, 1, 1]]), c.t_base_camera)
            for c in make_rig().cameras
        )
    )
    assert (features(longer) - base).abs().amax() > 0.05
