"""What a text argues for."""

from __future__ import annotations

from vadv2_core.language.sentences import parse_text
from vadv2_core.language.statements import ActionStatement, DecisionStatement
from vadv2_core.meta_action import MetaAction


def argued_action(trace: str) -> MetaAction | None:
    """What a trace comes to: its last sentence about what to do, as parsed; None where it comes to nothing."""
    statements, _ = parse_text(trace)
    acts = [s for s in statements if isinstance(s, (ActionStatement, DecisionStatement))]
    return (acts[-1].longitudinal, acts[-1].lateral) if acts else None
