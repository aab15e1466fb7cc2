"""A node's process: how it starts, and how it ends. ``python -m vadv2_ros.node_process PACKAGE.NODE --ros-args ...``.

The heavy imports of a node take seconds. A Ctrl-C in that time ends it with one line; later the node shuts down
in order.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vadv2_ros.worker_node import WorkerNode

INTERRUPTED = 130
"""Exit status of a program that Ctrl-C ended."""

_WORDS = "interrupted while starting\n"


def run_node(make: Callable[[], WorkerNode[Any, Any]]) -> int:
    """The main function of a node's process.

    With ``autostart`` the node configures and activates itself, and the process ends where it cannot.

    Returns:
        Exit status: 0; 2 after one line where a parameter or the model cannot be used; 130 where it was interrupted
        before it ran.
    """
    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.lifecycle import TransitionCallbackReturn

    from vadv2_core.errors import EXIT_BAD_INPUT, InputError
    from vadv2_ros.worker_node import AUTOSTART

    rclpy.init()
    node, status = None, 0
    try:
        node = make()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if node.get_parameter(AUTOSTART).value:
            done = TransitionCallbackReturn.SUCCESS
            if node.trigger_configure() != done or node.trigger_activate() != done:
                return EXIT_BAD_INPUT
        executor.spin()
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        status = EXIT_BAD_INPUT
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():
            raise
        # Ctrl-C took the context away from under a node that was being made.
        sys.stderr.write(_WORDS)
        status = INTERRUPTED
    finally:
        if node is not None:
            node.stop_working()
            node.destroy_node()
        rclpy.try_shutdown()
    return status


def _leave(number: int, frame: object) -> None:
    # At once: unwinding through a half-made import prints tracebacks, and there is nothing to clean up yet.
    os.write(2, _WORDS.encode())
    os._exit(INTERRUPTED)


def main() -> int:
    """Import the node's module and run its ``main``."""
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGTERM, _leave)
    node = importlib.import_module(sys.argv.pop(1))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return int(node.main())


if __name__ == "__main__":
    sys.exit(main())
