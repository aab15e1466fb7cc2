"""Every sentence that can be said can be read back, and means what was said."""

from __future__ import annotations

import numpy as np
import pytest

from vadv2_core.errors import InputError
from vadv2_core.language.commands import _table, all_commands, command_text, paraphrases, parse_command
from vadv2_core.language.grammar import Slot, Template, expand, normal, sentence, sentences_of
from vadv2_core.language.sampling import corpus, random_statement
from vadv2_core.language.sentences import in_usual_words, parse_sentence, parse_text, say, templates
from vadv2_core.language.statements import (
    DISTANCES,
    DecisionStatement,
    Motion,
    ObjectStatement,
    WeatherStatement,
    Zone,
    distance_agrees,
    motion_of,
    speed_agrees,
    spoken_distance,
    spoken_speed,
    zone_of,
    zones_near,
)
from vadv2_core.taxonomy import AgentClass, Cause, DrivingAction, LateralAction, LongitudinalAction, Weather

KINDS = sorted({t.kind for t in templates()}, key=lambda k: k.__name__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_forty_templates_a_kind(kind):
    by_constants: dict[str, int] = {}
    for template in templates(kind):
        by_constants[str(template.constants)] = by_constants.get(str(template.constants), 0) + 1
    assert min(by_constants.values()) >= 40


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_every_template_is_read_back_to_the_same_statement(kind):
    generator = np.random.default_rng(7)
    for template in templates(kind):
        statement = next(s for s in (random_statement(generator, kind) for _ in range(99)) if template.says(s))
        for words in (None, generator):
            text = template.render(statement, words)
            assert parse_sentence(text) == statement, f"{text!r} from {template.text!r}"


def test_random_sentences_of_all_words_are_read_back():
    generator = np.random.default_rng(11)
    for _ in range(400):
        statement = random_statement(generator)
        text = say(statement, generator)
        assert parse_sentence(text) == statement, text


def test_a_text_is_read_sentence_by_sentence_and_says_what_it_could_not_read():
    said = [
        WeatherStatement(Weather.RAIN),
        ObjectStatement(AgentClass.BUS, Zone.AHEAD, 12, Motion.STANDING),
        DecisionStatement(LongitudinalAction.STOP, LateralAction.STRAIGHT, Cause.STOPPED_VEHICLE),
    ]
    text = "1. " + say(said[0]) + " 2. " + say(said[1]) + " The moon is a cheese. " + say(said[2])
    statements, unread = parse_text(text)
    assert statements == said
    assert unread == ["The moon is a cheese."]


def test_usual_words_say_the_same():
    generator = np.random.default_rng(8)
    said = [random_statement(generator) for _ in range(12)]
    text = " ".join(say(s, generator) for s in said)
    plain = in_usual_words(text)
    assert parse_text(plain) == (said, [])
    assert plain == " ".join(say(s) for s in said)
    assert in_usual_words("The moon is a cheese.") == ""


def test_changed_words_change_the_meaning():
    text = say(DecisionStatement(LongitudinalAction.STOP, LateralAction.STRAIGHT, Cause.RED_LIGHT))
    other = parse_sentence(text.replace("red", "green"))
    assert other == DecisionStatement(LongitudinalAction.STOP, LateralAction.STRAIGHT, Cause.GREEN_LIGHT)
    assert parse_sentence(text.replace("red", "pink")) is None


def test_a_value_without_words_is_refused():
    with pytest.raises(InputError, match="cannot be said"):
        say(DecisionStatement(LongitudinalAction.UNKNOWN, LateralAction.STRAIGHT, Cause.RED_LIGHT))


def test_one_phrase_for_two_values_is_refused():
    with pytest.raises(InputError, match="two values"):
        _ = Slot({1: ("a",), 2: ("a",)}).values


def test_patterns_expand():
    assert list(expand("a (b|c)[ d]")) == ["a b", "a b d", "a c", "a c d"]
    assert list(expand("(a (b|c)|d)")) == ["a b", "a c", "d"]
    with pytest.raises(InputError, match="not closed"):
        list(expand("(a|b"))


def test_a_slot_said_twice_must_agree():
    template = Template(WeatherStatement, "{weather} and {weather}", {"weather": Slot({1: ("x",), 2: ("y",)})})
    assert template.parse("x and x") == WeatherStatement(1)  # type: ignore[arg-type]
    assert template.parse("x and y") is None


def test_sentences_are_cut_and_normalised():
    assert sentences_of("1. A b. 2) C d.\n3. E") == ["A b.", "2) C d.", "E"]
    assert normal(" 2)  Some   Words. ") == "some words"
    assert sentence("some  words..") == "Some words."


@pytest.mark.parametrize("distance", [3.4, 9.0, 14.2, 27.0, 44.0, 70.0])
def test_spoken_distances_agree_with_what_they_stand_for(distance):
    assert spoken_distance(distance) in DISTANCES
    assert distance_agrees(spoken_distance(distance), distance)
    assert not distance_agrees(spoken_distance(distance), distance * 2.0 + 3.0)


def test_spoken_speeds():
    assert spoken_speed(7.8) == 8
    assert spoken_speed(0.1) == 0
    assert speed_agrees(8, 8.7)
    assert not speed_agrees(8, 10.0)
    assert not speed_agrees(0, 1.0)


def test_zones():
    assert zone_of(20.0, 0.0) is Zone.AHEAD
    assert zone_of(20.0, 6.0) is Zone.AHEAD_LEFT
    assert zone_of(0.0, -3.0) is Zone.RIGHT
    assert zone_of(-20.0, -6.0) is Zone.BEHIND_RIGHT
    assert zones_near(20.0, 2.2) == {Zone.AHEAD, Zone.AHEAD_LEFT}


def test_motions():
    assert motion_of(0.0, 0.2) is Motion.STANDING
    assert motion_of(-5.0, 1.0) is Motion.ONCOMING
    assert motion_of(0.5, -1.2) is Motion.ACROSS


@pytest.mark.parametrize("split", ["train", "test"])
def test_commands_are_read_back(split):
    for action, texts in _table(split).items():
        for text in texts:
            assert parse_command(text) == (action, 0.0), text
    generator = np.random.default_rng(3)
    for action in list(DrivingAction)[2:]:
        text = command_text(action, 33.0, generator, split)
        assert parse_command(text) == (action, 30.0), text


def test_test_paraphrases_are_kept_apart():
    train, test = set(all_commands("train")), set(all_commands("test"))
    assert not train & test
    assert all(len(paraphrases(a, "test")) >= 4 and len(paraphrases(a)) >= 35 for a in list(DrivingAction)[1:])
    assert not test & set(corpus(0, 200))


def test_other_words_are_unknown_to_the_parser():
    assert parse_command("sing a song") == (DrivingAction.UNKNOWN, 0.0)
    assert command_text(DrivingAction.UNKNOWN) == ""
    with pytest.raises(InputError, match="no words"):
        paraphrases(DrivingAction.UNKNOWN)


def test_the_corpus_is_a_function_of_its_seed():
    assert list(corpus(5, 50)) == list(corpus(5, 50))
    assert list(corpus(5, 50)) != list(corpus(6, 50))
