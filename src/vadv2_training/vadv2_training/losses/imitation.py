"""The diffusion loss: which anchor the recorded future belongs to, and how far its denoised future is from it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def nearest_anchor(anchors: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Which clean anchor lies nearest to the recorded future.

    ``m* = argmin_j mean_t |target_t - anchor_jt|``, over the waypoints that are known. The clean anchor: neither the
    noisy one nor the prediction (DiffusionDrive, ``LossComputer``).

    Args:
        anchors: (m, k, 2) m.
        target: (b, k, 2) m, at the anchors' times.
        known: (b, k) 1 where the target is known.

    Returns:
        (b,) int64.
    """
    distance = (target.unsqueeze(1) - anchors.unsqueeze(0)).norm(dim=-1)
    weight = known.unsqueeze(1)
    mean = (distance * weight).sum(-1) / weight.sum(-1).clamp(min=1.0)
    nearest: Tensor = mean.argmin(dim=1)
    return nearest


def focal_loss(
    logits: Tensor, positive: Tensor, sample_weight: Tensor, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """Sigmoid focal loss, mean over all samples and modes (not over the positives alone).

    ``alpha_t (1 - p_t)^gamma BCE`` (Lin et al. 2017; DiffusionDrive's ``py_sigmoid_focal_loss``).

    Args:
        logits: (b, m).
        positive: (b,) index of the right mode.
        sample_weight: (b,) 0 drops a sample.
        alpha: Weight of the positives.
        gamma: Focus on the hard ones.
    """
    target = F.one_hot(positive, logits.shape[1]).to(logits.dtype)
    p = logits.sigmoid()
    wrong = (1.0 - p) * target + p * (1.0 - target)
    weight = (alpha * target + (1.0 - alpha) * (1.0 - target)) * wrong.pow(gamma)
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight
    return (each.mean(1) * sample_weight).sum() / sample_weight.sum().clamp(min=1.0)


def waypoint_loss(positions: Tensor, target: Tensor, known: Tensor, decay: float = 0.0) -> Tensor:
    """L1 between positions and the recorded ones, m, mean over x and y and the known times.

    Args:
        positions: (b, n, 2) of the right mode.
        target: (b, n, 2).
        known: (b, n) 1 where the target is known.
        decay: Later times count ``exp(-decay * i / n)`` as much; 0 for all alike.
    """
    n = positions.shape[1]
    time = torch.exp(-decay * torch.arange(n, device=positions.device, dtype=positions.dtype) / n)
    weight = known * (time / time.mean())
    error = (positions - target).abs().mean(-1)
    return (error * weight).sum() / known.sum().clamp(min=1.0)


def imitation_loss(
    positions: Tensor,
    logits: Tensor,
    positive: Tensor,
    target: Tensor,
    known: Tensor,
    *,
    focal_weight: float = 10.0,
    waypoint_weight: float = 8.0,
    decay: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """One layer's diffusion loss: focal classification and L1 of the nearest clean anchor's future.

    Args:
        positions: (b, m, n, 2) futures, m.
        logits: (b, m).
        positive: (b,) of `nearest_anchor`.
        target: (b, n, 2) recorded positions at the same times.
        known: (b, n).
        focal_weight: DiffusionDrive's 10.
        waypoint_weight: DiffusionDrive's 8.
        decay: See `waypoint_loss`.

    Returns:
        The weighted focal and the weighted L1 term.
    """
    picked = positions[torch.arange(len(positions), device=positions.device), positive]
    has_any = (known.sum(1) > 0).to(logits.dtype)
    return (
        focal_weight * focal_loss(logits, positive, has_any),
        waypoint_weight * waypoint_loss(picked, target, known, decay),
    )
