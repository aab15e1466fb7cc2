"""Parameters of the planner: how it runs (`PlannerConfig`) and what its network is (`ModelConfig`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from vadv2_core.config import parameter, validate
from vadv2_core.vehicle import VehicleConfig

PLANNER_NAMES = (
    "truncated_diffusion",
    "vanilla_diffusion",
    "regression",
    "vocabulary",
    "ego_status",
    "constant_velocity",
    "minimal",
)
"""Every planner behind the one interface, the default first."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the network is; part of a checkpoint. Channels must be those of the encoder and reasoner it works with."""

    token_channels: int = parameter(64, "Channels of the image tokens.", minimum=1, maximum=2048)
    query_channels: int = parameter(128, "Channels of the scene queries.", minimum=1, maximum=2048)
    aux_channels: int = parameter(128, "Channels of the ego tokens.", minimum=1, maximum=2048)
    reasoning_channels: int = parameter(256, "Length of a reasoning embedding.", minimum=1, maximum=8192)
    width: int = parameter(128, "Channels of the decoder.", minimum=16, maximum=2048)
    layers: int = parameter(2, "Decoder layers.", minimum=1, maximum=12)
    heads: int = parameter(8, "Attention heads; must divide the width.", minimum=1, maximum=64)
    ffn: int = parameter(512, "Channels inside the feed-forward blocks.", minimum=16, maximum=8192)
    modes: int = parameter(20, "Futures (anchors); 4096 for the vocabulary.", minimum=1, maximum=8192)
    knots: int = parameter(16, "Waypoints of an anchor, 0.5 s apart.", minimum=4, maximum=16)
    sample_heights: tuple[float, ...] = parameter(
        (0.0, 0.75, 1.5),
        "Heights above ground at which waypoints look into the cameras.",
        unit="m",
        minimum=-2,
        maximum=5,
    )
    residual: str = parameter(
        "anchor",
        "What regressed offsets are added to: the clean anchor, or the layer's noisy input points (as released).",
        choices=("anchor", "points"),
    )
    reads_images: bool = parameter(True, "Waypoints look into the image tokens; switched off they see zeros.")
    reads_queries: bool = parameter(True, "Modes read the scene queries; switched off they see zeros.")
    reads_ego: bool = parameter(True, "Modes read ego state and ego tokens; switched off the null ego.")
    guided: bool = parameter(
        True, "Modes are told of ego and route before they look, and where their waypoints lie on the route."
    )
    judged: bool = parameter(
        True,
        "Beside its score every mode learns what it may come to (collision, off road, red light), and is chosen less.",
    )
    unroll: float = parameter(
        0.5, "Share of training passes that begin where the sampler's previous pass ends.", minimum=0.0, maximum=1.0
    )
    dropout: float = parameter(0.1, "Dropout in the decoder while training.", minimum=0.0, maximum=0.9)
    ego_dropout: float = parameter(
        0.3, "Probability that a training sample hides the ego state and ego tokens.", minimum=0.0, maximum=1.0
    )
    reasoning_dropout: float = parameter(
        0.3, "Probability that a training sample sees the null reasoning.", minimum=0.0, maximum=1.0
    )
    route_dropout: float = parameter(
        0.3, "Probability that a training sample sees the null route.", minimum=0.0, maximum=1.0
    )

    def __post_init__(self) -> None:
        validate(self, "planner model")


ARCHITECTURES: dict[str, ModelConfig] = {
    "tiny": ModelConfig(),
    "base": ModelConfig(
        token_channels=128,
        query_channels=256,
        aux_channels=256,
        reasoning_channels=2048,
        width=256,
        layers=4,
        ffn=1024,
    ),
}
"""The sizes of the system by name; channels are those of the encoder of the same name."""


