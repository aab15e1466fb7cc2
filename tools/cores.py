"""Print the modules that ``mypy --strict`` holds: every module of every package but nodes and tests."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def cores() -> list[str]:
    """Paths of the core modules, relative to the root."""
    packages = sorted((ROOT / "src").glob("vadv2_*"))
    modules = (module for package in packages for module in sorted((package / package.name).rglob("*.py")))
    return [str(module.relative_to(ROOT)) for module in modules if not module.name.endswith("_node.py")]


if __name__ == "__main__":
    sys.stdout.write(" ".join(cores()) + "\n")
