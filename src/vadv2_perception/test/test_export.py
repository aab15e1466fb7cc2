"""What is exported says what torch says, is found again, and is made anew for other weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from vadv2_core.camera import CameraFrame
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_perception import PerceptionConfig, SceneEncoder
from vadv2_perception.checkpoints import load_encoder
from vadv2_perception.export import export_encoder


def test_paddings_are_part_of_their_convolutions(small_checkpoint: Path, tmp_path: Path) -> None:
    files = export_encoder(load_encoder(small_checkpoint), 6, tmp_path)
    kinds = [node.op_type for node in onnx.load(str(files.image)).graph.node]
    assert "Pad" not in kinds
    assert kinds.count("Conv") > 40


def test_files_are_made_once_a_rig_and_weights(small_checkpoint: Path, tmp_path: Path) -> None:
    encoder = load_encoder(small_checkpoint)
    first = export_encoder(encoder, 6, tmp_path)
    made = first.image.stat().st_mtime_ns
    other_rig = export_encoder(encoder, 4, tmp_path)
    assert other_rig.image == first.image
    assert other_rig.scene != first.scene
    assert first.image.stat().st_mtime_ns == made
    assert export_encoder(replace(encoder, encoder_hash="0" * 64), 6, tmp_path).image != first.image


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_int8_says_nearly_what_float_says(
    small_checkpoint: Path,
    torch_config: PerceptionConfig,
    make_frame: Callable[..., CameraFrame],
    make_ego: Callable[..., EgoState],
    backend: str,
) -> None:
    config = replace(torch_config, backend=backend, precision="int8")
    small = SceneEncoder(small_checkpoint, config)
    with pytest.raises(InputError, match="vadv2 export --precision int8"):
        small.encode(make_frame(), make_ego())
    small.quantise(image for i in range(4) for image in make_frame(seed=i).images)
    a = SceneEncoder(small_checkpoint, torch_config).encode(make_frame(seed=9), make_ego()).tokens
    b = small.encode(make_frame(seed=9), make_ego()).tokens
    assert not np.array_equal(a, b)
    assert np.corrcoef(a.astype(np.float64).ravel(), b.astype(np.float64).ravel())[0, 1] > 0.9


def test_int8_without_pictures_is_refused(small_checkpoint: Path, torch_config: PerceptionConfig) -> None:
    with pytest.raises(InputError, match="no pictures"):
        SceneEncoder(small_checkpoint, torch_config).quantise([])
