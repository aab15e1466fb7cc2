"""Work in a process of its own, watched by the one that asked for it: native code may take its process with it.

SUMO does (a segmentation fault within a step). Who waits outside can still say so in one line, and keep what was
written.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from vadv2_core.errors import InputError

_PASSED_ON = (signal.SIGINT, signal.SIGTERM)
_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36
"""Of prctl(2): a signal when the parent dies; orphans of our children become our own."""
_PATIENCE = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
"""What orphans are sent, and how long they are given, s."""


class WorkerDied(Exception):  # noqa: N818
    """The process of the work ended without a word: by a signal, whose name this says, or by a defect."""


def watched(work: Callable[[], Any]) -> Any:
    """Do some work in a child process and return what it returns.

    Call it before threads, nodes and native libraries are there: a process that has drawn with software GL, for one,
    leaves its child a pool without threads, which waits for ever. The child has a process group of its own, and what
    would interrupt or end the parent is passed on to it, once. Where there is no Linux, the work is done right here.

    Args:
        work: Returns a JSON value.

    Raises:
        InputError: the child's.
        KeyboardInterrupt: the child's.
        WorkerDied: if anything else ended the child; its own children have been ended then.
    """
    if not sys.platform.startswith("linux"):
        return work()
    sys.stdout.flush()
    sys.stderr.flush()
    ours, theirs = os.pipe()
    _prctl(_SET_SUBREAPER, 1)
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    others = _children()
    child = os.fork()
    if child == 0:
        _prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        _work_and_leave(work, theirs)

    def pass_on(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    signal.pthread_sigmask(signal.SIG_SETMASK, held)
    os.close(theirs)
    try:
        with os.fdopen(ours) as pipe:
            said = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status < 0:
            _end_orphans(others)
    finally:
        _prctl(_SET_SUBREAPER, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    told = json.loads(said) if status == 0 else {}
    if "refused" in told:
        raise InputError(*told["refused"])
    if "interrupted" in told:
        raise KeyboardInterrupt
    if "result" not in told:
        raise WorkerDied(signal.Signals(-status).name if status < 0 else f"status {status}")
    return told["result"]


def _work_and_leave(work: Callable[[], Any], pipe: int) -> None:
    """Ends this process; with status 0 where the parent is told what came of the work."""
    status = 1
    try:
        try:
            told = {"result": work()}
        except InputError as error:
            told = {"refused": [error.what, error.where, error.expected]}
        except KeyboardInterrupt:
            told = {"interrupted": True}
        with os.fdopen(pipe, "w") as out:
            json.dump(told, out)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _end_orphans(others: frozenset[int]) -> None:
    """End the children that the dead one left to us; ``others`` were ours before."""
    for number, patience in _PATIENCE:
        left = _children() - others
        for pid in left:
            os.kill(pid, number)
        end = time.monotonic() + patience
        while left and time.monotonic() < end:
            left = frozenset(pid for pid in left if os.waitpid(pid, os.WNOHANG)[0] == 0)
            time.sleep(0.02)


def _children() -> frozenset[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # gone meanwhile
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid():
                found.append(int(stat.parent.name))
    return frozenset(found)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
