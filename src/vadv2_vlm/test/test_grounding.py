"""What may be said of a frame: the slots read back, sentences made from them, texts held to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from vlm_scenes import FOLLOW, LEFT, scene_tokens

from vadv2_core.language.sampling import random_statement
from vadv2_core.language.sentences import parse_text, say
from vadv2_core.language.statements import (
    ActionStatement,
    ClearStatement,
    ClosureStatement,
    CommandStatement,
    DecisionStatement,
    EgoStatement,
    FlagStatement,
    IntentionStatement,
    Motion,
    ObjectStatement,
    SignalStatement,
    WeatherStatement,
    Zone,
)
from vadv2_core.taxonomy import (
    AgentClass,
    AgentIntention,
    DrivingAction,
    EdgeCaseFlag,
    LateralAction,
    LongitudinalAction,
    SignalState,
    Weather,
)
from vadv2_core.tokens import SceneAhead, SceneObjects
from vadv2_vlm.config import SlotConfig, VlmConfig
from vadv2_vlm.grounding import argued_statements, held_to, seen_statements, told_who_goes_on
from vadv2_vlm.perceived import perceived
from vadv2_vlm.reasoner import Reasoner
from vadv2_vlm.sentence_grammar import SentenceChoice
from vadv2_vlm.slots import scene_slots

TURN = (LongitudinalAction.DECELERATE, LateralAction.LEFT_TURN)


def frame():
    """A red light 20 m ahead in rain; a cyclist crossing ahead, a car parked on the right, a truck hardly seen."""
    signal = np.zeros(len(SignalState), dtype=np.float32)
    signal[SignalState.RED], signal[SignalState.UNKNOWN] = 0.9, 0.1
    weather = np.eye(len(Weather), dtype=np.float32)[Weather.RAIN]
    ahead = SceneAhead(signal, 0.9, 20.0, 0.1, 5.0, 0.0, weather, np.zeros(len(EdgeCaseFlag), dtype=np.float32))
    objects = SceneObjects(
        np.array([AgentClass.BICYCLE, AgentClass.CAR, AgentClass.TRUCK], dtype=np.int32),
        np.array([0.95, 0.92, 0.8], dtype=np.float32),
        np.array([[15.0, 0.5, 0.0, 1.8, 0.6], [12.0, -4.0, 0.0, 4.5, 1.8], [30.0, 2.0, 0.0, 8.0, 2.4]], np.float32),
        np.array([[0.0, 3.0], [0.0, 0.0], [5.0, 0.0]], dtype=np.float32),
        np.array([AgentIntention.CROSSES, AgentIntention.PARKED, AgentIntention.KEEPS], dtype=np.int32),
        np.array([0.7, 0.9, 0.9], dtype=np.float32),
    )
    return replace(scene_tokens(0, speed=7.0), ahead=ahead, objects=objects)


@pytest.fixture
def seen():
    return perceived(scene_slots(frame(), SlotConfig()))


def test_the_slots_are_read_back(seen):
    assert seen.speed == pytest.approx(7.0, abs=0.01)
    assert (seen.signal, seen.weather) == (SignalState.RED, Weather.RAIN)
    assert seen.stop_line == pytest.approx(20.0, abs=0.05)
    cyclist, car = sorted(seen.objects, key=lambda o: o.cls, reverse=True)
    assert (cyclist.cls, cyclist.intention) == (AgentClass.BICYCLE, AgentIntention.CROSSES)
    assert (cyclist.x, cyclist.y, cyclist.vy) == pytest.approx((15.0, 0.5, 3.0), abs=0.05)
    assert (car.x, car.y, car.vx) == pytest.approx((12.0, -4.0, 0.0), abs=0.05)


def test_what_is_not_seen_cannot_be_said(seen):
    said = seen_statements(seen)
    assert WeatherStatement(Weather.RAIN) in said and WeatherStatement(Weather.DAY) not in said
    assert SignalStatement(SignalState.RED, 20) in said
    assert {s.state for s in said if isinstance(s, SignalStatement)} == {SignalState.RED}
    assert {s for s in said if isinstance(s, ObjectStatement)} == {
        ObjectStatement(AgentClass.CAR, Zone.AHEAD_RIGHT, 12, Motion.STANDING),
        ObjectStatement(AgentClass.BICYCLE, Zone.AHEAD, 16, Motion.ACROSS),
    }
    assert IntentionStatement(AgentClass.BICYCLE, Zone.AHEAD, AgentIntention.CROSSES) in said
    assert len(set(said)) == len(said)


def test_an_intention_that_is_unlikelier_than_not_is_not_told():
    tokens = frame()
    unsure = replace(tokens.objects, intention_confidence=np.array([0.4, 0.9, 0.9], dtype=np.float32))
    shown = perceived(scene_slots(replace(tokens, objects=unsure), SlotConfig()))
    told = {s for s in seen_statements(shown) if isinstance(s, IntentionStatement)}
    assert told == {IntentionStatement(AgentClass.CAR, Zone.AHEAD_RIGHT, AgentIntention.PARKED)}
    assert ObjectStatement(AgentClass.BICYCLE, Zone.AHEAD, 16, Motion.ACROSS) in seen_statements(shown)
    crosses = say(IntentionStatement(AgentClass.BICYCLE, Zone.AHEAD, AgentIntention.CROSSES))
    assert held_to(crosses, shown) == ""


def test_somebody_on_foot_goes_where_he_faces():
    tokens = frame()
    facing = np.array([[8.0, 4.0, np.pi, 0.5, 0.5]], dtype=np.float32)
    slow, fast = (
        replace(
            tokens.objects,
            classes=np.array([AgentClass.PEDESTRIAN], dtype=np.int32),
            confidence=np.array([0.95], dtype=np.float32),
            boxes=facing,
            velocities=np.array([[0.0, v]], dtype=np.float32),
            intentions=np.array([AgentIntention.KEEPS], dtype=np.int32),
            intention_confidence=np.array([0.9], dtype=np.float32),
        )
        for v in (0.1, 1.2)
    )
    said = [
        perceived(scene_slots(replace(tokens, objects=o), SlotConfig())).objects[0].statement() for o in (slow, fast)
    ]
    assert [s.motion for s in said] == [Motion.ONCOMING, Motion.ACROSS]


def test_a_car_that_hardly_moves_stands():
    tokens = frame()
    creeping = replace(tokens.objects, velocities=np.full((3, 2), [-0.6, 0.0], dtype=np.float32))
    shown = perceived(scene_slots(replace(tokens, objects=creeping), SlotConfig()))
    assert {o.statement().motion for o in shown.objects} == {Motion.STANDING}


def test_nothing_is_clear_beyond_whoever_is_ahead(seen):
    assert seen.clear == pytest.approx(15.0 - 3.6, abs=0.05), "the cyclist"
    assert max(s.distance for s in seen_statements(seen) if isinstance(s, ClearStatement)) == 8


def test_nothing_is_clear_beyond_the_leader():
    tokens = frame()
    near = replace(tokens, ahead=replace(tokens.ahead, lead_confidence=0.9, lead_gap=6.0))
    said = seen_statements(perceived(scene_slots(near, SlotConfig())))
    assert max(s.distance for s in said if isinstance(s, ClearStatement)) == 5
    assert held_to(say(ClearStatement(30)), perceived(scene_slots(near, SlotConfig()))) == ""


def test_a_trace_comes_to_the_stated_action_and_knows_its_own_speed(seen):
    said = argued_statements(seen, LEFT, [EdgeCaseFlag.JAYWALKER], TURN)
    assert [s for s in said if isinstance(s, ActionStatement)] == [ActionStatement(*TURN)]
    assert [s for s in said if isinstance(s, EgoStatement)] == [EgoStatement(7)]
    assert [s for s in said if isinstance(s, CommandStatement)] == [CommandStatement(DrivingAction.LEFT)]
    in_words = argued_statements(seen, replace(LEFT, action=DrivingAction.UNKNOWN), [], TURN)
    assert len({s.action for s in in_words if isinstance(s, CommandStatement)}) == len(DrivingAction) - 1
    silent = argued_statements(seen, replace(LEFT, action=DrivingAction.UNKNOWN, text=""), [], TURN)
    assert not [s for s in silent if isinstance(s, CommandStatement)], "where nothing is asked no command is said"


def test_a_text_is_held_to_what_is_seen(seen):
    told = [
        WeatherStatement(Weather.RAIN),
        SignalStatement(SignalState.RED, 16),
        ObjectStatement(AgentClass.BICYCLE, Zone.AHEAD, 16, Motion.ACROSS),
        ObjectStatement(AgentClass.TRUCK, Zone.AHEAD, 30, Motion.ALONG),
        IntentionStatement(AgentClass.BICYCLE, Zone.AHEAD, AgentIntention.KEEPS),
        EgoStatement(8),
        ActionStatement(*TURN),
    ]
    kept, unread = parse_text(held_to(" ".join(say(s) for s in told), seen))
    assert unread == []
    assert kept == [
        WeatherStatement(Weather.RAIN),
        SignalStatement(SignalState.RED, 20),  # the distance that perception has
        ObjectStatement(AgentClass.BICYCLE, Zone.AHEAD, 16, Motion.ACROSS),
        EgoStatement(7),
        ActionStatement(*TURN),
    ]
    assert held_to(say(SignalStatement(SignalState.GREEN, 20)), seen) == ""
    assert held_to(say(ClosureStatement(20)), seen) == ""


def test_works_are_told_from_the_front_bumper():
    tokens = frame()
    cones = replace(tokens.objects, classes=np.full(3, AgentClass.TRAFFIC_CONE, dtype=np.int32))
    shown = perceived(scene_slots(replace(tokens, objects=cones), SlotConfig()))
    assert shown.works == pytest.approx(12.0 - 3.6, abs=0.05)
    assert held_to(say(ClosureStatement(5)), shown) == say(ClosureStatement(8))
    assert ClosureStatement(8) in seen_statements(shown)


def test_every_sentence_of_a_held_text_may_be_said(seen):
    draw = np.random.default_rng(1)
    kinds = (ActionStatement, CommandStatement, FlagStatement, DecisionStatement)
    may = set(argued_statements(seen, LEFT, [], TURN))
    kept = 0
    for _ in range(3000):
        statement = random_statement(draw)
        if not isinstance(statement, kinds):
            held = parse_text(held_to(say(statement), seen))[0]
            assert set(held) <= may, (statement, held)
            kept += len(held)
    assert kept > 100


def test_a_choice_says_each_sentence_once():
    choice = SentenceChoice([(1, 2, 9), (1, 3, 9), (4, 9), (4, 9)])
    said = []
    while choice.allowed(choice.start):
        place, sentence = choice.start, []
        while place != choice.end:
            token = choice.allowed(place)[0]
            sentence.append(token)
            place = choice.advance(place, token)
        said.append(tuple(sentence))
    assert said == [(1, 2, 9), (1, 3, 9), (4, 9)]
    assert choice.allowed(choice.end) == ()


@pytest.mark.parametrize("command", [LEFT, FOLLOW])
def test_a_reasoner_says_only_what_it_was_shown(cache, command):
    tokens = frame()
    reasoning = Reasoner(None, VlmConfig(cache=str(cache))).reason(tokens, command, planned=TURN)
    seen = perceived(scene_slots(tokens, SlotConfig()))
    action = reasoning.longitudinal, reasoning.lateral
    may = {*argued_statements(seen, command, list(EdgeCaseFlag), action)}
    said, unread = parse_text(f"{reasoning.scene_description} {reasoning.trace}")
    assert unread == [] and len(said) > 1
    assert set(said) <= may


def test_the_plan_changes_the_words_and_not_the_embedding(cache):
    reasoner = Reasoner(None, VlmConfig(cache=str(cache)))
    tokens = frame()
    stand = (LongitudinalAction.STOP, LateralAction.STRAIGHT)
    told = [reasoner.reason(tokens, LEFT, planned=p).flag_probabilities for p in (None, TURN, stand)]
    assert not np.array_equal(told[0], told[1]) and not np.array_equal(told[1], told[2])
    np.testing.assert_array_equal(reasoner.embed(tokens, LEFT).embedding, reasoner.embed(tokens, LEFT).embedding)


def going_on(speed=5.0, intention=AgentIntention.KEEPS):
    """The frame with a truck ahead, well seen, that moves so and intends so; the cyclist's intention is not known."""
    tokens = frame()
    o = tokens.objects
    velocities = np.array([[0.0, 3.0], [0.0, 0.0], [speed, 0.0]], dtype=np.float32)
    intentions = np.array([AgentIntention.UNKNOWN, AgentIntention.PARKED, intention], dtype=np.int32)
    confidence = np.full(3, 0.95, dtype=np.float32)
    objects = replace(o, velocities=velocities, intentions=intentions, confidence=confidence)
    return perceived(scene_slots(replace(tokens, objects=objects), SlotConfig()))


