"""Jobs for the tests of `vadv2_eval.jobs`; found by name in worker processes."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from vadv2_core.errors import InputError


def square(value: int) -> dict[str, int]:
    return {"square": value * value}


def refuse_odd(value: int) -> int:
    if value % 2:
        raise InputError("is odd", f"value {value}", "an even number")
    return value


def die_once(argument: list) -> int:
    """Kills its own process the first time it is called with this mark."""
    mark, value = Path(argument[0]), argument[1]
    if value == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def die_of_one(value: int) -> int:
    """Ends its process whenever the value is 1."""
    if value == 1:
        os._exit(7)
    return value


def log_call(argument: list) -> int:
    """Leaves one line a call."""
    with Path(argument[0]).open("a") as file:
        file.write(f"{argument[1]}\n")
    return argument[1]


def hang_once(argument: list) -> int:
    """Writes its process id and never ends, the first time it is called with this mark."""
    mark, value = Path(argument[0]), argument[1]
    if value == 2 and not mark.exists():
        mark.write_text(str(os.getpid()))
        threading.Event().wait()
    return value
