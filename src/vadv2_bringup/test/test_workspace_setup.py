"""Setting up the workspace: what it depends on, what it mends, and how it goes on after an interruption."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vadv2_bringup.environment import TRAINING, WORKSPACE, command_environment

sys.path.insert(0, str(WORKSPACE / "tools"))

import prepare_workspace
import system_libraries


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty environment of its own in a temporary place."""
    venv = tmp_path / ".venv"
    (venv / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    for name, value in (("VENV", venv), ("STATE", venv / "prepared.json"), ("LOG", venv / "setup.log")):
        monkeypatch.setattr(prepare_workspace, name, value)
    return tmp_path


def test_the_lock_files_pin_every_requirement() -> None:
    for name in ("requirements", "requirements-ros"):
        pinned = [line for line in (WORKSPACE / f"{name}.lock").read_text().splitlines() if not line.startswith("#")]
        assert all(line.count("==") == 1 for line in pinned)
        names = {line.partition("==")[0] for line in pinned}
        asked = (line.partition("#")[0].strip() for line in (WORKSPACE / f"{name}.in").read_text().splitlines())
        wanted = {line.split("[")[0].split("<")[0].split("=")[0].lower().replace("_", "-") for line in asked if line}
        assert wanted <= names | {"numpy"}


def test_the_ros_wheels_stay_out_where_a_distribution_is_sourced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    with_wheels = [p.name for p in prepare_workspace.locks()]
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/ros/jazzy")
    assert with_wheels == ["requirements.lock", "requirements-ros.lock"]
    assert [p.name for p in prepare_workspace.locks()] == ["requirements.lock"]
    assert prepare_workspace.flavour() == "jazzy"


def test_foreign_interpreter_paths_are_mended(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_workspace, "PYTHON", Path(sys.executable))
    share = workspace / ".venv" / "share" / "pkg"
    share.mkdir(parents=True)
    foreign = "/opt/python/cp312-cp312"
    (share / "a.cmake").write_text(f'"{foreign}/include/python3.12;{foreign}/lib/python3.12/site-packages/numpy"\n')
    prepare_workspace.mend_cmake_files()
    text = (share / "a.cmake").read_text()
    include, library = text.strip().strip('"').split(";")
    assert (Path(include) / "Python.h").exists()
    assert library.endswith("site-packages/numpy") and foreign not in text


def test_a_package_whose_installation_was_cut_off_is_installed_again(workspace: Path) -> None:
    site = prepare_workspace.site_packages()
    for name, whole in (("torn-1.dist-info", False), ("whole-1.dist-info", True)):
        (site / name).mkdir()
        (site / name / "RECORD").write_text("")
        if whole:
            (site / name / "INSTALLER").write_text("pip\n")
    prepare_workspace.forget_torn_packages(site)
    assert [p.name for p in site.iterdir()] == ["whole-1.dist-info"]


def test_only_what_changed_is_done(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_workspace, "PYTHON", Path(sys.executable))
    wanted = prepare_workspace.digests()
    assert prepare_workspace.outdated(wanted) == list(wanted)
    prepare_workspace.write_state(wanted)
    assert prepare_workspace.outdated(wanted) == []
    prepare_workspace.write_state({"build vadv2_control": "older"})
    assert prepare_workspace.outdated(wanted) == ["build vadv2_control"]
    monkeypatch.setattr(prepare_workspace, "PYTHON", workspace / "gone")
    assert prepare_workspace.outdated(wanted) == list(wanted)


def test_an_unreadable_state_means_nothing_is_done(workspace: Path) -> None:
    assert prepare_workspace.read_state() == {}
    prepare_workspace.write_state({"packages": "abc"})
    assert prepare_workspace.read_state() == {"packages": "abc"}
    prepare_workspace.STATE.write_text('{"packages": ')
    assert prepare_workspace.read_state() == {}
    prepare_workspace.STATE.write_text(json.dumps(["packages"]))
    assert prepare_workspace.read_state() == {}


def test_a_command_that_fails_says_its_last_line(workspace: Path) -> None:
    command = [sys.executable, "-c", "print('Collecting a'); print('no such wheel'); raise SystemExit(3)"]
    with pytest.raises(prepare_workspace.SetupError, match="no such wheel"):
        prepare_workspace.run_logged(command, {}, "packages", "Collecting")
    assert "Collecting a" in prepare_workspace.LOG.read_text()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_libraries, "missing", lambda: ["cmake", "libegl1"])
    monkeypatch.setattr(system_libraries, "install", lambda packages, say: False)
    with pytest.raises(system_libraries.MissingProgramError, match="apt-get install cmake libegl1"):
        system_libraries.require(lambda line: None)
    said: list[str] = []
    monkeypatch.setattr(system_libraries, "missing", lambda: ["libegl1"])
    system_libraries.require(said.append)
    assert len(said) == 1 and "libegl1" in said[0]


def test_make_without_a_target_explains_itself() -> None:
    shown = subprocess.run(["make"], cwd=WORKSPACE, capture_output=True, text=True, check=True).stdout
    for target in ("setup", "drive", "test", "test-long", "lint", "clean"):
        assert f"make {target} " in shown


def test_training_keeps_its_memory_and_a_vehicle_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TRAINING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    told = command_environment("train")
    assert told["MALLOC_MMAP_MAX_"] == "0" and told["MALLOC_TOP_PAD_"] == "1", "what the user has set stays"
    assert "MALLOC_MMAP_MAX_" not in command_environment("drive")