def test_that_somebody_keeps_going_can_be_said_of_who_moves():
    keeps = IntentionStatement(AgentClass.TRUCK, Zone.AHEAD, AgentIntention.KEEPS)
    assert keeps in seen_statements(going_on())
    assert keeps not in seen_statements(going_on(speed=0.0))


def test_who_goes_on_is_told_of_after_the_objects_where_nobody_does_anything_else():
    seen = going_on()
    truck = next(o for o in seen.objects if o.cls is AgentClass.TRUCK)
    said = [WeatherStatement(Weather.RAIN), truck.statement(), ClearStatement(20)]
    told = parse_text(told_who_goes_on(" ".join(say(s) for s in said), seen))[0]
    assert list(told) == [said[0], said[1], truck.intends(), said[2]]


@pytest.mark.parametrize(("speed", "intention"), [(0.0, AgentIntention.KEEPS), (5.0, AgentIntention.MERGES)])
def test_nothing_is_told_of_who_stands_or_does_something_else(speed, intention):
    seen = going_on(speed, intention)
    truck = next(o for o in seen.objects if o.cls is AgentClass.TRUCK)
    assert told_who_goes_on(say(truck.statement()), seen) == say(truck.statement())


def test_a_description_with_an_intention_stays_as_it_is():
    seen = going_on()
    cyclist = IntentionStatement(AgentClass.BICYCLE, Zone.AHEAD, AgentIntention.CROSSES)
    truck = next(o for o in seen.objects if o.cls is AgentClass.TRUCK)
    text = f"{say(truck.statement())} {say(cyclist)}"
    assert told_who_goes_on(text, seen) == text
