"""ONNX files of an encoder in the cache directory, made when first wanted, found again by the weights' hash."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vadv2_core.files import write_bytes_atomic
from vadv2_perception.checkpoints import LoadedEncoder
from vadv2_perception.halves import IMAGE_OUTPUTS, SCENE_OUTPUTS, ImageHalf, SceneHalf, example_inputs

OPSET = 18
EXPORT_VERSION = 1
"""Raised when the same weights would be written as another graph."""


@dataclass(frozen=True, slots=True)
class ExportedEncoder:
    """The two files every compiled backend reads, TensorRT included."""

    image: Path
    scene: Path


def _onnx(module: nn.Module, inputs: dict[str, Tensor], outputs: tuple[str, ...]) -> bytes:
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        # Shapes are constants on purpose: one file is one rig's size.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            buffer,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=False,
        )
    data: bytes = buffer.getvalue()
    return data


def export_encoder(encoder: LoadedEncoder, cameras: int, cache_directory: Path) -> ExportedEncoder:
    """Write both halves as ONNX unless they are there already.

    Args:
        encoder: The network.
        cameras: How many cameras the rig has; image size is the network's own.
        cache_directory: Files go to ``<cache>/perception/<hash>-<cameras>-v<n>/``.
    """
    directory = cache_directory / "perception" / f"{encoder.encoder_hash[:16]}-{cameras}-v{EXPORT_VERSION}"
    files = ExportedEncoder(directory / "image.onnx", directory / "scene.onnx")
    if files.image.is_file() and files.scene.is_file():
        return files
    image, scene = example_inputs(encoder.model, cameras)
    write_bytes_atomic(files.image, _onnx(ImageHalf(encoder.model), image, IMAGE_OUTPUTS))
    write_bytes_atomic(files.scene, _onnx(SceneHalf(encoder.model), scene, SCENE_OUTPUTS))
    return files
