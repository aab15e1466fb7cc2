"""What the reasoner may be told, and what its token door is made of."""

from __future__ import annotations

from dataclasses import dataclass

from vadv2_core.config import parameter, validate


@dataclass(frozen=True, slots=True)
class SlotConfig:
    """The token door's sizes; part of a checkpoint.

    Small language models learn from few ordered object slots, not from dense grids (spec MODELS.md, section 2).
    """

    image_channels: int = parameter(64, "Channels of the encoder's image tokens.", minimum=1, maximum=4096)
    query_channels: int = parameter(128, "Channels of the encoder's scene queries.", minimum=1, maximum=4096)
    objects: int = parameter(12, "Ordered object slots, the nearest on the ego's side first.", minimum=1, maximum=64)
    map_elements: int = parameter(8, "Ordered map slots, the most relevant first.", minimum=1, maximum=64)
    summaries: int = parameter(4, "Slots that read all scene queries by attention.", minimum=1, maximum=32)
    cameras: int = parameter(6, "Camera slots; the rig's further cameras are left out.", minimum=1, maximum=16)
    width: int = parameter(256, "Channels inside the projector.", minimum=16, maximum=4096)
    layers: int = parameter(2, "Layers in which the slots read one another.", minimum=1, maximum=16)

    def __post_init__(self) -> None:
        validate(self, "slots")

    @property
    def count(self) -> int:
        """All scene slots of a prompt: ego, what is ahead, the route, objects, map elements, summaries, cameras."""
        return 3 + self.objects + self.map_elements + self.summaries + self.cameras


@dataclass(frozen=True, slots=True)
class VlmConfig:
    """How the reasoner runs."""

    language_model: str = parameter(
        "",
        "Where no checkpoint is given: directory or hub name of an image-text-to-text model; empty for the tiny one.",
    )
    max_tokens: int = parameter(192, "Bound on generated tokens of one reasoning.", minimum=8, maximum=4096, live=True)
    max_seconds: float = parameter(
        1.5,
        "Bound on the time of one reasoning in a running node; 0 for none.",
        unit="s",
        minimum=0.0,
        maximum=60.0,
        live=True,
    )
    past_traces: int = parameter(2, "Own earlier reasonings that a reasoning is conditioned on.", minimum=0, maximum=8)
    sentences: str = parameter(
        "seen",
        "Decode only what the slots bear out, any sentence that can be parsed back, or any words.",
        choices=("seen", "grammar", "free"),
    )
    adapter: str = parameter("", "Directory of a LoRA adapter to load over the language model; empty for none.")
    precision: str = parameter(
        "int8",
        "Arithmetic of the language model; int8 is for its words only, embeddings stay exact.",
        choices=("float32", "bfloat16", "int8"),
    )
    device: str = parameter("cpu", "Where it runs, as torch names it.")
    seed: int = parameter(0, "Seed of untrained weights.", minimum=0, maximum=2**31 - 1)
    cache: str = parameter(".vadv2", "Directory for untrained models made from a seed.")

    def __post_init__(self) -> None:
        validate(self, "vlm")
