"""Encoder and planner of a size, exported for a compiled backend into the cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vadv2_core.errors import InputError
from vadv2_driver.bench_frames import COMMAND, ROUTE, BenchFrames
from vadv2_driver.configuration import DriverConfig
from vadv2_perception import SceneEncoder
from vadv2_planner import make_planner

BACKENDS = ("onnxruntime", "openvino")


def export_model(model: str, backend: str, cameras: int, cache: Path) -> list[Path]:
    """Export by driving one frame, so that what is written is what will be asked for.

    Args:
        model: Size of the system, or a folder below the models directory.
        backend: One of `BACKENDS`; both read the same files, and so can TensorRT.
        cameras: Of the rig.
        cache: Where the files go.

    Returns:
        The ONNX files that the model now has in the cache, new ones last.

    Raises:
        InputError: for an unknown model or backend.
    """
    if backend not in BACKENDS:
        raise InputError(f"backend is {backend!r}", "export", "one of " + ", ".join(BACKENDS))
    config = DriverConfig(model=model).for_model()
    before = {path for path in cache.rglob("*.onnx")}
    perception = replace(config.perception, backend=backend, cache_directory=str(cache))
    planner = replace(config.planner, backend=backend, cache_directory=str(cache))
    encoder = SceneEncoder(config.directory("perception"), perception)
    facts = encoder.model_config
    frame, ego = BenchFrames(facts.image_width, facts.image_height, cameras=cameras)[0]
    tokens = encoder.encode(frame, ego)
    make_planner(config.directory("planner"), planner).plan(tokens, ego, COMMAND, ROUTE, None)
    written = {path for path in cache.rglob("*.onnx")}
    return sorted(written & before) + sorted(written - before)
