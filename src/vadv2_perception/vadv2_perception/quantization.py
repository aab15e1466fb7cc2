"""The image half in 8-bit integers: static quantisation of the backbone, calibrated on generated or given pictures.

Weights a channel, activations a tensor, as quantise-dequantise pairs in the ONNX (Jacob et al., arXiv:1712.05877); ONNX
Runtime and OpenVINO both read them. Neck and queries stay in floating point: they are cheap and speak in metres.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_perception.checkpoints import LoadedEncoder
from vadv2_perception.export import export_directory, export_encoder

INT8_NAME = "image-int8.onnx"
_QUANTISED = ("Conv", "Add", "Clip")


PICTURES = 24
"""Generated pictures that an encoder is calibrated on where nobody gives other ones."""


def dead_leaves(count: int, width: int, height: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Pictures with the edges, sizes and contrasts of natural ones, and nothing in them: (height, width, 3) uint8.

    Things of every size in front of each other, sizes by a power law (Lee, Mumford and Huang, "Occlusion models for
    natural images", IJCV 2001), in several exposures, blurs and noises. What int8 must know of pictures is how large
    activations get, and these make them as large as streets do.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        image: NDArray[np.uint8] = np.full((height, width, 3), rng.integers(0, 256, 3), dtype=np.uint8)
        for radius in np.sort(2 + 4 * rng.pareto(1.5, int(rng.integers(60, 400)))).clip(max=0.4 * width)[::-1]:
            x, y, r = int(rng.integers(width)), int(rng.integers(height)), int(radius)
            color = rng.normal(rng.uniform(30, 225), 40, 3).clip(0, 255).tolist()
            if rng.random() < 0.5:
                cv2.circle(image, (x, y), r, color, -1)
            else:
                cv2.rectangle(image, (x - r, y - int(r * rng.uniform(0.2, 2.0))), (x + r, y + r), color, -1)
        if rng.random() < 0.5:
            image = np.asarray(cv2.GaussianBlur(image, (3, 3), 0), dtype=np.uint8)
        noisy = image * rng.uniform(0.4, 1.1) + rng.normal(0.0, rng.uniform(0.0, 12.0), image.shape)
        yield noisy.clip(0, 255).astype(np.uint8)


def int8_file(encoder: LoadedEncoder, cache_directory: Path) -> Path:
    """The calibrated file of an encoder; where there is none it is calibrated now, on `dead_leaves` (half a minute)."""
    path = export_directory(encoder, cache_directory) / INT8_NAME
    if path.is_file():
        return path
    config = encoder.model.config
    return quantise(encoder, dead_leaves(PICTURES, config.image_width, config.image_height), cache_directory)


def quantise(encoder: LoadedEncoder, pictures: Iterable[NDArray[np.uint8]], cache_directory: Path) -> Path:
    """Calibrate and write the int8 image half.

    Args:
        encoder: The network.
        pictures: (height, width, 3) uint8 RGB of the network's size: `dead_leaves`, or a few dozen of all cameras and
            weathers.
        cache_directory: As for `export_encoder`.

    Returns:
        The file.

    Raises:
        InputError: for no pictures at all.
    """
    quantization: Any = importlib.import_module("onnxruntime.quantization")
    inference: Any = importlib.import_module("onnxruntime.quantization.shape_inference")
    onnx: Any = importlib.import_module("onnx")
    config = encoder.model.config
    # Rays enter after the backbone, so that they do not touch any range that is measured here.
    rays = np.zeros((1, *config.grid, config.token_channels), np.float32)
    rows: list[dict[str, NDArray[Any]]] = [{"images": picture[None], "rays": rays} for picture in pictures]
    if not rows:
        raise InputError("no pictures", "int8 calibration", "a few dozen of the cameras' own")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows: Iterator[dict[str, NDArray[Any]]] = iter(rows)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self.rows, None)

    source = export_encoder(encoder, 1, cache_directory).image
    target = export_directory(encoder, cache_directory) / INT8_NAME
    with tempfile.TemporaryDirectory() as folder:
        prepared, written = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        inference.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        nodes = onnx.load(str(prepared)).graph.node
        quantization.quantize_static(
            str(prepared),
            str(written),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=list(_QUANTISED),
            nodes_to_exclude=[node.name for node in nodes if "backbone" not in node.name],
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        write_bytes_atomic(target, written.read_bytes())
    return target
