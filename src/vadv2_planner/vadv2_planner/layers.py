"""Blocks of the planner's decoder."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vadv2_planner.reading import lift, read_maps

PRIOR_LOGIT = -math.log(99.0)
"""A mode is right with one per cent before anything is learned (focal loss, Lin et al. 2017)."""

RISKS = ("collision", "off_road", "red_light")
"""What a mode's future may come to within `RISK_HORIZON`, each with a logit of its own."""
RISK_HORIZON = 4.0
"""s, as NAVSIM's."""
_PRIOR_RISK = -2.0
"""Logit of a risk before anything is learned."""

_FREQUENCIES = 2.0 * math.pi * 10000.0 ** (-torch.arange(16, dtype=torch.float32) / 16.0)


class Maps(NamedTuple):
    """Feature maps with what is needed to read them; fields as in `read_maps`."""

    features: Tensor
    projection: Tensor
    valid: Tensor


class KeyValue(NamedTuple):
    """Keys and values of one attention, (b, heads, s, width / heads) each, and an additive mask (b, 1, 1, s)."""

    key: Tensor
    value: Tensor
    mask: Tensor


def sinusoid(points: Tensor) -> Tensor:
    """Positions (..., k, 2) in metres to (..., k * 64), 32 numbers a coordinate, the y block before the x block.

    Frequencies ``10000^(-2 floor(i / 2) / 32)`` of 2 pi metres, sine and cosine interleaved (DiffusionDrive's
    ``gen_sineembed_for_position``).
    """
    phase = points.float().flip(-1).unsqueeze(-1) * _FREQUENCIES.to(points.device)
    return torch.stack([phase.sin(), phase.cos()], dim=-1).flatten(-4)


def time_features(t: Tensor, width: int) -> Tensor:
    """Timesteps (b,) to (b, width): all sines, then all cosines, of ``t * 10000^(-j / (width / 2 - 1))``."""
    half = width // 2
    j = torch.arange(half, device=t.device, dtype=torch.float32)
    phase = t.float().unsqueeze(-1) * torch.exp(-math.log(10000.0) * j / (half - 1))
    return torch.cat([phase.sin(), phase.cos()], dim=-1)


class Attention(nn.Module):
    """Multi-head cross-attention whose keys and values are made once (`remember`) and read many times."""

    def __init__(self, width: int, memory_width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.memory = nn.Linear(memory_width, 2 * width)
        self.out = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def remember(self, memory: Tensor, mask: Tensor | None = None) -> KeyValue:
        """Keys and values of a memory (b, s, memory_width); mask (b, s) is 1 where it may be read."""
        key, value = self.memory(memory).chunk(2, dim=-1)
        if mask is None:
            bias = torch.zeros(memory.shape[0], 1, 1, memory.shape[1], device=memory.device, dtype=key.dtype)
        else:
            bias = ((mask - 1.0) * 1e4).reshape(memory.shape[0], 1, 1, -1).to(key.dtype)
        return KeyValue(self._split(key), self._split(value), bias)

    def forward(self, x: Tensor, memory: KeyValue) -> Tensor:
        """Queries (b, m, width) to (b, m, width)."""
        mask = memory.mask.expand(-1, 1, x.shape[1], -1)
        rate = self.dropout if self.training else 0.0
        read = F.scaled_dot_product_attention(
            self._split(self.query(x)), memory.key, memory.value, attn_mask=mask, dropout_p=rate
        )
        mixed: Tensor = self.out(read.transpose(1, 2).flatten(2))
        return mixed


class WaypointReading(nn.Module):
    """What the cameras show where a mode's own waypoints lie, at several heights.

    Two readings are added: one softmax over all points a head (weights from the mode's feature, uniform at first), as
    in DiffusionDrive; and one that keeps the waypoints apart, because a mode must know *when* it would meet something.
    Reading and projecting commute, so that the maps themselves are never projected.
    """

    PER_KNOT = 16

    def __init__(self, channels: int, width: int, heads: int, knots: int, heights: tuple[float, ...]) -> None:
        super().__init__()
        self.heads, self.knots = heads, knots
        self.register_buffer("heights", torch.tensor(heights), persistent=False)
        self.weights = nn.Linear(width, heads * knots * len(heights))
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        self.value = nn.Parameter(torch.randn(heads, channels, width // heads) / math.sqrt(channels))
        self.knot = nn.Linear(channels, self.PER_KNOT)
        self.out = nn.Linear(width + knots * self.PER_KNOT, width)

    def forward(self, x: Tensor, points: Tensor, maps: Maps) -> Tensor:
        """Modes (b, m, width) at points (b, m, knots, 2) in metres to (b, m, width)."""
        b, m, _ = x.shape
        heights: Tensor = self.get_buffer("heights")
        n = heights.shape[0]
        read = read_maps(lift(points, heights), maps.features, maps.projection, maps.valid)
        read = read.reshape(b, m, self.knots * n, -1)
        weights = self.weights(x).reshape(b, m, self.heads, self.knots * n).softmax(-1)
        pooled = torch.matmul(weights, read).permute(2, 0, 1, 3).reshape(self.heads, b * m, -1)
        mixed = torch.bmm(pooled, self.value).reshape(self.heads, b, m, -1).permute(1, 2, 0, 3).flatten(2)
        apart = self.knot(read.reshape(b, m, self.knots, n, -1).mean(3)).flatten(2)
        out: Tensor = self.out(torch.cat([mixed, apart], dim=-1))
        return out


class LayerMemory(NamedTuple):
    """What a layer reads that does not depend on the noise."""

    queries: KeyValue
    context: KeyValue


class LayerOutput(NamedTuple):
    """What one layer says.

    Attributes:
        offsets: (b, m, knots, 2) in units of the head.
        logits: (b, m).
        features: (b, m, width), the trajectory embedding of each mode.
        risks: (b, m, len(RISKS)) logits; None where none are judged.
    """

    offsets: Tensor
    logits: Tensor
    features: Tensor
    risks: Tensor | None


def _classifier(width: int) -> nn.Sequential:
    blocks: list[nn.Module] = []
    for _ in range(2):
        blocks += [nn.Linear(width, width), nn.ReLU(), nn.LayerNorm(width)]
    last = nn.Linear(width, 1)
    nn.init.constant_(last.bias, PRIOR_LOGIT)
    return nn.Sequential(*blocks, last)


def _judge(width: int) -> nn.Sequential:
    last = nn.Linear(width, len(RISKS))
    nn.init.constant_(last.bias, _PRIOR_RISK)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.LayerNorm(width), last)


def _regressor(width: int, knots: int) -> nn.Sequential:
    last = nn.Linear(width, 2 * knots)
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.zero_()
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), last)


