"""The answer in parts, and what its sentences mean."""

from __future__ import annotations

from dataclasses import dataclass

from vadv2_core.language.sentences import parse_text
from vadv2_core.language.statements import ActionStatement, DecisionStatement, Statement
from vadv2_core.reasoning import Reasoning
from vadv2_core.taxonomy import LateralAction, LongitudinalAction


@dataclass(frozen=True, slots=True)
class ParsedReasoning:
    """The meaning of a reasoning's words.

    Attributes:
        scene: Statements of the scene description.
        intent: What the intent sentence states; None where it cannot be read.
        trace: Statements of the trace, in order.
        concluded: The action that the trace argues for: its last action or decision; None without one.
        unread: Sentences that are in no known words.
    """

    scene: tuple[Statement, ...]
    intent: DecisionStatement | None
    trace: tuple[Statement, ...]
    concluded: tuple[LongitudinalAction, LateralAction] | None
    unread: tuple[str, ...]


def parse_reasoning(reasoning: Reasoning) -> ParsedReasoning:
    """Read a reasoning's three texts back into facts, so that they can be held against a Scene."""
    scene, unread_scene = parse_text(reasoning.scene_description)
    said, unread_intent = parse_text(reasoning.intent)
    trace, unread_trace = parse_text(reasoning.trace)
    actions = [s for s in trace if isinstance(s, (ActionStatement, DecisionStatement))]
    return ParsedReasoning(
        tuple(scene),
        next((s for s in said if isinstance(s, DecisionStatement)), None),
        tuple(trace),
        (actions[-1].longitudinal, actions[-1].lateral) if actions else None,
        (*unread_scene, *unread_intent, *unread_trace),
    )


def whole_sentences(text: str) -> str:
    """A text up to its last full stop: what is left of one that was cut off."""
    end = max(text.rfind(mark) for mark in ".!?")
    return text[: end + 1].strip()
