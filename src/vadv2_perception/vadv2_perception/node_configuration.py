"""Parameters of the perception node: the encoder's, the frame assembler's, and what only a node has."""

from __future__ import annotations

from dataclasses import dataclass, field

from vadv2_core.camera import SURROUND_CAMERAS
from vadv2_core.config import parameter, validate
from vadv2_core.odometry import OdometryConfig
from vadv2_perception.configuration import PerceptionConfig
from vadv2_perception.frame_assembler import FrameAssemblerConfig


@dataclass(frozen=True, slots=True)
class PerceptionNodeConfig:
    """Everything the perception node may be told."""

    model_directory: str = parameter("", "A perception checkpoint; empty makes untrained weights from the seed.")
    rig_file: str = parameter(
        "", "Calibration of the cameras (config/rig/*.yaml); empty takes CameraInfo and /tf_static."
    )
    cameras: tuple[str, ...] = parameter(SURROUND_CAMERAS, "Cameras to wait for where no rig file names them.")
    image_transport: str = parameter(
        "raw", "Images as they come, or as JPEG or PNG on <topic>/compressed.", choices=("raw", "compressed")
    )
    frames: FrameAssemblerConfig = field(default_factory=FrameAssemblerConfig)
    odometry: OdometryConfig = field(default_factory=OdometryConfig)
    encoder: PerceptionConfig = field(default_factory=PerceptionConfig)

    def __post_init__(self) -> None:
        validate(self, "perception")
