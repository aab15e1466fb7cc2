"""Whether a statement is true of a moment: sentences are parsed back and held against the Scene."""

from __future__ import annotations

from collections.abc import Iterable

from vadv2_core.decision import Decision
from vadv2_core.errors import InputError
from vadv2_core.language.sentences import parse_text
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
    distance_agrees,
    speed_agrees,
)
from vadv2_core.scene import RoadMap, Scene
from vadv2_sim.narrator.edge_cases import edge_cases
from vadv2_sim.narrator.facts import SceneFacts, Visibility


def check(
    statement: Statement,
    scene: Scene,
    road_map: RoadMap,
    decision: Decision | None = None,
    visibility: Visibility | None = None,
) -> bool:
    """Whether a statement is true of a Scene, within the tolerances of spoken numbers, zones and motions.

    Args:
        statement: As `vadv2_core.language.sentences.parse_sentence` gives it.
        scene: The moment.
        road_map: Its map.
        decision: The expert's, for statements about what to do.
        visibility: What the cameras see; what they do not see cannot be said. None for everything in sight.

    Raises:
        InputError: for a statement about what to do without a decision.
    """
    return check_facts(statement, SceneFacts(scene, road_map, visibility), decision)


def check_text(
    text: str,
    scene: Scene,
    road_map: RoadMap,
    decision: Decision | None = None,
    visibility: Visibility | None = None,
) -> tuple[list[tuple[Statement, bool]], list[str]]:
    """Every statement of a text with its truth, and the sentences that could not be read."""
    statements, unread = parse_text(text)
    facts = SceneFacts(scene, road_map, visibility)
    return [(s, check_facts(s, facts, decision)) for s in statements], unread


def check_facts(statement: Statement, facts: SceneFacts, decision: Decision | None = None) -> bool:
    """`check` on facts that are already measured."""
    scene = facts.scene
    match statement:
        case WeatherStatement(weather):
            return weather is scene.weather
        case EgoStatement(speed):
            return speed_agrees(speed, scene.ego.speed)
        case CommandStatement(action):
            return action is scene.command.action
        case SignalStatement(state, distance):
            return facts.signal is not None and _same((state, distance), facts.signal)
        case StopControlStatement(control, distance):
            return facts.stop_control is not None and _same((control, distance), facts.stop_control)
        case CrossingStatement(distance):
            return any(distance_agrees(distance, true) for true in facts.crossings)
        case ClosureStatement(distance):
            return facts.closure is not None and distance_agrees(distance, facts.closure)
        case ClearStatement(distance):
            return facts.clear >= 0.9 * distance - 1.0
        case ObjectStatement(cls, zone, distance, motion):
            return any(
                s.agent.cls is cls and zone in s.zones and distance_agrees(distance, s.distance) and motion in s.motions
                for s in facts.agents
            )
        case IntentionStatement(cls, zone, intention):
            return any(s.agent.cls is cls and zone in s.zones and s.agent.intention is intention for s in facts.agents)
        case FlagStatement(flag, present):
            return edge_cases(facts)[flag] == present
        case DecisionStatement(longitudinal, lateral, cause):
            known = _known(decision)
            return (longitudinal, lateral, cause) == (known.longitudinal, known.lateral, known.cause)
        case ActionStatement(longitudinal, lateral):
            known = _known(decision)
            return (longitudinal, lateral) == (known.longitudinal, known.lateral)
    raise AssertionError(statement)


def share_true(statements: Iterable[Statement], facts: SceneFacts, decision: Decision | None = None) -> float:
    """The share of statements that are true; NaN of none."""
    truths = [check_facts(s, facts, decision) for s in statements]
    return sum(truths) / len(truths) if truths else float("nan")


def _same(said: tuple[object, int], true: tuple[object, float]) -> bool:
    return said[0] is true[0] and distance_agrees(said[1], true[1])


def _known(decision: Decision | None) -> Decision:
    if decision is None:
        raise InputError("a statement about what to do", "truth check", "the expert's decision to hold it against")
    return decision
