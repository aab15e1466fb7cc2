"""Parameters of the planner node and the commander node."""

from __future__ import annotations

from dataclasses import dataclass, field

from vadv2_core.config import parameter, validate
from vadv2_core.odometry import OdometryConfig
from vadv2_planner.commander import CommanderConfig
from vadv2_planner.config import PlannerConfig


@dataclass(frozen=True, slots=True)
class PlannerNodeConfig:
    """Everything the planner node may be told."""

    model_directory: str = parameter("", "A planner checkpoint; empty makes untrained weights from the seed.")
    wait_for_reasoning: float = parameter(
        0.0,
        "In step: hold a frame back for its own embedding at most so long; 0 never waits and takes the newest.",
        unit="s",
        minimum=0.0,
        maximum=600.0,
    )
    planner: PlannerConfig = field(default_factory=PlannerConfig)

    def __post_init__(self) -> None:
        validate(self, "planner")


@dataclass(frozen=True, slots=True)
class CommanderNodeConfig:
    """Everything the commander node may be told."""

    period: float = parameter(0.5, "Time between looks along the route.", unit="s", minimum=0.05, maximum=10.0)
    commander: CommanderConfig = field(default_factory=CommanderConfig)
    odometry: OdometryConfig = field(default_factory=OdometryConfig)

    def __post_init__(self) -> None:
        validate(self, "commander")
