"""What a command in words asks for: its text to a probability of every `DrivingAction`.

A planner that learns its whole task from driven futures meets few commands, each nearly always beside the route that
says the same; it never learns to read. Reading is learned by itself, from the wordings alone, and what was read takes
the place of an action that is UNKNOWN.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vadv2_core.taxonomy import DrivingAction
from vadv2_planner.layers import Attention
from vadv2_planner.text import TEXT_LENGTH, VOCABULARY


class TextEncoder(nn.Module):
    """Token ids to features: embedding, position, one block of self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.position = nn.Parameter(0.02 * torch.randn(TEXT_LENGTH, width))
        self.attention = Attention(width, width, heads, 0.0)
        self.norm = nn.LayerNorm(width)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Ids (b, TEXT_LENGTH) to features (b, TEXT_LENGTH, width) and mask (b, TEXT_LENGTH), 0 at padding."""
        mask = (ids > 0).to(self.position.dtype)
        x = self.embed(ids) + self.position
        x = self.norm(x + self.attention(x, self.attention.remember(x, mask)))
        return x, mask


class CommandReader(nn.Module):
    """Reads a command.

    Args:
        width: Channels of the text's features.
        heads: Of its attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.text = TextEncoder(width, heads)
        self.answer = nn.Linear(width, len(DrivingAction))

    def forward(self, text: Tensor) -> Tensor:
        """Ids (b, TEXT_LENGTH) to logits (b, len(DrivingAction))."""
        words, mask = self.text(text)
        mask = mask.unsqueeze(-1)
        logits: Tensor = self.answer((words * mask).sum(1) / mask.sum(1).clamp(min=1.0))
        return logits

    @torch.inference_mode()
    def read(self, text: NDArray[np.int64]) -> NDArray[np.float32]:
        """Ids (TEXT_LENGTH,) to the probability of every `DrivingAction`."""
        return np.asarray(self(torch.from_numpy(text)[None]).softmax(-1)[0].numpy(), dtype=np.float32)

    def asked(self, action: Tensor, text: Tensor) -> Tensor:
        """How much each action is asked for: the action where it is known, else what the words say, else UNKNOWN.

        Nothing is learned through it: the futures of a batch would teach the reader to serve them instead of reading.

        Args:
            action: (b,) int64 `DrivingAction`.
            text: (b, TEXT_LENGTH) ids, 0 for none.

        Returns:
            (b, len(DrivingAction)), rows sum to 1.
        """
        kinds = torch.arange(len(DrivingAction), device=action.device)
        told = (action.unsqueeze(-1) == kinds).to(self.answer.weight.dtype)
        read = self(text).softmax(-1).detach()
        in_words = ((action == int(DrivingAction.UNKNOWN)) & (text > 0).any(-1)).to(told.dtype).unsqueeze(-1)
        asked: Tensor = in_words * read + (1.0 - in_words) * told
        return asked
