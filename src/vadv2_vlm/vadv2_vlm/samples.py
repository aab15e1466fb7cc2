"""Training sequences: what was asked and what is true, as the token sequence that the road will also see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from vadv2_core.command import DrivingCommand
from vadv2_core.decision import Decision
from vadv2_core.ego import EgoState
from vadv2_core.language import lexicon
from vadv2_core.meta_action import MetaAction
from vadv2_core.taxonomy import EdgeCaseFlag
from vadv2_vlm import prompt
from vadv2_vlm.language_model import LanguageModel
from vadv2_vlm.model import IGNORED, TextBatch, flag_query_ids

DECISION_WEIGHT = 5.0
"""What a word of action and cause counts beside one of a sentence: they are few, and all that follows argues for
them."""


@dataclass(frozen=True, slots=True)
class ReasoningTruth:
    """The words and facts of one moment, as the narrator gives them.

    Attributes:
        command: What was asked.
        ego: How the ego moved.
        decision: What was right and why; None where it is not known (a source without actions).
        flags: One truth a flag, by its value; None where it is not known.
        intent: The intent sentence; empty for none to learn.
        scene: The scene description; empty for none to learn.
        trace: The trace; empty for none to learn.
        past: Earlier intents, oldest first.
        planned: What a planner was about to do; None where it is not told.
    """

    command: DrivingCommand
    ego: EgoState
    decision: Decision | None
    flags: tuple[bool | None, ...] = (None,) * len(EdgeCaseFlag)
    intent: str = ""
    scene: str = ""
    trace: str = ""
    past: tuple[str, ...] = field(default=())
    planned: MetaAction | None = None


class _Sequence:
    def __init__(self, language: LanguageModel) -> None:
        self.language = language
        self.ids: list[int] = []
        self.labels: list[int] = []
        self.weights: list[float] = []

    def add(self, text: str, *, weight: float) -> None:
        """Tokens of a text that count so much; of weight 0 they are given, not learned."""
        self.add_ids(self.language.encode(text), weight)

    def add_ids(self, ids: Sequence[int], weight: float = 0.0) -> None:
        """Likewise tokens."""
        self.ids += ids
        self.labels += ids if weight else [IGNORED] * len(ids)
        self.weights += [weight] * len(ids)

    def line(self, header: str, text: str, weight: float = 1.0) -> None:
        """A line of the answer, after the line end of the one before."""
        self.add(header, weight=0.0)
        self.add(f" {text}", weight=weight)
        self.add(prompt.LINE_END, weight=1.0)


def training_text(
    language: LanguageModel, slots: int, truth: ReasoningTruth, past_traces: int = 2, rarity: float = 1.0
) -> TextBatch:
    """One sample's sequence, one row; `stack_texts` makes batches of them.

    Args:
        language: Whose tokenizer.
        slots: Scene slots of the prompt.
        truth: What is to be learned; a part that is missing ends the sequence before it.
        past_traces: As in `VlmConfig.past_traces`.
        rarity: What the words of the cause count beside those of a common one.
    """
    sequence = _Sequence(language)
    user = prompt.user_text(truth.command, truth.ego, instructions=not language.knows_form)
    ids = language.prompt_ids(user, slots)
    sequence.add_ids(ids)
    reason = len(ids) - 1
    if earlier := prompt.past_words(truth.past, past_traces):
        sequence.add(earlier, weight=0.0)
    if plan := prompt.plan_words(truth.planned):
        sequence.add(plan, weight=0.0)
    flag_ids, ends = flag_query_ids(language)
    flags = [len(sequence.ids) + end for end in ends]
    sequence.add_ids(flag_ids)
    decision = truth.decision
    spoken = decision is not None and all((decision.longitudinal, decision.lateral, decision.cause))
    if decision is not None and spoken:
        sequence.add(prompt.LINE_END, weight=0.0)
        sequence.add(prompt.ACTION_HEADER, weight=0.0)
        sequence.add(f" {lexicon.LONGITUDINAL_WORD[decision.longitudinal]}", weight=DECISION_WEIGHT)
        sequence.add(prompt.ACTION_COMMA, weight=1.0)
        sequence.add(f" {lexicon.LATERAL_WORD[decision.lateral]}", weight=DECISION_WEIGHT)
        sequence.add(prompt.LINE_END, weight=1.0)
        sequence.line(prompt.CAUSE_HEADER, lexicon.CAUSE_WORD[decision.cause], DECISION_WEIGHT * rarity)
        for header, text in (
            (prompt.INTENT_HEADER, truth.intent),
            (prompt.SCENE_HEADER, truth.scene),
            (prompt.TRACE_HEADER, truth.trace),
        ):
            if not text:
                break
            sequence.line(header, text)
    row = torch.tensor([sequence.ids])
    targets = [float("nan") if known is None else float(known) for known in truth.flags]

    def value(known: int | None) -> torch.Tensor:
        return torch.tensor([int(known or 0)])

    return TextBatch(
        ids=row,
        mask=torch.ones_like(row),
        labels=torch.tensor([sequence.labels]),
        weights=torch.tensor([sequence.weights]),
        reason=torch.tensor([reason]),
        flags=torch.tensor([flags]),
        flag_targets=torch.tensor([targets]),
        longitudinal=value(decision.longitudinal if decision else 0),
        lateral=value(decision.lateral if decision else 0),
        cause=value(decision.cause if decision else 0),
    )
