"""The doctor names what is missing and the command that mends it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from vadv2_bringup.doctor import Finding, Verdict, examine, network_finding, print_findings, unheard_findings
from vadv2_bringup.environment import (
    DISCOVERY_RANGE,
    LARGE_DATA,
    LOCAL_PROFILE,
    workspace_python,
)
from vadv2_core.camera import SURROUND_CAMERAS
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


@pytest.mark.parametrize(
    ("environment", "verdict", "says"),
    [
        ({}, Verdict.MISSING, "a quarter of the images is lost"),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": str(LOCAL_PROFILE)}, Verdict.OK, "this machine alone"),
        ({"FASTDDS_BUILTIN_TRANSPORTS": LARGE_DATA}, Verdict.NOTE, "every machine"),
        ({"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"}, Verdict.NOTE, "your own: RMW_IMPLEMENTATION=rmw_zenoh_cpp"),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA", DISCOVERY_RANGE: "LOCALHOST"}, Verdict.MISSING, "LOCALHOST"),
    ],
)
def test_who_can_talk_to_the_nodes_is_said(environment: dict[str, str], verdict: Verdict, says: str) -> None:
    found = network_finding(environment)
    assert found.verdict is verdict and says in found.words
    assert bool(found.mend) == (verdict is Verdict.MISSING or "every" in says)


def camera_driver(kind: str) -> subprocess.Popen[bytes]:
    """Six cameras of another vendor on this machine: Fast DDS's own transports, our topic names."""
    script = Path(__file__).resolve().parents[2] / "vadv2_ros" / "test" / "six_cameras.py"
    remapped = [word for c in SURROUND_CAMERAS for word in ("-r", f"/camera/{c}:=/camera/{c}/image")]
    environment = {**os.environ, "FASTDDS_DEFAULT_PROFILES_FILE": "", "FASTDDS_BUILTIN_TRANSPORTS": kind}
    command = [workspace_python(), str(script), "send", "1000", "--ros-args", *remapped]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def test_a_camera_driver_with_the_default_transports_is_heard(models: Path) -> None:
    driver = camera_driver("DEFAULT")
    try:
        found = {f.about: f for f in examine("tiny", models, "sim", "", 8.0)}
    finally:
        driver.kill()
        driver.wait()
    assert all(found[f"camera {c}"].verdict is Verdict.OK for c in SURROUND_CAMERAS)
    assert "transport" not in found


def test_a_topic_of_which_nothing_arrives_is_named_with_what_to_export() -> None:
    (found,) = unheard_findings(["camera/front/image"])
    assert "camera/front/image" in found.words and found.verdict is Verdict.MISSING
    assert f"export FASTDDS_DEFAULT_PROFILES_FILE={LOCAL_PROFILE}" in found.mend
    assert not list(unheard_findings([]))


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
