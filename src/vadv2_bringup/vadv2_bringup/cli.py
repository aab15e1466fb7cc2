"""``./vadv2``: one program; every package adds its own commands to it.

A module of `COMMANDS` contributes through ``register(app)``. Start-up imports these small modules and nothing heavy:
commands import what they need when they run.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import threading
from types import FrameType

import typer

from vadv2_core.errors import EXIT_BAD_INPUT, InputError
from vadv2_ros.node_process import INTERRUPTED

COMMANDS = (
    "vadv2_bringup.drive_cli",
    "vadv2_bringup.replay_cli",
    "vadv2_bringup.shadow_cli",
    "vadv2_bringup.control_bench_cli",
    "vadv2_bringup.system_cli",
    "vadv2_perception.cli",
    "vadv2_vlm.cli",
    "vadv2_planner.cli",
    "vadv2_control.cli",
    "vadv2_driver.cli",
    "vadv2_sim.cli",
    "vadv2_bringup.city_cli",
    "vadv2_training.cli",
    "vadv2_eval.cli",
    "vadv2_bringup.regress_cli",
)
"""Modules that bring commands, in the order of ``--help``; a package without commands has none."""


_USAGE_ERROR: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""Whichever click typer brings along, this is what it raises for an argument it refuses."""

_WORDS = "vadv2: interrupted\n"
_AGAIN = 0.01
"""s after which an interrupt that was dropped comes again."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What a user can mend by making room, or by naming another folder."""


def build_app() -> typer.Typer:
    """The program with the commands of every package."""
    app = typer.Typer(
        name="vadv2",
        help="Six cameras in; a driven trajectory, a control command and the reason for it, in words, out.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    app.callback()(lambda: None)
    for module in COMMANDS:
        try:
            commands = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            continue
        commands.register(app)
    return app


def main(arguments: list[str] | None = None, app: typer.Typer | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after the program's name; this process's own by default.
        app: What `build_app` made, where that is done already.

    Returns:
        The exit status: 0, `EXIT_BAD_INPUT` for input a user can mend (after one line on standard error), or the
        command's own.
    """
    try:
        status = (app or build_app())(args=arguments, standalone_mode=False)
    except InputError as error:
        sys.stderr.write(f"vadv2: {error}\n")
        return EXIT_BAD_INPUT
    except _USAGE_ERROR as error:
        sys.stderr.write(f"vadv2: {error.format_message()}\n")  # type: ignore[attr-defined]
        return EXIT_BAD_INPUT
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"vadv2: {where}{error.strerror} (expected room to write)\n")
        return EXIT_BAD_INPUT
    except (typer.Abort, KeyboardInterrupt):
        status = INTERRUPTED
    if status == INTERRUPTED:
        sys.stderr.write(_WORDS)
    return int(status or 0)


def _leave(number: int, frame: FrameType | None) -> None:
    # At once: unwinding through a half-made import prints tracebacks, and there is nothing to clean up yet.
    os.write(2, _WORDS.encode())
    os._exit(INTERRUPTED)


class _Interruption(KeyboardInterrupt):
    # Python ends itself by the signal where a bare KeyboardInterrupt once left `exec`, as every dataclass is made by,
    # though it was caught later: the status would not be ours.
    pass


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise _Interruption


def _not_lost(unraisable: sys.UnraisableHookArgs) -> None:
    # A Ctrl-C that strikes in a destructor or a weak reference's callback (the import system has one a module) is
    # dropped by Python, and the command would go on. It comes again a moment later, outside of it.
    if isinstance(unraisable.exc_value, _Interruption):
        # To the main thread, so that it wakes from what it waits for.
        again = threading.Timer(_AGAIN, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(unraisable)


def run() -> int:
    """The process of the command line: as `main`, and a Ctrl-C ends it with one line from its first moment on.

    ``./vadv2`` starts it with SIGINT held back, so that none strikes while Python itself starts.
    """
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    app = build_app()
    if interruptible:
        sys.unraisablehook = _not_lost
        signal.signal(signal.SIGINT, _interrupt)
    return main(app=app)


if __name__ == "__main__":
    sys.exit(run())