class DecoderLayer(nn.Module):
    """One layer: image at the waypoints, scene queries, context, feed-forward, time, heads.

    As in DiffusionDrive's NAVSIM head there is no residual around the feed-forward block, and no attention between
    modes: a mode is judged by what lies on its way.
    """

    def __init__(
        self,
        *,
        channels: int,
        width: int,
        query_width: int,
        heads: int,
        ffn: int,
        knots: int,
        heights: tuple[float, ...],
        dropout: float,
        judges: bool,
    ) -> None:
        super().__init__()
        self.knots = knots
        self.reading = WaypointReading(channels, width, heads, knots, heights)
        self.reading_dropout = nn.Dropout(dropout)
        self.queries = Attention(width, query_width, heads, dropout)
        self.queries_norm = nn.LayerNorm(width)
        self.context = Attention(width, width, heads, dropout)
        self.context_norm = nn.LayerNorm(width)
        self.ffn = nn.Sequential(nn.Linear(width, ffn), nn.ReLU(), nn.Linear(ffn, width))
        self.ffn_norm = nn.LayerNorm(width)
        self.time = nn.Sequential(nn.Mish(), nn.Linear(width, 2 * width))
        self.classify = _classifier(width)
        self.regress = _regressor(width, knots)
        self.judge = _judge(width) if judges else None

    def remember(self, queries: Tensor, context: Tensor, mask: Tensor) -> LayerMemory:
        """Keys and values of scene queries (b, q, query_width) and context (b, s, width) with its mask (b, s)."""
        return LayerMemory(self.queries.remember(queries), self.context.remember(context, mask))

    def forward(self, x: Tensor, points: Tensor, time: Tensor, maps: Maps, memory: LayerMemory) -> LayerOutput:
        """Modes (b, m, width) at points (b, m, knots, 2), time embedding (b, width)."""
        x = x + self.reading_dropout(self.reading(x, points, maps))
        x = self.queries_norm(x + self.queries(x, memory.queries))
        x = self.context_norm(x + self.context(x, memory.context))
        x = self.ffn_norm(self.ffn(x))
        scale, shift = self.time(time).unsqueeze(1).chunk(2, dim=-1)
        x = x * (1.0 + scale) + shift
        offsets = self.regress(x).reshape(*x.shape[:2], self.knots, 2)
        risks = None if self.judge is None else self.judge(x)
        return LayerOutput(offsets, self.classify(x).squeeze(-1), x, risks)
