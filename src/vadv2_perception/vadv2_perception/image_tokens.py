"""The image half of the network: feature pyramid and rays to a grid of tokens a camera; the fusion of past frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vadv2_perception.rays import RAY_FEATURES, ground_points, inside, project, ray_features, read_tokens, token_rays

_AGE_FREQUENCIES = (0.5, 1.0, 2.0, 4.0)


class RayEncoding(nn.Module):
    """Camera-ray encoding from K and T_base_camera (after PETR's 3D position embedding, arXiv:2203.05625)."""

    def __init__(self, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.net = nn.Sequential(nn.Linear(RAY_FEATURES, channels), nn.GELU(), nn.Linear(channels, channels))

    def forward(self, k: Tensor, t_base_camera: Tensor) -> Tensor:
        """Token intrinsics (..., 3, 3) and poses (..., 4, 4) to an encoding (..., h, w, channels)."""
        encoding: Tensor = self.net(ray_features(*token_rays(k, t_base_camera, self.grid)))
        return encoding


class Neck(nn.Module):
    """Brings every feature map to the token grid and sums them with the rays; one ConvNeXt block mixes neighbours.

    A finer map is folded by a strided convolution, a coarser one is projected and enlarged: stride 8 is where a lamp
    of two pixels is still seen, stride 32 knows what a thing is.

    Args:
        maps: (channels, rows, columns) of each feature map.
        channels: Of a token.
        grid: Rows and columns of tokens.
    """

    def __init__(self, maps: Sequence[tuple[int, int, int]], channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        lateral: list[nn.Module] = []
        for inputs, rows, _ in maps:
            fold = max(1, rows // grid[0])
            lateral.append(nn.Conv2d(inputs, channels, fold, fold))
        self.lateral = nn.ModuleList(lateral)
        self.mix = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen, self.narrow = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        self.out_norm = nn.LayerNorm(channels)

    def forward(self, features: Sequence[Tensor], rays: Tensor) -> Tensor:
        """Feature maps (N, c, rows, columns) and rays (N, h, w, channels) to tokens (N, h, w, channels)."""
        total = rays.permute(0, 3, 1, 2)
        for feature, lateral in zip(features, self.lateral, strict=True):
            projected = lateral(feature)
            if projected.shape[-2:] != self.grid:
                projected = F.interpolate(projected, size=self.grid, mode="bilinear", align_corners=False)
            total = total + projected
        mixed = self.norm(self.mix(total).permute(0, 2, 3, 1))
        tokens = total.permute(0, 2, 3, 1) + self.narrow(F.gelu(self.widen(mixed)))
        normed: Tensor = self.out_norm(tokens)
        return normed


class HistoryFusion(nn.Module):
    """Adds to each token what past frames held at the same place of the world.

    A token's ray is followed to the ground (or 50 m out), the point is moved by the ego's motion into each past frame
    and read there in the same camera; what stood still then lines up, and what did not tells its velocity. The time
    between the frames is encoded from its true value. What is kept of a frame is `remembered`: half of the channels
    are enough to compare with.
    """

    def __init__(self, channels: int, memory_channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.now = nn.Linear(channels, memory_channels)
        self.then = nn.Linear(channels, memory_channels, bias=False)
        self.age = nn.Linear(1 + 2 * len(_AGE_FREQUENCIES), memory_channels)
        self.out = nn.Linear(memory_channels, channels)
        nn.init.normal_(self.out.weight, std=0.05)
        nn.init.zeros_(self.out.bias)

    def remembered(self, tokens: Tensor) -> Tensor:
        """A frame's own tokens (..., h, w, c) as they are kept for later frames: (..., memory channels, h, w)."""
        kept: Tensor = self.then(tokens)
        return kept.transpose(-1, -2).transpose(-2, -3)

    def age_features(self, age: Tensor) -> Tensor:
        """Ages (...) in seconds to (..., 9): themselves and their waves."""
        waves = [wave(age * (math.pi * f)) for f in _AGE_FREQUENCIES for wave in (torch.sin, torch.cos)]
        return torch.stack([age, *waves], dim=-1)

    def forward(
        self,
        tokens: Tensor,
        past: Tensor,
        past_motion: Tensor,
        past_age: Tensor,
        past_valid: Tensor,
        k: Tensor,
        t_base_camera: Tensor,
    ) -> Tensor:
        """Fuse.

        Args:
            tokens: (B, cameras, h, w, c) of the current frame.
            past: (B, frames, cameras, m, h, w) of past frames, as `remembered` then.
            past_motion: (B, frames, 4, 4) from base_link now to base_link then.
            past_age: (B, frames) s.
            past_valid: (B, frames, cameras) 1 where there is a picture, else 0.
            k: (B, cameras, 3, 3) at token resolution.
            t_base_camera: (B, cameras, 4, 4).

        Returns:
            (B, cameras, h, w, c).
        """
        batch, frames, cameras, m, h, w = past.shape
        points = ground_points(*token_rays(k, t_base_camera, self.grid)).reshape(batch, 1, cameras * h * w, 3)
        moved = points @ past_motion[..., :3, :3].transpose(-1, -2) + past_motion[..., None, :3, 3]
        # Every camera with its own points only: cameras go into the batch.
        own = moved.reshape(batch * frames * cameras, h * w, 3)
        ks = k[:, None].expand(-1, frames, -1, -1, -1).reshape(-1, 1, 3, 3)
        ts = t_base_camera[:, None].expand(-1, frames, -1, -1, -1).reshape(-1, 1, 4, 4)
        uv, depth = project(own, ks, ts)
        seen = inside(uv, depth, self.grid).to(tokens.dtype).reshape(batch, frames, cameras, 1, h * w)
        weight = seen * past_valid[..., None, None]
        then = read_tokens(past.reshape(-1, m, h, w), uv.reshape(-1, h, w, 2)).reshape(batch, frames, cameras, m, h * w)
        age = self.age(self.age_features(past_age))[:, :, None, :, None]
        now = self.now(tokens).reshape(batch, 1, cameras, h * w, m).transpose(-1, -2)
        hidden = F.relu(now + then + age) * weight
        total = hidden.sum(1) / weight.sum(1).clamp(min=1.0)
        # No past frame at all is no change at all: the bias of `out` must not speak then.
        added = self.out(total.transpose(-1, -2)) * weight.amax(1).transpose(-1, -2)
        fused: Tensor = tokens + added.reshape(tokens.shape)
        return fused
