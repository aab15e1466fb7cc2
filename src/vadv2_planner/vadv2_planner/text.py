"""The command's words as numbers: a byte-level BPE tokenizer that lives in one JSON file.

`train_tokenizer` makes the file from the commander's own sentences; a byte alphabet means that no text of a person,
in any script, is ever unknown to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT_LENGTH = 16
"""Ids of a command; longer text is cut."""
VOCABULARY = 512
"""Size of the command tokenizer; id 0 pads."""
LONGEST_TEXT = 400
"""Characters that are looked at; the rest could not be among the first ids."""
TOKENIZER_PATH = Path(__file__).parent / "data" / "command_tokenizer.json"


def train_tokenizer(sentences: Iterable[str]) -> Tokenizer:
    """A byte-level BPE tokenizer of at most `VOCABULARY` ids, lower-cased; id 0 is padding. Deterministic."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    return tokenizer


@lru_cache(maxsize=1)
def command_tokenizer() -> Tokenizer:
    """The shipped tokenizer."""
    return Tokenizer.from_file(str(TOKENIZER_PATH))


@lru_cache(maxsize=256)
def _ids(text: str) -> tuple[int, ...]:
    ids = command_tokenizer().encode(text).ids[:TEXT_LENGTH]
    return tuple(ids + [0] * (TEXT_LENGTH - len(ids)))


def command_ids(text: str) -> NDArray[np.int64]:
    """(TEXT_LENGTH,) ids of a command, padded with 0."""
    return np.array(_ids(text[:LONGEST_TEXT]), dtype=np.int64)
