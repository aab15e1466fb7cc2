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
from vadv2_perception.quantization import dead_leaves


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
    a = SceneEncoder(small_checkpoint, torch_config).encode(make_frame(seed=9), make_ego()).tokens
    b = small.encode(make_frame(seed=9), make_ego()).tokens
    assert not np.array_equal(a, b)
    assert np.corrcoef(a.astype(np.float64).ravel(), b.astype(np.float64).ravel())[0, 1] > 0.95


def test_int8_may_be_calibrated_on_own_pictures(
    small_checkpoint: Path, torch_config: PerceptionConfig, make_frame: Callable[..., CameraFrame]
) -> None:
    encoder = SceneEncoder(small_checkpoint, replace(torch_config, backend="onnxruntime", precision="int8"))
    wide = (np.tile(image, (2, 2, 1)) for image in make_frame().images)
    own = encoder.quantise(wide).read_bytes()
    encoder.quantise(np.zeros_like(image) for image in make_frame().images)
    assert encoder.quantise(image for image in make_frame(seed=3).images).read_bytes() != own


def test_dead_leaves_are_full_of_contrast_and_seeded() -> None:
    pictures, again, other = (list(dead_leaves(3, 96, 64, seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(pictures, again, strict=True))
    assert not np.array_equal(pictures[0], other[0])
    assert all(picture.shape == (64, 96, 3) and picture.std() > 15 for picture in pictures)


def test_int8_without_pictures_is_refused(small_checkpoint: Path, torch_config: PerceptionConfig) -> None:
    with pytest.raises(InputError, match="no pictures"):
        SceneEncoder(small_checkpoint, torch_config).quantise([])
