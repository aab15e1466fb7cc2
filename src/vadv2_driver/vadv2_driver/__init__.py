"""The four stages of VADv2 as one object without ROS.

The public names are imported when first used: describing the nodes must not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vadv2_driver.configuration import DriverConfig
    from vadv2_driver.driver import Driver
    from vadv2_driver.output import DriverOutput, outputs_sha256, system_model_id

_HOMES = {
    "Driver": "driver",
    "DriverConfig": "configuration",
    "DriverOutput": "output",
    "outputs_sha256": "output",
    "system_model_id": "output",
}

__all__ = ["Driver", "DriverConfig", "DriverOutput", "outputs_sha256", "system_model_id"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"vadv2_driver.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vadv2_driver' has no attribute {name!r}")
