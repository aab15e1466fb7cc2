"""The words around the scene: the prompt before the answer and the fixed frame of the answer itself.

A whole sequence is: user turn (scene slots or images, command, ego) · ``<reason>`` · own earlier intents · the plan in
force · flag queries · action · cause · intent · scene · trace. Pieces are tokenised one by one and joined, in training
as on the road.
"""

from __future__ import annotations

from collections.abc import Sequence

from vadv2_core.command import DrivingCommand
from vadv2_core.ego import EgoState
from vadv2_core.language.lexicon import FLAG, LATERAL_WORD, LONGITUDINAL_WORD
from vadv2_core.meta_action import MetaAction
from vadv2_core.taxonomy import DrivingAction, EdgeCaseFlag

REASON_TOKEN = "<reason>"
"""Last token of the prefill; the hidden state over it is the reasoning embedding."""
FLAG_QUERIES = tuple(f" {FLAG.phrases[flag][0]}?" for flag in EdgeCaseFlag)
"""One a flag, by its value; yes or no is read from the logits after its last token."""
YES, NO = " yes", " no"
PAST_HEADER, PLAN_HEADER, FLAGS_HEADER = "\nearlier:", "\nplan:", "\nflags:"
ACTION_HEADER, ACTION_COMMA, CAUSE_HEADER = "action:", ",", "cause:"
INTENT_HEADER, SCENE_HEADER, TRACE_HEADER = "intent:", "scene:", "trace:"
LINE_END = "\n"
MAX_PAST_CHARACTERS = 120

INSTRUCTIONS = (
    "You drive the car whose surround cameras these are. Answer in lines: flags (each edge case yes or no), "
    "action (keep, accelerate, decelerate or stop, then straight, left turn, right turn, left change or right change), "
    "cause (two words at most), intent (one sentence with its reason), scene (two sentences), "
    "trace (numbered steps that end in the action)."
)
"""For a model that was not trained on this form."""


def user_text(command: DrivingCommand, ego: EgoState, *, instructions: bool) -> str:
    """The words of the user turn: what is asked and how fast the ego is."""
    action = "" if command.action is DrivingAction.UNKNOWN else f" [{command.action.name.lower().replace('_', ' ')}]"
    distance = f" in {round(command.distance)} m" if command.distance >= 1.0 else ""
    said = f" {command.text.strip()}" if command.text.strip() else " none"
    words = f"command:{said}{action}{distance}\nspeed: {max(round(ego.speed), 0)} m/s"
    return f"{INSTRUCTIONS}\n{words}" if instructions else words


def past_words(intents: Sequence[str], limit: int) -> str:
    """What the ego said before, newest last: at most ``limit`` intents of bounded length; empty for none."""
    said = [i.strip()[:MAX_PAST_CHARACTERS] for i in intents if i.strip()]
    recent = said[-limit:] if limit else []
    return f"{PAST_HEADER} " + " ".join(recent) if recent else ""


def plan_words(planned: MetaAction | None) -> str:
    """What the ego is about to do; empty for no plan.

    It comes after `REASON_TOKEN`: the words say why, and the embedding, which the planner reads, knows nothing of it,
    so that no plan is its own reason.
    """
    if planned is None or not all(planned):
        return ""
    return f"{PLAN_HEADER} {LONGITUDINAL_WORD[planned[0]]}{ACTION_COMMA} {LATERAL_WORD[planned[1]]}"
