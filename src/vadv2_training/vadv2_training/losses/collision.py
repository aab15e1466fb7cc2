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


def nearest_box(points: Tensor, boxes: Tensor, known: Tensor) -> Tensor:
    """Index (b, n, p) of the box nearest to each point; without gradients, as a choice has none.

    Args:
        points: (b, n, p, 2) m.
        boxes: (b, n, a, 5) x, y, yaw, length, width.
        known: (b, n, a) 0 where a box holds nobody.
    """
    with torch.no_grad():
        # x and y apart: a sum over an axis of two costs more than all of the rest.
        x, y = (points.unsqueeze(-2) - boxes[..., None, :, :2]).unbind(-1)
        c, s = boxes[..., None, :, 2].cos(), boxes[..., None, :, 2].sin()
        along = (c * x + s * y).abs_() - 0.5 * boxes[..., None, :, 3]
        across = (c * y - s * x).abs_() - 0.5 * boxes[..., None, :, 4]
        outside = (along.clamp(min=0.0).square_() + across.clamp(min=0.0).square_()).sqrt_()
        signed = outside + torch.maximum(along, across).clamp_(max=0.0)
        nearest: Tensor = (signed + 1e3 * (known.unsqueeze(-2) <= 0).to(signed.dtype)).argmin(-1)
        return nearest


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
    b, m, n, circles = centres.shape[:4]
    points = centres.permute(0, 2, 1, 3, 4).reshape(b, n, m * circles, 2)
    index = nearest_box(points, boxes, known)
    distance = box_distance(points, boxes.gather(2, index.unsqueeze(-1).expand(-1, -1, -1, 5)))
    distance = torch.where(known.gather(2, index) > 0, distance, torch.full_like(distance, 1e3))
    nearest = distance.reshape(b, n, m, circles).amin(-1).transpose(1, 2)
    cost = F.softplus((radius - nearest) / SOFTNESS)
    timed = (known.amax(-1) > 0).to(cost.dtype).unsqueeze(1).expand_as(cost)
    return (cost * timed).sum() / timed.sum().clamp(min=1.0)
