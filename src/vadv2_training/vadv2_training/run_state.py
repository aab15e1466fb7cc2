"""The state of a training run on disk: safetensors and JSON, written whole or not at all.

A run killed at any moment goes on from its last saved step. Noise, dropout and the order of samples are functions of
the seed and the step, so that the weights it ends with are those of a run that was never killed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_training.optimization import WeightAverage

_NAME = "state.safetensors"


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    flat: dict[str, Tensor] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            flat[f"optimizer.{index}.{key}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    return flat


def save_run_state(
    directory: Path,
    step: int,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    facts: Mapping[str, Any],
) -> None:
    """Write everything a run needs to go on after ``step`` finished steps; ``facts`` is JSON-plain.

    One file holds weights, moments, averages and the step, so that no kill can leave two that do not belong together.
    """
    tensors = {f"module.{n}": p.detach().contiguous() for n, p in module.named_parameters() if p.requires_grad}
    tensors |= {f"buffer.{n}": b.detach().contiguous() for n, b in module.named_buffers()}
    tensors |= _optimizer_tensors(optimizer)
    updates = 0
    if average is not None:
        updates = average.updates
        tensors |= {f"average.{n}": t for n, t in average.state().items()}
    head = {"step": step, "average_updates": updates, "facts": dict(facts)}
    # Two names may share storage (tied weights): safetensors stores values, so each is cloned where it is shared.
    unique = {name: t.clone() if t.data_ptr() else t for name, t in tensors.items()}
    write_bytes_atomic(directory / _NAME, save(unique, metadata={"run": json.dumps(head)}))


def load_run_state(
    directory: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    facts: Mapping[str, Any],
) -> int:
    """Put a saved run back; returns the number of finished steps, 0 where there is none.

    Raises:
        InputError: where the file is not a run's, or of a run with other facts (another config or data set).
    """
    path = directory / _NAME
    if not path.exists():
        return 0
    try:
        with safe_open(path, framework="pt") as source:
            head = json.loads((source.metadata() or {})["run"])
            tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise InputError(f"not a training run's state: {error}", str(path), "what this command wrote") from None
    try:
        step, updates, known = int(head["step"]), int(head["average_updates"]), dict(head["facts"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"its head is of another form: {error!r}", str(path), "what this command wrote") from None
    other = next((k for k in facts if known.get(k) != facts[k]), None)
    if other is not None:
        raise InputError(
            f"was trained with {other} = {known.get(other)!r}", str(path), f"{facts[other]!r}, or another --out"
        )

    def saved(name: str, like: Tensor) -> Tensor:
        found: Tensor | None = tensors.get(name)
        if found is None or found.shape != like.shape:
            what = f"no tensor {name!r}" if found is None else f"holds {name!r} of shape {tuple(found.shape)}"
            raise InputError(what, str(path), f"a run of this module: {tuple(like.shape)}")
        return found

    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.requires_grad:
                value.copy_(saved(f"module.{name}", value))
        for name, buffer in module.named_buffers():
            buffer.copy_(saved(f"buffer.{name}", buffer))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    try:
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (ValueError, KeyError) as error:
        raise InputError(f"its optimiser does not fit: {error}", str(path), "a run of this module") from None
    if average is not None:
        average.updates = updates
        for name in average.tensors:
            average.tensors[name].copy_(saved(f"average.{name}", average.tensors[name]))
    return step


def forget_run_state(directory: Path) -> None:
    """Remove a run's state, once its weights are shipped."""
    shutil.rmtree(directory, ignore_errors=True)
