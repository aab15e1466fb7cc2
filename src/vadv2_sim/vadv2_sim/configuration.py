"""What may be chosen about traffic, a drive and the simulator's node; light to import."""

from __future__ import annotations

from dataclasses import dataclass, field

from vadv2_core.config import parameter, validate
from vadv2_core.taxonomy import Weather
from vadv2_core.vehicle import VehicleConfig


@dataclass(frozen=True, slots=True)
class TrafficConfig:
    """How full the streets are and how far the truth reaches."""

    vehicles: int = parameter(-1, "Moving vehicles in town; -1 for the town's own number.", minimum=-1, maximum=2000)
    pedestrians: int = parameter(-1, "People in town; -1 for the town's own number.", minimum=-1, maximum=2000)
    warmup: float = parameter(25.0, "Traffic runs for so long before the drive.", unit="s", minimum=0.0, maximum=600.0)
    radius: float = parameter(
        110.0, "Agents and signals nearer to the ego are in the Scene.", unit="m", minimum=20.0, maximum=1000.0
    )

    def __post_init__(self) -> None:
        validate(self, "traffic")


@dataclass(frozen=True, slots=True)
class WorldConfig:
    """A drive's frame; what a scenario sets goes before it."""

    traffic: TrafficConfig = field(default_factory=TrafficConfig)
    vehicle: VehicleConfig = field(default_factory=VehicleConfig)
    weather: str = parameter("day", "How it looks.", choices=tuple(w.name.lower() for w in Weather))
    weather_intensity: float = parameter(0.6, "How strongly.", minimum=0.0, maximum=1.0)
    seconds: float = parameter(
        0.0, "The drive ends after so long; 0 for the scenario's own time.", unit="s", minimum=0.0, maximum=86400.0
    )
    stop_on_collision: bool = parameter(True, "A collision that the ego is to blame for ends the drive.")

    def __post_init__(self) -> None:
        validate(self, "world")
