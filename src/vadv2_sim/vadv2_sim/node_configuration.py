"""Parameters of the simulator's node."""

from __future__ import annotations

from dataclasses import dataclass, field

from vadv2_core.config import parameter, validate
from vadv2_sim.configuration import WorldConfig

MODEL = "model"
"""The driver that drives by the cameras: the stack's own stages, in their nodes."""


@dataclass(frozen=True, slots=True)
class SimNodeConfig:
    """A drive in the city, as the simulator's node plays it."""

    town: str = parameter("town_a", "Name of a town, or a folder with a SUMO net.")
    scenario: str = parameter("free", "Name of a scenario (./vadv2 sim list).")
    seed: int = parameter(0, "Of everything random in the drive.", minimum=0)
    driver: str = parameter(
        "expert",
        "Who plans: the expert or the lane_follower (in this node, from the truth), or the model (the stack's nodes).",
        choices=("expert", "lane_follower", MODEL),
    )
    in_step: bool = parameter(True, "The world waits for the command of each stamp; otherwise it runs in real time.")
    patience: float = parameter(
        30.0, "In step, a frame without an answer is shown again after so long.", unit="s", minimum=0.1, maximum=600.0
    )
    command_age: float = parameter(
        0.5, "In real time, a command older than this is a full brake.", unit="s", minimum=0.1, maximum=5.0
    )
    cameras: bool = parameter(True, "Render and publish images.")
    truth: bool = parameter(True, "Publish the truth: the Scene as JSON and what there is to say of it.")
    rig_file: str = parameter("", "Calibration of the cameras; empty for config/rig/surround6.yaml.")
    world: WorldConfig = field(default_factory=WorldConfig)

    def __post_init__(self) -> None:
        validate(self, "sim")
