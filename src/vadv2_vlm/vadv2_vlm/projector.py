"""The token projector: scene slots into the input space of a language model."""

from __future__ import annotations

import torch
from torch import nn

from vadv2_vlm.config import SlotConfig
from vadv2_vlm.slots import AHEAD_FEATURES, EGO_FEATURES, MAP_FEATURES, OBJECT_FEATURES, WAY_FEATURES, TokenBatch


def _mlp(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))


class TokenProjector(nn.Module):
    """An MLP a kind of slot; the summaries read all scene queries by one attention, then all slots one another.

    What a scene asks for lies between slots: a lead is slow for this ego, a line is near for this speed. Here that is
    learned from many scenes at the price of few tokens (`vadv2_training.decision_task`), before a sentence is.
    The output is normalised and scaled to the size of the model's own word embeddings, so that slots and words enter
    its first layer alike.

    Args:
        config: Sizes of the slots.
        hidden: Width of the language model.
        scale: Root mean square of its word embeddings.
    """

    def __init__(self, config: SlotConfig, hidden: int, scale: float = 0.02) -> None:
        super().__init__()
        width = config.width
        self.ego = _mlp(EGO_FEATURES, width)
        self.ahead = _mlp(AHEAD_FEATURES, width)
        self.way = _mlp(WAY_FEATURES, width)
        self.objects = _mlp(OBJECT_FEATURES, width)
        self.map = _mlp(MAP_FEATURES, width)
        self.queries = nn.Linear(config.query_channels, width)
        self.readers = nn.Parameter(torch.randn(config.summaries, width) * 0.02)
        self.read = nn.MultiheadAttention(width, 4, batch_first=True)
        self.summary = _mlp(width, width)
        self.cameras = _mlp(config.image_channels + 3, width)
        self.place = nn.Parameter(torch.randn(config.count, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.1, batch_first=True, norm_first=True)
        self.mix = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, hidden)
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def forward(self, batch: TokenBatch) -> torch.Tensor:
        """Embeddings (batch, slots, hidden) in the order ego, ahead, way, objects, map, summaries, cameras."""
        queries = self.queries(batch.queries)
        readers = self.readers.expand(len(queries), -1, -1)
        read = self.read(readers, queries, queries, need_weights=False)[0]
        parts = [
            self.ego(batch.ego)[:, None],
            self.ahead(batch.ahead)[:, None],
            self.way(batch.way)[:, None],
            self.objects(batch.objects),
            self.map(batch.map),
            self.summary(readers + read),
            self.cameras(torch.cat([batch.cameras, batch.rays], dim=-1)),
        ]
        projected = self.out(self.norm(self.mix(torch.cat(parts, dim=1) + self.place)))
        rms = projected.pow(2).mean(-1, keepdim=True).clamp_min(1e-12).sqrt()
        return projected / rms * self.scale  # type: ignore[no-any-return]
