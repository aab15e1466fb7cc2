"""Model directories: ``config.json`` + ``model.safetensors``, versioned, hashed, refused by name if they do not fit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_bytes_atomic, write_json_atomic

FORMAT_MAJOR, FORMAT_MINOR = 1, 0
CONFIG_NAME, WEIGHTS_NAME = "config.json", "model.safetensors"

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One stage's weights and what is needed to use them.

    Attributes:
        kind: Which stage (``"perception"``, ``"planner"``, ...).
        model_id: Name with version; ends in ``-untrained`` for weights made from a seed.
        config: The stage's model config, JSON-plain.
        tensors: Weights by name.
        sha256: Of the weights file; the encoder's is the ``encoder_hash`` of its tokens.
    """

    kind: str
    model_id: str
    config: dict[str, Any]
    tensors: Tensors
    sha256: str


def save_checkpoint(
    directory: Path, *, kind: str, model_id: str, config: dict[str, Any], tensors: Tensors
) -> Checkpoint:
    """Write a checkpoint; the weights first, so that a config never points at weights that are not there."""
    data = save({name: np.asarray(t, order="C") for name, t in tensors.items()}, metadata={"format": "np"})
    digest = hashlib.sha256(data).hexdigest()
    write_bytes_atomic(directory / WEIGHTS_NAME, data)
    write_json_atomic(
        directory / CONFIG_NAME,
        {
            "format": [FORMAT_MAJOR, FORMAT_MINOR],
            "kind": kind,
            "model_id": model_id,
            "sha256": digest,
            "config": config,
        },
    )
    return Checkpoint(kind, model_id, config, dict(tensors), digest)


def load_checkpoint(directory: Path, kind: str) -> Checkpoint:
    """Read a checkpoint and hold it to its own words.

    Raises:
        InputError: for a missing file, another major format version, another kind, or weights whose hash is not the
            recorded one.
    """
    where = str(directory / CONFIG_NAME)
    header = read_json(directory / CONFIG_NAME)
    for key in ("format", "kind", "model_id", "sha256", "config"):
        if not isinstance(header, dict) or key not in header:
            raise InputError(f"no {key!r}", where, "a model's config.json")
    for key, kind_of in (("format", list), ("model_id", str), ("sha256", str), ("config", dict)):
        if not isinstance(header[key], kind_of):
            raise InputError(f"{key} is {header[key]!r}", where, f"a JSON {kind_of.__name__}")
    if header["format"][:1] != [FORMAT_MAJOR]:
        raise InputError(f"format version {header['format']}", where, f"{FORMAT_MAJOR}.x")
    if header["kind"] != kind:
        raise InputError(f"is a {header['kind']!r} model", where, f"kind {kind!r}")
    weights = directory / WEIGHTS_NAME
    try:
        data = weights.read_bytes()
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", str(weights), "the model's weights") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != header["sha256"]:
        raise InputError(f"SHA-256 is {digest[:12]}…", str(weights), f"{header['sha256'][:12]}… as in {CONFIG_NAME}")
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"not safetensors: {error}", str(weights), "a safetensors file") from None
    return Checkpoint(kind, header["model_id"], header["config"], tensors, digest)


def require_tensors(checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Hold a checkpoint's tensors against a model's.

    Raises:
        InputError: naming the first missing, superfluous or differently shaped tensor.
    """
    for name, shape in shapes.items():
        if name not in checkpoint.tensors:
            raise InputError(f"tensor {name!r} is missing", where, f"shape {shape}")
        if checkpoint.tensors[name].shape != tuple(shape):
            raise InputError(f"tensor {name!r} has shape {checkpoint.tensors[name].shape}", where, f"{tuple(shape)}")
    extra = next((n for n in checkpoint.tensors if n not in shapes), None)
    if extra is not None:
        raise InputError(f"tensor {extra!r} is not part of this model", where, "only the model's own tensors")
