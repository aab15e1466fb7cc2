"""How the expert drives."""

from __future__ import annotations

from dataclasses import dataclass

from vadv2_core.config import parameter, validate


@dataclass(frozen=True, slots=True)
class ExpertConfig:
    """Manner of the expert; comfort values after ISO 15622 and nuPlan's comfort bounds."""

    acceleration: float = parameter(1.8, "Largest acceleration used.", unit="m/s^2", minimum=0.3, maximum=4.0)
    deceleration: float = parameter(2.2, "Braking planned for.", unit="m/s^2", minimum=0.5, maximum=5.0)
    jerk: float = parameter(
        3.0,
        "Change of acceleration planned for.",
        unit="m/s^3",
        minimum=0.5,
        maximum=15.0,
    )
    lateral_acceleration: float = parameter(2.0, "Bends are taken so fast.", unit="m/s^2", minimum=0.5, maximum=4.0)
    headway: float = parameter(1.3, "Time behind a lead vehicle.", unit="s", minimum=0.5, maximum=4.0)
    gap: float = parameter(2.5, "Distance at standstill.", unit="m", minimum=0.5, maximum=10.0)
    speed_share: float = parameter(0.97, "Share of the speed limit driven.", minimum=0.3, maximum=1.1)
    clearance: float = parameter(0.55, "Room kept beside what is passed.", unit="m", minimum=0.2, maximum=2.0)
    line_gap: float = parameter(1.0, "Front to stop line when waiting.", unit="m", minimum=0.1, maximum=5.0)
    patience: float = parameter(
        3.0,
        "Something must stand so long before it is driven round.",
        unit="s",
        minimum=0.0,
        maximum=60.0,
    )

    def __post_init__(self) -> None:
        validate(self, "expert")
