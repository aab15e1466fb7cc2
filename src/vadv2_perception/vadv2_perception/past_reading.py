"""Where an object was: past frames read at the places that it would come from at several speeds.

Fused tokens say that something changed at a place, not where it came from: a car at 9 m/s was 4.5 m away half a second
ago. So each object query looks there, after Sparse4D's and StreamPETR's temporal reading (arXiv:2211.10581,
arXiv:2303.11926), at several speeds at once, and learns at which of them it finds itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vadv2_perception.rays import inside, project, read_tokens

SPEEDS = (0.0, 1.5, 4.0, 7.0, 10.0, 14.0)
"""m/s along an object's heading that are tried."""
_HEIGHT = 0.8
"""m above ground at which an object is looked for."""


@dataclass
class PastFrames:
    """What is remembered of earlier frames; ``frames`` is the length of the config's history_ages.

    Attributes:
        tokens: (B, frames, cameras, m, h, w) `SceneModel.remembered` of then.
        motion: (B, frames, 4, 4) from base_link now to base_link then.
        age: (B, frames) s, positive.
        valid: (B, frames, cameras) 1 where there is a picture, else 0.
    """

    tokens: Tensor
    motion: Tensor
    age: Tensor
    valid: Tensor


class PastReading(nn.Module):
    """Adds to each object query what past frames hold where it would have been.

    Args:
        memory_channels: Of a remembered token.
        query_channels: Of a query.
        frames: Past frames.
        grid: Rows and columns of tokens.
    """

    def __init__(self, memory_channels: int, query_channels: int, frames: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.key = nn.Linear(query_channels, memory_channels)
        self.found = nn.Linear(frames * len(SPEEDS) * (memory_channels + 1), query_channels)
        self.out = nn.Linear(query_channels, query_channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, queries: Tensor, centres: Tensor, headings: Tensor, past: PastFrames, k: Tensor, t: Tensor
    ) -> Tensor:
        """Read.

        Args:
            queries: (B, n, d) of the objects.
            centres: (B, n, 2) m, where they are now.
            headings: (B, n, 2) cosine and sine, any length.
            past: Earlier frames.
            k: (B, cameras, 3, 3) at token resolution.
            t: (B, cameras, 4, 4) T_base_camera.

        Returns:
            (B, n, d); of an object that no past frame shows, what nothing found says.
        """
        b, f, cameras, m = past.tokens.shape[:4]
        n, s = centres.shape[1], len(SPEEDS)
        way = past.age[..., None] * torch.tensor(SPEEDS, dtype=centres.dtype, device=centres.device)
        back = F.normalize(headings, dim=-1)[:, None, :, None] * way[:, :, None, :, None]
        places = (centres[:, None, :, None] - back).reshape(b, f, n * s, 2)
        places = torch.cat([places, torch.full_like(places[..., :1], _HEIGHT)], dim=-1)
        moved = places @ past.motion[..., :3, :3].transpose(-1, -2) + past.motion[..., None, :3, 3]
        ks = k[:, None].expand(-1, f, -1, -1, -1).flatten(0, 1)
        ts = t[:, None].expand(-1, f, -1, -1, -1).flatten(0, 1)
        uv, depth = project(moved.flatten(0, 1), ks, ts)
        seen = inside(uv, depth, self.grid).to(queries.dtype).reshape(b, f, cameras, 1, n, s)
        seen = seen * past.valid[..., None, None, None]
        # What is remembered learns by the fusion of tokens; from here it would cost a third of a training step.
        read = read_tokens(past.tokens.detach().flatten(0, 2), uv.reshape(b * f * cameras, n, s, 2))
        read = (read.reshape(b, f, cameras, m, n, s) * seen).sum(2) / seen.sum(2).clamp(min=1.0)
        alike = torch.einsum("bnm,bfmns->bfns", self.key(queries), read)
        held = torch.cat([read, alike[:, :, None]], dim=2).permute(0, 3, 1, 4, 2).flatten(2)
        answer: Tensor = self.out(F.gelu(self.found(held)))
        return answer
