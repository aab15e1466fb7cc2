"""What perception may be told: how it runs (`PerceptionConfig`), and what its network is (`EncoderModelConfig`).

The second travels in a checkpoint's ``config.json``; the first belongs to the machine and the launch file.
"""

from __future__ import annotations

from dataclasses import dataclass

from vadv2_core.config import parameter, validate
from vadv2_core.errors import InputError

BACKBONES = ("efficientnet_lite0", "resnet18", "resnet34", "resnet50", "vit_b", "pp_lcnet")
BACKENDS = ("openvino", "onnxruntime", "torch")
PRECISIONS = ("auto", "float32", "bfloat16", "int8")


@dataclass(frozen=True, slots=True)
class EncoderModelConfig:
    """The network's facts. Another value is another network, except for `backbone_training`, which is how it learns."""

    backbone: str = parameter("efficientnet_lite0", "Image backbone.", choices=BACKBONES)
    backbone_training: str = parameter(
        "frozen",
        "What of the backbone learns: nothing, the stages after stride 8, all.",
        choices=("frozen", "late", "full"),
    )
    image_width: int = parameter(480, "Width every image is scaled to.", unit="px", minimum=32, maximum=4096)
    image_height: int = parameter(
        224, "Height every image is cropped to, from the top.", unit="px", minimum=32, maximum=4096
    )
    token_stride: int = parameter(16, "Image pixels a token covers along each axis.", unit="px", choices=(8, 16, 32))
    token_channels: int = parameter(64, "Channels of an image token.", minimum=8, maximum=1024)
    query_channels: int = parameter(128, "Channels of a scene query and of an ego token.", minimum=16, maximum=1024)
    heads: int = parameter(4, "Attention heads of the scene queries.", minimum=1, maximum=32)
    layers: int = parameter(
        3, "Layers of the scene queries; the first also attends to every token.", minimum=1, maximum=8
    )
    object_queries: int = parameter(32, "Queries that speak of objects.", minimum=1, maximum=300)
    map_queries: int = parameter(16, "Queries that speak of map elements.", minimum=1, maximum=300)
    points: int = parameter(
        10, "Points of a map element, and places where a query reads the images.", minimum=2, maximum=40
    )
    history_ages: tuple[float, ...] = parameter(
        (0.5, 1.0, 1.5),
        "Ages of the past frames that are fused into the current one; empty for none.",
        unit="s",
        minimum=0.05,
        maximum=5.0,
    )
    memory_channels: int = parameter(32, "Channels in which a past frame is remembered.", minimum=4, maximum=1024)
    aux_dropout: float = parameter(
        0.5,
        "Probability that training hides an ego token: ego status alone can fake open-loop scores.",
        minimum=0.0,
        maximum=1.0,
    )
    range_forward: float = parameter(
        64.0, "How far ahead objects and map are described.", unit="m", minimum=8.0, maximum=200.0
    )
    range_around: float = parameter(32.0, "How far to the sides and behind.", unit="m", minimum=8.0, maximum=200.0)

    def __post_init__(self) -> None:
        validate(self)
        if self.query_channels % self.heads:
            raise InputError(
                f"query_channels is {self.query_channels}", "EncoderModelConfig", f"a multiple of heads ({self.heads})"
            )
        if self.image_width % self.token_stride or self.image_height % self.token_stride:
            raise InputError(
                f"image size is {self.image_width}x{self.image_height}",
                "EncoderModelConfig",
                f"multiples of {self.token_stride}",
            )
        if any(a >= b for a, b in zip(self.history_ages, self.history_ages[1:], strict=False)):
            raise InputError(f"history_ages is {self.history_ages}", "EncoderModelConfig", "increasing ages")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of a camera's token grid."""
        return self.image_height // self.token_stride, self.image_width // self.token_stride

    @property
    def queries(self) -> int:
        """All scene queries: objects, map elements, and one of the whole scene."""
        return self.object_queries + self.map_queries + 1


ARCHITECTURES: dict[str, EncoderModelConfig] = {
    "tiny": EncoderModelConfig(),
    "base": EncoderModelConfig(
        backbone="resnet50",
        token_channels=128,
        query_channels=256,
        heads=8,
        layers=6,
        object_queries=64,
        map_queries=32,
    ),
    "base_vit": EncoderModelConfig(
        backbone="vit_b", token_channels=128, query_channels=256, heads=8, layers=6, object_queries=64, map_queries=32
    ),
    "minimal": EncoderModelConfig(backbone="resnet34"),
    "mobile": EncoderModelConfig(backbone="pp_lcnet"),
}
"""The sizes of the system by name; each is one choice of the same code."""


@dataclass(frozen=True, slots=True)
class PerceptionConfig:
    """How this machine runs the encoder."""

    architecture: str = parameter("tiny", "Network to make where no checkpoint is given.", choices=tuple(ARCHITECTURES))
    backbone_weights: str = parameter(
        "",
        "Without a checkpoint: directory or hub name of backbone weights; empty for a package's (Lite0) or seeded.",
    )
    seed: int = parameter(0, "Seed of weights that are made without a checkpoint.", minimum=0, maximum=2**31 - 1)
    backend: str = parameter("openvino", "What runs the network.", choices=BACKENDS)
    precision: str = parameter(
        "auto",
        "Arithmetic of the image half; auto is bfloat16 where the processor has it. The query half is always float32.",
        choices=PRECISIONS,
    )
    device: str = parameter("cpu", "Device of the torch backend: cpu, cuda, cuda:1, ...")
    threads: int = parameter(1, "Threads of the network.", minimum=1, maximum=64)
    cache_directory: str = parameter(".vadv2", "Where exported networks and seeded weights are kept.")
    maximum_gap: float = parameter(
        1.0, "A longer gap between frames, or time going back, forgets the past.", unit="s", minimum=0.1, maximum=10.0
    )
    confidence_threshold: float = parameter(
        0.3,
        "Objects and map elements below it are not put in words; their queries stay.",
        minimum=0.0,
        maximum=1.0,
        live=True,
    )

    def __post_init__(self) -> None:
        validate(self)
