"""What each of a planner's futures comes to, to be learned beside its score: one label a mode, not one a frame.

After Hydra-MDP (Li et al. 2024, arXiv:2406.06978), whose trajectories learn the sub-scores of PDMS. Here the labels are
of the futures as they were predicted, not of a fixed vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vadv2_core.taxonomy import SignalState
from vadv2_core.vehicle import VehicleConfig
from vadv2_planner.config import RescoringConfig
from vadv2_planner.layers import RISK_HORIZON
from vadv2_training.losses.collision import CIRCLES, box_distance, footprint_circles, nearest_box
from vadv2_training.losses.road import nearest_segment, segment_distance

_BEHIND = 2
"""Circles of the footprint that are left out, from the rear: who runs into them is behind."""
_TOUCH = 0.2
"""m that footprints must overlap, or a wheel stand beyond the edge."""
_STANDING = 0.15
"""m in half a second, below which the ego runs into nobody."""
_RULE = RescoringConfig()
"""Where a line begins to be driven over, and which can be stopped at: what is learned is what is asked when driving."""
_HOLDS = (int(SignalState.RED), int(SignalState.RED_YELLOW))


def collides(knots: Tensor, boxes: Tensor, known: Tensor, vehicle: VehicleConfig) -> Tensor:
    """(b, m) 1 where a future (b, m, n, 2), half a second a knot, runs into where somebody will be.

    Who begins behind is left out: he drove behind the recorded ego, and would brake for another.
    """
    known = known * (boxes[:, :1, :, 0] > 0.0)
    centres, radius = footprint_circles(knots, vehicle)
    front = centres[..., _BEHIND:, :]
    b, m, n, circles = front.shape[:4]
    points = front.permute(0, 2, 1, 3, 4).reshape(b, n, m * circles, 2)
    index = nearest_box(points, boxes, known)
    distance = box_distance(points, boxes.gather(2, index.unsqueeze(-1).expand(-1, -1, -1, 5)))
    hit = (distance < radius - _TOUCH) & (known.gather(2, index) > 0)
    moves = torch.diff(knots, dim=2, prepend=torch.zeros_like(knots[:, :, :1])).norm(dim=-1) > _STANDING
    met: Tensor = (hit.reshape(b, n, m, circles).any(-1).transpose(1, 2) & moves).any(-1)
    return met.to(knots.dtype)


def leaves_road(points: Tensor, edges: Tensor, known: Tensor, vehicle: VehicleConfig) -> Tensor:
    """(b, m) 1 where the footprint's middle of a future (b, m, n, 2) comes over an edge (b, e, p, 2)."""
    centres, radius = footprint_circles(points, vehicle)
    middle = centres[..., CIRCLES // 2, :]
    b, m, n = middle.shape[:3]
    start, end = edges[:, :, :-1].flatten(1, 2), edges[:, :, 1:].flatten(1, 2)
    there = known.unsqueeze(-1).expand(-1, -1, edges.shape[2] - 1).flatten(1)
    index = nearest_segment(middle.flatten(1, 2), start, end, there)
    place = index.unsqueeze(-1).expand(-1, -1, 2)
    distance = segment_distance(middle.flatten(1, 2), start.gather(1, place), end.gather(1, place))
    over = (distance < radius - _TOUCH) & (there.gather(1, index) > 0)
    return over.reshape(b, m, n).any(-1).to(points.dtype)


def runs_red(points: Tensor, signal: Tensor, stop: Tensor, speed: Tensor) -> Tensor:
    """(b, m) 1 where a future (b, m, n, 2) drives over the line of a red light that it could have stopped before.

    Args:
        points: m.
        signal: (b,) `SignalState` of the next signal on the way.
        stop: (b, 2) 1 where a stop line is ahead, and its distance from the front bumper, m.
        speed: (b,) m/s now.
    """
    steps = torch.diff(points, dim=2, prepend=torch.zeros_like(points[:, :, :1])).norm(dim=-1)
    room = stop[:, 1] + _RULE.line_margin
    red = torch.stack([signal == state for state in _HOLDS]).any(0)
    can = red & (stop[:, 0] > 0) & (room > 0.0) & (speed.square() <= 2.0 * _RULE.hardest_stop * room)
    over: Tensor = (steps.sum(-1) > room.unsqueeze(1)) & can.unsqueeze(1)
    return over.to(points.dtype)


@dataclass(frozen=True, slots=True)
class RiskTruth:
    """What labels are made from; b samples, base_link, m.

    Attributes:
        others: (b, n, a, 5) boxes of others every half second.
        others_known: (b, n, a).
        edges: (b, e, p, 2) the road's.
        edges_known: (b, e).
        signal: (b,) `SignalState` of the next signal on the way.
        stop: (b, 2) 1 where a stop line is ahead, and how far.
        speed: (b,) m/s of the ego.
    """

    others: Tensor
    others_known: Tensor
    edges: Tensor
    edges_known: Tensor
    signal: Tensor
    stop: Tensor
    speed: Tensor


def risk_labels(positions: Tensor, driven: Tensor, truth: RiskTruth, vehicle: VehicleConfig) -> Tensor:
    """(b, m, len(RISKS)) labels of futures (b, m, 80, 2) m at 10 Hz; without gradients.

    A light that the recorded ego went over within the horizon had turned green for it: it is no risk.
    """
    with torch.no_grad():
        count = int(RISK_HORIZON * 10)
        near = positions[:, :, :count].float()
        knots = near[:, :, 4::5]
        n = knots.shape[2]
        collision = collides(knots, truth.others[:, :n].float(), truth.others_known[:, :n], vehicle)
        off_road = leaves_road(near[:, :, 1::2], truth.edges.float(), truth.edges_known, vehicle)
        recorded = driven[:, None, :count, :2].float()
        red = runs_red(near, truth.signal, truth.stop, truth.speed)
        went = runs_red(recorded, truth.signal, truth.stop, truth.speed)
        return torch.stack([collision, off_road, red * (1.0 - went)], dim=-1)


def risk_loss(risks: Tensor, labels: Tensor, mapped: Tensor) -> Tensor:
    """Binary cross-entropy, mean over samples and modes, summed over the risks.

    Args:
        risks: (b, m, len(RISKS)) logits.
        labels: Of `risk_labels`.
        mapped: (b,) 1 where the road and its lights are known; elsewhere collisions alone are learned.
    """
    each = F.binary_cross_entropy_with_logits(risks.float(), labels, reduction="none").mean(1)
    weight = torch.stack([torch.ones_like(mapped), mapped, mapped], dim=-1)
    return ((each * weight).sum(0) / weight.sum(0).clamp(min=1.0)).sum()
