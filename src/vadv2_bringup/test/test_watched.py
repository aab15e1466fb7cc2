"""Work that takes its process with it is told of by who waited outside."""

import os
import signal
import subprocess
import sys

import pytest

from vadv2_bringup.cli import main
from vadv2_bringup.watched import WorkerDied, watched
from vadv2_core.errors import EXIT_BAD_INPUT, InputError
from vadv2_core.scene_log import SceneLog

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has prctl(2)")


def test_what_the_work_returns_refuses_or_interrupts():
    assert watched(lambda: {"frames": 3, "share": 0.1}) == {"frames": 3, "share": 0.1}

    def refuse():
        raise InputError("unknown town", "--town", "one of these")

    with pytest.raises(InputError, match=r"--town: unknown town \(expected one of these\)"):
        watched(refuse)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watched(interrupt)


def test_a_death_by_a_signal_is_named_and_leaves_nobody_running(tmp_path):
    pid_file = tmp_path / "pid"

    def die():
        orphan = subprocess.Popen(["sleep", "600"], start_new_session=True)
        pid_file.write_text(str(orphan.pid))
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerDied, match="SIGKILL"):
        watched(die)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_a_defect_is_shown_and_told_of(capfd):
    with pytest.raises(WorkerDied, match="status 1"):
        watched(lambda: 1 / 0)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_termination_is_passed_on():
    program = """
import os, signal, sys, time
from vadv2_bringup.watched import watched

def stop(number, frame):
    print("told", flush=True)
    raise KeyboardInterrupt

def work():
    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
    time.sleep(60)

try:
    watched(work)
except KeyboardInterrupt:
    sys.exit(7)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "told\n"
    assert process.returncode == 7


def die_of_a_signal():
    os.kill(os.getpid(), signal.SIGKILL)


def die_of_an_error():
    raise InputError("SUMO died: connection closed", "traffic", "a running simulation")


@pytest.mark.long
@pytest.mark.parametrize(("die", "words"), [(die_of_a_signal, "SIGKILL"), (die_of_an_error, "SUMO died")])
def test_a_drive_whose_simulator_dies_keeps_its_log(die, words, tmp_path, monkeypatch, capfd):
    from vadv2_sim.world import World

    step, taken = World.step, []

    def step_or_die(self, command):
        taken.append(command)
        if len(taken) == 6:
            die()
        return step(self, command)

    monkeypatch.setattr(World, "step", step_or_die)
    out = tmp_path / "drive"
    arguments = ["drive", "--town", "town_b", "--seconds", "5", "--seed", "3", "--no-video", "--out", str(out)]
    assert main(arguments) == EXIT_BAD_INPUT
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("vadv2:")]
    assert len(lines) == 1
    assert words in lines[0]
    assert len(SceneLog(tmp_path / "drive.scenes.zst.part")) == 5
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["drive.scenes.zst.part"]
