"""What a camera does to a picture: exposure, noise, blur, rain, dirt and faults, all from a seeded generator."""

from __future__ import annotations

from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_core.errors import InputError
from vadv2_core.scene import Scene
from vadv2_sim.renderer.config import RendererConfig

Image = NDArray[np.uint8]
FAULT_EVENT = "camera_fault"
"""A scene's event ``camera_fault:<camera>:<kind>`` breaks one of its cameras."""


class CameraFault(StrEnum):
    """Ways a camera breaks; a picture of `BLACK` or `MISSING` is not valid."""

    BLACK = "black"
    MISSING = "missing"
    WHITE = "white"
    NOISE = "noise"
    DIRT = "dirt"
    BLUR = "blur"


def faults_of(scene: Scene) -> dict[str, CameraFault]:
    """Broken cameras by name, as the scene's events say.

    Raises:
        InputError: for an unknown kind of fault.
    """
    found = {}
    for event in scene.events:
        kind, _, rest = event.partition(":")
        if kind != FAULT_EVENT or not rest:
            continue
        camera, _, name = rest.partition(":")
        try:
            found[camera] = CameraFault(name or "black")
        except ValueError:
            raise InputError(
                f"unknown camera fault {name!r}", "scene.events", "one of " + ", ".join(CameraFault)
            ) from None
    return found


def add_rain(image: Image, amount: float, rng: np.random.Generator) -> None:
    """Draw falling streaks into an image; ``amount`` in 0..1."""
    height, width = image.shape[:2]
    count = int(amount * width * 0.35)
    streaks = np.zeros((height, width), dtype=np.uint8)
    x, y = rng.uniform(0, width, count), rng.uniform(-0.1 * height, height, count)
    length = rng.uniform(0.02, 0.09, count) * height
    for a, b, d in zip(x, y, length, strict=True):
        cv2.line(streaks, (int(a), int(b)), (int(a - 0.12 * d), int(b + d)), int(rng.integers(30, 80)), 1, cv2.LINE_AA)
    np.copyto(image, cv2.add(image, cv2.cvtColor(streaks, cv2.COLOR_GRAY2RGB)))


def add_dirt(image: Image, share: float, rng: np.random.Generator) -> None:
    """Smear dark blurred spots over about ``share`` of an image."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), dtype=np.float32)
    while mask.mean() < share:
        radius = float(rng.uniform(0.02, 0.09)) * width
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        axes = (max(int(radius), 1), max(int(radius * rng.uniform(0.5, 1.0)), 1))
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(mask, (0, 0), 0.012 * width)[..., None] * 0.92
    np.copyto(image, (image * (1 - soft) + np.array([58, 50, 40]) * soft).astype(np.uint8))


def add_noise(image: Image, deviation: float, rng: np.random.Generator) -> None:
    """Add pixel noise of a standard deviation in levels."""
    table = rng.normal(0.0, deviation, 1 << 16).astype(np.float32)
    noise = table[rng.integers(0, 1 << 16, image.shape, dtype=np.uint16)]
    np.copyto(image, np.clip(image + noise, 0, 255).astype(np.uint8))


def expose(
    image: Image, config: RendererConfig, rain: float, fault: CameraFault | None, rng: np.random.Generator
) -> Image:
    """What the sensor gives for a drawn image; the input may be changed in place."""
    if fault in (CameraFault.BLACK, CameraFault.MISSING):
        return np.zeros_like(image)
    if rain > 0.0:
        add_rain(image, rain, rng)
    if fault is CameraFault.DIRT or config.dirt > 0.0:
        add_dirt(image, 0.45 if fault is CameraFault.DIRT else config.dirt, rng)
    blur = 6.0 if fault is CameraFault.BLUR else config.blur
    if blur > 0.0:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur), dtype=np.uint8)
    gain = config.exposure * (1.0 + config.exposure_jitter * float(rng.uniform(-1, 1)))
    if fault is CameraFault.WHITE:
        gain *= 6.0
    if gain != 1.0:
        image = np.asarray(cv2.convertScaleAbs(image, alpha=gain), dtype=np.uint8)
    noise = 70.0 if fault is CameraFault.NOISE else config.noise
    if noise > 0.0:
        add_noise(image, noise, rng)
    return image
