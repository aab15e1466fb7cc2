"""A vision language model of any class, as the reasoner uses it: words in, hidden states and logits out, one cache."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForImageTextToText, DynamicCache
from transformers.utils import logging as transformers_logging

from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_json_atomic
from vadv2_vlm.hub import hub_licence, require_reachable
from vadv2_vlm.processors import load_processor, optional_video
from vadv2_vlm.prompt import REASON_TOKEN

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.float32}


@dataclass(slots=True)
class Continuation:
    """Where a sequence stands.

    Attributes:
        cache: Keys and values of every token so far.
        position: Of the next token.
        hidden: (1, hidden) last hidden state.
    """

    cache: DynamicCache
    position: int
    hidden: torch.Tensor


class LanguageModel:
    """A loaded model with its processor.

    Args:
        model: What `AutoModelForImageTextToText` gave.
        processor: What `AutoProcessor` gave.
        source: Where they are from.
        licence: As its files state it.
    """

    def __init__(self, model: Any, processor: Any, source: str, licence: str) -> None:
        self.model = model
        self.processor = processor
        self.tokenizer: Any = processor.tokenizer
        self.source, self.licence = source, licence
        self.decoder: Any = self.model.get_decoder()
        self._speaker: Any = self.decoder
        self.embeddings: nn.Embedding = self.model.get_input_embeddings()
        self.head: nn.Module = self.model.get_output_embeddings()
        config = self.model.config
        self.image_token_id = int(getattr(config, "image_token_id", None) or config.image_token_index)
        self.image_token: str = self.tokenizer.convert_ids_to_tokens(self.image_token_id)
        self.knows_form = REASON_TOKEN in self.tokenizer.get_vocab()
        self.encode = lru_cache(maxsize=4096)(self._encode)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: list[int]) -> str:
        """Text of tokens, without special ones."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return int(self.embeddings.embedding_dim)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.embeddings.weight.device

    @property
    def word_scale(self) -> float:
        """Root mean square of its word embeddings."""
        return float(self.embeddings.weight.detach().float().pow(2).mean().sqrt())

    def prompt_ids(self, text: str, slots: int) -> tuple[int, ...]:
        """Tokens of a user turn with ``slots`` image tokens and of the beginning of the answer.

        The model's own chat template makes the turn; its one image token is repeated.
        """
        return self.encode(self.prompt_text(text, 1).replace(self.image_token, self.image_token * slots, 1))

    def prompt_text(self, text: str, images: int) -> str:
        """The chat of `prompt_ids` as text, with one image token an image."""
        content = [*({"type": "image"} for _ in range(images)), {"type": "text", "text": text}]
        chat = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        return f"{chat}{REASON_TOKEN}" if self.knows_form else str(chat)

    def freeze(self, precision: str) -> None:
        """Make it ready for the road: no gradients; for ``int8`` what follows the prefill runs on quantised weights.

        The prefill, and so the embedding, keeps its exact weights: it is bound by arithmetic, and the planner was
        trained with it. Words are bound by reading weights, one token a pass.
        """
        self.model.eval().requires_grad_(False)
        if precision == "int8" and self.device.type == "cpu":
            with warnings.catch_warnings():
                # The pinned torch still has it and says that a later one will not.
                warnings.simplefilter("ignore")
                self._speaker = torch.ao.quantization.quantize_dynamic(self.decoder, {nn.Linear}, dtype=torch.qint8)

    def words(self, ids: tuple[int, ...] | list[int]) -> torch.Tensor:
        """Input embeddings (1, n, hidden) of tokens."""
        return self.embeddings(torch.tensor([ids], device=self.device))  # type: ignore[no-any-return]

    def begin(self, embeds: torch.Tensor) -> Continuation:
        """Prefill of input embeddings (1, n, hidden)."""
        cache = DynamicCache()
        hidden = self._forward(self.decoder, embeds, 0, cache)
        return Continuation(cache, embeds.shape[1], hidden[:, -1])

    def begin_pixels(self, inputs: dict[str, torch.Tensor]) -> Continuation:
        """Prefill of a processor's output, images included, through the model's own vision tower."""
        cache = DynamicCache()
        out = self.model.model(**inputs, past_key_values=cache, use_cache=True)
        # Qwen's positions of an image are fewer than its tokens; the difference is what its model remembers.
        shift = getattr(self.model.model, "rope_deltas", None)
        length = int(inputs["input_ids"].shape[1])
        position = length + (0 if shift is None else int(shift.reshape(-1)[0]))
        return Continuation(out.past_key_values, position, out.last_hidden_state[:, -1])

    def proceed(self, state: Continuation, ids: tuple[int, ...] | list[int]) -> torch.Tensor:
        """Append tokens; returns their hidden states (n, hidden) and moves the state on."""
        hidden = self._forward(self._speaker, self.words(ids), state.position, state.cache)[0]
        state.position += len(ids)
        state.hidden = hidden[-1:]
        return hidden

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits (n, vocabulary), float32, of hidden states (n, hidden)."""
        return self.head(hidden).float()  # type: ignore[no-any-return]

    def save(self, directory: Path) -> None:
        """Write model and processor as transformers reads them, weights in half precision; an adapter stays out."""
        with optional_video():
            self.processor.save_pretrained(directory)
        for name in ("README.md", "LICENSE", "video_preprocessor_config.json"):
            if (Path(self.source) / name).is_file():
                shutil.copyfile(Path(self.source) / name, directory / name)
        half = {
            plain_name(n): t.detach().to(torch.float16) for n, t in self.model.state_dict().items() if "lora_" not in n
        }
        self.model.save_pretrained(directory, state_dict=half)
        config = read_json(directory / "config.json")
        write_json_atomic(directory / "config.json", config | {"dtype": "float16"})

    @staticmethod
    def _forward(decoder: Any, embeds: torch.Tensor, position: int, cache: DynamicCache) -> torch.Tensor:
        positions = torch.arange(position, position + embeds.shape[1], device=embeds.device)[None]
        out = decoder(inputs_embeds=embeds, position_ids=positions, past_key_values=cache, use_cache=True)
        return out.last_hidden_state  # type: ignore[no-any-return]


def plain_name(name: str) -> str:
    """A tensor's name as it is without an adapter around its layer."""
    return name.replace(".base_layer.", ".")


