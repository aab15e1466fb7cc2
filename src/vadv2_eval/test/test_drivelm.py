"""DriveLM answers by their meaning, in DriveLM's own file form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vadv2_core.errors import InputError
from vadv2_eval.reasoning.drivelm import meaning, read_answers, read_questions, score_answers

SHARED = Path(__file__).resolve().parents[4] / "shared/data/six_camera_clips/nuscenes_scene0368/drivelm_qa.json"
STRAIGHT = "The ego vehicle is going straight."


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes.", ("yes_no", "yes")),
        ("no", ("yes_no", "no")),
        ("Not yes.", None),
        ("Low.", ("level", "low")),
        ("B", ("choice", "b")),
        ("(c)", ("choice", "c")),
        (f"{STRAIGHT} The ego vehicle is not moving.", ("behaviour", "straight, standing")),
        ("the ego vehicle is steering to the left. the ego vehicle is driving fast", ("behaviour", "left, fast")),
        (f"{STRAIGHT} The ego vehicle is flying.", None),
        (f"It is wrong that: {STRAIGHT} The ego vehicle is driving fast.", None),
        ("There are many cars.", None),
    ],
)
def test_meaning_is_of_the_whole_answer(answer, expected):
    assert meaning(answer) == expected


def _file(path: Path, answers: dict[str, list[tuple[str, str]]]) -> Path:
    asked = {k: [{"Q": q, "A": a} for q, a in v] for k, v in answers.items()}
    path.write_text(json.dumps({"s": {"key_frames": {"f": {"QA": asked}}}}))
    return path


def test_scores_of_known_answers(tmp_path):
    questions = read_questions(
        _file(
            tmp_path / "qa.json",
            {
                "perception": [("What is there?", "There are two cars in front of the ego car.")],
                "prediction": [("Is it moving?", "Yes."), ("And this?", "No.")],
                "behavior": [("Predict.", f"{STRAIGHT} The ego vehicle is driving slowly.")],
            },
        )
    )
    assert [q.id for q in questions] == ["s_f_0", "s_f_1", "s_f_2", "s_f_3"]
    said = {
        "s_f_0": "There are two cars in front of the ego car.",
        "s_f_1": "yes",
        "s_f_2": "No car is moving, but yes it is relevant.",
    }
    result = score_answers(questions, said)
    assert result["by_meaning"]["yes_no"]["mean"] == 0.5 and result["missing"] == 1
    assert result["by_meaning"]["behaviour"]["mean"] == 0.0
    assert result["text"]["count"] == 1 and result["text"]["bleu"] == pytest.approx(1.0)
    assert result["exact"]["prediction"]["mean"] == 0.5


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    with pytest.raises(InputError, match=r"list of \{id, answer\}"):
        read_answers(path)
    path.write_text('[{"id": "x", "answer": "a"}, {"id": "x", "answer": "b"}]')
    with pytest.raises(InputError, match="x appears twice"):
        read_answers(path)
    path.write_text('{"scene": {"frames": []}}')
    with pytest.raises(InputError, match="scene has no key_frames"):
        read_questions(path)


@pytest.mark.skipif(not SHARED.is_file(), reason="../shared/data is not here")
def test_the_truth_answers_itself_perfectly():
    questions = read_questions(SHARED)
    result = score_answers(questions, {q.id: q.answer for q in questions})
    assert result["by_meaning"]["behaviour"]["mean"] == 1.0 and result["by_meaning"]["behaviour"]["count"] == 5
    assert result["by_meaning"]["yes_no"]["count"] > 50 and result["text"]["bleu"] == pytest.approx(1.0)
