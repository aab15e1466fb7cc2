"""Nothing that is not finite leaves a node."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np


def first_not_finite(value: Any, name: str = "") -> str:
    """Dotted name of the first number in a dataclass, array or container that is not finite; empty where all are."""
    if isinstance(value, float):
        return "" if math.isfinite(value) else name
    if isinstance(value, np.ndarray):
        floating = np.issubdtype(value.dtype, np.floating)
        return name if floating and not np.isfinite(value).all() else ""
    parts: list[tuple[str, Any]] = []
    if dataclasses.is_dataclass(value):
        parts = [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
    elif isinstance(value, dict):
        parts = [(str(k), v) for k, v in value.items()]
    elif isinstance(value, (tuple, list)):
        parts = [(str(i), v) for i, v in enumerate(value)]
    for part, inner in parts:
        found = first_not_finite(inner, f"{name}.{part}" if name else part)
        if found:
            return found
    return ""
