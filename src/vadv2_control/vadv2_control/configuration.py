"""Every number of control that a user may want to change, with its unit, range and meaning."""

from __future__ import annotations

from dataclasses import dataclass, field

from vadv2_core.config import parameter, validate
from vadv2_core.errors import InputError


@dataclass(frozen=True, slots=True)
class LateralConfig:
    """Steering: PID on cross-track and heading error, as curvature, with feed-forward of the path's own curvature."""

    gain_speeds: tuple[float, ...] = parameter(
        (1.0, 5.0, 10.0, 15.0, 25.0), "Speeds at which the gains are given.", unit="m/s", minimum=0.0, live=True
    )
    cross_track_gain: tuple[float, ...] = parameter(
        (0.12, 0.10, 0.040, 0.022, 0.010),
        "Curvature a metre of cross-track error.",
        unit="1/m^2",
        minimum=0.0,
        live=True,
    )
    heading_gain: tuple[float, ...] = parameter(
        (0.60, 0.50, 0.32, 0.24, 0.16), "Curvature a radian of heading error.", unit="1/m", minimum=0.0, live=True
    )
    integral_gain: tuple[float, ...] = parameter(
        (0.0, 0.006, 0.004, 0.002, 0.001),
        "Curvature a metre-second of cross-track error.",
        unit="1/(m^2 s)",
        minimum=0.0,
        live=True,
    )
    preview: float = parameter(
        0.2,
        "Errors and feed-forward are taken this far ahead: the steering's lag.",
        unit="s",
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    max_integral: float = parameter(
        0.02, "Bound of the integral term.", unit="1/m", minimum=0.0, maximum=0.2, live=True
    )

    def __post_init__(self) -> None:
        validate(self, "lateral")
        for name in ("cross_track_gain", "heading_gain", "integral_gain"):
            if len(getattr(self, name)) != len(self.gain_speeds):
                raise InputError(
                    f"{name} has {len(getattr(self, name))} entries", "lateral", f"{len(self.gain_speeds)}, one a speed"
                )


@dataclass(frozen=True, slots=True)
class LongitudinalConfig:
    """Speed: PID on the speed error with the plan's acceleration fed forward, and an own law for the last metres."""

    speed_gain: float = parameter(
        1.0, "Acceleration a m/s of speed error.", unit="1/s", minimum=0.0, maximum=10.0, live=True
    )
    speed_integral_gain: float = parameter(0.1, "Its integral.", unit="1/s^2", minimum=0.0, maximum=5.0, live=True)
    speed_rate_gain: float = parameter(0.0, "Gain of the speed error's rate.", minimum=0.0, maximum=1.0, live=True)
    station_gain: float = parameter(
        0.5,
        "Target speed a metre that the vehicle lags behind the plan.",
        unit="1/s",
        minimum=0.0,
        maximum=3.0,
        live=True,
    )
    max_station_speed: float = parameter(
        1.0, "Bound of that correction.", unit="m/s", minimum=0.0, maximum=5.0, live=True
    )
    preview: float = parameter(
        0.3,
        "The plan is read this far ahead: the lag of drive and brakes.",
        unit="s",
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    stopping_speed: float = parameter(
        1.5,
        "Below it a plan that ends at standstill is finished by distance.",
        unit="m/s",
        minimum=0.0,
        maximum=5.0,
        live=True,
    )
    stopped_speed: float = parameter(
        0.05, "Below it the vehicle counts as standing.", unit="m/s", minimum=0.0, maximum=0.5
    )
    hold_acceleration: float = parameter(
        -1.0, "Brake held at standstill, so that nothing creeps.", unit="m/s^2", minimum=-5.0, maximum=0.0, live=True
    )
    start_speed: float = parameter(
        0.3,
        "A plan that reaches this speed within `start_horizon` leaves standstill.",
        unit="m/s",
        minimum=0.05,
        maximum=2.0,
        live=True,
    )
    start_horizon: float = parameter(1.5, "See `start_speed`.", unit="s", minimum=0.1, maximum=4.0, live=True)
    start_acceleration: float = parameter(
        0.8,
        "What a start is begun with at least, up to `start_speed`; 0 for the plan's own beginning.",
        unit="m/s^2",
        minimum=0.0,
        maximum=3.0,
        live=True,
    )

    def __post_init__(self) -> None:
        validate(self, "longitudinal")


@dataclass(frozen=True, slots=True)
class DriveConfig:
    """The drive state machine: how long it bears what, and how it stops."""

    max_plan_age: float = parameter(
        0.35, "A younger plan (frame stamp to now) is fresh.", unit="s", minimum=0.05, maximum=2.0, live=True
    )
    max_last_plan: float = parameter(
        0.5,
        "How much longer the last good plan is driven on before the soft stop.",
        unit="s",
        minimum=0.0,
        maximum=2.0,
        live=True,
    )
    max_odometry_age: float = parameter(
        0.3, "Older odometry ends the drive in an emergency stop.", unit="s", minimum=0.05, maximum=2.0, live=True
    )
    soft_stop_deceleration: float = parameter(
        1.5, "Deceleration of the soft stop.", unit="m/s^2", minimum=0.2, maximum=4.0, live=True
    )
    soft_stop_jerk: float = parameter(1.5, "Its jerk.", unit="m/s^3", minimum=0.1, maximum=10.0, live=True)
    emergency_deceleration: float = parameter(
        5.0, "Deceleration of the emergency stop.", unit="m/s^2", minimum=1.0, maximum=10.0, live=True
    )
    max_path_deviation: float = parameter(
        2.0,
        "Farther from the path than this the soft stop becomes an emergency.",
        unit="m",
        minimum=0.2,
        maximum=10.0,
        live=True,
    )
    recovery_plans: int = parameter(3, "Fresh plans in a row that end a soft stop.", minimum=1, maximum=50, live=True)
    engage_automatically: bool = parameter(
        False,
        "Engage as soon as all preconditions hold, until somebody disengages, takes over or clears an emergency "
        "(simulation and replay); a vehicle waits for the service.",
    )
    speed_cap: float = parameter(
        20.0, "Never driven faster; engaging above it is refused.", unit="m/s", minimum=0.5, maximum=60.0, live=True
    )
    degraded_speed_cap: float = parameter(
        10.0,
        "The speed cap while DEGRADED, and on the last plan of a DEGRADED drive.",
        unit="m/s",
        minimum=0.5,
        maximum=60.0,
        live=True,
    )
    max_odometry_speed: float = parameter(
        70.0,
        "Odometry that says more, or a place farther than this allows, is not believed.",
        unit="m/s",
        minimum=5.0,
        maximum=150.0,
    )
    relocation_samples: int = parameter(
        10,
        "Odometry that jumped and then goes on consistently is believed after so many samples.",
        minimum=1,
        maximum=200,
    )

    def __post_init__(self) -> None:
        validate(self, "drive")


@dataclass(frozen=True, slots=True)
class ObstacleConfig:
    """The last geometric check against obstacles known from any source."""

    enabled: bool = parameter(True, "Check the path against obstacles where there are any.", live=True)
    time_to_collision: float = parameter(
        0.8, "A predicted contact nearer than this is an emergency.", unit="s", minimum=0.1, maximum=5.0, live=True
    )
    horizon: float = parameter(2.0, "How far the check looks.", unit="s", minimum=0.2, maximum=6.0, live=True)
    margin: float = parameter(0.1, "Added to each side of the ego box.", unit="m", minimum=0.0, maximum=1.0, live=True)
    max_age: float = parameter(0.5, "Older obstacles are not used.", unit="s", minimum=0.05, maximum=2.0, live=True)

    def __post_init__(self) -> None:
        validate(self, "obstacles")


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """All of control."""

    period: float = parameter(0.03, "Control period.", unit="s", minimum=0.005, maximum=0.2)
    lateral: LateralConfig = field(default_factory=LateralConfig)
    longitudinal: LongitudinalConfig = field(default_factory=LongitudinalConfig)
    drive: DriveConfig = field(default_factory=DriveConfig)
    obstacles: ObstacleConfig = field(default_factory=ObstacleConfig)

    def __post_init__(self) -> None:
        validate(self, "control")
