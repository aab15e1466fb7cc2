"""The answer, decoded piece by piece on one cache: closed lists under a trie, sentences under their grammar."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TypeVar

import torch

from vadv2_core.command import DrivingCommand
from vadv2_core.language import lexicon
from vadv2_core.language.sentences import say, templates
from vadv2_core.language.statements import (
    ActionStatement,
    ClearStatement,
    ClosureStatement,
    CommandStatement,
    CrossingStatement,
    DecisionStatement,
    EgoStatement,
    FlagStatement,
    IntentionStatement,
    ObjectStatement,
    SignalStatement,
    Statement,
    StopControlStatement,
    WeatherStatement,
)
from vadv2_core.taxonomy import Cause, EdgeCaseFlag, LateralAction, LongitudinalAction
from vadv2_vlm import prompt
from vadv2_vlm.constraint import Trie
from vadv2_vlm.grounding import argued_statements, seen_statements
from vadv2_vlm.language_model import Continuation, LanguageModel
from vadv2_vlm.perceived import Perceived
from vadv2_vlm.sentence_grammar import SentenceChoice, SentenceGrammar

V = TypeVar("V")

_SEEN = (
    WeatherStatement,
    SignalStatement,
    StopControlStatement,
    CrossingStatement,
    ClosureStatement,
    ObjectStatement,
    IntentionStatement,
    ClearStatement,
)
SCENE_KINDS = _SEEN
TRACE_KINDS = (*_SEEN, EgoStatement, CommandStatement, FlagStatement, ActionStatement)
"""Statements that a scene description and a trace are made of."""
MAX_SENTENCES = {prompt.INTENT_HEADER: 1, prompt.SCENE_HEADER: 7, prompt.TRACE_HEADER: 9}


@dataclass(slots=True)
class Budget:
    """What an answer may cost: tokens, and a deadline of `time.monotonic` where there is one."""

    tokens: int
    deadline: float | None
    spent: int = 0

    @property
    def over(self) -> bool:
        """Nothing more may be generated."""
        return self.spent >= self.tokens or (self.deadline is not None and time.monotonic() >= self.deadline)


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a reasoning stands on: the slots, what was asked, and the edge cases that it said yes to."""

    seen: Perceived
    command: DrivingCommand
    flags: tuple[EdgeCaseFlag, ...]


@dataclass(slots=True)
class Answer:
    """Decoded parts; see `Reasoning` for their meaning. Texts are by header."""

    longitudinal: LongitudinalAction = LongitudinalAction.UNKNOWN
    longitudinal_confidence: float = 0.0
    lateral: LateralAction = LateralAction.UNKNOWN
    lateral_confidence: float = 0.0
    cause: Cause = Cause.UNKNOWN
    texts: dict[str, str] = field(default_factory=dict)
    truncated: bool = False


class _OverBudgetError(Exception):
    """The budget ended inside a piece of the answer."""


