"""Words step back: they are written beside the road, on what the road leaves of the processor."""

from __future__ import annotations

import os
import re
import sys
import threading
from contextlib import suppress
from pathlib import Path

NICENESS = 10
"""A tenth of the share of a thread that has not stepped back, where both want one core; all of a core nobody wants."""


_GROUP = Path("/proc/self/autogroup")


def step_back() -> bool:
    """Let the calling thread, and those it starts, go behind all others by `NICENESS` (nice(2), on Linux by thread).

    Where the kernel groups processes by session (sched(7), autogroup), a nice value says nothing outside its session;
    a process that has a session to itself lets the session step back too. What is behind already stays there, and
    nothing comes back: that takes a privilege.

    Returns:
        Whether it is behind now; false where the system knows no priority of a thread.
    """
    if sys.platform != "linux":
        return False
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
    if os.getsid(0) == os.getpid() and _GROUP.is_file():
        now = re.search(r"nice (-?\d+)", _GROUP.read_text())
        if now and int(now.group(1)) < NICENESS:
            with suppress(OSError):  # The kernel takes one change in a tenth of a second.
                _GROUP.write_text(str(NICENESS))
    return True
