"""The sentences: at least forty templates for every kind of statement, and the parser over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np

from vadv2_core.errors import InputError
from vadv2_core.language import lexicon
from vadv2_core.language.grammar import Slot, Template, expand, normal, sentences_of
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

_DISTANCE = {"distance": lexicon.DISTANCE}
_ACTION = {f"longitudinal:{form}": slot for form, slot in lexicon.LONGITUDINAL.items()} | {
    f"lateral:{form}": slot for form, slot in lexicon.LATERAL.items()
}

Patterns = tuple[type[Any], Mapping[str, Slot], Mapping[str, Any], tuple[str, ...]]

_SENTENCES: tuple[Patterns, ...] = (
    (
        WeatherStatement,
        {"weather": lexicon.WEATHER},
        {},
        (
            "(we drive in|we have|this is|outside we have|around us is|we are out in|one drives in) {weather}",
            "the (scene|picture|road|street|view) (shows|lies in) {weather}",
            "(light and air|light and weather|conditions|surroundings|weather): {weather}",
            "(all pictures|the cameras|the images|our views) show {weather}",
            "(the drive|the trip|this part of the drive) (is in|goes through) {weather}",
            "(seen|recorded|observed|driven) in {weather}",
            "{weather} (all around|around us|over the street|outside)",
            "(before us|ahead of us) (is|lies) {weather}",
        ),
    ),
    (
        EgoStatement,
        {"speed": lexicon.SPEED},
        {},
        (
            "we (drive|go|move|roll|travel) at [about ]{speed} (m/s|metres per second)",
            "our speed is [about |now ]{speed} (m/s|metres per second)",
            "the ego [vehicle ](drives|goes|moves) at {speed} (m/s|metres per second)",
            "(speed|own speed|ego speed|current speed): {speed} m/s",
            "(currently|at present|right now) we (drive|go|move) at {speed} m/s",
            "we are (driving|going|moving) at {speed} m/s",
        ),
    ),
    (
        EgoStatement,
        {},
        {"speed": 0},
        (
            "(we stand|we wait|the ego stands|the ego waits) (here|in place|on the spot|where we are|at present)",
            "(we are|the ego is|our vehicle is|our car is) (standing|at a standstill|at rest|waiting in place)",
            "our speed is (zero|nil|nothing|0 m/s)",
            "(speed|own speed|ego speed|current speed): (zero|0 m/s|none)",
            "(currently|at present|right now) we (stand|wait|do not move|are at a standstill)",
        ),
    ),
    (
        CommandStatement,
        {"action": lexicon.ASKED},
        {},
        (
            "we (are asked|are told|were told|have|need|are meant|are supposed|are expected) to {action}",
            "(the command|the route|the order|the instruction|the plan|navigation) is to {action}",
            "(the command|the route|the order|the instruction|navigation) (says to|tells us to|asks us to) {action}",
            "(next|then|now|soon) we (should|must|have to|shall) {action}",
            "our (task|order|instruction|next manoeuvre) is to {action}",
        ),
    ),
    (
        SignalStatement,
        {"state": lexicon.SIGNAL_STATE, **_DISTANCE},
        {},
        (
            "the [traffic ](light|signal) {distance} m ahead is [now ]{state}",
            "the [traffic ](light|signal) (ahead|before us|for our lane) is {state}, {distance} m away",
            "(in|at|after) {distance} m the [traffic ](light|signal) (is|shows) {state}",
            "our [traffic ](light|signal) (is|shows) {state} in {distance} m",
            "the (lamp|light) for our lane, {distance} m away, (is|shows) {state}",
            "(traffic light|signal|light): {state}, {distance} m (ahead|away|to the line)",
            "it is {distance} m to the [traffic ](light|signal), which (is|shows) {state}",
        ),
    ),
    (
        StopControlStatement,
        {"control": lexicon.CONTROL, **_DISTANCE},
        {},
        (
            "(there is|we see|we have|we come to|we reach) {control} {distance} m (ahead|away|before us)",
            "{control} is {distance} m (ahead|away|before us|in front)",
            "(in|after) {distance} m (there is|comes|we come to|we meet) {control}",
            "{control} (holds|governs) our lane in {distance} m",
            "(it is|we have) {distance} m (to|until) {control}",
            "{distance} m (ahead|away|before us|in front) (is|stands|lies) {control}",
        ),
    ),
    (
        CrossingStatement,
        _DISTANCE,
        {},
        (
            "(there is|we see|we have|we come to|we reach) a (pedestrian crossing|crosswalk) {distance} m (ahead|away)",
            "a (pedestrian crossing|crosswalk|zebra crossing) (is|lies) {distance} m (ahead|away|before us)",
            "(in|after) {distance} m (there is|comes) a (pedestrian crossing|crosswalk)",
            "(it is|we have) {distance} m (to|until) the (pedestrian crossing|crosswalk)",
            "our (lane|way) meets a (pedestrian crossing|crosswalk) in {distance} m",
        ),
    ),
    (
        ObjectStatement,
        {
            "cls:a": lexicon.A_CLASS,
            "cls:the": lexicon.THE_CLASS,
            "cls": lexicon.CLASS,
            "zone": lexicon.ZONE,
            "motion": lexicon.MOTION,
            **_DISTANCE,
        },
        {},
        (
            "(there is|we see|we have|one sees|i see) {cls:a} {distance} m away {zone}, {motion}",
            "(there is|we see|we have|one sees|i see) {cls:a} {zone} at [about ]{distance} m, {motion}",
            "{cls:a} is [about ]{distance} m away {zone}, {motion}",
            "{zone}, {distance} m away, (there is|is|we see|we have) {cls:a}, {motion}",
            "{zone} (there is|is|we see|we have) {cls:a} at {distance} m, {motion}",
            "{cls:a} {zone}, [about ]{distance} m away, is {motion}",
            "at [about ]{distance} m {zone} {cls:a} is {motion}",
            "(a certain|one) {cls} {zone}, {distance} m away, is {motion}",
            "{cls:the} {zone}, {distance} m (away|off), is {motion}",
            "{cls:the} that is {zone} at {distance} m is {motion}",
            "(object|road user|seen|noted): {cls} {zone}, {distance} m, {motion}",
            "(note|mind) {cls:the} {zone} at {distance} m, {motion}",
            "{distance} m away {zone} {cls:a} is {motion}",
        ),
    ),
    (
        IntentionStatement,
        {
            "cls:a": lexicon.A_CLASS,
            "cls:the": lexicon.THE_CLASS,
            "zone": lexicon.ZONE,
            "intention:does": lexicon.INTENDS,
            "intention:do": lexicon.INTEND,
        },
        {},
        (
            "{cls:the} {zone} {intention:does}",
            "{cls:the} {zone} will [soon |probably |likely ]{intention:do}",
            "{cls:the} {zone} is (about|going|expected|likely) to {intention:do}",
            "(we expect|expect|i expect|one expects) {cls:the} {zone} to {intention:do}",
            "(it seems|it looks as if|we think|probably|it appears that) {cls:the} {zone} {intention:does}",
            "{zone} {cls:a} {intention:does}",
            "{zone} {cls:a} will [soon |probably ]{intention:do}",
            "{zone} {cls:a} is (about|going|expected) to {intention:do}",
            "{cls:a} {zone} {intention:does}",
            "{cls:a} {zone} will [soon |probably ]{intention:do}",
            "{cls:a} {zone} (seems|appears|intends|wants|plans) to {intention:do}",
            "{cls:the} {zone} (seems|appears|intends|wants|plans) to {intention:do}",
            "(intention|intent|prediction) of {cls:the} {zone}: to {intention:do}",
        ),
    ),
    (
        ClearStatement,
        _DISTANCE,
        {},
        (
            "(the road|our lane|our way|the lane|our path) is (clear|free|empty|open) for {distance} m",
            "(nothing|nobody|no one|no vehicle) is in our way for {distance} m",
            "(for|over) [the next ]{distance} m (the road|our lane|our way|our path) is (clear|free|empty)",
            "we have {distance} m of (clear|free|empty|open) (road|way)",
        ),
    ),
    (
        ClosureStatement,
        _DISTANCE,
        {},
        (
            "(our lane|the lane|the lane ahead|a lane on our way) is (closed|blocked|shut) in {distance} m",
            "(in|after) {distance} m (our lane|the lane|a lane on our way) is (closed|blocked|shut)",
            "(there is|we have|we see|we come to) a (closed|blocked|shut) lane {distance} m (ahead|away)",
            "a (closed|blocked) lane (is|lies|begins) {distance} m (ahead|away)",
        ),
    ),
    (
        FlagStatement,
        {"flag": lexicon.FLAG},
        {"present": True},
        (
            "(there is|we have|we see|we face|we notice|note|beware of|mind|watch out for) {flag}",
            "(attention|caution|careful|edge case|rare case|special case|warning): {flag}",
            "(this|the) scene (has|shows|holds|contains|features) {flag}",
            "{flag} (is here|is seen|is present|is part of the scene|has been seen|must be minded)",
            "(we are dealing|we have to deal|this scene is one) with {flag}",
            "(we must mind|we should mind|we have to mind|one must mind) {flag}",
            "(it matters|what matters is|it counts|it is important) that there is {flag}",
            "(something rare|something special|an edge case) is here: {flag}",
        ),
    ),
    (
        FlagStatement,
        {"flag": lexicon.FLAG},
        {"present": False},
        (
            "(there is not|we do not have|we do not see|we do not face|we do not notice) {flag}",
            "(this|the) scene (is without|lacks|does not show|does not have|does not contain) {flag}",
            "{flag} (is not here|is not seen|is not present|is absent|has not been seen|is not part of the scene)",
            "(we are not dealing|we do not have to deal|this scene is not one) with {flag}",
            "(without|not seen:|absent:|not there:|no sign of) {flag}",
            "(it is not the case|it is not so|it is untrue) that there is {flag}",
            "(one cannot see|nobody sees|we cannot see|nowhere is) {flag}",
            "no (trace|hint|sign|evidence|indication) of {flag} (is here|can be seen)",
        ),
    ),
    (
        DecisionStatement,
        {
            **_ACTION,
            "cause:clause": lexicon.CAUSE["clause"],
            "cause:noun": lexicon.CAUSE["noun"],
        },
        {},
        (
            "{longitudinal:do} and {lateral:do} because {cause:clause}",
            "{longitudinal:do} and {lateral:do}, (for|since|as) {cause:clause}",
            "{longitudinal:do} and {lateral:do} (due to|because of|owing to|on account of) {cause:noun}",
            "(because|since|as) {cause:clause}, (we|the ego should|we must) {longitudinal:do} and {lateral:do}",
            "(because of|due to|owing to|on account of) {cause:noun} we {longitudinal:do} and {lateral:do}",
            "we (should|must|will|want to|have to) {longitudinal:do} and {lateral:do} because {cause:clause}",
            "we (should|must|will|want to|have to) {longitudinal:do} and {lateral:do} (due to|because of) {cause:noun}",
            "we are {longitudinal:doing} and {lateral:doing} because {cause:clause}",
            "we are {longitudinal:doing} and {lateral:doing} (due to|because of|owing to) {cause:noun}",
            "{cause:clause}, so (we|we should|we must|the ego should) {longitudinal:do} and {lateral:do}",
            "{cause:noun} makes us {longitudinal:do} and {lateral:do}",
            "the (intent|intention|plan) is to {longitudinal:do} and {lateral:do} because {cause:clause}",
        ),
    ),
    (
        ActionStatement,
        _ACTION,
        {},
        (
            "(so|therefore|hence|thus|in conclusion|as a result|for this reason|that is why) we {longitudinal:do} "
            "and {lateral:do}",
            "(so|therefore|hence|thus|in conclusion) we (should|must|will) {longitudinal:do} and {lateral:do}",
            "(so|therefore|hence|thus) the (right|best|safe) (thing|choice) is to {longitudinal:do} and {lateral:do}",
            "it follows that we (should|must|will) {longitudinal:do} and {lateral:do}",
            "(it is|it would be) (right|best|safe) to {longitudinal:do} and {lateral:do}",
            "(this asks for|this calls for|this means) {longitudinal:doing} and {lateral:doing}",
        ),
    ),
)


@cache
def _all_templates() -> dict[type[Any] | None, tuple[Template, ...]]:
    made: dict[type[Any] | None, tuple[Template, ...]] = {None: ()}
    for kind, slots, constants, patterns in _SENTENCES:
        texts = dict.fromkeys(text for pattern in patterns for text in expand(pattern))
        new = tuple(Template(kind, text, slots, constants) for text in texts)
        made[kind] = (*made.get(kind, ()), *new)
        made[None] = (*made[None], *new)
    return made


def templates(kind: type[Any] | None = None) -> tuple[Template, ...]:
    """All templates, or those of one kind of statement."""
    return _all_templates()[kind]


def say(statement: Statement, generator: np.random.Generator | None = None) -> str:
    """A sentence for a statement: the kind's first template in its usual words, or a varied one with a generator.

    Raises:
        InputError: for a statement with a value that has no words (UNKNOWN).
    """
    fitting = [t for t in templates(type(statement)) if t.says(statement)]
    if not fitting:
        raise InputError(f"{statement} cannot be said", "language", "known values and spoken numbers")
    if generator is None:
        return fitting[0].render(statement)
    return fitting[int(generator.integers(len(fitting)))].render(statement, generator)


def parse_sentence(text: str) -> Statement | None:
    """The statement that a sentence makes, or None where it is in no template's words."""
    plain = normal(text)
    return next((s for t in templates() if (s := t.parse(plain)) is not None), None)


def parse_text(text: str) -> tuple[list[Statement], list[str]]:
    """Every statement of a text in order, and the sentences that could not be read."""
    statements: list[Statement] = []
    unread: list[str] = []
    for piece in sentences_of(text):
        statement = parse_sentence(piece)
        if statement is None:
            unread.append(piece)
        else:
            statements.append(statement)
    return statements, unread


def in_usual_words(text: str) -> str:
    """The same statements, each in its first template and usual words; sentences that cannot be read fall out."""
    return " ".join(_usual(piece) for piece in sentences_of(text)).replace("  ", " ").strip()


@lru_cache(maxsize=65536)
def _usual(piece: str) -> str:
    statement = parse_sentence(piece)
    return "" if statement is None else say(statement)
