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


def nearest_segment(points: Tensor, start: Tensor, end: Tensor, there: Tensor) -> Tensor:
    """Index (b, p) of the segment nearest to each point; without gradients, as a choice has none.

    Args:
        points: (b, p, 2) m.
        start: (b, s, 2).
        end: (b, s, 2).
        there: (b, s) 0 where a segment is not there.
    """
    with torch.no_grad():
        # x and y apart: a sum over an axis of two costs more than all of the rest.
        dx, dy = (end - start).unsqueeze(1).unbind(-1)
        x, y = (points.unsqueeze(2) - start.unsqueeze(1)).unbind(-1)
        inverse = (dx * dx + dy * dy).clamp(min=1e-9).reciprocal()
        u = ((x * dx + y * dy) * inverse).clamp_(0.0, 1.0)
        square = (x - u * dx).square_() + (y - u * dy).square_()
        nearest: Tensor = (square + 1e6 * (there.unsqueeze(1) <= 0).to(square.dtype)).argmin(-1)
        return nearest


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
    there = known.unsqueeze(-1).expand(-1, -1, boundaries.shape[2] - 1).flatten(1)
    index = nearest_segment(middle, start, end, there)
    place = index.unsqueeze(-1).expand(-1, -1, 2)
    distance = segment_distance(middle, start.gather(1, place), end.gather(1, place))
    nearest = torch.where(there.gather(1, index) > 0, distance, torch.full_like(distance, 1e3))
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
