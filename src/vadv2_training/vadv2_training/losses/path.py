"""Beside the way: how far a future is from the line that was driven, whatever its speed.

An L1 at equal times is mostly speed: 8 s ahead a good plan may be metres early or late, and 0.3 m beside the lane is
lost in that. As planners that choose path and speed apart (TransFuser++: Jaeger et al. 2023, arXiv:2306.07957), this
term asks for the path alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_ROUND = 0.05
"""m, within which the distance is rounded off: its slope has no jump on the line itself."""


def path_distance(positions: Tensor, driven: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Distance (b, n) m of positions from the driven line, and 1 where the line is beside them, 0 beyond its end.

    Args:
        positions: (b, n, 2) m.
        driven: (b, t, 2) m, from the origin on.
        known: (b, t) 1 where it was driven: a beginning of the future.
    """
    start = F.pad(driven[:, :-1], (0, 0, 1, 0))
    step = driven - start
    apart = positions[:, :, None] - start[:, None]
    share = (apart * step[:, None]).sum(-1) / step.square().sum(-1).clamp(min=1e-6)[:, None]
    away = apart - share.clamp(0.0, 1.0)[..., None] * step[:, None]
    nearest, at = away.square().sum(-1).masked_fill(known[:, None] < 0.5, float("inf")).min(-1)
    end = driven.gather(1, (known.sum(1).long() - 1).clamp(min=0)[:, None, None].expand(-1, 1, 2))
    foot = positions - away.gather(2, at[..., None, None].expand(-1, -1, 1, 2))[:, :, 0]
    # Also where the ego stands for the rest of the time: its last places are all the end.
    beyond = (foot - end).norm(dim=-1) < _ROUND
    beside = ~beyond & nearest.isfinite()
    return torch.where(beside, nearest + _ROUND**2, _ROUND**2).sqrt() - _ROUND, beside.to(positions.dtype)


def path_loss(positions: Tensor, driven: Tensor, known: Tensor, decay: float = 0.0) -> Tensor:
    """Mean distance m from the driven line, of the positions that are beside it.

    Args:
        positions: (b, n, 2) m of one future a sample.
        driven: (b, t, 2) m, the recorded future.
        known: (b, t) 1 where it was driven.
        decay: Later positions count ``exp(-decay * i / n)`` as much.
    """
    n = positions.shape[1]
    time = torch.exp(-decay * torch.arange(n, device=positions.device, dtype=positions.dtype) / n)
    distance, beside = path_distance(positions, driven, known)
    weight = beside * (time / time.mean())
    return (distance * weight).sum() / weight.sum().clamp(min=1.0)
