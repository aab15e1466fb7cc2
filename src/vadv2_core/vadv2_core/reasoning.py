"""What the VLM says of a frame: an embedding for the planner, and words for people."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vadv2_core.stamps import Stamp
from vadv2_core.taxonomy import Cause, LateralAction, LongitudinalAction


@dataclass(frozen=True, slots=True)
class ReasoningEmbedding:
    """One prefill's answer, cheap enough for every frame.

    Attributes:
        stamp: Of the frame it saw.
        embedding: (d,) float32.
        model_id: Who made it; the planner refuses an embedding of a model it was not trained with.
        decision: (len(LongitudinalAction),) float32 probability of each longitudinal action, as a head over the
            embedding reads it; (0,) of a model without a trained one.
    """

    stamp: Stamp
    embedding: NDArray[np.float32]
    model_id: str
    decision: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the VLM sees and why it acts.

    Attributes:
        stamp: Of the frame it saw.
        scene_description: What is there, in words.
        intent: What the ego should do and why, in words.
        cause: The same reason from the taxonomy.
        flag_probabilities: (flags,) float32 probability of each `EdgeCaseFlag`, by its value.
        trace: Step-by-step justification, in words.
        longitudinal: Meta-action.
        longitudinal_confidence: In [0, 1].
        lateral: Meta-action.
        lateral_confidence: In [0, 1].
        model_id: Who said it.
        inference_time: Seconds it took to say.
        truncated: It was cut off by the bound on tokens or time; what is there is valid but partial.
    """

    stamp: Stamp
    scene_description: str
    intent: str
    cause: Cause
    flag_probabilities: NDArray[np.float32]
    trace: str
    longitudinal: LongitudinalAction
    longitudinal_confidence: float
    lateral: LateralAction
    lateral_confidence: float
    model_id: str
    inference_time: float
    truncated: bool
