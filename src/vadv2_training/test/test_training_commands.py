"""`./vadv2 train`: what it refuses, in one line each, before anything is made."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vadv2_bringup.cli import build_app
from vadv2_core.errors import InputError
from vadv2_training.cli_parts import one_process_until
from vadv2_training.make_model import copy_model, make_model
from vadv2_training.recipe import RECIPES, Journal, step_facts


def run(*arguments):
    result = CliRunner().invoke(build_app(), ["train", *arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--recipe", "huge"), "unknown recipe 'huge'"),
        (("--until", "supper"), "unknown step 'supper'"),
        (("--vlm", "x"), "--vlm without --stage 2"),
        (("--from", "nowhere"), "holds no perception"),
        (("--bags", "x.mcap"), "no --model"),
        (("recorded", "--model", "m", "--out", "o"), "no source or two"),
        (("recorded", "--model", "m", "--out", "o", "--nuscenes", "nowhere"), "has no tables"),
        (("curves", "--run", "nowhere", "--out", "x.png"), "holds no learning curves"),
        (("ablate", "--store", "a", "--model", "b", "--scenes", "c", "--out", "d", "--row", "x"), "row 'x' is unknown"),
        (("correct", "--model", "nowhere", "--out", "o", "--town", "town_f"), "held out"),
    ],
)
def test_what_cannot_be_done_is_said(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        run(*arguments)
    assert message in str(error.value)
    assert list(Path(tmp_path).iterdir()) == [], "nothing was made"


def test_a_model_is_gone_on_with(tmp_path):
    start, model = tmp_path / "start", tmp_path / "model"
    for part in ("perception", "planner"):
        (start / part).mkdir(parents=True)
        (start / part / "config.json").write_text(part)
    (model / "planner").mkdir(parents=True)
    (model / "planner" / "old").touch()
    copy_model(start, model)
    assert sorted(str(p.relative_to(model)) for p in model.rglob("*.json")) == [
        "perception/config.json", "planner/config.json",
    ]  # fmt: skip
    assert not (model / "planner" / "old").exists(), "a part is replaced whole"
    recipe = RECIPES["tiny-cpu"]
    further = replace(recipe, start="models/tiny")
    assert step_facts(recipe, "cache") == step_facts(further, "cache"), "data stay"
    assert step_facts(recipe, "driving") != step_facts(further, "driving")


def test_help_names_the_commands():
    said = run("--help")
    for command in ("recorded", "correct", "ablate", "curves"):
        assert command in said


def test_several_processes_do_not_make_data_twice(tmp_path, monkeypatch):
    recipe = RECIPES["tiny-cpu"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="step 'record' is not done"):
        one_process_until("cache", recipe, tmp_path)
    journal = Journal(tmp_path / "journal.json", recipe)
    for step in ("record", "cache"):
        with journal.step(step):
            pass
    one_process_until("cache", recipe, tmp_path)


def test_several_processes_do_not_drive_a_round_twice(tmp_path, monkeypatch):
    recipe = RECIPES["tiny-cpu"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    journal = Journal(tmp_path / "journal.json", recipe)
    for step in ("record", "cache", "driving", "perception", "planning"):
        with journal.step(step):
            pass
    with pytest.raises(InputError, match=r"round 1 of correct is not driven.*by one process first"):
        make_model(recipe, tmp_path, lambda *_: None)
    assert not (tmp_path / "corrections-1").exists()
