"""The smallest whole planner: a Lift-Splat bird's-eye map, three denoising passes, a waypoint head; no VLM.

Image tokens (of a ResNet-34 in the ``minimal`` system) are lifted along their rays by a predicted distribution over
depth and splatted onto the ground (Lift, Splat, Shoot; Philion and Fidler 2020). Waypoints read that map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vadv2_planner.anchors import AnchorSet
from vadv2_planner.batch import PlannerBatch
from vadv2_planner.config import ModelConfig
from vadv2_planner.decoder import SceneMemory
from vadv2_planner.diffusion import TruncatedDiffusion
from vadv2_planner.layers import Maps

ROWS, COLUMNS, CELL = 64, 32, 2.0
"""Cells of the map along x and along y, and their size, m."""
BEHIND = 32.0
"""m of the map behind the ego; the rest lies ahead."""
DEPTHS = tuple(3.0 * 1.13**i for i in range(28))
"""Depths along a camera's axis that a token may lie at: 3 .. 81 m, in steps of 13 per cent."""
POOL = (8, 4)
"""The map is pooled to this many tokens, which stand where other planners have scene queries."""


def map_projection() -> Tensor:
    """(3, 4) base_link to cells of the map, affine; rows along x, columns along y."""
    return torch.tensor(
        [
            [0.0, 1.0 / CELL, 0.0, 0.5 * (COLUMNS - 1)],
            [1.0 / CELL, 0.0, 0.0, BEHIND / CELL - 0.5],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def lifted_cells(projection: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Where every token would land at every depth.

    Args:
        projection: (b, n, 3, 4) base_link to homogeneous token pixels.
        h: Rows of a camera's tokens.
        w: Columns.

    Returns:
        (b, n, h * w, depths) int64 cell of the map, and float 1 where it lies on the map and below 4 m.
    """
    device, dtype = projection.device, projection.dtype
    v, u = torch.meshgrid(
        torch.arange(h, device=device, dtype=dtype), torch.arange(w, device=device, dtype=dtype), indexing="ij"
    )
    pixels = torch.stack([u, v, torch.ones_like(u)], dim=-1).reshape(1, 1, -1, 3)
    inverse = _inverse3(projection[..., :3])
    rays = torch.matmul(pixels, inverse.transpose(-1, -2)).unsqueeze(3)
    start = torch.matmul(inverse, projection[..., 3:]).squeeze(-1).unsqueeze(2).unsqueeze(2)
    depths = torch.tensor(DEPTHS, device=device, dtype=dtype).reshape(1, 1, 1, -1, 1)
    points = rays * depths - start
    row = ((points[..., 0] + BEHIND) / CELL).floor()
    column = (points[..., 1] / CELL + 0.5 * COLUMNS).floor()
    on = (row >= 0) & (row < ROWS) & (column >= 0) & (column < COLUMNS) & (points[..., 2] < 4.0)
    cell = row.clamp(0.0, ROWS - 1.0) * COLUMNS + column.clamp(0.0, COLUMNS - 1.0)
    return cell.long(), on.to(dtype)


def _inverse3(m: Tensor) -> Tensor:
    """Inverse of (..., 3, 3) by cofactors; `torch.linalg.inv` has no counterpart in ONNX."""
    a, b, c = m.unbind(-2)

    def cross(p: Tensor, q: Tensor) -> Tensor:
        return torch.stack(
            [
                p[..., 1] * q[..., 2] - p[..., 2] * q[..., 1],
                p[..., 2] * q[..., 0] - p[..., 0] * q[..., 2],
                p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0],
            ],
            dim=-1,
        )

    adjugate = torch.stack([cross(b, c), cross(c, a), cross(a, b)], dim=-1)
    return adjugate / (a * cross(b, c)).sum(-1)[..., None, None]


class LiftSplat(nn.Module):
    """Image tokens to a bird's-eye map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depth = nn.Linear(channels, len(DEPTHS))
        self.content = nn.Linear(channels, channels)
        self.convolve = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
        )

    def forward(self, tokens: Tensor, projection: Tensor, valid: Tensor) -> Tensor:
        """Tokens (b, n, h, w, c) with their projection and validity to a map (b, ROWS, COLUMNS, c)."""
        b, n, h, w, c = tokens.shape
        with torch.no_grad():
            cell, on = lifted_cells(projection, h, w)
        share = self.depth(tokens).softmax(-1).reshape(b, n, h * w, -1) * on * valid.reshape(b, n, 1, 1)
        # Splatting as a (cells x tokens) matrix: scalars are scattered, features are multiplied.
        count = n * h * w
        token = torch.arange(count, device=tokens.device).reshape(1, n, h * w, 1)
        index = (cell * count + token).reshape(b, -1)
        matrix = torch.zeros(b, ROWS * COLUMNS * count, device=tokens.device, dtype=share.dtype)
        matrix = matrix.scatter_add(1, index, share.reshape(b, -1)).reshape(b, ROWS * COLUMNS, count)
        splat = torch.matmul(matrix, self.content(tokens).reshape(b, count, c))
        flat = splat.transpose(1, 2).reshape(b, c, ROWS, COLUMNS)
        mixed: Tensor = flat + self.convolve(flat)
        return mixed.permute(0, 2, 3, 1).contiguous()


class Minimal(TruncatedDiffusion):
    """Truncated diffusion over a Lift-Splat map; the scene queries and the VLM are not read."""

    default_steps = 3
    reads_reasoning = False

    def __init__(self, config: ModelConfig, anchors: AnchorSet) -> None:
        super().__init__(config, anchors)
        self.lift_splat = LiftSplat(config.token_channels)
        self.pool = nn.Linear(config.token_channels, config.query_channels)

    def reasoning_embedding(self, batch: PlannerBatch) -> Tensor | None:
        """It reads none."""
        del batch
        return None

    def remember(self, batch: PlannerBatch) -> SceneMemory:
        """The map, its pooled tokens and the context; the reasoning is always the null one."""
        bird = self.lift_splat(batch.tokens, batch.projection, batch.camera_valid)
        b = bird.shape[0]
        pooled = nn.functional.adaptive_avg_pool2d(bird.permute(0, 3, 1, 2), POOL).flatten(2).transpose(1, 2)
        projection = map_projection().to(bird).expand(b, 1, 3, 4)
        maps = Maps(bird.unsqueeze(1), projection, torch.ones(b, 1, device=bird.device, dtype=bird.dtype))
        queries = self.pool(pooled)
        return self.reader.remember_maps(maps, queries, queries.mean(1), batch, reasoning=False)
