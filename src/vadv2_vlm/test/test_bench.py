"""The bench measures what it says, on both doors of the command line too."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from vadv2_core.errors import InputError
from vadv2_vlm.bench import base_size, measure, synthetic_tokens, write_tokens
from vadv2_vlm.cli import register
from vadv2_vlm.config import VlmConfig
from vadv2_vlm.reasoner import Reasoner


def test_a_measure_has_finite_positive_numbers(cache):
    found = measure(None, VlmConfig(cache=str(cache)), runs=1).as_mapping()
    numbers = {k: v for k, v in found.items() if not isinstance(v, str)}
    assert all(v > 0 for v in numbers.values())
    assert 4e6 < found["parameters"] < 12e6
    assert found["embedding_cpu_ms"] < found["text60_cpu_ms"]
    json.dumps(found)


def test_sixty_tokens_are_sixty_tokens(cache, monkeypatch):
    reasoner = Reasoner(None, VlmConfig(cache=str(cache)))
    tokens = synthetic_tokens()
    ends = []
    original = reasoner.language.proceed
    monkeypatch.setattr(reasoner.language, "proceed", lambda s, ids: (ends.append(len(ids)), original(s, ids))[1])
    write_tokens(reasoner, tokens, count=60, grammar=False)
    assert ends[1:] == [1] * 60  # after the flag queries
    ends.clear()
    write_tokens(reasoner, tokens, count=60)
    assert sum(ends[1:]) >= 50
    assert len(ends) < 61


def test_base_is_the_two_billion_one():
    size = base_size()
    assert size["vlm_parameters"] == pytest.approx(2.13e9, rel=0.01)
    assert size["vlm_parameters_text"] < size["vlm_parameters"]


def application():
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return app


def test_make_and_show(tmp_path):
    runner = CliRunner()
    made = runner.invoke(application(), ["vlm", "make", str(tmp_path / "tiny"), "--seed", "3"])
    assert made.exit_code == 0, made.output
    shown = runner.invoke(
        application(), ["vlm", "show", str(tmp_path / "tiny"), "--json", str(tmp_path / "facts.json")]
    )
    assert shown.exit_code == 0, shown.output
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["class"] == "Qwen3VLForConditionalGeneration"
    assert facts["licence"] == "apache-2.0"
    again = runner.invoke(application(), ["vlm", "make", str(tmp_path / "tiny")])
    assert isinstance(again.exception, InputError)


def test_ask_about_pictures(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    paths = []
    for index in range(2):
        paths.append(str(tmp_path / f"{index}.png"))
        Image.new("RGB", (96, 64), (40 * index, 90, 120)).save(paths[-1])
    runner = CliRunner()
    out = tmp_path / "answer.json"
    asked = runner.invoke(application(), ["vlm", "ask", *paths, "--command", "turn left", "--json", str(out)])
    assert asked.exit_code == 0, asked.output
    answer = json.loads(out.read_text())
    assert answer["intent"]
    assert len(answer["flags"]) == 10
    assert answer["model_id"].endswith("-untrained")
    (tmp_path / "x.png").write_text("no picture")
    wrong = runner.invoke(application(), ["vlm", "ask", str(tmp_path / "x.png")])
    assert isinstance(wrong.exception, InputError)
    assert "x.png" in str(wrong.exception)
