"""What a node says about itself on ``/diagnostics``: counters, ages, timings, and one level in words."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node


class Level(IntEnum):
    """Levels of ``diagnostic_msgs/DiagnosticStatus``, the worse the higher."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(slots=True)
class Health:
    """A node's state of health.

    Attributes:
        level: The worst thing noted.
        notes: What was noted, in words.
        values: Numbers and words by name.
    """

    level: Level = Level.OK
    notes: list[str] = field(default_factory=list)
    values: dict[str, object] = field(default_factory=dict)

    def note(self, level: Level, words: str) -> None:
        """Add a remark; the level only gets worse."""
        self.level = max(self.level, level)
        self.notes.append(words)


class Timing:
    """Durations of the last two hundred runs, and the rate of the last ones."""

    def __init__(self) -> None:
        self._durations: deque[float] = deque(maxlen=200)
        self._ends: deque[float] = deque(maxlen=20)

    def add(self, duration: float, end: float) -> None:
        """One run of ``duration`` seconds that ended at ``end`` on a monotonic clock."""
        self._durations.append(duration)
        self._ends.append(end)

    def values(self, now: float) -> dict[str, object]:
        """Milliseconds (p50, p95, max) and rate; empty before the first run."""
        if not self._durations:
            return {}
        ms = np.array(self._durations) * 1e3
        span = now - self._ends[0]
        rate = len(self._ends) / span if span > 0.0 else 0.0
        return {
            "inference_p50_ms": round(float(np.percentile(ms, 50)), 2),
            "inference_p95_ms": round(float(np.percentile(ms, 95)), 2),
            "inference_max_ms": round(float(ms.max()), 2),
            "rate_hz": round(rate, 2),
        }


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else "not finite"
    return str(value)


class DiagnosticPublisher:
    """Publishes one `Health` a second of wall time: a watchdog must speak while simulated time stands still."""

    def __init__(self, node: Node, period: float = 1.0) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self._clock = Clock(clock_type=ClockType.SYSTEM_TIME)
        self.period = period

    def publish(self, health: Health) -> None:
        """Say it now."""
        status = DiagnosticStatus(
            level=bytes([health.level]),
            name=f"{self._node.get_fully_qualified_name().lstrip('/')}: driving",
            message="; ".join(health.notes) or "ok",
            hardware_id="vadv2",
            values=[KeyValue(key=key, value=_text(value)) for key, value in health.values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._clock.now().to_msg()
        self._publisher.publish(message)
