"""DriveLM's questions: answers by their meaning where they come from a closed list, text metrics for the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadv2_core.errors import InputError
from vadv2_core.files import read_json
from vadv2_eval.intervals import rate_interval

CATEGORIES = ("perception", "prediction", "planning", "behavior")
_STEERING = {
    "going straight": "straight",
    "slightly steering to the left": "slightly left",
    "slightly steering to the right": "slightly right",
    "steering to the left": "left",
    "steering to the right": "right",
}
_SPEED = {
    "not moving": "standing",
    "driving slowly": "slow",
    "driving with normal speed": "normal",
    "driving fast": "fast",
    "driving very fast": "very fast",
}
_BEHAVIOUR = re.compile(r"the ego vehicle is ([a-z ]+?)\.")


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a data set.

    Attributes:
        id: ``scene_frame_number``, as DriveLM's submissions number them.
        category: One of `CATEGORIES`.
        question, answer: As written.
    """

    id: str
    category: str
    question: str
    answer: str


def meaning(answer: str) -> tuple[str, str] | None:
    """The kind and value of an answer from a closed list, by its whole form; None for free text.

    Kinds: ``yes_no``, ``choice`` (a letter), ``level`` (low, medium, high), ``behaviour`` (steering and speed).
    """
    text = " ".join(answer.lower().split()).strip()
    if not text.endswith("."):
        text += "."
    word = text[:-1]
    if word in ("yes", "no"):
        return "yes_no", word
    if word in ("low", "medium", "high"):
        return "level", word
    if re.fullmatch(r"\(?[a-d]\)?", word):
        return "choice", word.strip("()")
    parts = _BEHAVIOUR.findall(text)
    if len(parts) == 2 and _BEHAVIOUR.sub("", text).strip() == "":
        steering, speed = _STEERING.get(parts[0]), _SPEED.get(parts[1])
        if steering and speed:
            return "behaviour", f"{steering}, {speed}"
    return None


def read_questions(path: Path) -> list[Question]:
    """The questions of a DriveLM file.

    Raises:
        InputError: for a file of another form, naming the scene and frame.
    """
    data = read_json(path)
    if not isinstance(data, dict) or not data:
        raise InputError("holds no scenes", str(path), "a DriveLM file")
    questions = []
    for scene, value in data.items():
        frames = value.get("key_frames") if isinstance(value, dict) else None
        if not isinstance(frames, dict):
            raise InputError(f"scene {scene} has no key_frames", str(path), "a DriveLM file")
        for frame, entry in frames.items():
            asked = entry.get("QA") if isinstance(entry, dict) else None
            if not isinstance(asked, dict):
                raise InputError(f"frame {frame} has no QA", str(path), "a DriveLM file")
            number = 0
            for category in CATEGORIES:
                for pair in asked.get(category, []):
                    questions.append(Question(f"{scene}_{frame}_{number}", category, pair["Q"], pair["A"]))
                    number += 1
    return questions


def read_answers(path: Path) -> dict[str, str]:
    """Answers by question id, of a list of ``{"id", "answer"}`` as DriveLM's submissions are.

    Raises:
        InputError: for another form or an id that repeats.
    """
    data = read_json(path)
    if not isinstance(data, list) or not all(isinstance(r, dict) and {"id", "answer"} <= set(r) for r in data):
        raise InputError("is of another form", str(path), "a list of {id, answer}")
    answers: dict[str, str] = {}
    for row in data:
        if row["id"] in answers:
            raise InputError(f"{row['id']} appears twice", str(path), "one answer a question")
        answers[str(row["id"])] = str(row["answer"])
    return answers


def _rate(hits: int, count: int) -> dict[str, Any] | None:
    found = rate_interval(hits, count)
    return found.to_json() if found else None


def score_answers(questions: Sequence[Question], answers: dict[str, str]) -> dict[str, Any]:
    """Accuracy by meaning a kind, exact match a category, BLEU and chrF (sacrebleu) of the free text.

    A question without an answer counts as answered by nothing, which is wrong; it is also counted as missing.
    """
    kinds: dict[str, list[bool]] = {}
    categories: dict[str, list[bool]] = {}
    free: list[tuple[str, str]] = []
    for q in questions:
        said = answers.get(q.id, "")
        true = meaning(q.answer)
        same = " ".join(said.lower().split()).rstrip(".") == " ".join(q.answer.lower().split()).rstrip(".")
        categories.setdefault(q.category, []).append(same)
        if true is None:
            free.append((said, q.answer))
        else:
            kinds.setdefault(true[0], []).append(meaning(said) == true)
    return {
        "questions": len(questions),
        "missing": sum(q.id not in answers for q in questions),
        "by_meaning": {k: _rate(sum(v), len(v)) for k, v in sorted(kinds.items())},
        "exact": {k: _rate(sum(v), len(v)) for k, v in sorted(categories.items())},
        "text": _text_metrics(free),
    }


def _text_metrics(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    if not pairs:
        return {"count": 0, "bleu": None, "chrf": None}
    import sacrebleu

    said, true = [a for a, _ in pairs], [b for _, b in pairs]
    return {
        "count": len(pairs),
        "bleu": sacrebleu.corpus_bleu(said, [true]).score / 100.0,
        "chrf": sacrebleu.corpus_chrf(said, [true]).score / 100.0,
        "library": f"sacrebleu {sacrebleu.__version__}, fractions",
    }
