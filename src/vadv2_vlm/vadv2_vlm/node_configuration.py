"""Parameters of the vlm node: the reasoner's, and when it speaks."""

from __future__ import annotations

from dataclasses import dataclass, field

from vadv2_core.config import parameter, validate
from vadv2_vlm.config import VlmConfig


@dataclass(frozen=True, slots=True)
class VlmNodeConfig:
    """Everything the vlm node may be told."""

    model_directory: str = parameter("", "A vlm checkpoint or model directory; empty makes untrained weights.")
    period: float = parameter(
        1.0, "Time between reasonings in words; they never hold an embedding back.", unit="s", minimum=0.1, live=True
    )
    every: int = parameter(
        0,
        "In step: reason in words on every so many frames, before the frame's embedding and without a bound on time; "
        "0 for by period.",
        minimum=0,
        maximum=1000,
    )
    reasoner: VlmConfig = field(default_factory=VlmConfig)

    def __post_init__(self) -> None:
        validate(self, "vlm")
