"""Learned planners beside diffusion, under the same interface, so that a table compares like with like."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vadv2_core.taxonomy import DrivingAction
from vadv2_planner.anchors import AnchorSet
from vadv2_planner.batch import EGO_FEATURES, PlannerBatch
from vadv2_planner.config import ModelConfig
from vadv2_planner.context import Context
from vadv2_planner.decoder import Prediction, SceneReader
from vadv2_planner.layers import PRIOR_LOGIT, Attention, sinusoid
from vadv2_planner.motion import KNOT_INTERVAL
from vadv2_planner.networks import PlannerNetwork
from vadv2_planner.noise import SamplerPlan

ONE_PASS = SamplerPlan(0, ((0, -1),))
"""What networks that denoise nothing are run with."""


def coasting(batch: PlannerBatch, knots: int) -> Tensor:
    """(b, 1, knots, 2) waypoints straight on at the present speed."""
    t = KNOT_INTERVAL * torch.arange(1, knots + 1, device=batch.velocity.device, dtype=batch.velocity.dtype)
    return (batch.velocity.unsqueeze(1) * t.reshape(1, -1, 1)).unsqueeze(1)


class Regression(PlannerNetwork):
    """The same decoder without noise or anchors: one future, regressed from where coasting would lead."""

    scores = False

    def __init__(self, config: ModelConfig, anchors: AnchorSet) -> None:
        super().__init__(config, anchors)
        self.reader = SceneReader(config)

    def plan_of(self, sampler: str, steps: int) -> SamplerPlan:
        """One pass."""
        del sampler, steps
        return ONE_PASS

    def reasoning_embedding(self, batch: PlannerBatch) -> Tensor | None:
        """See `Context.reasoning_embedding`."""
        return self.reader.context.reasoning_embedding(batch.reasoning)

    def forward(self, batch: PlannerBatch, generator: torch.Generator | None = None) -> list[Prediction]:
        """A training pass; there is nothing random in it but dropout."""
        del generator
        points = coasting(batch, self.config.knots)
        t = torch.zeros(points.shape[0], device=points.device)
        return self.reader.denoiser.predict(points, t, self.reader.remember(batch), self.unit, None, None)

    def propose(self, batch: PlannerBatch, noise: Tensor, plan: SamplerPlan) -> Prediction:
        """See `PlannerNetwork.propose`."""
        del noise, plan
        return self.forward(batch)[-1]


class Vocabulary(PlannerNetwork):
    """Probabilistic planning over a fixed vocabulary of trajectories (VADv2, Chen et al. 2024).

    Every trajectory asks the scene queries, the context and a pooled view of the image tokens for its probability; the
    most probable ones are the modes. Nothing is regressed.
    """

    regresses = False
    SHOWN = 20
    POOLED = 4

    def __init__(self, config: ModelConfig, anchors: AnchorSet) -> None:
        super().__init__(config, anchors)
        width = config.width
        self.context = Context(config)
        self.embed = nn.Sequential(
            nn.Linear(64 * config.knots, width), nn.ReLU(), nn.LayerNorm(width), nn.Linear(width, width)
        )
        self.image = nn.Linear(config.token_channels, width)
        self.queries = nn.Linear(config.query_channels, width)
        self.attention = nn.ModuleList(
            Attention(width, width, config.heads, config.dropout) for _ in range(config.layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(config.layers))
        self.ffns = nn.ModuleList(
            nn.Sequential(nn.Linear(width, config.ffn), nn.ReLU(), nn.Linear(config.ffn, width), nn.LayerNorm(width))
            for _ in range(config.layers)
        )
        self.classify = nn.Linear(width, 1)
        nn.init.constant_(self.classify.bias, PRIOR_LOGIT)
        self.view = nn.Parameter(0.02 * torch.randn(1, 12, width))

    def plan_of(self, sampler: str, steps: int) -> SamplerPlan:
        """One pass."""
        del sampler, steps
        return ONE_PASS

    def reasoning_embedding(self, batch: PlannerBatch) -> Tensor | None:
        """See `Context.reasoning_embedding`."""
        return self.context.reasoning_embedding(batch.reasoning)

    def forward(self, batch: PlannerBatch, generator: torch.Generator | None = None) -> list[Prediction]:
        """Probabilities of the whole vocabulary: waypoints (b, 4096, knots, 2) as they are, logits (b, 4096)."""
        del generator
        b, n, _, w, _ = batch.tokens.shape
        told = self.context(batch)
        context, mask = told.tokens, told.mask
        columns = [(i * w // self.POOLED, -(-(i + 1) * w // self.POOLED)) for i in range(self.POOLED)]
        pooled = torch.stack([batch.tokens[:, :, :, first:end].mean((2, 3)) for first, end in columns], dim=2)
        views = self.image(pooled) + self.view[:, :n].unsqueeze(2)
        views = views * batch.camera_valid.reshape(b, n, 1, 1)
        queries = self.queries(batch.queries)
        memory = torch.cat([views.flatten(1, 2), queries, context], dim=1)
        seen = torch.ones(b, memory.shape[1] - mask.shape[1], device=mask.device, dtype=mask.dtype)
        mask = torch.cat([seen, mask], dim=1)
        trajectories = self.get_buffer("anchors").unsqueeze(0)
        x = self.embed(sinusoid(trajectories)).expand(b, -1, -1)
        for attention, norm, ffn in zip(self.attention, self.norms, self.ffns, strict=True):
            assert isinstance(attention, Attention)
            x = norm(x + attention(x, attention.remember(memory, mask)))
            x = ffn(x)
        logits = self.classify(x).squeeze(-1)
        return [Prediction(trajectories.expand(b, -1, -1, -1), logits, x)]

    def propose(self, batch: PlannerBatch, noise: Tensor, plan: SamplerPlan) -> Prediction:
        """The most probable trajectories, in order."""
        del noise, plan
        whole = self.forward(batch)[0]
        best = whole.logits.topk(min(self.SHOWN, whole.logits.shape[1]), dim=1)
        i = best.indices
        waypoints = whole.waypoints.gather(1, i[..., None, None].expand(-1, -1, *whole.waypoints.shape[2:]))
        return Prediction(
            waypoints, best.values, whole.features.gather(1, i[..., None].expand(-1, -1, whole.features.shape[-1]))
        )


class EgoStatus(PlannerNetwork):
    """An MLP on ego state and command alone: what open-loop scores can be faked with (Li et al. 2024)."""

    needs_pictures = False
    reads_reasoning = False
    scores = False

    def __init__(self, config: ModelConfig, anchors: AnchorSet) -> None:
        super().__init__(config, anchors)
        width = config.width
        self.action = nn.Embedding(len(DrivingAction), width)
        self.body = nn.Sequential(
            nn.Linear(EGO_FEATURES + 1 + width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width), nn.ReLU()
        )
        self.out = nn.Linear(width, 2 * config.knots)
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.out.bias.zero_()

    def plan_of(self, sampler: str, steps: int) -> SamplerPlan:
        """One pass."""
        del sampler, steps
        return ONE_PASS

    def forward(self, batch: PlannerBatch, generator: torch.Generator | None = None) -> list[Prediction]:
        """One future, offset from coasting."""
        del generator
        x = self.body(torch.cat([batch.ego, batch.distance, self.action(batch.action)], dim=-1))
        offsets = self.out(x).reshape(-1, 1, self.config.knots, 2) * self.unit
        logits = torch.full((x.shape[0], 1), 4.0, device=x.device, dtype=x.dtype)
        return [Prediction(coasting(batch, self.config.knots) + offsets, logits, x.unsqueeze(1))]

    def propose(self, batch: PlannerBatch, noise: Tensor, plan: SamplerPlan) -> Prediction:
        """See `PlannerNetwork.propose`."""
        del noise, plan
        return self.forward(batch)[0]
