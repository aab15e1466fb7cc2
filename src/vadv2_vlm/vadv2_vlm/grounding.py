"""Saying only what was perceived: the sentences that a frame bears out, and a text held to them.

A small reasoner that may say any sentence invents: most of the objects that it speaks of are not there as it says
(docs/training.md). So sentences about what is seen are made from the slots, and the reasoner chooses among them: what
matters, in which order, and what follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from vadv2_core.command import DrivingCommand
from vadv2_core.language.lexicon import ASKED, INTENDS
from vadv2_core.language.sentences import parse_text, say
from vadv2_core.language.statements import (
    DISTANCES,
    ActionStatement,
    ClearStatement,
    ClosureStatement,
    CommandStatement,
    CrossingStatement,
    EgoStatement,
    FlagStatement,
    IntentionStatement,
    Motion,
    ObjectStatement,
    SignalStatement,
    Statement,
    StopControlStatement,
    WeatherStatement,
    distance_agrees,
    spoken_distance,
    spoken_speed,
    zones_near,
)
from vadv2_core.meta_action import MetaAction
from vadv2_core.taxonomy import AgentClass, AgentIntention, DrivingAction, EdgeCaseFlag, StopControl
from vadv2_vlm.perceived import Perceived, PerceivedObject

_CONTROLS = (StopControl.STOP_SIGN, StopControl.YIELD_SIGN, StopControl.PRIORITY_TO_THE_RIGHT)


def _worth_saying(o: PerceivedObject) -> bool:
    """Whether anything is to be said of an object's intention: nobody who stands keeps going."""
    if o.intention is AgentIntention.KEEPS:
        return o.statement().motion is not Motion.STANDING
    return o.intention is not AgentIntention.UNKNOWN


def seen_statements(seen: Perceived) -> list[Statement]:
    """Everything that can be said of what is seen, each once."""
    said: list[Statement] = [WeatherStatement(seen.weather)]
    if seen.stop_line is not None:
        line = spoken_distance(seen.stop_line)
        # What stands at a line without a light is not among the slots; the summaries may know.
        said += (
            [SignalStatement(seen.signal, line)]
            if seen.signal is not None
            else [StopControlStatement(control, line) for control in _CONTROLS]
        )
    said += [CrossingStatement(spoken_distance(distance)) for distance in seen.crossings]
    said += [ClosureStatement(spoken_distance(seen.works))] if seen.works is not None else []
    said += [o.statement() for o in seen.objects if o.cls]
    said += [o.intends() for o in seen.objects if o.cls and _worth_saying(o)]
    said += [ClearStatement(distance) for distance in DISTANCES if _clear(distance, seen)]
    return list(dict.fromkeys(said))


def _clear(distance: int, seen: Perceived) -> bool:
    return distance <= max(seen.clear, DISTANCES[0])


def argued_statements(
    seen: Perceived, command: DrivingCommand, flags: Iterable[EdgeCaseFlag], action: MetaAction
) -> list[Statement]:
    """Everything that a trace may be made of; the action that it comes to is the one that was stated."""
    said: list[Statement] = [EgoStatement(spoken_speed(seen.speed))]
    # A command in words alone is the reasoner's to understand; without words nothing is asked.
    in_words = command.action is DrivingAction.UNKNOWN and bool(command.text.strip())
    said += [CommandStatement(asked) for asked in ASKED.phrases if in_words or asked is command.action]
    said += [FlagStatement(flag, True) for flag in flags]
    return [*said, *seen_statements(seen), ActionStatement(*action)]


def _borne_out(statement: Statement, seen: Perceived) -> Statement | None:
    """The statement as perception has it; None where perception has nothing of the kind."""
    match statement:
        case WeatherStatement(weather):
            return statement if weather is seen.weather else None
        case EgoStatement():
            return EgoStatement(spoken_speed(seen.speed))
        case SignalStatement(state, _):
            right = state is seen.signal and seen.stop_line is not None
            return SignalStatement(state, spoken_distance(seen.stop_line or 0.0)) if right else None
        case StopControlStatement(control, _):
            without_light = seen.stop_line is not None and seen.signal is None
            return StopControlStatement(control, spoken_distance(seen.stop_line or 0.0)) if without_light else None
        case CrossingStatement(distance):
            near = [d for d in seen.crossings if distance_agrees(distance, d)]
            return CrossingStatement(spoken_distance(near[0])) if near else None
        case ClosureStatement():
            return ClosureStatement(spoken_distance(seen.works)) if seen.works is not None else None
        case ClearStatement(distance):
            return statement if _clear(distance, seen) else None
        case ObjectStatement(cls, zone, distance, _):
            there = [o for o in _there(seen, cls, zone) if distance_agrees(distance, o.distance)]
            return min(there, key=lambda o: abs(o.distance - distance)).statement() if there else None
        case IntentionStatement(cls, zone, intention):
            there = [o for o in _there(seen, cls, zone) if o.intention is intention and intention in INTENDS.phrases]
            return there[0].intends() if there else None
    return statement


def _there(seen: Perceived, cls: AgentClass, zone: object) -> list[PerceivedObject]:
    return [o for o in seen.objects if o.cls is cls and zone in zones_near(o.x, o.y)]


@lru_cache(maxsize=65536)
def _statements(text: str) -> tuple[Statement, ...]:
    return tuple(parse_text(text)[0])


def held_to(text: str, seen: Perceived) -> str:
    """A narrator's text with the numbers that perception has, without what perception does not bear out.

    To be taught sentences about what it is not shown teaches a reasoner to invent.

    Args:
        text: Sentences of `vadv2_core.language`; others fall out.
        seen: The frame.
    """
    kept = dict.fromkeys(s for said in _statements(text) if (s := _borne_out(said, seen)) is not None)
    return " ".join(say(s) for s in kept)


def told_who_goes_on(text: str, seen: Perceived) -> str:
    """A scene description in which nobody intends anything, and then that the first who moves keeps going.

    A narrator does not say so, it goes without saying. A reasoner that never learned to say it can only be silent of an
    agent or say something else, and people want to know of the car ahead that it was taken for one that drives on.

    Args:
        text: Sentences of `vadv2_core.language`, held to the frame.
        seen: The frame.
    """
    said = list(_statements(text))
    objects = [s for s in said if isinstance(s, ObjectStatement)]
    if not objects or any(isinstance(s, IntentionStatement) for s in said):
        return text
    going = [
        o
        for s in objects
        for o in _there(seen, s.cls, s.zone)
        if o.intention is AgentIntention.KEEPS and _worth_saying(o) and distance_agrees(s.distance, o.distance)
    ]
    if not going:
        return text
    said.insert(said.index(objects[-1]) + 1, going[0].intends())
    return " ".join(say(s) for s in said)
