"""The collision loss: binary cross-entropy of a future's footprint against space that others will occupy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vadv2_core.vehicle import VehicleConfig

CIRCLES = 5
"""The footprint is covered by this many circles of its width along its length, but for the very corners."""
SOFTNESS = 0.15
"""m over which occupancy goes from free to taken; traffic stands side by side with half a metre between."""


def headings(positions: Tensor, hold: float = 0.05) -> Tensor:
    """Unit directions (..., n, 2) of motion along positions (..., n, 2) that begin at the origin; held at rest.

    Args:
        positions: m.
        hold: m a step below which the direction is held rather than followed.
    """
    steps = torch.diff(positions, dim=-2, prepend=torch.zeros_like(positions[..., :1, :]))
    direction = torch.zeros_like(steps[..., 0, :])
    direction[..., 0] = 1.0
    out = []
    for i in range(steps.shape[-2]):
        along = steps[..., i, :] + hold * direction
        direction = along / along.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        out.append(direction)
    return torch.stack(out, dim=-2)


def footprint_circles(positions: Tensor, vehicle: VehicleConfig) -> tuple[Tensor, float]:
    """Circles that cover the vehicle along a future.

    Args:
        positions: (..., n, 2) of the rear axle, m.
        vehicle: Its sizes.

    Returns:
        Centres (..., n, CIRCLES, 2) and the radius, m.
    """
    radius = 0.5 * vehicle.width
    along = torch.linspace(radius, max(vehicle.length - radius, radius), CIRCLES) - vehicle.rear_overhang
    along = along.to(positions).unsqueeze(-1)
    centres = positions.unsqueeze(-2) + headings(positions).unsqueeze(-2) * along
    return centres, radius


def box_distance(points: Tensor, boxes: Tensor) -> Tensor:
    """Signed distance (m, negative inside) of points (..., 2) to boxes (..., 5) x, y, yaw, length, width."""
    d = points - boxes[..., :2]
    c, s = boxes[..., 2].cos(), boxes[..., 2].sin()
    local = torch.stack([c * d[..., 0] + s * d[..., 1], -s * d[..., 0] + c * d[..., 1]], dim=-1)
    q = local.abs() - 0.5 * boxes[..., 3:5]
    outside = (q.clamp(min=0.0).pow(2).sum(-1) + 1e-9).sqrt()
    return outside + q.amax(-1).clamp(max=0.0)


def collision_loss(positions: Tensor, boxes: Tensor, known: Tensor, vehicle: VehicleConfig) -> Tensor:
    """Cross-entropy of every mode's footprint against occupied space, mean over modes and known times.

    A circle of the footprint with signed distance ``d`` to the nearest box and radius ``r`` lies in occupied space
    with probability ``p = sigmoid((r - d) / 0.15 m)``; the target is "free", so that the loss is ``-log(1 - p)``, of
    the worst circle at each time.

    Args:
        positions: (b, m, n, 2) of the rear axle, m, at the times of the boxes.
        boxes: (b, n, a, 5) where others will be: x, y, yaw, length, width.
        known: (b, n, a) 1 where a box holds somebody.
        vehicle: The ego's sizes.
    """
    centres, radius = footprint_circles(positions, vehicle)
    distance = box_distance(centres.unsqueeze(-2), boxes[:, None, :, None])
    distance = torch.where(known[:, None, :, None] > 0, distance, torch.full_like(distance, 1e3))
    nearest = distance.flatten(-2).amin(-1)
    cost = F.softplus((radius - nearest) / SOFTNESS)
    timed = (known.amax(-1) > 0).to(cost.dtype).unsqueeze(1).expand_as(cost)
    return (cost * timed).sum() / timed.sum().clamp(min=1.0)