@dataclass(frozen=True, slots=True)
class ValidatorConfig:
    """Bounds of a plan that may be driven. Geometry and steering limits come from the vehicle."""

    enabled: bool = parameter(True, "Withhold plans outside these bounds.")
    follow: bool = parameter(
        True,
        "Drive a plan that asks for too much turning, speeding up or braking as the vehicle can follow it.",
        live=True,
    )
    min_points: int = parameter(20, "Fewest points of a plan.", minimum=2, maximum=80)
    interval_tolerance: float = parameter(
        0.01, "Largest deviation of a time step from 0.1 s.", unit="s", minimum=0.0, maximum=0.1, live=True
    )
    max_spacing: float = parameter(
        4.0, "Largest distance between neighbouring points.", unit="m", minimum=0.1, maximum=10.0, live=True
    )
    dynamics_horizon: float = parameter(
        6.0,
        "Points later than this are not held to curvature, steering and accelerations.",
        unit="s",
        minimum=1.0,
        maximum=8.0,
        live=True,
    )
    max_curvature: float = parameter(
        0.25, "Largest curvature where it moves.", unit="1/m", minimum=0.01, maximum=1.0, live=True
    )
    max_lateral_acceleration: float = parameter(
        5.0, "Largest lateral acceleration.", unit="m/s^2", minimum=0.5, maximum=12.0, live=True
    )
    max_lateral_jerk: float = parameter(
        12.0, "Largest lateral jerk.", unit="m/s^3", minimum=0.5, maximum=100.0, live=True
    )
    max_acceleration: float = parameter(
        4.0, "Largest longitudinal acceleration.", unit="m/s^2", minimum=0.5, maximum=10.0, live=True
    )
    max_deceleration: float = parameter(9.0, "Hardest braking.", unit="m/s^2", minimum=0.5, maximum=12.0, live=True)
    max_jerk: float = parameter(30.0, "Largest longitudinal jerk.", unit="m/s^3", minimum=0.5, maximum=200.0, live=True)
    steering_margin: float = parameter(
        1.05, "Share of the vehicle's largest steering angle.", minimum=0.1, maximum=2.0, live=True
    )
    steering_rate_margin: float = parameter(
        2.5, "Share of the vehicle's largest steering rate.", minimum=0.1, maximum=10.0, live=True
    )
    max_deviation: float = parameter(
        1.0,
        "Largest distance of the plan's beginning from the vehicle.",
        unit="m",
        minimum=0.1,
        maximum=10.0,
        live=True,
    )
    max_yaw_deviation: float = parameter(
        0.4,
        "Largest angle between the plan's beginning and the vehicle.",
        unit="rad",
        minimum=0.05,
        maximum=3.15,
        live=True,
    )
    max_speed_deviation: float = parameter(
        2.0,
        "Largest difference of the first speed from the vehicle's.",
        unit="m/s",
        minimum=0.1,
        maximum=20.0,
        live=True,
    )
    max_jump: float = parameter(
        3.0,
        "Largest lateral jump against the last plan within the first 2 s.",
        unit="m",
        minimum=0.1,
        maximum=50.0,
        live=True,
    )
    max_speed_jump: float = parameter(
        5.0,
        "How much faster than the last plan within the first 2 s; slower is always allowed.",
        unit="m/s",
        minimum=0.1,
        maximum=50.0,
        live=True,
    )
    jump_memory: float = parameter(
        0.5, "A last plan older than this is not compared.", unit="s", minimum=0.0, maximum=5.0, live=True
    )
    min_forward_length: float = parameter(
        0.3, "Shortest way, as a share of the way to the hardest allowed stop.", minimum=0.0, maximum=1.0, live=True
    )
    max_age: float = parameter(
        1.0, "Oldest frame a plan may come from.", unit="s", minimum=0.05, maximum=10.0, live=True
    )

    def __post_init__(self) -> None:
        validate(self, "planner.validator")


