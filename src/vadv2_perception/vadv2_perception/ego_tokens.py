"""Ego status as tokens: speed, acceleration, yaw rate, steering; hidden at random in training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

AUX_QUANTITIES = ("speed", "acceleration", "yaw_rate", "steering_angle")
AUX_SCALES = (10.0, 3.0, 0.5, 0.5)
"""Size of one unit of each quantity in the network: m/s, m/s^2, rad/s, rad."""

_FREQUENCIES = (0.5, 1.0, 2.0, 4.0)


class EgoTokens(nn.Module):
    """One token a quantity of `AUX_QUANTITIES`; a learned null token where it is unknown or hidden.

    Hiding is not decoration: open-loop scores can be had from ego status alone (Li et al., "Is Ego Status All You
    Need", CVPR 2024), so training takes it away with probability ``dropout``, each quantity for itself.
    """

    scale: Tensor

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        kinds, inputs = len(AUX_QUANTITIES), 1 + 2 * len(_FREQUENCIES)
        self.dropout = dropout
        self.weight = nn.Parameter(torch.randn(kinds, inputs, channels) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.randn(kinds, channels) * 0.1)
        self.null = nn.Parameter(torch.randn(kinds, channels) * 0.1)
        self.register_buffer("scale", torch.tensor(AUX_SCALES), persistent=False)

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """Tokens.

        Args:
            values: (B, 4) in SI units, in the order of `AUX_QUANTITIES`; anything finite where not valid.
            valid: (B, 4) 1 where known, else 0.

        Returns:
            (B, 4, channels).
        """
        x = (values / self.scale).clamp(-5.0, 5.0)
        waves = [wave(x * (math.pi * f)) for f in _FREQUENCIES for wave in (torch.sin, torch.cos)]
        # Summed products instead of an einsum: exporters keep them as one small matrix product.
        known = (torch.stack([x, *waves], dim=-1)[..., None] * self.weight).sum(-2) + self.bias
        if self.training and self.dropout > 0:
            valid = valid * (torch.rand_like(valid) >= self.dropout)
        gate = valid[..., None]
        return known * gate + self.null * (1 - gate)
