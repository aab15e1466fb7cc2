"""What a mode is told besides pictures: ego, command in words, route, reasoning; made once a frame."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vadv2_core.route_ahead import ROUTE_DISTANCES, ROUTE_FEATURES
from vadv2_core.taxonomy import DrivingAction
from vadv2_planner.batch import EGO_FEATURES, PlannerBatch
from vadv2_planner.command_reader import CommandReader, TextEncoder
from vadv2_planner.config import ModelConfig

ROUTE_TOKENS = 4
"""The route is read in this many pieces."""


class ContextTokens(NamedTuple):
    """What `Context` makes of a batch.

    Attributes:
        tokens: (b, s, width).
        mask: (b, s) 0 at padding.
        seen_ego: (b, 1) 0 where ego state and ego tokens are hidden.
        on_route: (b, 1) 0 where there is no route, or it is hidden.
        asked: (b, len(DrivingAction)) `CommandReader.asked`.
    """

    tokens: Tensor
    mask: Tensor
    seen_ego: Tensor
    on_route: Tensor
    asked: Tensor


def _mlp(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.LayerNorm(width))


class Context(nn.Module):
    """The context tokens of a batch.

    Order: ego, aux tokens, command, its words, route (or the null route), reasoning (or the null reasoning). While
    training, ego, route and reasoning are hidden at the rates of the config, each by its own learned null token.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.ego = _mlp(EGO_FEATURES, width)
        self.null_ego = nn.Parameter(0.02 * torch.randn(1, width))
        self.aux = nn.Sequential(nn.Linear(config.aux_channels, width), nn.LayerNorm(width))
        self.action = nn.Embedding(len(DrivingAction), width)
        self.distance = nn.Linear(1, width)
        self.command_norm = nn.LayerNorm(width)
        self.text = TextEncoder(width, config.heads)
        self.command_reader = CommandReader(width, config.heads)
        self.route = _mlp(len(ROUTE_DISTANCES) // ROUTE_TOKENS * ROUTE_FEATURES, width)
        self.route_position = nn.Parameter(0.02 * torch.randn(ROUTE_TOKENS, width))
        self.null_route = nn.Parameter(0.02 * torch.randn(ROUTE_TOKENS, width))
        self.vlm_projector = nn.Sequential(
            nn.LayerNorm(config.reasoning_channels),
            nn.Linear(config.reasoning_channels, width),
            nn.GELU(),
            nn.Linear(width, width),
        )
        self.reasoning_age = nn.Linear(2, width)
        self.reasoning_norm = nn.LayerNorm(width)
        self.null_reasoning = nn.Parameter(0.02 * torch.randn(1, width))
        self.alignment_head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def _kept(self, valid: Tensor, rate: float) -> Tensor:
        if not self.training or rate <= 0.0:
            return valid
        return valid * (torch.rand_like(valid) >= rate).to(valid.dtype)

    def reasoning_embedding(self, reasoning: Tensor) -> Tensor:
        """Reasoning (b, dr) in the space of trajectory embeddings (b, width), for the alignment loss."""
        aligned: Tensor = self.alignment_head(self.vlm_projector(reasoning))
        return aligned

    def forward(self, batch: PlannerBatch) -> ContextTokens:
        """The tokens of a batch, and what of it was hidden."""
        b = batch.ego.shape[0]
        shown = torch.full_like(batch.route_valid, float(self.config.reads_ego))
        seen = self._kept(shown, self.config.ego_dropout).unsqueeze(-1)
        ego = seen * self.ego(batch.ego).unsqueeze(1) + (1.0 - seen) * self.null_ego
        aux = seen * self.aux(batch.aux)
        asked = self.command_reader.asked(batch.action, batch.text)
        command = self.command_norm(asked @ self.action.weight + self.distance(batch.distance)).unsqueeze(1)
        words, word_mask = self.text(batch.text)
        pieces = batch.route.reshape(b, ROUTE_TOKENS, -1)
        on_route = self._kept(batch.route_valid, self.config.route_dropout).unsqueeze(-1)
        route = on_route * (self.route(pieces) + self.route_position) + (1.0 - on_route) * self.null_route
        told = self._kept(batch.reasoning_valid, self.config.reasoning_dropout)
        age = batch.reasoning_age
        age_features = torch.cat([age, torch.exp(-age)], dim=-1)
        thought = self.reasoning_norm(self.vlm_projector(batch.reasoning) + self.reasoning_age(age_features))
        reasoning = (told * thought + (1.0 - told) * self.null_reasoning).unsqueeze(1)
        tokens = torch.cat([ego, aux, command, words, route, reasoning], dim=1)
        one = torch.ones(b, 1, device=tokens.device, dtype=word_mask.dtype)
        before, after = one.expand(-1, 2 + aux.shape[1]), one.expand(-1, ROUTE_TOKENS + 1)
        mask = torch.cat([before, word_mask, after], dim=1)
        return ContextTokens(tokens, mask, seen.squeeze(-1), on_route.squeeze(-1), asked)
