"""Parameters of the control node: the controller's, the vehicle's, and how it keeps time."""

from __future__ import annotations

from dataclasses import dataclass, field

from vadv2_control.configuration import ControlConfig
from vadv2_core.config import parameter, validate
from vadv2_core.odometry import OdometryConfig
from vadv2_core.vehicle import VehicleConfig


@dataclass(frozen=True, slots=True)
class ControlNodeConfig:
    """Everything the control node may be told."""

    in_step: bool = parameter(
        False, "Replay: one control step a plan, at the plan's stamp; otherwise every period of the clock."
    )
    command_type: str = parameter(
        "vadv2",
        "Also publish the command in this form on ~/output/command, while engaged.",
        choices=("vadv2", "twist", "ackermann", "autoware", "carla"),
    )
    realtime_priority: int = parameter(
        10,
        "Real-time priority (SCHED_FIFO) of the node's process where the system allows it; 0 asks for none.",
        minimum=0,
        maximum=99,
    )
    controller: ControlConfig = field(default_factory=ControlConfig)
    vehicle: VehicleConfig = field(default_factory=VehicleConfig)
    odometry: OdometryConfig = field(default_factory=OdometryConfig)

    def __post_init__(self) -> None:
        validate(self, "control")
