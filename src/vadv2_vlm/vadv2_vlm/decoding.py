"""The answer, decoded piece by piece on one cache: flags in one pass, closed lists under a trie, sentences freely."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property

import torch

from vadv2_core.language import lexicon
from vadv2_core.taxonomy import Cause, LateralAction, LongitudinalAction
from vadv2_vlm import prompt
from vadv2_vlm.constraint import Trie
from vadv2_vlm.language_model import Continuation, LanguageModel


@dataclass(slots=True)
class Budget:
    """What an answer may cost: tokens, and seconds where there is a deadline."""

    tokens: int
    deadline: float | None
    spent: int = 0

    @property
    def over(self) -> bool:
        """Nothing more may be generated."""
        return self.spent >= self.tokens or (self.deadline is not None and time.monotonic() >= self.deadline)


@dataclass(slots=True)
class Answer:
    """Decoded parts; see `Reasoning` for their meaning."""

    longitudinal: tuple[LongitudinalAction, float] = (LongitudinalAction.UNKNOWN, 0.0)
    lateral: tuple[LateralAction, float] = (LateralAction.UNKNOWN, 0.0)
    cause: tuple[Cause, float] = (Cause.UNKNOWN, 0.0)
    texts: dict[str, str] = field(default_factory=dict)
    truncated: bool = False


class AnswerDecoder:
    """Greedy decoding of the answer's frame, deterministic.

    Args:
        language: The model.
    """

    def __init__(self, language: LanguageModel) -> None:
        self._language = language

    @cached_property
    def _longitudinal(self) -> Trie[LongitudinalAction]:
        return self._trie({w: a for a, w in lexicon.LONGITUDINAL_WORD.items()}, prompt.ACTION_COMMA)

    @cached_property
    def _lateral(self) -> Trie[LateralAction]:
        return self._trie({w: a for a, w in lexicon.LATERAL_WORD.items()}, prompt.LINE_END)

    @cached_property
    def _cause(self) -> Trie[Cause]:
        return self._trie({w: c for c, w in lexicon.CAUSE_WORD.items()}, prompt.LINE_END)

    def _trie(self, words, end):  # type: ignore[no-untyped-def]
        encode = self._language.encode
        return Trie({(*encode(f" {word}"), encode(end)[0]): value for word, value in words.items()})

    @cached_property
    def _line_ends(self) -> frozenset[int]:
        tokenizer = self._language.tokenizer
        ends = {i for i in range(len(tokenizer)) if "\n" in tokenizer.decode([i])}
        return frozenset(ends | {int(tokenizer.eos_token_id)})

    def decode(self, state: Continuation, budget: Budget) -> Answer:
        """Continue a sequence that stands after the flag queries to the whole answer, or as far as the budget goes."""
        answer = Answer()
        self._language.proceed(state, self._language.encode(prompt.LINE_END))
        pieces = (
            (prompt.ACTION_HEADER, "longitudinal", self._longitudinal),
            ("", "lateral", self._lateral),
            (prompt.CAUSE_HEADER, "cause", self._cause),
        )
        for header, name, trie in pieces:
            value, confidence = self._closed(state, header, trie, budget)
            if value is None:
                answer.truncated = True
                return answer
            setattr(answer, name, (value, confidence))
        for header in (prompt.INTENT_HEADER, prompt.SCENE_HEADER, prompt.TRACE_HEADER):
            text, whole = self._sentences(state, header, budget)
            answer.texts[header] = text
            if not whole:
                answer.truncated = True
                break
        return answer

    def _closed(self, state, header, trie, budget):  # type: ignore[no-untyped-def]
        if header:
            self._language.proceed(state, self._language.encode(header))
        phrase: list[int] = []
        confidence = 1.0
        while allowed := trie.allowed(phrase):
            if budget.over:
                return None, 0.0
            logits = self._language.logits(state.hidden)[0, list(allowed)]
            best = int(logits.argmax())
            confidence *= float(torch.softmax(logits, -1)[best])
            phrase.append(allowed[best])
            self._language.proceed(state, [allowed[best]])
            budget.spent += 1
        return trie.value(phrase), confidence

    def _sentences(self, state: Continuation, header: str, budget: Budget) -> tuple[str, bool]:
        pending = list(self._language.encode(header))
        said: list[int] = []
        newline = self._language.encode(prompt.LINE_END)[0]
        while not budget.over:
            self._language.proceed(state, pending)
            token = int(self._language.logits(state.hidden)[0].argmax())
            budget.spent += 1
            if token in self._line_ends:
                self._language.proceed(state, [newline])
                return self._language.decode(said).strip(), True
            said.append(token)
            pending = [token]
        return self._language.decode(said).strip(), False
