"""Where tokens look: intrinsics at token resolution, rays, projection and reading of image tokens, in torch.

The same formulas as `vadv2_core.camera` (pixel centres at integers), batched and with gradients. Base frame: base_link.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

RAY_FEATURES = 3 + 3 + 3 + 2 + 2 * 3 * 4
_FREQUENCIES = (1.0, 2.0, 4.0, 8.0)


def token_intrinsics(k: Tensor, stride: int) -> Tensor:
    """Intrinsics (..., 3, 3) of images to those of their token grid, tokens as pixels."""
    scale = 1.0 / stride
    shift = 0.5 * scale - 0.5
    row0, row1, row2 = k[..., 0, :] * scale, k[..., 1, :] * scale, k[..., 2, :]
    move = torch.tensor([0.0, 0.0, shift], dtype=k.dtype, device=k.device)
    return torch.stack([row0 + move, row1 + move, row2], dim=-2)


def token_rays(k: Tensor, t_base_camera: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The ray of every token.

    Args:
        k: (..., 3, 3) intrinsics at token resolution, no skew.
        t_base_camera: (..., 4, 4).
        grid: Rows and columns.

    Returns:
        Unit directions (..., rows, columns, 3) in base_link and origins (..., 1, 1, 3), m.
    """
    rows, columns = grid
    v, u = torch.meshgrid(
        torch.arange(rows, dtype=k.dtype, device=k.device),
        torch.arange(columns, dtype=k.dtype, device=k.device),
        indexing="ij",
    )
    fx, fy = k[..., 0, 0, None, None], k[..., 1, 1, None, None]
    cx, cy = k[..., 0, 2, None, None], k[..., 1, 2, None, None]
    camera = torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like((u - cx) / fx)], dim=-1)
    direction = F.normalize(torch.einsum("...ij,...hwj->...hwi", t_base_camera[..., :3, :3], camera), dim=-1)
    return direction, t_base_camera[..., None, None, :3, 3]


def ray_features(direction: Tensor, origin: Tensor) -> Tensor:
    """What a ray is, for an encoding that knows no camera number: another rig is other rays, not another network.

    Direction, origin (10 m), Plücker moment (10 m), signed inverse distance to the ground and whether it falls, and
    Fourier features of the direction.

    Args:
        direction: (..., h, w, 3) unit, base_link.
        origin: (..., 1, 1, 3) m.

    Returns:
        (..., h, w, RAY_FEATURES).
    """
    origin = origin.expand_as(direction)
    moment = torch.linalg.cross(origin, direction)
    fall = -direction[..., 2:] / origin[..., 2:].clamp(min=0.3)
    waves = [wave(direction * (math.pi * f)) for f in _FREQUENCIES for wave in (torch.sin, torch.cos)]
    return torch.cat(
        [direction, origin / 10, moment / 10, torch.tanh(4 * fall), (fall > 0).to(fall.dtype), *waves], dim=-1
    )


def ground_points(direction: Tensor, origin: Tensor, farthest: float = 50.0) -> Tensor:
    """Where rays meet the ground, or where they are ``farthest`` metres out, whichever is nearer: (..., h, w, 3)."""
    inverse = (-direction[..., 2:] / origin[..., 2:].clamp(min=0.3)).clamp(min=1.0 / farthest)
    return origin + direction / inverse


def inverse_rigid(t: Tensor) -> Tensor:
    """Inverse of rigid transforms (..., 4, 4), by transposing the rotation."""
    rotation = t[..., :3, :3].transpose(-1, -2)
    top = torch.cat([rotation, -rotation @ t[..., :3, 3:]], dim=-1)
    return torch.cat([top, t[..., 3:, :]], dim=-2)


def project(points: Tensor, k: Tensor, t_base_camera: Tensor) -> tuple[Tensor, Tensor]:
    """Points in base_link to token coordinates of every camera.

    Args:
        points: (B, N, 3) m.
        k: (B, cameras, 3, 3) at token resolution.
        t_base_camera: (B, cameras, 4, 4).

    Returns:
        Token coordinates (B, cameras, N, 2) and depth (B, cameras, N), m; coordinates mean something where depth > 0.
    """
    t = inverse_rigid(t_base_camera)
    p = points[:, None] @ t[..., :3, :3].transpose(-1, -2) + t[..., None, :3, 3]
    depth = p[..., 2]
    safe = depth.clamp(min=0.1)
    u = k[..., 0, 0, None] * p[..., 0] / safe + k[..., 0, 2, None]
    v = k[..., 1, 1, None] * p[..., 1] / safe + k[..., 1, 2, None]
    return torch.stack([u, v], dim=-1), depth


def inside(uv: Tensor, depth: Tensor, grid: tuple[int, int]) -> Tensor:
    """Whether token coordinates (..., 2) with their depth lie in a camera's picture: bool (...)."""
    rows, columns = grid
    u, v = uv[..., 0], uv[..., 1]
    return (depth > 0.1) & (u > -0.5) & (u < columns - 0.5) & (v > -0.5) & (v < rows - 0.5)


def read_tokens(tokens: Tensor, uv: Tensor) -> Tensor:
    """Bilinear reading of token maps, zero outside.

    Args:
        tokens: (N, C, h, w).
        uv: (N, rows, points, 2) token coordinates.

    Returns:
        (N, C, rows, points).
    """
    h, w = tokens.shape[-2:]
    size = torch.tensor([w, h], dtype=uv.dtype, device=uv.device)
    # Far-away coordinates overflow the integer cast of some backends' samplers.
    grid = ((uv + 0.5) / size * 2 - 1).clamp(-4.0, 4.0)
    return F.grid_sample(tokens, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
