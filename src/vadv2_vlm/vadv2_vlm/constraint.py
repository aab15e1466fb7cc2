"""Decoding under a closed list: the model may only say one of its phrases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import torch
from transformers import LogitsProcessor

from vadv2_core.errors import InputError

V = TypeVar("V")


class Trie(Generic[V]):
    """Phrases as token sequences, each with a value; no phrase is the beginning of another.

    Args:
        phrases: Value by token sequence. End every sequence with the token that follows it in the text, so that
            "stop" and "stop sign" part.

    Raises:
        InputError: where one phrase is the beginning of another.
    """

    def __init__(self, phrases: Mapping[tuple[int, ...], V]) -> None:
        self._values = dict(phrases)
        self._next: dict[tuple[int, ...], tuple[int, ...]] = {}
        following: dict[tuple[int, ...], set[int]] = {}
        for phrase in phrases:
            for i, token in enumerate(phrase):
                following.setdefault(phrase[:i], set()).add(token)
        for phrase in phrases:
            if phrase in following:
                raise InputError(f"phrase {phrase} is the beginning of another", "closed list", "a terminator a phrase")
        self._next = {prefix: tuple(sorted(tokens)) for prefix, tokens in following.items()}

    def allowed(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """Tokens that may follow; empty at the end of a phrase or off the list."""
        return self._next.get(tuple(prefix), ())

    def value(self, phrase: Sequence[int]) -> V | None:
        """The value of a whole phrase, None for anything else."""
        return self._values.get(tuple(phrase))


class TrieLogitsProcessor(LogitsProcessor):
    """Masks every token that no phrase allows, for `generate` of any transformers model.

    Args:
        trie: The closed list.
        prompt_length: Tokens before the phrase.
        end: Token to emit once a phrase is whole.
    """

    def __init__(self, trie: Trie[V], prompt_length: int, end: int) -> None:
        self._trie, self._prompt_length, self._end = trie, prompt_length, end

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores (batch, vocabulary) with -inf for every token that is not allowed."""
        masked = torch.full_like(scores, -torch.inf)
        for row, ids in enumerate(input_ids.tolist()):
            keep = list(self._trie.allowed(ids[self._prompt_length :])) or [self._end]
            masked[row, keep] = scores[row, keep]
        return masked  # type: ignore[return-value]
