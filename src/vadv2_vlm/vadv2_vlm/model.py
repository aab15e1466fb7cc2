"""The reasoner as a batched module with gradients: what training uses, and what the core runs frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from vadv2_core.taxonomy import Cause, EdgeCaseFlag, LateralAction, LongitudinalAction
from vadv2_vlm import prompt
from vadv2_vlm.config import SlotConfig
from vadv2_vlm.language_model import LanguageModel
from vadv2_vlm.projector import TokenProjector
from vadv2_vlm.slots import TokenBatch

IGNORED = -100


@dataclass(slots=True)
class TextBatch:
    """Token sequences of several samples, padded at the end.

    Attributes:
        ids: (batch, n) int64; image tokens where the scene slots go.
        mask: (batch, n) int64, 1 on tokens, 0 on padding.
        labels: (batch, n) int64; the token itself where it is an answer to be learned, `IGNORED` elsewhere.
        weights: (batch, n) float32, what a learned token counts in the loss.
        reason: (batch,) int64 index of the token whose hidden state is the embedding.
        flags: (batch, flags) int64 index of the token after which each flag is answered.
        flag_targets: (batch, flags) float32 in {0, 1}, NaN where it is not known.
        longitudinal, lateral, cause: (batch,) int64 taxonomy values, 0 (UNKNOWN) where they are not known.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    reason: torch.Tensor
    flags: torch.Tensor
    flag_targets: torch.Tensor
    longitudinal: torch.Tensor
    lateral: torch.Tensor
    cause: torch.Tensor


@dataclass(slots=True)
class VlmOutput:
    """A forward pass.

    Attributes:
        losses: Mean over the batch: ``language`` (weighted cross-entropy a learned token, nats), ``flags`` (binary
            cross-entropy a known flag), ``action`` (cross-entropy of the three heads over the embedding, summed).
        embedding: (batch, hidden) reasoning embeddings, with gradient.
        flag_logits: (batch, flags) log-odds of yes.
    """

    losses: dict[str, torch.Tensor]
    embedding: torch.Tensor
    flag_logits: torch.Tensor


def normalise(hidden: torch.Tensor) -> torch.Tensor:
    """Hidden states (..., hidden) with root mean square 1: the one definition of a reasoning embedding's scale."""
    hidden = hidden.float()
    return hidden / hidden.pow(2).mean(-1, keepdim=True).clamp_min(1e-12).sqrt()


