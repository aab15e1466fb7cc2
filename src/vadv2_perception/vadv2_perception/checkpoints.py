"""Encoder weights: made from a seed or a package, saved, loaded and held to their names."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vadv2_core.checkpoint import CONFIG_NAME, Checkpoint, load_checkpoint, require_tensors, save_checkpoint
from vadv2_core.config import from_mapping, to_mapping
from vadv2_core.errors import InputError
from vadv2_perception.configuration import ARCHITECTURES, EncoderModelConfig, PerceptionConfig
from vadv2_perception.model import SceneModel

KIND = "perception"
UNTRAINED = "-untrained"


@dataclass(frozen=True, slots=True)
class LoadedEncoder:
    """A network with its names.

    Attributes:
        model: In evaluation mode.
        model_id: Of the checkpoint; ends in ``-untrained`` for weights made from a seed.
        encoder_hash: SHA-256 of the weights file.
    """

    model: SceneModel
    model_id: str
    encoder_hash: str


def _kept(model: SceneModel) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint: all but the counters of normalisation layers, which nothing reads."""
    return {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}


def save_encoder(directory: Path, model: SceneModel, model_id: str, *, half: bool = True) -> Checkpoint:
    """Write a model as a checkpoint.

    Args:
        directory: Where ``config.json`` and ``model.safetensors`` go.
        model: The network.
        model_id: Name with version.
        half: Keep matrices as float16. Vectors and statistics, which half precision would hurt, stay float32.
    """
    tensors = {}
    for name, value in _kept(model).items():
        array = value.detach().cpu().numpy()
        small = half and array.dtype == np.float32 and array.ndim >= 2 and not name.startswith("novelty")
        tensors[name] = array.astype(np.float16) if small else array
    return save_checkpoint(directory, kind=KIND, model_id=model_id, config=to_mapping(model.config), tensors=tensors)


def load_encoder(directory: Path) -> LoadedEncoder:
    """Read a checkpoint into a network.

    Raises:
        InputError: for whatever `vadv2_core.checkpoint.load_checkpoint` refuses, an unknown config key, or a tensor
            that is missing, superfluous, of another shape or not finite, by its name.
    """
    checkpoint = load_checkpoint(directory, KIND)
    model = SceneModel(from_mapping(EncoderModelConfig, checkpoint.config, str(directory / CONFIG_NAME)))
    own = _kept(model)
    require_tensors(checkpoint, {name: tuple(v.shape) for name, v in own.items()}, str(directory))
    for name, array in checkpoint.tensors.items():
        if not np.isfinite(array).all():
            raise InputError(f"tensor {name!r} is not finite", str(directory), "finite numbers")
    model.load_state_dict(
        {name: torch.from_numpy(np.array(checkpoint.tensors[name])).to(v.dtype) for name, v in own.items()},
        strict=False,
    )
    return LoadedEncoder(model.eval(), checkpoint.model_id, checkpoint.sha256)


def untrained_encoder(config: PerceptionConfig) -> LoadedEncoder:
    """Seeded weights for a config, on the packaged ImageNet backbone where there is one; kept in the cache directory.

    Kept, so that every process of a system, and the next start, has the same encoder with the same hash.
    """
    architecture = ARCHITECTURES[config.architecture]
    key = json.dumps(
        [to_mapping(architecture), config.backbone_weights, config.seed, torch.__version__], sort_keys=True
    )
    directory = (
        Path(config.cache_directory) / "perception" / f"untrained-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    )
    if (directory / CONFIG_NAME).is_file():
        try:
            return load_encoder(directory)
        except InputError:
            pass  # Made by an older version of the network: make it anew.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        pretrained = architecture.backbone == "efficientnet_lite0"
        model = SceneModel(architecture, config.backbone_weights, pretrained)
    save_encoder(directory, model, f"vadv2-encoder-{config.architecture}-seed{config.seed}{UNTRAINED}")
    return load_encoder(directory)
