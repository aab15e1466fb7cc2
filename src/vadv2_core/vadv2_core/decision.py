"""What a driver decided at one moment and why: the expert's answer, the narrator's and the loss's truth."""

from __future__ import annotations

from dataclasses import dataclass

from vadv2_core.taxonomy import Cause, LateralAction, LongitudinalAction


@dataclass(frozen=True, slots=True)
class Decision:
    """A pair of meta-actions with their dominant cause.

    Attributes:
        longitudinal: Over the next 3 s.
        lateral: Over the next seconds.
        cause: Why.
        subject_agent_id: The agent that is the cause (the lead vehicle, the pedestrian); None where no agent is.
    """

    longitudinal: LongitudinalAction
    lateral: LateralAction
    cause: Cause
    subject_agent_id: str | None = None
