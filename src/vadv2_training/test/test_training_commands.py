"""`./vadv2 train`: what it refuses, in one line each, before anything is made."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vadv2_bringup.cli import build_app
from vadv2_core.errors import InputError
from vadv2_training.cli_parts import one_process_until
from vadv2_training.recipe import RECIPES, Journal


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
