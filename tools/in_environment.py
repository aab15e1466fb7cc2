"""Run the workspace's Python in the workspace's environment: ``python3 tools/in_environment.py -m pytest``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src" / "vadv2_bringup"))

from vadv2_bringup.environment import runtime_environment, workspace_python  # noqa: E402

if __name__ == "__main__":
    python = workspace_python(ROOT)
    os.execve(python, [python, *sys.argv[1:]], runtime_environment(workspace=ROOT))
