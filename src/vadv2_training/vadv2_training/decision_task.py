"""Before the reasoner speaks, its token door learns what a scene asks for: the decision and the rare cases, unspoken.

A sequence of words costs many times what its slots do, and few of its words are the decision. Here only the slots run,
so that the door sees far more scenes in the same time; the language model then has to find words for what a slot holds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vadv2_core.command import DrivingCommand
from vadv2_core.taxonomy import Cause, DrivingAction, EdgeCaseFlag, LateralAction, LongitudinalAction
from vadv2_training.language_task import LanguageTask
from vadv2_vlm.projector import TokenProjector
from vadv2_vlm.samples import ReasoningTruth
from vadv2_vlm.slots import TokenBatch, token_batch

COMMAND_FEATURES = len(DrivingAction) + 2
_FAR = 50.0
"""m, the scale of a command's distance."""
DECISION = (len(LongitudinalAction), len(LateralAction), len(Cause))

DecisionBatch = tuple[TokenBatch, Tensor, Tensor, Tensor]
"""Slots; commands (b, COMMAND_FEATURES); decisions (b, 3), 0 where not known; flags (b, flags), NaN where not known."""


def command_features(command: DrivingCommand) -> list[float]:
    """(COMMAND_FEATURES,) its action, its distance in 50 m, and whether it is at hand."""
    action = [float(command.action is kind) for kind in DrivingAction]
    return [*action, command.distance / _FAR, float(command.distance < 1.0)]


class DecisionModule(nn.Module):
    """Heads over the first slot, which serve the projector's training and are left behind."""

    def __init__(self, projector: TokenProjector) -> None:
        super().__init__()
        self.projector = projector
        hidden = projector.out.out_features
        self.read = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden))
        self.command = nn.Linear(COMMAND_FEATURES, hidden)
        self.decide = nn.Linear(hidden, sum(DECISION) + len(EdgeCaseFlag))

    def forward(self, batch: DecisionBatch) -> dict[str, Tensor]:
        """Cross-entropies ``longitudinal``, ``lateral``, ``cause``, ``flags``, and ``total``."""
        slots, command, decision, flags = batch
        seen = self.read(self.projector(slots)[:, 0])
        *answers, yes = self.decide(F.gelu(seen + self.command(command))).split((*DECISION, len(EdgeCaseFlag)), dim=-1)
        losses = {}
        for name, logits, truth in zip(("longitudinal", "lateral", "cause"), answers, decision.unbind(1), strict=True):
            each = F.cross_entropy(logits, truth, ignore_index=0, reduction="sum")
            losses[name] = each / (truth != 0).sum().clamp(min=1)
        known = ~flags.isnan()
        wrong = F.binary_cross_entropy_with_logits(yes, flags.nan_to_num(), reduction="none")
        losses["flags"] = (wrong * known).sum() / known.sum().clamp(min=1)
        return {**losses, "total": torch.stack(list(losses.values())).sum()}


def _targets(truth: ReasoningTruth) -> tuple[list[int], list[float]]:
    decision = truth.decision
    said = [0, 0, 0] if decision is None else [int(decision.longitudinal), int(decision.lateral), int(decision.cause)]
    return said, [float("nan") if flag is None else float(flag) for flag in truth.flags]


class DecisionTask:
    """The samples of a `LanguageTask` without their words.

    Args:
        module: What is fitted.
        spoken: The samples.
    """

    def __init__(self, module: DecisionModule, spoken: LanguageTask) -> None:
        self.module: nn.Module = module
        self._slots = spoken.slots
        self._commands = torch.tensor([command_features(t.command) for t in spoken.truths])
        targets = [_targets(t) for t in spoken.truths]
        self._decisions = torch.tensor([decision for decision, _ in targets])
        self._flags = torch.tensor([flags for _, flags in targets])

    def __len__(self) -> int:
        return len(self._slots)

    def batch(self, indices: Tensor) -> DecisionBatch:
        """Slots, commands, decisions and flags of these samples."""
        slots = token_batch([self._slots[int(i)] for i in indices])
        return slots, self._commands[indices], self._decisions[indices], self._flags[indices]
