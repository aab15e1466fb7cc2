"""Light and air by weather: sun, sky, haze, wetness and how dark it is, as uniforms of the shaders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vadv2_core.geometry import Array
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.taxonomy import LaneKind, Weather

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Atmosphere:
    """One state of light and air; colours are linear multipliers, 1 is white paper in the sun.

    Attributes:
        sun: Unit vector towards the sun.
        sun_color, ambient_sky, ambient_ground: Light.
        zenith, horizon: The sky; the horizon is also the colour of haze.
        fog: Extinction, 1/m.
        night: 0 by day, 1 when every lamp is on.
        wet: Wetness of the road.
        shadow: How sharp the sun's shadows are, 0..1.
        clouds: Cover, 0..1.
        glare: Veil of a low sun, 0..1.
        rain: Streaks in the picture, 0..1.
    """

    sun: Array
    sun_color: Rgb
    ambient_sky: Rgb
    ambient_ground: Rgb
    zenith: Rgb
    horizon: Rgb
    fog: float = 0.0008
    night: float = 0.0
    wet: float = 0.0
    shadow: float = 1.0
    clouds: float = 0.6
    glare: float = 0.0
    rain: float = 0.0


def direction(azimuth: float, elevation: float) -> Array:
    """Unit vector towards a point of the sky, radians."""
    return np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], dtype=np.float64
    )


def main_direction(road_map: RoadMap) -> float:
    """Yaw that most metres of a map's roads run along; a low sun stands there, so that drivers meet it."""
    yaws, lengths = [np.zeros(1)], [np.full(1, 1e-6)]
    for lane in road_map.lanes.values():
        if lane.kind is LaneKind.ROAD:
            step = np.diff(lane.centerline, axis=0)
            yaws.append(np.arctan2(step[:, 1], step[:, 0]))
            lengths.append(np.hypot(step[:, 0], step[:, 1]))
    histogram, edges = np.histogram(np.concatenate(yaws), 36, (-np.pi, np.pi), weights=np.concatenate(lengths))
    # The two senses of a street tie but for rounding: count them together, look along the one ahead of +x.
    both = np.round(histogram[9:27] + np.roll(histogram, 18)[9:27], 3)
    return float(edges[9 + int(both.argmax())] + np.pi / 36)


def _mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    return tuple(float(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def atmosphere_of(scene: Scene, low_sun: float) -> Atmosphere:
    """The light of a scene's weather; ``low_sun`` is the azimuth of a low sun, rad."""
    k = float(np.clip(scene.weather_intensity, 0.0, 1.0))
    high = direction(low_sun + 0.9, 0.85)
    day = Atmosphere(
        high, (0.95, 0.90, 0.80), (0.56, 0.60, 0.68), (0.32, 0.31, 0.29), (0.25, 0.45, 0.80), (0.72, 0.81, 0.90)
    )
    match scene.weather:
        case Weather.DUSK:
            return Atmosphere(
                direction(low_sun + 0.5, 0.10),
                (0.42, 0.22, 0.10),
                _mix((0.36, 0.36, 0.46), (0.24, 0.25, 0.36), k),
                (0.17, 0.14, 0.14),
                (0.16, 0.22, 0.42),
                _mix((0.88, 0.58, 0.38), (0.62, 0.40, 0.36), k),
                fog=0.0012,
                night=0.35 + 0.3 * k,
                shadow=0.25,
                clouds=0.8,
            )
        case Weather.NIGHT:
            dark = 1.0 - 0.35 * k
            return Atmosphere(
                direction(low_sun + 2.0, 0.7),
                (0.02, 0.02, 0.03),
                (0.17 * dark, 0.185 * dark, 0.25 * dark),
                (0.10 * dark, 0.10 * dark, 0.12 * dark),
                (0.015, 0.02, 0.05),
                (0.075, 0.08, 0.115),
                fog=0.0015,
                night=1.0,
                shadow=0.0,
                clouds=0.2,
            )
        case Weather.RAIN:
            return Atmosphere(
                high,
                (0.06, 0.06, 0.06),
                _mix((0.62, 0.65, 0.68), (0.42, 0.44, 0.47), k),
                (0.28, 0.28, 0.29),
                _mix((0.52, 0.56, 0.61), (0.33, 0.36, 0.40), k),
                _mix((0.66, 0.69, 0.72), (0.50, 0.53, 0.56), k),
                fog=0.003 + 0.007 * k,
                night=0.25 * k,
                wet=0.6 + 0.4 * k,
                shadow=0.0,
                clouds=1.0,
                rain=0.35 + 0.65 * k,
            )
        case Weather.FOG:
            return Atmosphere(
                high,
                (0.05, 0.05, 0.05),
                (0.66, 0.68, 0.70),
                (0.38, 0.38, 0.39),
                (0.70, 0.72, 0.74),
                (0.74, 0.76, 0.78),
                fog=0.008 + 0.030 * k,
                night=0.1,
                wet=0.25,
                shadow=0.0,
                clouds=0.0,
            )
        case Weather.GLARE:
            return Atmosphere(
                direction(low_sun, 0.16),
                (1.05, 0.86, 0.60),
                (0.46, 0.48, 0.55),
                (0.24, 0.22, 0.20),
                (0.34, 0.50, 0.80),
                (0.95, 0.87, 0.74),
                fog=0.0015,
                shadow=0.5,
                clouds=0.4,
                glare=0.45 + 0.55 * k,
            )
        case _:
            return day
