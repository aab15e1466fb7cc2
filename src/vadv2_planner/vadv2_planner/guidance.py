"""What every mode is told before it looks: present motion, route and what perception says of the scene as a whole.

Attention over tokens can learn all of it, but needs many more scenes to: which of twenty futures keeps to the route,
and which ends behind the stop line, is a matter of distances along the route, and these are given.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vadv2_core.route_ahead import ROUTE_DISTANCES, ROUTE_FEATURES
from vadv2_core.taxonomy import DrivingAction
from vadv2_planner.batch import EGO_FEATURES, PlannerBatch

ROUTE_SCALE = 50.0
"""m a unit of the route's features."""
RELATIONS = 3
"""Numbers a waypoint is related to the route by: metres left of it, metres away from it, metres along it."""
_SOFTNESS = 4.0
"""m^2: segments whose squared distances differ by less share a waypoint."""
_FAR = 30.0


class Guide(NamedTuple):
    """Made once a frame.

    Attributes:
        start: (b, width) added to every mode.
        route: (b, points, ROUTE_FEATURES) as in `PlannerBatch`.
        on_route: (b, 1) 0 where the route is unknown or hidden.
        facts: (b, 2 * width) of the scene, that a mode's relation to the route is held against.
    """

    start: Tensor
    route: Tensor
    on_route: Tensor
    facts: Tensor


def route_relation(points: Tensor, route: Tensor) -> Tensor:
    """Where points lie on a route: (b, n, RELATIONS) about unit size.

    The place on the route is a soft minimum over its segments, so that it is smooth and needs no gather.

    Args:
        points: (b, n, 2) m.
        route: (b, r, ROUTE_FEATURES).
    """
    nodes = route[..., :2] * ROUTE_SCALE
    a, d = nodes[:, None, :-1], (nodes[:, 1:] - nodes[:, :-1])[:, None]
    along = torch.as_tensor(ROUTE_DISTANCES, dtype=points.dtype, device=points.device)
    to = points.unsqueeze(2) - a
    u = ((to * d).sum(-1) / (d * d).sum(-1).clamp(min=1e-3)).clamp(0.0, 1.0)
    off = to - u.unsqueeze(-1) * d
    square = (off * off).sum(-1)
    weight = torch.softmax(-square / _SOFTNESS, dim=-1)
    cos, sin = route[:, None, :-1, 2], route[:, None, :-1, 3]
    left = (weight * (cos * off[..., 1] - sin * off[..., 0])).sum(-1)
    away = (weight * (square + 1e-6).sqrt()).sum(-1)
    reached = (weight * (along[:-1] + u * (along[1:] - along[:-1]))).sum(-1)
    near = torch.stack([left.clamp(-_FAR, _FAR) / 3.0, away.clamp(max=_FAR) / 3.0], dim=-1)
    return torch.cat([near, reached.unsqueeze(-1) / ROUTE_SCALE], dim=-1)


class Guidance(nn.Module):
    """Ego, command, route and scene as one feature for all modes; each mode's relation to the route and the scene.

    Args:
        width: Channels of the decoder.
        knots: Waypoints of a mode.
        query_channels: Of the scene query.
    """

    def __init__(self, width: int, knots: int, query_channels: int) -> None:
        super().__init__()
        self.action = nn.Embedding(len(DrivingAction), width)
        inputs = EGO_FEATURES + 1 + 1 + len(ROUTE_DISTANCES) * ROUTE_FEATURES + 1 + query_channels
        self.present = nn.Sequential(nn.Linear(inputs, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.facts = nn.Sequential(nn.Linear(query_channels, width), nn.GELU(), nn.Linear(width, 2 * width))
        self.relation = nn.Linear(RELATIONS * knots + 1, 2 * width)
        self.related = nn.Sequential(nn.GELU(), nn.Linear(2 * width, width))

    def begin(self, batch: PlannerBatch, scene: Tensor, seen_ego: Tensor, on_route: Tensor, asked: Tensor) -> Guide:
        """The guide of a batch.

        Args:
            batch: Inputs.
            scene: (b, query_channels) the query of the whole scene.
            seen_ego: (b, 1) 0 where the ego state is hidden.
            on_route: (b, 1) 0 where the route is.
            asked: (b, len(DrivingAction)) how much each action is asked for.
        """
        route = batch.route * on_route.unsqueeze(-1)
        known = [seen_ego * batch.ego, seen_ego, batch.distance, route.flatten(1), on_route, scene]
        start = self.present(torch.cat(known, dim=-1)) + asked @ self.action.weight
        return Guide(start, route, on_route, self.facts(scene))

    def forward(self, points: Tensor, guide: Guide) -> Tensor:
        """Modes at points (b, m, knots, 2) m to what is added to them, (b, m, width)."""
        b, m = points.shape[:2]
        related = route_relation(points.reshape(b, -1, 2), guide.route).reshape(b, m, -1)
        known = guide.on_route.unsqueeze(1)
        relation = self.relation(torch.cat([related * known, known.expand(-1, m, -1)], dim=-1))
        # Where a waypoint lies and where the stop line or the leader does meet before the bend: their sum decides.
        added: Tensor = self.related(relation + guide.facts.unsqueeze(1))
        return added
