"""Encoder and planner of a size, exported for a compiled backend into the cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_core.errors import InputError
from vadv2_driver.bench_frames import COMMAND, ROUTE, BenchFrames
from vadv2_driver.configuration import DriverConfig
from vadv2_perception import SceneEncoder
from vadv2_planner import make_planner

BACKENDS = ("onnxruntime", "openvino")


PICTURES = 48
"""Pictures that int8 is calibrated on, spread evenly over the folder."""


def pictures_of(folder: Path) -> Iterator[NDArray[np.uint8]]:
    """`PICTURES` images of a folder and those below it, RGB.

    Raises:
        InputError: for a folder without pictures, or one that cannot be decoded.
    """
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not found:
        raise InputError("no pictures", str(folder), "JPEG or PNG files of the cameras")
    for index in np.unique(np.linspace(0, len(found) - 1, PICTURES).round().astype(int)):
        image = cv2.imread(str(found[index]), cv2.IMREAD_COLOR)
        if image is None:
            raise InputError("cannot be decoded", str(found[index]), "a JPEG or PNG picture")
        yield np.asarray(image[..., ::-1], dtype=np.uint8)


def export_model(
    model: str, backend: str, cameras: int, cache: Path, precision: str = "auto", pictures: Path | None = None
) -> list[Path]:
    """Export by driving one frame, so that what is written is what will be asked for.

    Args:
        model: Size of the system, or a folder below the models directory.
        backend: One of `BACKENDS`; both read the same files, and so can TensorRT.
        cameras: Of the rig.
        cache: Where the files go.
        precision: Of the image half.
        pictures: Folder of the cameras' own pictures that int8 is calibrated on; None for generated ones.

    Returns:
        The ONNX files that the model now has in the cache, new ones last.

    Raises:
        InputError: for an unknown model or backend.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend is {backend!r}", "export", "one of " + ", ".join(BACKENDS))
    config = DriverConfig(model=model).for_model()
    before = {path for path in cache.rglob("*.onnx")}
    perception = replace(config.perception, backend=backend, precision=precision, cache_directory=str(cache))
    planner = replace(config.planner, backend=backend, cache_directory=str(cache))
    encoder = SceneEncoder(config.directory("perception"), perception)
    if pictures is not None:
        if precision != "int8":
            raise InputError("--pictures", "export", "--precision int8 with it")
        encoder.quantise(pictures_of(pictures))
    facts = encoder.model_config
    frame, ego = BenchFrames(facts.image_width, facts.image_height, cameras=cameras)[0]
    tokens = encoder.encode(frame, ego)
    make_planner(config.directory("planner"), planner).plan(tokens, ego, COMMAND, ROUTE, None)
    written = {path for path in cache.rglob("*.onnx")}
    return sorted(written & before) + sorted(written - before)
