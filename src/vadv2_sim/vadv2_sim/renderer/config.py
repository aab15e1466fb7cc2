"""What a user may change about the pictures."""

from __future__ import annotations

from dataclasses import dataclass

from vadv2_core.config import parameter, validate


@dataclass(frozen=True, slots=True)
class RendererConfig:
    """Options of the renderer; weather comes with each Scene."""

    antialias: bool = parameter(False, "Draw with 4x multisampling: smoother lines, about three times the cost.")
    far: float = parameter(400.0, "Farthest distance drawn.", unit="m", minimum=20.0, maximum=2000.0)
    buildings: bool = parameter(True, "Draw houses, trees and street lamps beside the roads.")
    dressing: int = parameter(
        0,
        "Another number lines the same streets with other houses, trees and street lamps; 0 with the town's own.",
        minimum=0,
        maximum=2**31 - 1,
    )
    noise: float = parameter(
        0.0, "Pixel noise added to every image, standard deviation in levels of 255.", minimum=0.0, maximum=60.0
    )
    exposure: float = parameter(1.0, "Brightness every image is multiplied by.", minimum=0.1, maximum=4.0)
    exposure_jitter: float = parameter(
        0.0, "Brightness of each camera varies by up to this share.", minimum=0.0, maximum=0.9
    )
    blur: float = parameter(0.0, "Blur, standard deviation.", unit="px", minimum=0.0, maximum=8.0)
    dirt: float = parameter(0.0, "Share of the lens covered by dirt spots.", minimum=0.0, maximum=0.8)

    def __post_init__(self) -> None:
        validate(self, "renderer")
