"""What the driver may be told: which model, at which rates, and every stage's own configuration."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from vadv2_control.configuration import ControlConfig, DriveConfig
from vadv2_core.config import parameter, validate
from vadv2_core.errors import InputError
from vadv2_core.vehicle import VehicleConfig
from vadv2_perception.configuration import ARCHITECTURES, PerceptionConfig
from vadv2_planner.config import PlannerConfig
from vadv2_vlm.config import VlmConfig

MODELS = ("tiny", "base", "minimal")
"""Sizes of the system; another name is a directory of its own below `DriverConfig.models`."""
WITHOUT_VLM = ("minimal",)
STAGES = ("perception", "vlm", "planner")
"""Folders of a model directory; a stage without one gets untrained weights made from the seed."""


def _engaged() -> ControlConfig:
    return ControlConfig(drive=DriveConfig(engage_automatically=True))


@dataclass(frozen=True, slots=True)
class DriverConfig:
    """The whole stack in one process."""

    model: str = parameter("tiny", f"Size of the system ({', '.join(MODELS)}), or another folder below models.")
    models: str = parameter("models", "Directory of model directories: <model>/{perception,vlm,planner}.")
    use_vlm: bool = parameter(True, "Reason; otherwise the planner gets no reasoning and says so.")
    reason_every: int = parameter(
        10,
        "Reasoning in words every so many frames (the embedding is made every frame); 0 never.",
        minimum=0,
        maximum=1000,
    )
    max_gap: float = parameter(
        1.0,
        "A longer gap between frames, or time going back, resets every stage.",
        unit="s",
        minimum=0.01,
        maximum=60.0,
    )
    perception: PerceptionConfig = field(default_factory=PerceptionConfig)
    vlm: VlmConfig = field(default_factory=VlmConfig)
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    control: ControlConfig = field(default_factory=_engaged)
    vehicle: VehicleConfig = field(default_factory=VehicleConfig)

    def __post_init__(self) -> None:
        validate(self, "driver")
        if not self.model or Path(self.model).name != self.model:
            raise InputError(f"model is {self.model!r}", "driver", "the name of a folder below models")

    def directory(self, stage: str) -> Path | None:
        """A stage's checkpoint directory, or None where it has none and is made untrained.

        Raises:
            InputError: for a model that is neither known nor there.
        """
        root = Path(self.models) / self.model
        if self.model not in MODELS and not root.is_dir():
            raise InputError("is not there", str(root), f"a model directory, or one of {', '.join(MODELS)}")
        path = root / stage
        if path.exists() and not path.is_dir():
            raise InputError("is a file", str(path), "a directory with config.json and model.safetensors")
        return path if path.is_dir() else None

    @property
    def reasons(self) -> bool:
        """Whether this system has a VLM."""
        return self.use_vlm and self.model not in WITHOUT_VLM

    def for_model(self) -> DriverConfig:
        """The same with each stage's architecture set to the model's size, where it is one."""
        if self.model not in ARCHITECTURES:
            return self
        planner = self.planner
        if self.model == "minimal":
            planner = replace(planner, planner="minimal")
        elif self.model in ("tiny", "base"):
            planner = replace(planner, architecture=self.model)
        perception = replace(self.perception, architecture=self.model)
        return replace(self, perception=perception, planner=planner)
