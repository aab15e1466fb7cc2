"""VLM checkpoints: a directory with our own parts, the language model beside them (or its name), and an adapter.

vlm/config.json        slots, language model, its hash, the encoder's hash, taxonomy version
vlm/model.safetensors  token projector and heads, half precision
vlm/language_model/    an ordinary transformers directory (absent where the language model is named instead)
vlm/adapter/           a LoRA adapter (absent where there is none)
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vadv2_core.checkpoint import CONFIG_NAME, WEIGHTS_NAME, load_checkpoint, require_tensors, save_checkpoint
from vadv2_core.config import from_mapping, to_mapping
from vadv2_core.errors import InputError
from vadv2_core.files import read_json, sha256_of
from vadv2_core.taxonomy import TAXONOMY_VERSION
from vadv2_vlm.config import SlotConfig
from vadv2_vlm.language_model import LanguageModel, load_language_model
from vadv2_vlm.lora import has_adapter, load_adapter, save_adapter
from vadv2_vlm.model import VlmModel

KIND = "vlm"
LANGUAGE_MODEL, ADAPTER = "language_model", "adapter"


@dataclass(frozen=True, slots=True)
class LoadedVlm:
    """A model from a checkpoint: the module, its name, and the encoder it was trained with (empty for any)."""

    model: VlmModel
    model_id: str
    encoder_hash: str


def is_checkpoint(directory: Path) -> bool:
    """Whether a directory is a VLM checkpoint of this project rather than a plain transformers directory."""
    path = directory / CONFIG_NAME
    return path.is_file() and "format" in read_json(path)


def _own_tensors(model: VlmModel) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": tensor
        for part, module in model.own_parts().items()
        for name, tensor in module.state_dict().items()
    }


def save_vlm(
    directory: Path, model: VlmModel, model_id: str, encoder_hash: str, *, embed_language: bool = True
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        directory: Where; replaced if it is there.
        model: What to write.
        model_id: Its name.
        encoder_hash: Of the encoder whose tokens it was trained on; empty for any.
        embed_language: Write the language model too; otherwise its source is named and only an adapter is written.
    """
    language = model.language
    directory.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    try:
        if has_adapter(language.model):
            save_adapter(language.model, work / ADAPTER)
        digest, source = "", language.source
        if embed_language:
            source = LANGUAGE_MODEL
            language.save(work / LANGUAGE_MODEL)
            digest = sha256_of(work / LANGUAGE_MODEL / WEIGHTS_NAME)
        tensors = {name: t.detach().cpu().to(torch.float16).numpy() for name, t in _own_tensors(model).items()}
        config = {
            "slots": to_mapping(model.slots),
            "language_model": source,
            "language_sha256": digest,
            "encoder_hash": encoder_hash,
            "taxonomy_version": TAXONOMY_VERSION,
        }
        save_checkpoint(work, kind=KIND, model_id=model_id, config=config, tensors=tensors)
        if directory.exists():
            shutil.rmtree(directory)
        work.chmod(0o755)
        work.rename(directory)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def load_vlm(directory: Path, *, precision: str = "float32", device: str = "cpu", adapter: str = "") -> LoadedVlm:
    """Read a checkpoint.

    Raises:
        InputError: for a missing or altered file, another format or taxonomy version, a tensor that does not fit.
    """
    checkpoint = load_checkpoint(directory, KIND)
    where = str(directory / CONFIG_NAME)
    facts = checkpoint.config
    for key in ("slots", "language_model", "language_sha256", "encoder_hash", "taxonomy_version"):
        if key not in facts:
            raise InputError(f"no {key!r}", where, "a VLM checkpoint's config")
    if facts["taxonomy_version"] > TAXONOMY_VERSION:
        raise InputError(f"taxonomy version {facts['taxonomy_version']}", where, f"at most {TAXONOMY_VERSION}")
    source = str(facts["language_model"])
    if facts["language_sha256"]:
        weights = directory / source / WEIGHTS_NAME
        if not weights.is_file() or sha256_of(weights) != facts["language_sha256"]:
            raise InputError("missing or altered", str(weights), f"SHA-256 {facts['language_sha256'][:12]}…")
        source = str(directory / source)
    language = load_language_model(source, precision="float32" if precision == "int8" else precision, device=device)
    model = VlmModel(language, from_mapping(SlotConfig, facts["slots"], where))
    require_tensors(checkpoint, {n: tuple(t.shape) for n, t in _own_tensors(model).items()}, where)
    for part, module in model.own_parts().items():
        mine = {n.removeprefix(f"{part}."): t for n, t in checkpoint.tensors.items() if n.startswith(f"{part}.")}
        module.load_state_dict({n: torch.from_numpy(t.astype(np.float32)) for n, t in mine.items()})
    chosen = Path(adapter) if adapter else directory / ADAPTER
    if adapter or chosen.is_dir():
        load_adapter(language.model, chosen)
    model.to(device)
    return LoadedVlm(model, checkpoint.model_id, facts["encoder_hash"])


__all__ = ["LanguageModel", "LoadedVlm", "is_checkpoint", "load_vlm", "save_vlm"]
