"""Reading feature maps where points of the road project into them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_DEPTH = 0.1
"""m; what is nearer to a camera's plane is not seen."""
VIEWS = 2
"""Cameras that a point is read from; neighbours of a surround rig overlap in pairs."""

_ACROSS, _DOWN = torch.tensor([0.0, 1.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, 1.0, 1.0])


def lift(points: Tensor, heights: Tensor) -> Tensor:
    """Points (b, ..., 2) on the ground to (b, ... * heights, 3), heights fastest."""
    b = points.shape[0]
    flat = points.reshape(b, -1, 1, 2).expand(-1, -1, heights.shape[0], -1)
    z = heights.reshape(1, 1, -1, 1).expand(b, flat.shape[1], -1, -1)
    return torch.cat([flat, z], dim=-1).reshape(b, -1, 3)


def read_maps(points: Tensor, maps: Tensor, projection: Tensor, valid: Tensor) -> Tensor:
    """Bilinear features of maps at projected points, zero outside, mean over the (at most two) maps that see a point.

    Pixel (0, 0) is the centre of the first cell. Gradients reach the maps, not the points. A bird's-eye map is a map
    whose projection is affine: its last row is (0, 0, 0, 1).

    Args:
        points: (b, p, 3) base_link, m.
        maps: (b, n, h, w, c).
        projection: (b, n, 3, 4) base_link to homogeneous map pixels.
        valid: (b, n), 1 where a map may be read.

    Returns:
        (b, p, c).
    """
    b, n, h, w, c = maps.shape
    p = points.shape[1]
    with torch.no_grad():
        homogeneous = torch.cat([points, torch.ones_like(points[..., :1])], dim=-1)
        uvw = torch.matmul(homogeneous.unsqueeze(1), projection.transpose(2, 3))
        depth = uvw[..., 2]
        uv = uvw[..., :2] / depth.clamp(min=MIN_DEPTH).unsqueeze(-1)
        u, v = uv[..., 0].clamp(-2.0, w + 1.0), uv[..., 1].clamp(-2.0, h + 1.0)
        seen = ((depth > MIN_DEPTH) & (u > -1.0) & (u < w) & (v > -1.0) & (v < h)).to(u.dtype) * valid.unsqueeze(-1)
        views = min(n, VIEWS)
        if n > views:
            # Earlier cameras win a tie, on every backend alike.
            order = seen * (2.0 - torch.arange(n, device=u.device, dtype=u.dtype).reshape(1, n, 1) / n)
            index = order.topk(views, dim=1).indices
            u, v, seen = u.gather(1, index), v.gather(1, index), seen.gather(1, index)
        else:
            index = torch.arange(n, device=u.device).reshape(1, n, 1).expand(b, n, p)
        column = u.floor().unsqueeze(-1) + _ACROSS.to(u)
        row = v.floor().unsqueeze(-1) + _DOWN.to(v)
        weight = (1.0 - (u.unsqueeze(-1) - column).abs()) * (1.0 - (v.unsqueeze(-1) - row).abs())
        inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
        weight = weight * inside.to(weight.dtype) * seen.unsqueeze(-1)
        first = (torch.arange(b, device=u.device).reshape(b, 1, 1) * n + index) * (h * w)
        cell = first.unsqueeze(-1) + (row.clamp(0.0, h - 1.0) * w + column.clamp(0.0, w - 1.0)).long()
        # A point that is not finite has no cell; what it makes of its mode is found out later, by name.
        cell = cell.clamp(0, b * n * h * w - 1)
        cell = cell.permute(0, 2, 1, 3).reshape(b, p, views * 4)
        weight = weight.permute(0, 2, 1, 3).reshape(b, p, views * 4)
        weight = weight / seen.sum(1).clamp(min=1.0).reshape(b, p, 1)
    table = maps.reshape(-1, c)
    weight = weight.to(table.dtype)
    if torch.onnx.is_in_onnx_export():
        # ONNX knows no embedding bag but as a loop.
        return torch.matmul(weight.unsqueeze(2), F.embedding(cell, table)).squeeze(2)
    bags = F.embedding_bag(cell.flatten(0, 1), table, per_sample_weights=weight.flatten(0, 1), mode="sum")
    return bags.reshape(b, p, c)
