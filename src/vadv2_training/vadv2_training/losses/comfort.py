"""The comfort loss: jerk, acceleration and yaw rate beyond what passengers take for smooth."""

from __future__ import annotations

import torch
from torch import Tensor

from vadv2_core.trajectory import PLAN_RATE_HZ

MAX_ACCELERATION, MAX_DECELERATION = 2.40, 4.05
MAX_LATERAL_ACCELERATION = 4.89
MAX_JERK = 8.37
MAX_YAW_RATE = 0.95
"""m/s^2, m/s^3 and rad/s: the comfort bounds of nuPlan and NAVSIM (PDM score)."""
SLOWEST = 1.0
"""m/s; slower motion has no yaw rate."""


def comfort_loss(positions: Tensor, velocity: Tensor) -> Tensor:
    """Mean squared excess over each bound, relative to it, summed over the five bounds.

    ``sum_q mean(max(|q| / bound_q - 1, 0)^2)`` for longitudinal acceleration (two bounds), lateral acceleration, jerk
    and yaw rate of the positions' own finite differences.

    Args:
        positions: (b, m, n, 2) at 10 Hz, m, from 0.1 s on.
        velocity: (b, 2) now, m/s.
    """
    dt = 1.0 / PLAN_RATE_HZ
    whole = torch.cat([torch.zeros_like(positions[..., :1, :]), positions], dim=-2)
    v = torch.diff(whole, dim=-2) / dt
    v = torch.cat([velocity[:, None, None].expand(-1, v.shape[1], -1, -1), v], dim=-2)
    a = torch.diff(v, dim=-2)[..., 1:, :] / dt
    jerk = torch.diff(a, dim=-2) / dt
    middle = 0.5 * (v[..., 2:, :] + v[..., 1:-1, :])
    speed = middle.norm(dim=-1).clamp(min=SLOWEST)
    direction = middle / speed.unsqueeze(-1)
    along = (a * direction).sum(-1)
    across = direction[..., 0] * a[..., 1] - direction[..., 1] * a[..., 0]

    def excess(value: Tensor, bound: float) -> Tensor:
        return (value / bound - 1.0).clamp(min=0.0).pow(2).mean()

    return (
        excess(along, MAX_ACCELERATION)
        + excess(-along, MAX_DECELERATION)
        + excess(across.abs(), MAX_LATERAL_ACCELERATION)
        + excess((jerk.pow(2).sum(-1) + 1e-9).sqrt(), MAX_JERK)
        + excess((across / speed).abs(), MAX_YAW_RATE)
    )
