"""The doctor names what is missing and the command that mends it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vadv2_bringup.doctor import Finding, Verdict, examine, print_findings
from vadv2_core.checkpoint import save_checkpoint
from vadv2_core.errors import EXIT_BAD_INPUT, InputError


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for stage in ("perception", "planner"):
        tensors = {"w": np.ones(3, np.float32)}
        save_checkpoint(tmp_path / "tiny" / stage, kind=stage, model_id=f"{stage}-7", config={}, tensors=tensors)
    return tmp_path


def findings(models: Path) -> dict[str, Finding]:
    return {f.about: f for f in examine("tiny", models, "sim", "", 0.0)}


def test_checksums_are_held(models: Path) -> None:
    found = findings(models)
    assert found["model planner"].verdict is Verdict.OK and "planner-7" in found["model planner"].words
    assert found["model vlm"].verdict is Verdict.NOTE and "untrained" in found["model vlm"].words
    weights = models / "tiny" / "planner" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    broken = findings(models)["model planner"]
    assert broken.verdict is Verdict.MISSING and "SHA-256" in broken.words and broken.mend


def test_a_model_of_another_stage_is_named(models: Path) -> None:
    (models / "tiny" / "vlm").symlink_to(models / "tiny" / "planner")
    assert "is a 'planner' model" in findings(models)["model vlm"].words


def test_transports_that_lose_images_are_named(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(models)["transport"].verdict is Verdict.OK
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.delenv("FASTDDS_BUILTIN_TRANSPORTS")
    found = findings(models)
    assert found["transport"].verdict is Verdict.MISSING and "export FASTDDS" in found["transport"].mend
    assert found["discovery"].verdict is Verdict.MISSING


def test_listening_says_what_is_silent(models: Path) -> None:
    found = {f.about: f for f in examine("tiny", models, "sim", "nobody", 0.3)}
    assert "front" in found["cameras"].words and found["nodes"].words == "none is running"


def test_unknown_names_are_bad_input(models: Path) -> None:
    with pytest.raises(InputError, match="interface 'boat'"):
        examine("tiny", models, "boat", "", 0.0)
    with pytest.raises(InputError, match="huge"):
        examine("huge", models, "sim", "", 0.0)


def test_the_exit_status_and_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = Finding("torch", Verdict.OK, "2.13")
    bad = Finding("rclpy", Verdict.MISSING, "cannot be imported", "make setup")
    assert print_findings([good], None) == 0
    assert print_findings([bad, good], tmp_path / "found.json") == EXIT_BAD_INPUT
    assert "make setup" in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text())["findings"][0]["verdict"] == "missing"