class VlmModel(nn.Module):
    """Token projector, language model, and heads over the reasoning embedding.

    The heads make the decision linearly readable from the embedding. On the road the longitudinal one goes with the
    embedding to the planner, which heeds it; the words are decoded.
    The vision tower, which never runs behind the token door, is frozen here; what else trains is the caller's choice
    (everything as it comes, or an adapter by `vadv2_vlm.lora.attach_adapter`).

    Args:
        language: A loaded model; its parameters are part of this module.
        slots: Sizes of the token door.
    """

    def __init__(self, language: LanguageModel, slots: SlotConfig) -> None:
        super().__init__()
        hidden = language.hidden_size
        self.slots = slots
        self.language = language
        self.language_model: nn.Module = language.model
        running = {id(p) for part in (language.decoder, language.head) for p in part.parameters()}
        for parameter in language.model.parameters():
            if id(parameter) not in running:
                parameter.requires_grad_(False)
        self.projector = TokenProjector(slots, hidden, language.word_scale)
        self.longitudinal_head = nn.Linear(hidden, len(LongitudinalAction))
        self.lateral_head = nn.Linear(hidden, len(LateralAction))
        self.cause_head = nn.Linear(hidden, len(Cause))

    def own_parts(self) -> dict[str, nn.Module]:
        """The modules that are not the language model's, by name: what the VLM's own checkpoint holds."""
        return {
            "projector": self.projector,
            "longitudinal_head": self.longitudinal_head,
            "lateral_head": self.lateral_head,
            "cause_head": self.cause_head,
        }

    def embed_inputs(self, ids: torch.Tensor, tokens: TokenBatch) -> torch.Tensor:
        """Input embeddings (batch, n, hidden): words, with the projected slots where the image tokens are."""
        embeds = self.language.embeddings(ids)
        projected = self.projector(tokens).to(embeds.dtype)
        places = (ids == self.language.image_token_id)[..., None]
        return embeds.masked_scatter(places, projected)  # type: ignore[no-any-return]

    def _hidden(self, ids: torch.Tensor, mask: torch.Tensor, tokens: TokenBatch) -> torch.Tensor:
        embeds = self.embed_inputs(ids, tokens)
        positions = torch.arange(embeds.shape[1], device=embeds.device)[None].expand(len(embeds), -1)
        out = self.language.decoder(inputs_embeds=embeds, attention_mask=mask, position_ids=positions, use_cache=False)
        return out.last_hidden_state  # type: ignore[no-any-return]

    def embed(self, tokens: TokenBatch, text: TextBatch) -> torch.Tensor:
        """Reasoning embeddings (batch, hidden) alone: what follows them is not read, and costs nothing."""
        end = int(text.reason.max()) + 1
        hidden = self._hidden(text.ids[:, :end], text.mask[:, :end], tokens)
        return normalise(hidden[torch.arange(len(hidden), device=hidden.device), text.reason])

    def forward(self, tokens: TokenBatch, text: TextBatch) -> VlmOutput:
        """Teacher-forced pass over whole sequences; every loss part of stage 2 and 3."""
        hidden = self._hidden(text.ids, text.mask, tokens)
        learned = text.labels[:, 1:] != IGNORED
        each = functional.cross_entropy(
            self.language.logits(hidden[:, :-1][learned]), text.labels[:, 1:][learned], reduction="none"
        )
        weights = text.weights[:, 1:][learned]
        # A batch may hold nothing to say; its loss is then zero, not a division by it.
        language = (each * weights).sum() / weights.sum().clamp_min(1.0)

        rows = torch.arange(len(hidden), device=hidden.device)
        embedding = normalise(hidden[rows, text.reason])
        flag_logits = yes_log_odds(self.language, hidden[rows[:, None], text.flags])
        known = ~text.flag_targets.isnan()
        flags = functional.binary_cross_entropy_with_logits(flag_logits[known], text.flag_targets[known])
        action = torch.stack(
            [
                functional.cross_entropy(head(embedding), target, ignore_index=0)
                for head, target in (
                    (self.longitudinal_head, text.longitudinal),
                    (self.lateral_head, text.lateral),
                    (self.cause_head, text.cause),
                )
                if (target != 0).any()
            ]
            or [embedding.sum() * 0.0]
        ).sum()
        flags = flags if known.any() else embedding.sum() * 0.0
        return VlmOutput({"language": language, "flags": flags, "action": action}, embedding, flag_logits)


def yes_log_odds(language: LanguageModel, hidden: torch.Tensor) -> torch.Tensor:
    """Log-odds (...) of yes against no, from hidden states (..., hidden) over the flag queries."""
    logits = language.logits(hidden)
    return logits[..., language.encode(prompt.YES)[0]] - logits[..., language.encode(prompt.NO)[0]]


def flag_query_ids(language: LanguageModel) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokens of all flag queries in a row, and the index of each query's last one."""
    ids: list[int] = list(language.encode(prompt.FLAGS_HEADER))
    ends = []
    for query in prompt.FLAG_QUERIES:
        ids += language.encode(query)
        ends.append(len(ids) - 1)
    assert len(ends) == len(EdgeCaseFlag)
    return tuple(ids), tuple(ends)


def stack_texts(samples: Sequence[TextBatch], padding: int) -> TextBatch:
    """Samples of one row each as one batch, padded at the end."""
    longest = max(s.ids.shape[1] for s in samples)

    def padded(name: str, value: int) -> torch.Tensor:
        rows = [functional.pad(getattr(s, name), (0, longest - s.ids.shape[1]), value=value) for s in samples]
        return torch.cat(rows)

    rest = {name: torch.cat([getattr(s, name) for s in samples]) for name in ("reason", "flags", "flag_targets")}
    rest |= {name: torch.cat([getattr(s, name) for s in samples]) for name in ("longitudinal", "lateral", "cause")}
    return TextBatch(padded("ids", padding), padded("mask", 0), padded("labels", IGNORED), padded("weights", 0), **rest)
