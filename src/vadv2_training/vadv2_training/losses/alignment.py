"""The alignment loss: the reasoning should mean what is driven."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def alignment_loss(reasoning: Tensor, trajectory: Tensor, valid: Tensor) -> Tensor:
    """``1 - cos(reasoning, stop_gradient(trajectory))``, mean over the samples with a reasoning; in [0, 2].

    The trajectory side is detached: the reasoning learns to speak of what is driven. With both sides free, or the
    reasoning detached, the cheapest way to agree is to make both constant.

    Args:
        reasoning: (b, d), through ``vlm_projector`` and ``alignment_head``.
        trajectory: (b, d), the feature of the mode that is nearest to the recorded future.
        valid: (b,) 1 where there is a reasoning.
    """
    gap = 1.0 - F.cosine_similarity(reasoning, trajectory.detach(), dim=-1)
    return (gap * valid).sum() / valid.sum().clamp(min=1.0)
