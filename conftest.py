"""What every test shares: the runtime environment, a private ROS domain, and processes that end with their test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "src" / "vadv2_bringup"))

from vadv2_bringup.environment import runtime_environment

# Domains above 101 collide with the ports Linux hands out to clients.
_DOMAINS = 100


def pytest_configure() -> None:
    """Give this process, and with it all it starts, a ROS domain of its own and the workspace's settings."""
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % _DOMAINS)
    os.environ.update(runtime_environment())


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start_process() -> Iterator[Start]:
    """Start the workspace's Python with arguments; whatever still runs at the end of the test is ended."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.terminate()
    for process in running:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
