"""The denoiser: noisy waypoints, a timestep and a scene in; clean waypoints and a logit a mode out."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vadv2_planner.batch import PlannerBatch
from vadv2_planner.config import ModelConfig
from vadv2_planner.context import Context, ContextTokens
from vadv2_planner.guidance import Guidance, Guide
from vadv2_planner.layers import DecoderLayer, LayerMemory, Maps, sinusoid, time_features


class SceneMemory(NamedTuple):
    """What every pass reads and no noise changes; made once a frame."""

    maps: Maps
    layers: tuple[LayerMemory, ...]
    guide: Guide | None


class Prediction(NamedTuple):
    """What one decoder layer predicts.

    Attributes:
        waypoints: (b, m, knots, 2) m, clean.
        logits: (b, m).
        features: (b, m, width) trajectory embeddings.
        risks: (b, m, len(RISKS)) logits of what the future may come to; None where none are judged.
    """

    waypoints: Tensor
    logits: Tensor
    features: Tensor
    risks: Tensor | None = None


def careful(prediction: Prediction) -> Prediction:
    """The same with each score lowered by the mode's risks: ``p = score * prod(1 - risk)``, again as logits.

    A product of sub-scores, as PDMS is one and as Hydra-MDP chooses (Li et al. 2024, arXiv:2406.06978): the score says
    what a driver would do, and is learned from one future a frame; a risk is learned from every mode.
    """
    if prediction.risks is None:
        return prediction
    # s = -log p, and the logit is -log(e^s - 1); expm1 has no ONNX operator, so a p above 0.9999 is not told from it.
    s = F.softplus(-prediction.logits) + F.softplus(prediction.risks).sum(-1)
    s = s.clamp(1e-4, 60.0)
    return prediction._replace(logits=-(s + (1.0 - (-s).exp()).log()))


class Denoiser(nn.Module):
    """A cascade of decoder layers.

    Every layer starts from the same mode features; what a layer hands on is where the next one looks: its waypoints,
    detached (as in DiffusionDrive's NAVSIM head). Layers share no weights.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, knots = config.width, config.knots
        self.config = config
        self.embed = nn.Sequential(
            nn.Linear(64 * knots, width), nn.ReLU(), nn.LayerNorm(width), nn.Linear(width, width)
        )
        self.time = nn.Sequential(nn.Linear(width, 4 * width), nn.Mish(), nn.Linear(4 * width, width))
        self.layers = nn.ModuleList(
            DecoderLayer(
                channels=config.token_channels,
                width=width,
                query_width=config.query_channels,
                heads=config.heads,
                ffn=config.ffn,
                knots=knots,
                heights=tuple(config.sample_heights),
                dropout=config.dropout,
                judges=config.judged,
            )
            for _ in range(config.layers)
        )
        self.guidance = Guidance(width, knots, config.query_channels) if config.guided else None

    def remember(
        self, maps: Maps, queries: Tensor, scene: Tensor, context: ContextTokens, batch: PlannerBatch
    ) -> SceneMemory:
        """Everything that no pass changes: keys and values of every layer, and the guide."""
        layers = tuple(layer.remember(queries, context.tokens, context.mask) for layer in self._layers())
        guide = None
        if self.guidance is not None:
            guide = self.guidance.begin(batch, scene, context.seen_ego, context.on_route, context.asked)
        return SceneMemory(maps, layers, guide)

    def _layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]

    def predict(
        self, points: Tensor, t: Tensor, memory: SceneMemory, unit: Tensor, base: Tensor | None, identity: Tensor | None
    ) -> list[Prediction]:
        """One pass.

        Args:
            points: (b, m, knots, 2) noisy waypoints, m.
            t: (b,) timesteps.
            memory: Of `remember`.
            unit: (knots, 2) m: what one unit of a regressed offset is worth.
            base: (b or 1, m, knots, 2) m that offsets are added to; None for the layer's own input points.
            identity: (b or 1, m, width) added to the modes' features, such as an embedding of the clean anchor.

        Returns:
            One prediction a layer.
        """
        x = self.embed(sinusoid(points))
        if identity is not None:
            x = x + identity
        if memory.guide is not None:
            x = x + memory.guide.start.unsqueeze(1)
        time = self.time(time_features(t, self.config.width))
        out: list[Prediction] = []
        for layer, layer_memory in zip(self._layers(), memory.layers, strict=True):
            told = x if self.guidance is None or memory.guide is None else x + self.guidance(points, memory.guide)
            said = layer(told, points, time, memory.maps, layer_memory)
            waypoints = (points if base is None else base) + said.offsets * unit
            out.append(Prediction(waypoints, said.logits, said.features, said.risks))
            points = waypoints.detach()
        return out


class SceneReader(nn.Module):
    """Context and denoiser together: from a batch to what every pass reads."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.context = Context(config)
        self.denoiser = Denoiser(config)

    def remember(self, batch: PlannerBatch) -> SceneMemory:
        """Image tokens, scene queries and context; once a frame."""
        maps = Maps(batch.tokens, batch.projection, batch.camera_valid)
        return self.remember_maps(maps, batch.queries, batch.queries[:, -1:].flatten(1), batch)

    def remember_maps(
        self, maps: Maps, queries: Tensor, scene: Tensor, batch: PlannerBatch, *, reasoning: bool = True
    ) -> SceneMemory:
        """The same with other maps and queries; ``reasoning`` False is a planner that is not told of any.

        Args:
            maps: What the waypoints look into.
            queries: (b, q, query_channels).
            scene: (b, query_channels) the query of the whole scene.
            batch: Everything else.
            reasoning: Whether the batch's is told.
        """
        if not reasoning:
            batch = replace(batch, reasoning_valid=torch.zeros_like(batch.reasoning_valid))
        if not self.config.reads_images:
            maps = maps._replace(features=torch.zeros_like(maps.features))
        if not self.config.reads_queries:
            queries, scene = torch.zeros_like(queries), torch.zeros_like(scene)
        return self.denoiser.remember(maps, queries, scene, self.context(batch), batch)