class AnswerDecoder:
    """Greedy decoding of the answer's frame; equal inputs give equal answers.

    Args:
        language: The model.
        grammar: Say only sentences of the grammar; otherwise any words up to the end of the line.
    """

    def __init__(self, language: LanguageModel, *, grammar: bool = True) -> None:
        self._language = language
        self._line_end = language.encode(prompt.LINE_END)[0]
        self._grammar = grammar
        self._intent = lru_cache(maxsize=64)(self._make_intent)
        self._said = lru_cache(maxsize=4096)(lambda sentence: language.encode(f" {sentence}"))

    def decode(self, state: Continuation, budget: Budget, grounds: Grounds | None = None) -> Answer:
        """Continue a sequence that stands after the flag queries to the whole answer, or as far as the budget goes.

        Args:
            state: The sequence.
            budget: What it may cost.
            grounds: Say of the scene only what these bear out; None for any sentence.
        """
        answer = Answer()
        encode = self._language.encode
        try:
            self._language.proceed(state, (*encode(prompt.LINE_END), *encode(prompt.ACTION_HEADER)))
            answer.longitudinal, answer.longitudinal_confidence = self._closed(state, self._longitudinal, budget)
            answer.lateral, answer.lateral_confidence = self._closed(state, self._lateral, budget)
            self._language.proceed(state, encode(prompt.CAUSE_HEADER))
            answer.cause, _ = self._closed(state, self._cause, budget)
            for header in (prompt.INTENT_HEADER, prompt.SCENE_HEADER, prompt.TRACE_HEADER):
                said: list[int] = []
                try:
                    if self._grammar:
                        self._sentences(state, header, self._grammar_of(header, answer, grounds), budget, said)
                    else:
                        self._words(state, header, budget, said)
                finally:
                    answer.texts[header] = self._language.decode(said).strip()
        except _OverBudgetError:
            answer.truncated = True
        return answer

    @cached_property
    def _longitudinal(self) -> Trie[LongitudinalAction]:
        return self._trie({w: a for a, w in lexicon.LONGITUDINAL_WORD.items()}, prompt.ACTION_COMMA)

    @cached_property
    def _lateral(self) -> Trie[LateralAction]:
        return self._trie({w: a for a, w in lexicon.LATERAL_WORD.items()}, prompt.LINE_END)

    @cached_property
    def _cause(self) -> Trie[Cause]:
        return self._trie({w: c for c, w in lexicon.CAUSE_WORD.items()}, prompt.LINE_END)

    def _trie(self, words: Mapping[str, V], end: str) -> Trie[V]:
        encode = self._language.encode
        return Trie({(*encode(f" {word}"), encode(end)[0]): value for word, value in words.items()})

    @cached_property
    def _scene(self) -> SentenceGrammar:
        return SentenceGrammar(self._language.encode, [t for kind in SCENE_KINDS for t in templates(kind)])

    @cached_property
    def _trace(self) -> SentenceGrammar:
        return SentenceGrammar(self._language.encode, [t for kind in TRACE_KINDS for t in templates(kind)])

    def _make_intent(self, longitudinal: LongitudinalAction, lateral: LateralAction, cause: Cause) -> SentenceGrammar:
        fixed = {"longitudinal": longitudinal, "lateral": lateral, "cause": cause}
        return SentenceGrammar(self._language.encode, templates(DecisionStatement), fixed)

    def _grammar_of(self, header: str, answer: Answer, grounds: Grounds | None) -> SentenceGrammar | SentenceChoice:
        if header == prompt.INTENT_HEADER:
            return self._intent(answer.longitudinal, answer.lateral, answer.cause)
        if grounds is not None and header == prompt.SCENE_HEADER:
            return self._choice(seen_statements(grounds.seen))
        if grounds is not None:
            action = answer.longitudinal, answer.lateral
            return self._choice(argued_statements(grounds.seen, grounds.command, grounds.flags, action))
        return self._scene if header == prompt.SCENE_HEADER else self._trace

    def _choice(self, statements: Iterable[Statement]) -> SentenceChoice:
        return SentenceChoice(self._said(say(statement)) for statement in statements)

    @cached_property
    def _line_ends(self) -> frozenset[int]:
        tokenizer = self._language.tokenizer
        ends = {i for i in range(len(tokenizer)) if "\n" in tokenizer.decode([i])}
        return frozenset(ends | {int(tokenizer.eos_token_id)})

    def _closed(self, state: Continuation, trie: Trie[V], budget: Budget) -> tuple[V, float]:
        """One phrase of a closed list, and its probability among them (the product over its branchings)."""
        phrase: list[int] = []
        pending: list[int] = []
        confidence = 1.0
        while allowed := trie.allowed(phrase):
            if budget.over:
                raise _OverBudgetError
            token = allowed[0]
            if len(allowed) > 1:
                if pending:
                    self._language.proceed(state, pending)
                    pending = []
                logits = self._language.logits(state.hidden)[0, list(allowed)]
                best = int(logits.argmax())
                confidence *= float(torch.softmax(logits, -1)[best])
                token = allowed[best]
            phrase.append(token)
            pending.append(token)
            budget.spent += 1
        self._language.proceed(state, pending)
        value = trie.value(phrase)
        assert value is not None
        return value, confidence

    def _sentences(
        self,
        state: Continuation,
        header: str,
        grammar: SentenceGrammar | SentenceChoice,
        budget: Budget,
        said: list[int],
    ) -> None:
        pending = list(self._language.encode(header))
        whole: list[tuple[int, ...]] = []
        begun = 0
        place = grammar.start
        while True:
            allowed = grammar.allowed(place)
            if place == grammar.end:
                place, last = grammar.start, tuple(said[begun:])
                # A small model that says a thing twice would say it for ever.
                repeats = last in whole
                if repeats:
                    del said[begun:]
                whole.append(last)
                begun = len(said)
                full = repeats or len(whole) >= MAX_SENTENCES[header]
                allowed = (self._line_end,) if full else (*grammar.allowed(place), self._line_end)
            token = allowed[0]
            if len(allowed) > 1:
                self._language.proceed(state, pending)
                pending = []
                token = allowed[int(self._language.logits(state.hidden)[0, list(allowed)].argmax())]
            if token == self._line_end:
                self._language.proceed(state, [*pending, token])
                return
            if budget.over:
                raise _OverBudgetError
            budget.spent += 1
            pending.append(token)
            said.append(token)
            place = grammar.advance(place, token)

    def _words(self, state: Continuation, header: str, budget: Budget, said: list[int]) -> None:
        pending = list(self._language.encode(header))
        while True:
            self._language.proceed(state, pending)
            token = int(self._language.logits(state.hidden)[0].argmax())
            if token in self._line_ends:
                self._language.proceed(state, [self._line_end])
                return
            if budget.over:
                raise _OverBudgetError
            budget.spent += 1
            said.append(token)
            pending = [token]
