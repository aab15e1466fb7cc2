"""Driving commands in words: paraphrases of every `DrivingAction`, some of them kept for testing only.

A test paraphrase is never rendered for training; its words may occur in training paraphrases, its wording does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Literal

import numpy as np

from vadv2_core.errors import InputError
from vadv2_core.language.grammar import expand
from vadv2_core.taxonomy import DrivingAction

Split = Literal["train", "test"]

_PLACES = "(at the next (junction|intersection|crossing)|at the (junction|intersection)|here)"

_COMMANDS: dict[DrivingAction, dict[Split, tuple[str, ...]]] = {
    DrivingAction.LANE_FOLLOW: {
        "train": (
            "(follow|keep following) the (lane|road|street)",
            "[please ](stay|remain) (in|on) (this|your|the) lane",
            "keep (to|in) your lane",
            "(continue|carry on|drive on|keep going) (along|on) this (road|street|lane)",
            "just (drive on|keep driving|follow the road)",
            "no turns for now",
            "(drive|go) along the (road|lane)",
        ),
        "test": (
            "stick to this lane",
            "simply follow where the road goes",
            "remain on this street and do not turn",
            "just carry on in your lane",
        ),
    },
    DrivingAction.LEFT: {
        "train": (
            f"[please ](turn|go|head) left {_PLACES}",
            "[please ](turn|go) left",
            "take (the next|the first|a) left",
            f"make a left [turn ]{_PLACES}",
            "(left|left turn) at the (junction|intersection|crossing)",
            "(at|after) the (junction|intersection) [please ]turn left",
            "take the road (to|on) the left",
            "at the next (junction|intersection) we go left",
        ),
        "test": (
            "hang a left up ahead",
            "we need to go left at the next crossing",
            "turn into the street on the left",
            "the next one on the left is ours",
            "would you take that left turn",
        ),
    },
    DrivingAction.RIGHT: {
        "train": (
            f"[please ](turn|go|head) right {_PLACES}",
            "[please ](turn|go) right",
            "take (the next|the first|a) right",
            f"make a right [turn ]{_PLACES}",
            "(right|right turn) at the (junction|intersection|crossing)",
            "(at|after) the (junction|intersection) [please ]turn right",
            "take the road (to|on) the right",
            "at the next (junction|intersection) we go right",
        ),
        "test": (
            "hang a right up ahead",
            "we need to go right at the next crossing",
            "turn into the street on the right",
            "the next one on the right is ours",
            "would you take that right turn",
        ),
    },
    DrivingAction.STRAIGHT: {
        "train": (
            f"[please ](go|drive|head|continue|keep) straight [on |ahead ]{_PLACES}",
            "[please ](go|drive|continue) straight (on|ahead|over the junction|through the intersection)",
            "(cross|pass) the (junction|intersection|crossing) straight",
            "(straight|straight on|straight ahead) at the (junction|intersection)",
            "do not turn at the (junction|intersection)",
            "at the next (junction|intersection) we go straight",
        ),
        "test": (
            "keep straight over the next crossing",
            "no turn at the junction, go on ahead",
            "drive right through the intersection, straight on",
            "stay straight when you come to the junction",
        ),
    },
    DrivingAction.CHANGE_LEFT: {
        "train": (
            "[please ](change|move|switch|go) (to|into) the left lane",
            "[please ]change lanes to the left",
            "(move|go|shift) [over ]one lane (left|to the left)",
            "take the (left lane|lane on the left)",
            "(use|get into) the (left lane|lane on your left)",
            "make a lane change to the left",
            "lane change left",
        ),
        "test": (
            "switch over to the lane on the left",
            "get over to the left lane please",
            "we want to be one lane further left",
            "shift into the left lane",
        ),
    },
    DrivingAction.CHANGE_RIGHT: {
        "train": (
            "[please ](change|move|switch|go) (to|into) the right lane",
            "[please ]change lanes to the right",
            "(move|go|shift) [over ]one lane (right|to the right)",
            "take the (right lane|lane on the right)",
            "(use|get into) the (right lane|lane on your right)",
            "make a lane change to the right",
            "lane change right",
        ),
        "test": (
            "switch over to the lane on the right",
            "get over to the right lane please",
            "we want to be one lane further right",
            "shift into the right lane",
        ),
    },
    DrivingAction.STOP: {
        "train": (
            "[please ]stop [here|the car|the vehicle|now]",
            "[please ](come|get) to a (stop|halt)",
            "(bring|get) the (car|vehicle) to a (stop|halt)",
            "(pull up|halt|hold) [here|now|please]",
            "(stop|halt) and wait",
            "do not drive on",
        ),
        "test": (
            "let us stop at this place",
            "make the car stand still",
            "halt the vehicle here",
            "please pull up and wait",
        ),
    },
}
_DISTANCES = ("in {} m, ", "in {} metres ", "after {} m ")


@cache
def _table(split: Split) -> dict[DrivingAction, tuple[str, ...]]:
    table = {}
    for action, patterns in _COMMANDS.items():
        texts = (re.sub(r"\s+", " ", t).strip() for p in patterns[split] for t in expand(p))
        table[action] = tuple(dict.fromkeys(texts))
    return table


def paraphrases(action: DrivingAction, split: Split = "train") -> tuple[str, ...]:
    """Every wording of an action in a split, without a distance; the first is the usual one.

    Raises:
        InputError: for UNKNOWN, which has no words.
    """
    if action not in _table(split):
        raise InputError(f"{action.name} has no words", "driving command", "an action other than UNKNOWN")
    return _table(split)[action]


def all_commands(split: Split = "train") -> Iterator[str]:
    """Every wording of every action in a split."""
    for texts in _table(split).values():
        yield from texts


def command_text(
    action: DrivingAction,
    distance: float = 0.0,
    generator: np.random.Generator | None = None,
    split: Split = "train",
) -> str:
    """Words for an action.

    Args:
        action: What is asked; UNKNOWN gives an empty text.
        distance: Metres to where it applies; said, rounded to 10 m, where it is at least 10 m.
        generator: Varies the words; without one the usual are said.
        split: Which paraphrases.
    """
    if action is DrivingAction.UNKNOWN:
        return ""
    texts = paraphrases(action, split)
    text = texts[0] if generator is None else texts[int(generator.integers(len(texts)))]
    if distance >= 10.0 and action is not DrivingAction.LANE_FOLLOW:
        lead = _DISTANCES[0 if generator is None else int(generator.integers(len(_DISTANCES)))]
        text = lead.format(round(distance / 10.0) * 10) + text
    return text


def parse_command(text: str) -> tuple[DrivingAction, float]:
    """The action and distance (m, 0 where none is said) of a command in known words, of either split.

    A text in other words gives UNKNOWN: the model reads those, not this parser.
    """
    plain = re.sub(r"\s+", " ", text.lower()).strip().rstrip(".!")
    match = re.match(r"(?:in|after) (\d+) (?:m|metres|meters),? ", plain)
    distance = float(match.group(1)) if match else 0.0
    plain = plain[match.end() :] if match else plain
    for split in ("train", "test"):
        for action, texts in _table(split).items():
            if plain in texts:
                return action, distance
    return DrivingAction.UNKNOWN, distance
