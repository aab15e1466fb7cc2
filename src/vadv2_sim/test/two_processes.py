"""The same program in two processes, each with its own hash seed."""

from __future__ import annotations

import subprocess
import sys


def assert_equal_digests(program: str) -> None:
    """Hold the sha256 that a program prints to be the same in both."""
    digests = [
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert len(digests[0]) == 64
    assert digests[0] == digests[1]