@dataclass(frozen=True, slots=True)
class RescoringConfig:
    """When perception speaks against a future."""

    enabled: bool = parameter(True, "Futures that perception speaks against come after all others.", live=True)
    horizon: float = parameter(
        3.0, "What is met later is not held against a future.", unit="s", minimum=0.5, maximum=8.0, live=True
    )
    min_confidence: float = parameter(
        0.5, "Least confidence of an object, a stop line or a light.", minimum=0.0, maximum=1.0, live=True
    )
    same_within: float = parameter(
        2.0, "An object is believed where one was so near in the frame before.", unit="m", minimum=0.1, maximum=1e6,
        live=True,
    )  # fmt: skip
    overlap: float = parameter(
        0.3, "What footprints must overlap to meet: to pass closely is allowed.", unit="m", minimum=-2.0, maximum=1.0,
        live=True,
    )  # fmt: skip
    line_margin: float = parameter(
        0.5,
        "Farther beyond a stop line than this is over it.",
        unit="m",
        minimum=0.0,
        maximum=5.0,
        live=True,
    )
    line_view: float = parameter(
        5.0, "A red light is waited for so far before its line, where its lamp is in the pictures; 0 at the line.",
        unit="m", minimum=0.0, maximum=15.0, live=True,
    )  # fmt: skip
    hardest_stop: float = parameter(
        4.5, "A line that would need harder braking is driven over.", unit="m/s^2", minimum=0.5, maximum=9.0, live=True
    )

    def __post_init__(self) -> None:
        validate(self, "planner.rescoring")


@dataclass(frozen=True, slots=True)
class PlannerConfig:
    """How the planner runs."""

    architecture: str = parameter("tiny", "Network to make where no checkpoint is given.", choices=tuple(ARCHITECTURES))
    planner: str = parameter("truncated_diffusion", "Which planner makes the plan.", choices=PLANNER_NAMES)
    backend: str = parameter("openvino", "What runs its network.", choices=("torch", "onnxruntime", "openvino"))
    sampler: str = parameter(
        "as_intended",
        "How anchors are denoised: steps to the next pass (intended), or from t to t - 1 (released code).",
        choices=("as_intended", "as_released"),
    )
    steps: int = parameter(
        0, "Denoising passes; 0 for the planner's own (2, vanilla 100, minimal 3).", minimum=0, maximum=100
    )
    seed: int = parameter(
        0, "Seeds the noise, with the frame's stamp, and untrained weights.", minimum=0, maximum=2**31 - 1
    )
    horizon: float = parameter(8.0, "Length of the emitted plan.", unit="s", minimum=2.0, maximum=8.0)
    threads: int = parameter(1, "Threads of the network.", minimum=1, maximum=64)
    device: str = parameter("cpu", "Device of the torch backend: cpu, cuda, cuda:0 ...")
    cache_directory: str = parameter(".vadv2", "Where exported networks are kept.")
    use_reasoning: bool = parameter(True, "Use the VLM's embedding; otherwise the learned null reasoning.")
    use_route: bool = parameter(True, "Use the route where there is one; otherwise the learned null route.")
    max_reasoning_age: float = parameter(
        3.0, "An older embedding is not used.", unit="s", minimum=0.0, maximum=60.0, live=True
    )
    heeding: float = parameter(
        0.25,
        "How much the reasoner's decision counts against a future's own score, less as it ages; 0 for nothing.",
        minimum=0.0,
        maximum=4.0,
        live=True,
    )
    patience: float = parameter(
        8.0,
        "Who stands longer, though no light holds, and not where told to stop, is urged on; 0 waits without end.",
        unit="s",
        minimum=0.0,
        maximum=600.0,
        live=True,
    )
    max_command_age: float = parameter(
        0.0,
        "An older command counts as UNKNOWN; 0 for any age (commands are latched).",
        unit="s",
        minimum=0.0,
        maximum=3600.0,
        live=True,
    )
    validator: ValidatorConfig = field(default_factory=ValidatorConfig)
    rescoring: RescoringConfig = field(default_factory=RescoringConfig)
    vehicle: VehicleConfig = field(default_factory=VehicleConfig)

    def __post_init__(self) -> None:
        validate(self, "planner")
