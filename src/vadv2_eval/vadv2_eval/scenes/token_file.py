"""What the encoder says of one scene, kept in a file: a planner or reasoner that is changed need not look again."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_core.tokens import AHEAD_VECTORS, SceneAhead, SceneMap, SceneObjects, SceneTokens

_ARRAYS = ("tokens", "queries", "aux", "k", "t_base_camera", "camera_stamps", "t_anchor_camera_time", "camera_valid")
Visible = tuple[frozenset[str], frozenset[str]]
"""Ids of the agents and of the signals that the cameras see."""


def save_tokens(path: Path, tokens: SceneTokens, visible: Visible) -> None:
    """Write one scene's tokens and what was visible in it."""
    arrays: dict[str, Any] = {name: getattr(tokens, name) for name in _ARRAYS}
    for part in ("objects", "map", "ahead"):
        value = getattr(tokens, part)
        arrays |= {f"{part}.{f.name}": np.asarray(getattr(value, f.name)) for f in fields(value)}
    head = {
        "stamp": str(tokens.stamp),
        "novelty": repr(tokens.novelty),
        "encoder_hash": tokens.encoder_hash,
        "model_id": tokens.model_id,
        "visible": json.dumps([sorted(part) for part in visible]),
    }
    whole = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    write_bytes_atomic(path, save(whole, metadata=head))


def load_tokens(path: Path, ego: EgoState) -> tuple[SceneTokens, Visible]:
    """The inverse of `save_tokens`; the ego state is the scene's.

    Raises:
        InputError: for a file of another form; also one that was written before perception said all it says now.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            head = file.metadata()
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        objects = SceneObjects(**{f.name: arrays[f"objects.{f.name}"] for f in fields(SceneObjects)})
        elements = SceneMap(**{f.name: arrays[f"map.{f.name}"] for f in fields(SceneMap)})
        numbers = [f.name for f in fields(SceneAhead) if f.name not in AHEAD_VECTORS]
        said: dict[str, Any] = {name: float(arrays[f"ahead.{name}"].item()) for name in numbers}
        said |= {name: arrays[f"ahead.{name}"].reshape(size) for name, size in AHEAD_VECTORS.items()}
        ahead = SceneAhead(**said)
        agents, signals = json.loads(head["visible"])
        plain = {name: arrays[name] for name in _ARRAYS}
        tokens = SceneTokens(
            stamp=int(head["stamp"]), objects=objects, map=elements, ahead=ahead, ego=ego,
            novelty=float(head["novelty"]), encoder_hash=head["encoder_hash"], model_id=head["model_id"], **plain,
        )  # fmt: skip
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"not a scene's tokens: {error}", str(path), "what `vadv2 eval scenes` writes now, or a new --out"
        ) from None
    return tokens, (frozenset(agents), frozenset(signals))
