"""Words step back: they are written beside the road, on what the road leaves of the processor."""

from __future__ import annotations

import os
import sys
import threading

NICENESS = 10
"""A tenth of the share of a thread that has not stepped back, where both want one core; all of a core nobody wants."""


def step_back() -> bool:
    """Let the calling thread, and those it starts, go behind all others by `NICENESS` (nice(2), on Linux by thread).

    A thread that is behind already stays there, and none comes back: that takes a privilege.

    Returns:
        Whether it is behind now; false where the system knows no priority of a thread.
    """
    if sys.platform != "linux":
        return False
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
    return True
