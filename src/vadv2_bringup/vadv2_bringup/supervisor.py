"""Starts one process a node, passes on their output, and stops them all. Where ``launch`` is not there.

A node that ends by itself is named with its exit status; the others run on, for control must outlive them all. Some may
be started again, as by launch's ``respawn``, and never silently.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

import yaml

from vadv2_bringup.environment import runtime_environment, workspace_python
from vadv2_bringup.shared_memory import remove_stale_segments
from vadv2_bringup.system import NodeDescription, SystemDescription
from vadv2_core.errors import EXIT_BAD_INPUT

_PATIENCE = ((signal.SIGINT, 8.0), (signal.SIGTERM, 4.0), (signal.SIGKILL, 4.0))
"""What is sent to a process that is to end, and how long each is given, s."""


_FIRST_DELAY, _LONGEST_DELAY = 1.0, 30.0
"""Before a node is started again, s: twice as long each time, and anew after a node ran `_STEADY`."""
_STEADY = 60.0
STARTS = "VADV2_STARTS"
"""Environment variable that tells a node how often it was started; it says so on /diagnostics."""


def to_standard_error(line: str) -> None:
    """The usual place for the nodes' output."""
    sys.stderr.write(line + "\n")


def ros_arguments(node: NodeDescription, system: SystemDescription, parameters: Path) -> list[str]:
    """A node's command line after ``--ros-args``.

    Args:
        node: Which.
        system: It belongs to.
        parameters: File that `parameter_file` wrote.
    """
    options = system.options
    arguments = ["--ros-args", "-r", f"__node:={node.name}", "--log-level", options.log_level]
    if options.namespace:
        arguments += ["-r", f"__ns:=/{options.namespace.strip('/')}"]
    for private, public in node.remappings:
        arguments += ["-r", f"{private}:={public}"]
    user = [options.params_file] if options.params_file else []
    for path in (*node.parameter_files, str(parameters), *user):
        arguments += ["--params-file", path]
    return arguments


def parameter_file(node: NodeDescription, folder: Path) -> Path:
    """Write a node's own parameters as a ROS parameter file."""
    path = folder / f"{node.name}.param.yaml"
    nested: dict[str, object] = {}
    for name, value in node.parameters.items():
        nested[name] = list(value) if isinstance(value, tuple) else value
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": nested}}))
    return path


class Supervisor:
    """The nodes of a system as processes; a context manager that ends them.

    Args:
        system: What to start.
        output: Takes each line of the nodes, with the node's name before it.
        environment: To start from; the caller's by default.
        respawn: Names of nodes that are started again where they end by themselves, but for a parameter or model that
            cannot be used (`EXIT_BAD_INPUT`).
    """

    def __init__(
        self,
        system: SystemDescription,
        output: Callable[[str], None] = to_standard_error,
        environment: Mapping[str, str] | None = None,
        respawn: Collection[str] = (),
    ) -> None:
        self.system = system
        self._output = output
        self._environment = runtime_environment(environment)
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._ended: set[int] = set()
        self._respawn = frozenset(respawn)
        self._starts: Counter[str] = Counter()
        self._started_at: dict[str, float] = {}
        self._delays: dict[str, float] = {}
        self._due: dict[str, float] = {}

    def __enter__(self) -> Supervisor:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every node."""
        remove_stale_segments()
        self._folder = tempfile.TemporaryDirectory(prefix="vadv2_")
        for node in self.system.nodes:
            self._start(node)

    def _start(self, node: NodeDescription) -> None:
        assert self._folder is not None, "started"
        self._starts[node.name] += 1
        self._started_at[node.name] = time.monotonic()
        parameters = parameter_file(node, Path(self._folder.name))
        arguments = ros_arguments(node, self.system, parameters)
        process = subprocess.Popen(
            [workspace_python(), "-m", "vadv2_ros.node_process", node.module, *arguments],
            env={**self._environment, **node.environment, STARTS: str(self._starts[node.name])},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A Ctrl-C in the terminal is ours to pass on, once.
            start_new_session=True,
        )
        self._processes[node.name] = process
        assert process.stdout is not None
        reader = threading.Thread(
            target=self._pass_on, args=(node.name, process.stdout), name=str(process.pid), daemon=True
        )
        reader.start()
        self._readers.append(reader)

    def _pass_on(self, name: str, stream: IO[str]) -> None:
        for line in stream:
            self._output(f"[{name}] {line.rstrip()}")

    def ended(self) -> dict[str, int]:
        """Exit status of the nodes that have ended for good; each end is said once, and so is each new start."""
        statuses = {}
        for node in self.system.nodes:
            process = self._processes[node.name]
            status = process.poll()
            if status is None:
                continue
            if process.pid not in self._ended:
                self._ended.add(process.pid)
                self._say_end(node.name, process.pid, status)
            if node.name not in self._due:
                statuses[node.name] = status
            elif time.monotonic() >= self._due[node.name]:
                del self._due[node.name]
                self._start(node)
        return statuses

    def _say_end(self, name: str, pid: int, status: int) -> None:
        # Its last words come before the news of its end.
        for reader in self._readers:
            if reader.name == str(pid):
                reader.join(timeout=1.0)
        words = f"[{name}] ended with status {status}"
        if name in self._respawn and status not in (0, EXIT_BAD_INPUT):
            steady = time.monotonic() - self._started_at[name] > _STEADY
            delay = _FIRST_DELAY if steady else min(self._delays.get(name, _FIRST_DELAY), _LONGEST_DELAY)
            self._delays[name] = 2.0 * delay
            self._due[name] = time.monotonic() + delay
            words += f"; start {self._starts[name] + 1} follows in {delay:g} s"
        self._output(words)

    def wait(self) -> int:
        """Run until every node has ended or the caller is interrupted.

        Returns:
            The largest exit status.
        """
        try:
            while len(statuses := self.ended()) < len(self._processes):
                time.sleep(0.1)
        except KeyboardInterrupt:
            self.stop()
            return 0
        return max(statuses.values(), default=0)

    def stop(self) -> None:
        """End every process, and wait until they have."""
        self._due.clear()
        for sent, patience in _PATIENCE:
            running = [p for p in self._processes.values() if p.poll() is None]
            for process in running:
                process.send_signal(sent)
            end = time.monotonic() + patience
            while time.monotonic() < end and any(p.poll() is None for p in running):
                time.sleep(0.02)
        for reader in self._readers:
            reader.join(timeout=1.0)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @property
    def pids(self) -> dict[str, int]:
        """Process id by node: of its last start."""
        return {name: process.pid for name, process in self._processes.items()}


def interrupted_by_termination() -> None:
    """Let SIGTERM end a command line as Ctrl-C does, so that no node is left behind."""

    def raise_interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if os.name == "posix":
        signal.signal(signal.SIGTERM, raise_interrupt)
