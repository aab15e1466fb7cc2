"""Real-time priority of a process: what must answer in time goes before what may wait."""

from __future__ import annotations

import os
from pathlib import Path


def take_priority(level: int) -> str:
    """Run every thread of this process, and those it starts from now on, first in, first out (``SCHED_FIFO``).

    Only for a process that rests most of the time; the kernel leaves 5 % to the others whatever it does.

    Args:
        level: 1 to 99, larger goes first; 0 leaves everything as it is.

    Returns:
        Empty, or why not: the system knows no such thing, or does not allow it (``CAP_SYS_NICE``, ``ulimit -r``).
    """
    if level == 0:
        return ""
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no SCHED_FIFO"
    try:
        for task in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(level))
    except OSError as error:
        return f"no real-time priority: {error.strerror} (CAP_SYS_NICE or ulimit -r {level} allows it)"
    return ""
