"""Sentences are decoded under their grammar: always readable, in the tokenizer's own pieces, and cheaper."""

from __future__ import annotations

import numpy as np
import pytest
from vlm_scenes import LEFT, scene_tokens

from vadv2_core.language.sampling import random_statement
from vadv2_core.language.sentences import parse_sentence, say, templates
from vadv2_core.language.statements import DecisionStatement, ObjectStatement
from vadv2_core.taxonomy import Cause
from vadv2_vlm.config import VlmConfig
from vadv2_vlm.language_model import load_language_model
from vadv2_vlm.parser import parse_reasoning, whole_sentences
from vadv2_vlm.reasoner import Reasoner
from vadv2_vlm.sentence_grammar import SentenceGrammar
from vadv2_vlm.tiny import untrained_directory


@pytest.fixture(scope="module")
def language(cache):
    return load_language_model(str(untrained_directory(cache, 0)))


def test_every_sentence_in_its_usual_tokens_is_in_the_grammar(language):
    grammar = SentenceGrammar(language.encode, templates())
    generator = np.random.default_rng(2)
    for _ in range(300):
        text = say(random_statement(generator), generator)
        place = grammar.start
        for token in language.encode(f" {text}"):
            assert token in grammar.allowed(place), text
            place = grammar.advance(place, token)
        assert place == grammar.end
        assert grammar.allowed(place) == ()


def test_any_walk_through_the_grammar_is_a_sentence(language):
    grammar = SentenceGrammar(language.encode, templates())
    generator = np.random.default_rng(4)
    for _ in range(100):
        place, said = grammar.start, []
        while place != grammar.end:
            allowed = grammar.allowed(place)
            said.append(allowed[int(generator.integers(len(allowed)))])
            place = grammar.advance(place, said[-1])
        assert parse_sentence(language.decode(said)) is not None, language.decode(said)


def test_values_can_be_fixed(language):
    grammar = SentenceGrammar(language.encode, templates(DecisionStatement), {"cause": Cause.RED_LIGHT})
    generator = np.random.default_rng(4)
    for _ in range(50):
        place, said = grammar.start, []
        while place != grammar.end:
            allowed = grammar.allowed(place)
            said.append(allowed[int(generator.integers(len(allowed)))])
            place = grammar.advance(place, said[-1])
        statement = parse_sentence(language.decode(said))
        assert isinstance(statement, DecisionStatement)
        assert statement.cause is Cause.RED_LIGHT
    nothing = SentenceGrammar(language.encode, templates(ObjectStatement), {"cls": "no such class"})
    assert nothing.allowed(nothing.start) == ()


def test_an_untrained_model_says_readable_sentences_that_agree_with_its_action(cache):
    reasoner = Reasoner(None, VlmConfig(cache=str(cache)))
    for seed in range(3):
        said = reasoner.reason(scene_tokens(seed), LEFT)
        parsed = parse_reasoning(said)
        assert not said.truncated
        assert parsed.unread == ()
        assert parsed.scene
        assert parsed.trace
        assert parsed.intent == DecisionStatement(said.longitudinal, said.lateral, said.cause)
        assert len(set(parsed.scene)) == len(parsed.scene) or len(set(said.scene_description.split(". "))) > 1


def test_a_truncated_answer_ends_on_a_whole_sentence(cache):
    for bound in (9, 14, 23):
        said = Reasoner(None, VlmConfig(cache=str(cache), max_tokens=bound)).reason(scene_tokens(), LEFT)
        assert said.truncated
        assert parse_reasoning(said).unread == ()


def test_free_words_are_bounded_too(cache):
    reasoner = Reasoner(None, VlmConfig(cache=str(cache), max_tokens=20, sentences="free"))
    said = reasoner.reason(scene_tokens(), LEFT)
    assert said.truncated
    assert said.longitudinal


def test_whole_sentences():
    assert whole_sentences("A b. C d") == "A b."
    assert whole_sentences("no end") == ""
