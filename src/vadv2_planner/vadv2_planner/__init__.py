"""Scene tokens and reasoning to candidate trajectories: anchors, truncated diffusion, validator.

The public names are imported when first used, so that a command line's ``--help`` does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vadv2_planner.commander import Commander, CommanderConfig
    from vadv2_planner.config import ModelConfig, PlannerConfig, ValidatorConfig
    from vadv2_planner.planner import Planner
    from vadv2_planner.registry import PLANNERS, make_planner
    from vadv2_planner.validator import Validator

_HOMES = {
    "Commander": "commander",
    "CommanderConfig": "commander",
    "ModelConfig": "config",
    "PLANNERS": "registry",
    "Planner": "planner",
    "PlannerConfig": "config",
    "Validator": "validator",
    "ValidatorConfig": "config",
    "make_planner": "registry",
}

__all__ = [
    "PLANNERS",
    "Commander",
    "CommanderConfig",
    "ModelConfig",
    "Planner",
    "PlannerConfig",
    "Validator",
    "ValidatorConfig",
    "make_planner",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"vadv2_planner.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vadv2_planner' has no attribute {name!r}")
