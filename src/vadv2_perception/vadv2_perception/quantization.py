"""The image half in 8-bit integers: static quantisation of the backbone, calibrated on pictures of the user.

Weights a channel, activations a tensor, as quantise-dequantise pairs in the ONNX (Jacob et al., arXiv:1712.05877); ONNX
Runtime and OpenVINO both read them. Neck and queries stay in floating point: they are cheap and speak in metres.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_perception.checkpoints import LoadedEncoder
from vadv2_perception.export import export_directory, export_encoder

INT8_NAME = "image-int8.onnx"
_QUANTISED = ("Conv", "Add", "Clip")


def int8_file(encoder: LoadedEncoder, cache_directory: Path) -> Path:
    """The calibrated file of an encoder.

    Raises:
        InputError: where there is none, with the command that makes it.
    """
    path = export_directory(encoder, cache_directory) / INT8_NAME
    if not path.is_file():
        raise InputError("not calibrated", str(path), "./vadv2 export --precision int8 --pictures <folder> first")
    return path


def quantise(encoder: LoadedEncoder, pictures: Iterable[NDArray[np.uint8]], cache_directory: Path) -> Path:
    """Calibrate and write the int8 image half.

    Args:
        encoder: The network.
        pictures: (height, width, 3) uint8 RGB of the network's size; a few dozen of all cameras and weathers.
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
