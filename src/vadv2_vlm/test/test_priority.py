"""Words go behind what is on the road, and nothing else does."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vadv2_vlm.priority import NICENESS, step_back

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")


@ON_LINUX
def test_a_thread_steps_back_and_its_process_does_not(monkeypatch):
    monkeypatch.setattr(os, "getsid", lambda _: -1)
    seen = []

    def words():
        assert step_back() and step_back(), "again is no further"
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=words)
    thread.start()
    thread.join()
    assert seen == [max(NICENESS, before)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


@ON_LINUX
@pytest.mark.skipif(not Path("/proc/self/autogroup").is_file(), reason="this kernel does not group by session")
def test_a_session_of_its_own_steps_back_too():
    look = "from vadv2_vlm.priority import *; step_back(); print(open('/proc/self/autogroup').read())"
    done = subprocess.run([sys.executable, "-c", look], start_new_session=True, capture_output=True, text=True)
    assert f"nice {NICENESS}" in done.stdout, done.stderr
    within = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert within.stdout.strip() == Path("/proc/self/autogroup").read_text().strip(), "its session is not its own"
