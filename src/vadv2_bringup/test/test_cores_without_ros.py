"""Every core module imports with no ROS on the path, and no stage imports another."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2]
STAGES = ("vadv2_perception", "vadv2_vlm", "vadv2_planner", "vadv2_control")
CORES = ("vadv2_core", *STAGES, "vadv2_driver", "vadv2_sim", "vadv2_training", "vadv2_eval")
# Nodes import ROS; agents import the benchmark they plug into (NAVSIM, CARLA) and nothing imports them.
APART = ("_node.py", "_agent.py")
# What the blocked imports raise is what a machine without ROS raises.
_BLOCK = """
import importlib, sys
class NoRos:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in ("rclpy", "cv_bridge", "launch", "launch_ros", "vadv2_ros") or top.endswith("_msgs"):
            raise ModuleNotFoundError(f"no module {name}: this machine has no ROS", name=name)
sys.meta_path.insert(0, NoRos())
for module in sys.argv[1:]:
    importlib.import_module(module)
"""


def modules(package: str) -> list[Path]:
    return sorted((SOURCES / package / package).rglob("*.py"))


def dotted(path: Path, package: str) -> str:
    parts = path.relative_to(SOURCES / package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level == 0}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("package", CORES)
def test_a_core_imports_without_ros(package: str) -> None:
    cores = [dotted(p, package) for p in modules(package) if not p.name.endswith(APART) and p.stem != "__main__"]
    done = subprocess.run([sys.executable, "-c", _BLOCK, *cores], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("package", STAGES)
def test_a_stage_imports_no_other_stage(package: str) -> None:
    others = set(STAGES) - {package}
    found = {str(p.relative_to(SOURCES)): others & imported(p) for p in modules(package)}
    assert not {path: names for path, names in found.items() if names}


@pytest.mark.parametrize("package", ("vadv2_core", "vadv2_ros"))
def test_the_foundations_import_nothing_above_them(package: str) -> None:
    allowed = {"vadv2_core"} if package == "vadv2_core" else {"vadv2_core", "vadv2_ros", "vadv2_msgs"}
    found = {p.name: {n for n in imported(p) if n.startswith("vadv2_")} - allowed for p in modules(package)}
    assert not {name: names for name, names in found.items() if names}
