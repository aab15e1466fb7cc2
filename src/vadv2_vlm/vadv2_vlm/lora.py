"""LoRA adapters of a language model's attention and feed-forward layers, by peft.

Low-rank adaptation as in Hu et al. 2021 (arXiv:2106.09685); rank 8 on the text model's q, k, v, o, gate, up, down.
The adapter is put into the model in place, so that every reference to the model sees it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_bytes_atomic, write_json_atomic

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
CONFIG_NAME, WEIGHTS_NAME = "adapter_config.json", "adapter_model.safetensors"
_NAME = "default"


def _text_layers(model: Any) -> list[str]:
    # The vision tower has layers of the same names and never runs behind the token door.
    text = {id(m) for m in model.get_decoder().modules()}
    return [n for n, m in model.named_modules() if id(m) in text and isinstance(m, nn.Linear) and n.endswith(TARGETS)]


def attach_adapter(model: Any, *, rank: int = 8, alpha: int = 16, dropout: float = 0.0) -> int:
    """Add a fresh adapter (no effect until trained) to a model's text layers; only it is trainable afterwards.

    Returns:
        Trainable parameters.

    Raises:
        InputError: for a model that has none of the layers, or an adapter already.
    """
    if has_adapter(model):
        raise InputError("has an adapter already", type(model).__name__, "one without")
    layers = _text_layers(model)
    if not layers:
        raise InputError("none of " + ", ".join(TARGETS), type(model).__name__, "a text model with these layers")
    model.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=layers)
    inject_adapter_in_model(config, model, adapter_name=_NAME)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def has_adapter(model: nn.Module) -> bool:
    """Whether a model holds an adapter that is not merged."""
    return any(isinstance(m, BaseTunerLayer) for m in model.modules())


def save_adapter(model: Any, directory: Path) -> None:
    """Write the adapter as peft reads it: ``adapter_config.json`` and ``adapter_model.safetensors``."""
    layer = next(m for m in model.modules() if isinstance(m, BaseTunerLayer))
    rank = int(layer.r[_NAME])  # type: ignore[attr-defined]
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": int(layer.lora_alpha[_NAME]),  # type: ignore[attr-defined]
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(n for n, m in model.named_modules() if isinstance(m, BaseTunerLayer)),
    }
    weights = get_peft_model_state_dict(model, adapter_name=_NAME)
    data = save({n: t.detach().cpu().contiguous() for n, t in weights.items()}, metadata={"format": "pt"})
    write_bytes_atomic(directory / WEIGHTS_NAME, data)
    write_json_atomic(directory / CONFIG_NAME, config)


def load_adapter(model: Any, directory: Path) -> None:
    """Put a saved adapter into a model, frozen.

    Raises:
        InputError: for a missing or unreadable file, or an adapter of another model.
    """
    config = read_json(directory / CONFIG_NAME)
    where = str(directory)
    for key, kind in (("r", int), ("lora_alpha", int), ("target_modules", (list, str))):
        if not isinstance(config, dict) or not isinstance(config.get(key), kind):
            raise InputError(f"no {key!r} as peft writes it", str(directory / CONFIG_NAME), "a LoRA adapter's config")
    try:
        weights = load_file(directory / WEIGHTS_NAME)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{error}", str(directory / WEIGHTS_NAME), "the adapter's weights") from None
    lora = LoraConfig(r=config["r"], lora_alpha=config["lora_alpha"], target_modules=config["target_modules"])
    try:
        inject_adapter_in_model(lora, model, adapter_name=_NAME)
        result: Any = set_peft_model_state_dict(model, weights, adapter_name=_NAME)
    except (ValueError, RuntimeError) as error:
        raise InputError(str(error).splitlines()[0], where, "an adapter of this language model") from None
    missing = [n for n in result.missing_keys if "lora_" in n]
    if result.unexpected_keys or missing:
        raise InputError(f"{(result.unexpected_keys or missing)[0]!r} does not fit", where, "an adapter of this model")
    model.requires_grad_(False)


def merge_adapter(model: nn.Module) -> None:
    """Fold the adapter into the model's own weights and take it out: same outputs, plain layers."""
    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
