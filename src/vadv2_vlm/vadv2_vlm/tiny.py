"""The tiny vision language model: a Qwen3-VL configuration with a tokenizer made from the narrator's sentences.

The directory it writes is an ordinary one: `AutoProcessor` and `AutoModelForImageTextToText` load it, offline.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from vadv2_core.files import write_bytes_atomic, write_json_atomic
from vadv2_core.language import lexicon
from vadv2_core.language.sampling import corpus
from vadv2_core.language.sentences import templates
from vadv2_vlm import prompt
from vadv2_vlm.processors import optional_video

CORPUS_SEED, CORPUS_SENTENCES = 0, 8_000
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
    prompt.REASON_TOKEN,
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LICENCE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class TinySize:
    """Sizes of a tiny Qwen3-VL; the default is the shipped one, about 6 million parameters."""

    hidden: int = 256
    layers: int = 6
    heads: int = 8
    key_value_heads: int = 4
    intermediate: int = 768
    vocabulary: int = 1536
    vision_hidden: int = 96
    vision_layers: int = 2


def tokenizer_texts() -> Iterator[str]:
    """What the tokenizer learns from: sentences, commands, and the frame of prompt and answer."""
    yield from corpus(CORPUS_SEED, CORPUS_SENTENCES)
    frame = [prompt.FLAGS_HEADER, *prompt.FLAG_QUERIES, prompt.YES, prompt.NO, prompt.PAST_HEADER]
    frame += [prompt.ACTION_HEADER, prompt.CAUSE_HEADER, prompt.INTENT_HEADER, prompt.SCENE_HEADER, prompt.TRACE_HEADER]
    words = [*lexicon.LONGITUDINAL_WORD.values(), *lexicon.LATERAL_WORD.values(), *lexicon.CAUSE_WORD.values()]
    frame += [f" {word}" for word in words]
    frame += [f"user\ncommand: none [lane follow] in {n} m\nspeed: {n} m/s" for n in range(200)]
    for action in ("left", "right", "straight", "change left", "change right", "stop"):
        frame.append(f"assistant\ncommand: turn [{action}] in 30 m")
    for _ in range(20):
        yield from frame


@cache
def _learned_tokenizer(vocabulary: int) -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(tokenizer_texts(), trainer)
    return str(tokenizer.to_str())


def make_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of the narrator's sentences; it reads any text, other words in more pieces."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_learned_tokenizer(vocabulary)),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )


def _configuration(size: TinySize, tokenizer: PreTrainedTokenizerFast) -> Qwen3VLConfig:
    head = size.hidden // size.heads
    third = head // 6
    rope = {
        "rope_type": "default",
        "rope_theta": 10_000.0,
        "mrope_section": [head // 2 - 2 * third, third, third],
        "mrope_interleaved": True,
    }

    def token(text: str) -> int:
        return int(tokenizer.get_vocab()[text])

    return Qwen3VLConfig(
        text_config={
            "vocab_size": -(-len(tokenizer) // 64) * 64,
            "hidden_size": size.hidden,
            "intermediate_size": size.intermediate,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.key_value_heads,
            "head_dim": head,
            "max_position_embeddings": 4096,
            "rope_parameters": rope,
            "tie_word_embeddings": True,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": size.vision_layers,
            "hidden_size": size.vision_hidden,
            "intermediate_size": 2 * size.vision_hidden,
            "num_heads": 4,
            "patch_size": 16,
            "out_hidden_size": size.hidden,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )


def write_tiny(directory: Path, seed: int, size: TinySize | None = None) -> None:
    """Write a tiny model with weights from a seed, in half precision, whole or not at all.

    Args:
        directory: Where; replaced if it is there.
        seed: Of the weights.
        size: Its sizes; None for the shipped ones.
    """
    size = size or TinySize()
    directory.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    try:
        tokenizer = make_tokenizer(size.vocabulary)
        images = Qwen2VLImageProcessorPil(
            size={"shortest_edge": 64 * 64, "longest_edge": 128 * 256},
            patch_size=16,
            merge_size=2,
            temporal_patch_size=2,
        )
        with optional_video():
            processor: Any = Qwen3VLProcessor(image_processor=images, tokenizer=tokenizer, chat_template=CHAT_TEMPLATE)
            processor.save_pretrained(work)
        # Where torchvision is present the processor wants its video part too.
        video = {
            "video_processor_type": "Qwen3VLVideoProcessor",
            "patch_size": 16,
            "merge_size": 2,
            "temporal_patch_size": 2,
        }
        write_json_atomic(work / "video_preprocessor_config.json", video)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: Any = Qwen3VLForConditionalGeneration(_configuration(size, tokenizer))
        model.to(torch.float16).save_pretrained(work)
        card = f"---\nlicense: {LICENCE.lower()}\n---\n\nA tiny Qwen3-VL of seed {seed}; sizes {asdict(size)}.\n"
        write_bytes_atomic(work / "README.md", card.encode())
        if directory.exists():
            shutil.rmtree(directory)
        work.rename(directory)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def untrained_directory(place: Path, seed: int, size: TinySize | None = None) -> Path:
    """A tiny model of a seed, made on first use and kept in a cache; its name depends on all that it is made from."""
    words = [t.text for t in templates()] + list(corpus(CORPUS_SEED, 500))
    facts = json.dumps([asdict(size or TinySize()), seed, CHAT_TEMPLATE, words, CORPUS_SENTENCES, torch.__version__])
    directory = place / "vlm" / f"tiny-{hashlib.sha256(facts.encode()).hexdigest()[:12]}-untrained"
    if not (directory / "config.json").is_file():
        try:
            write_tiny(directory, seed, size)
        except OSError:
            # Another process made the same model at the same time.
            if not (directory / "config.json").is_file():
                raise
    return directory