def licence_of(source: str) -> str:
    """What a model's files say of its licence: the card's front matter, else a licence file's first line."""
    directory = Path(source)
    card = directory / "README.md"
    if card.is_file():
        parts = [line.partition(":") for line in card.read_text(errors="replace").splitlines()[:60]]
        stated = {key: value.strip() for key, _, value in parts if key in ("license", "license_name")}
        # Hugging Face's cards say "license: other" beside the name of a licence of the maker's own.
        if stated:
            return stated.get("license_name") or stated["license"]
    for name in ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"):
        if (directory / name).is_file():
            lines = (line.strip() for line in (directory / name).read_text(errors="replace").splitlines())
            return next((line for line in lines if line), "not stated")
    return "not stated"


def load_language_model(source: str, *, precision: str = "float32", device: str = "cpu") -> LanguageModel:
    """Load any model that `AutoModelForImageTextToText` knows, from a directory or the hub.

    Args:
        source: A directory, or a name on the hub.
        precision: ``float32``, ``bfloat16``, or ``int8`` (dynamic, CPU only).
        device: As torch names it.

    Raises:
        InputError: for one that does not load, naming it and the first line of why.
    """
    local = Path(source).exists()
    if not local:
        require_reachable(source)
    bar = transformers_logging.is_progress_bar_enabled()
    if local:
        transformers_logging.disable_progress_bar()
    try:
        processor = load_processor(source, local=local)
        model: Any = AutoModelForImageTextToText.from_pretrained(
            source, dtype=DTYPES[precision], local_files_only=local, low_cpu_mem_usage=True, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(why, source, "a directory or hub name of an image-text-to-text model") from None
    finally:
        if bar:
            transformers_logging.enable_progress_bar()
    model.eval().to(device)
    return LanguageModel(model, processor, source, licence_of(source) if local else hub_licence(source))
