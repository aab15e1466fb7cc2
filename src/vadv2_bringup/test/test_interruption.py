"""Ctrl-C ends a command line with one line and the status that a shell expects, whatever it was doing."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vadv2_ros.node_process import INTERRUPTED

ROOT = Path(__file__).resolve().parents[3]
ENDLESS = ("eval", "closed-loop", "--driver", "expert", "--seeds", "50")


def as_from_a_terminal():
    signal.signal(signal.SIGINT, signal.default_int_handler)


def before_it_can_be_heard():
    as_from_a_terminal()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def interrupted(command, folder, after, *, held_back=False):
    process = subprocess.Popen(
        [*command, *ENDLESS, "--json", str(folder / "numbers.json")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before_it_can_be_heard if held_back else as_from_a_terminal,
    )
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    words = process.communicate(timeout=60)[1]
    return process.returncode, words.strip().splitlines()


def test_an_interrupt_that_came_before_the_program_waits_for_it(tmp_path):
    program = [sys.executable, "-m", "vadv2_bringup.cli"]
    assert interrupted(program, tmp_path, 0.0, held_back=True) == (INTERRUPTED, ["vadv2: interrupted"])


@pytest.mark.parametrize("after", [0.5, 1.0, 2.0, 5.0])
def test_an_interrupt_ends_the_command_line_in_one_line(after, tmp_path):
    status, words = interrupted([sys.executable, "-S", str(ROOT / "vadv2")], tmp_path, after)
    assert status == INTERRUPTED
    assert "interrupted" in words[-1] and not any("Traceback" in line or "Error" in line for line in words)


# Between the two entries of the callback's list Python looks for signals, so that this one strikes inside of it.
DROPPED = """
import signal, sys, time, weakref
from vadv2_bringup import cli

class Gone:
    pass

def app(args, standalone_mode):
    gone = Gone()
    watch = weakref.ref(gone, lambda _: [signal.raise_signal(signal.SIGINT), time.sleep(0.0)])
    del gone
    time.sleep(50.0)
    return 0

cli.build_app = lambda: app
sys.exit(cli.run())
"""


def test_an_interrupt_in_a_callback_that_python_drops_comes_again():
    done = subprocess.run(
        [sys.executable, "-c", DROPPED], capture_output=True, text=True, timeout=40, preexec_fn=as_from_a_terminal
    )
    assert (done.returncode, done.stderr) == (INTERRUPTED, "vadv2: interrupted\n")
