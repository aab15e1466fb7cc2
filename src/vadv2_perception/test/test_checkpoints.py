from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vadv2_core.checkpoint import load_checkpoint, save_checkpoint
from vadv2_core.errors import InputError
from vadv2_perception.checkpoints import KIND, load_encoder, save_encoder


@pytest.fixture
def copy(small_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_checkpoint, tmp_path / "copy"))


def _rewrite(directory: Path, change: object) -> None:
    old = load_checkpoint(directory, KIND)
    tensors = dict(old.tensors)
    change(tensors)  # type: ignore[operator]
    save_checkpoint(directory, kind=KIND, model_id=old.model_id, config=old.config, tensors=tensors)


def test_saved_and_loaded_weights_are_the_same_to_half_precision(copy: Path, tmp_path: Path) -> None:
    loaded = load_encoder(copy)
    save_encoder(tmp_path / "again", loaded.model, loaded.model_id)
    again = load_encoder(tmp_path / "again")
    assert again.encoder_hash == loaded.encoder_hash
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name
    save_encoder(tmp_path / "full", loaded.model, "x", half=False)
    assert load_checkpoint(tmp_path / "full", KIND).tensors["neck.lateral.0.weight"].dtype == np.float32
    assert load_checkpoint(copy, KIND).tensors["neck.lateral.0.weight"].dtype == np.float16
    assert load_checkpoint(copy, KIND).tensors["backbone._bn0.running_var"].dtype == np.float32


def test_refusals_name_what_is_wrong(copy: Path) -> None:
    header = json.loads((copy / "config.json").read_text())

    def refuse(change: dict[str, object], words: str) -> None:
        (copy / "config.json").write_text(json.dumps(header | change))
        with pytest.raises(InputError, match=words):
            load_encoder(copy)

    refuse({"format": [2, 0]}, "format version")
    refuse({"kind": "planner"}, "planner")
    refuse({"sha256": "0" * 64}, "SHA-256")
    refuse({"config": header["config"] | {"colour": 1}}, "colour")
    refuse({"config": header["config"] | {"layers": 99}}, "layers")
    refuse({"config": header["config"] | {"object_queries": 7}}, "has shape")


@pytest.mark.parametrize("name", ["queries.features", "novelty_threshold", "backbone._bn0.running_mean"])
def test_a_missing_tensor_is_named(copy: Path, name: str) -> None:
    _rewrite(copy, lambda tensors: tensors.pop(name))
    with pytest.raises(InputError, match=f"{name}.*missing"):
        load_encoder(copy)


def test_a_superfluous_or_broken_tensor_is_named(copy: Path) -> None:
    _rewrite(copy, lambda tensors: tensors.update(extra=np.zeros(3)))
    with pytest.raises(InputError, match="extra"):
        load_encoder(copy)
    _rewrite(
        copy,
        lambda tensors: (tensors.pop("extra"), tensors.update({"neck.norm.bias": np.full(32, np.nan, np.float32)})),
    )
    with pytest.raises(InputError, match=r"neck\.norm\.bias.*finite"):
        load_encoder(copy)
