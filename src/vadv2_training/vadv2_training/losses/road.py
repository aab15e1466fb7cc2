"""Losses against the vectorised map: stay inside the road's edges, go the lane's way (VAD, Jiang et al. 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from vadv2_core.vehicle import VehicleConfig
from vadv2_training.losses.collision import footprint_circles, headings

NEAR_LANE = 2.0
"""m; a lane farther away says nothing about the direction to go."""
EDGE_MARGIN = 0.3
"""m that should stay between the footprint and the road's edge."""


def segment_distance(points: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Distance of points (..., 2) to segments (..., 2), broadcast against each other, m."""
    d = end - start
    u = ((points - start) * d).sum(-1) / d.pow(2).sum(-1).clamp(min=1e-9)
    gap = points - (start + u.clamp(0.0, 1.0).unsqueeze(-1) * d)
    return (gap.pow(2).sum(-1) + 1e-9).sqrt()


def boundary_loss(positions: Tensor, boundaries: Tensor, known: Tensor, vehicle: VehicleConfig) -> Tensor:
    """How far the footprint comes too near to a road's edge, m, mean over modes and times.

    ``max(r + 0.3 - d, 0)`` of the footprint's middle circle with radius r at distance d from the nearest edge.

    Args:
        positions: (b, m, n, 2) of the rear axle, m.
        boundaries: (b, e, p, 2) edges, base_link, m.
        known: (b, e) 1 where an edge is there.
        vehicle: The ego's sizes.
    """
    centres, _ = footprint_circles(positions, vehicle)
    middle = centres[..., centres.shape[-2] // 2, :].flatten(1, 2)
    start, end = boundaries[:, :, :-1].flatten(1, 2), boundaries[:, :, 1:].flatten(1, 2)
    distance = segment_distance(middle.unsqueeze(2), start.unsqueeze(1), end.unsqueeze(1))
    there = known.unsqueeze(-1).expand(-1, -1, boundaries.shape[2] - 1).flatten(1)
    nearest = torch.where(there.unsqueeze(1) > 0, distance, torch.full_like(distance, 1e3)).amin(-1)
    return (0.5 * vehicle.width + EDGE_MARGIN - nearest).clamp(min=0.0).mean()


def lane_direction_loss(positions: Tensor, lanes: Tensor, known: Tensor, slowest: float = 0.25) -> Tensor:
    """``1 - cos`` between the motion and the best-fitting lane within 2 m, mean over moving points near a lane.

    Args:
        positions: (b, n, 2) of the mode that follows the recorded future, m, 0.5 s apart.
        lanes: (b, e, p, 2) centre lines in the direction of travel.
        known: (b, e) 1 where a lane is there.
        slowest: m a step below which a point does not count as moving.
    """
    direction = headings(positions)
    steps = torch.diff(positions, dim=-2, prepend=torch.zeros_like(positions[..., :1, :]))
    start, end = lanes[:, :, :-1].flatten(1, 2), lanes[:, :, 1:].flatten(1, 2)
    distance = segment_distance(positions.unsqueeze(2), start.unsqueeze(1), end.unsqueeze(1))
    way = end - start
    way = way / way.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    gap = 1.0 - (direction.unsqueeze(2) * way.unsqueeze(1)).sum(-1)
    there = known.unsqueeze(-1).expand(-1, -1, lanes.shape[2] - 1).flatten(1).unsqueeze(1)
    near = (distance.detach() < NEAR_LANE) & (there > 0)
    best = torch.where(near, gap, torch.full_like(gap, 10.0)).amin(-1)
    counts = ((best < 9.0) & (steps.detach().norm(dim=-1) > slowest)).to(best.dtype)
    mean: Tensor = (best.clamp(max=2.0) * counts).sum() / counts.sum().clamp(min=1.0)
    return mean
