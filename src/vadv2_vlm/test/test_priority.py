"""Words go behind what is on the road, and nothing else does."""

import os
import sys
import threading

import pytest

from vadv2_vlm.priority import NICENESS, step_back


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_a_thread_steps_back_and_its_process_does_not():
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
