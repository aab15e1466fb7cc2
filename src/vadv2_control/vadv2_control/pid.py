"""One PID term bank: gains scheduled on speed, anti-windup, every term kept for logging.

The shape follows openpilot's ``common/pid.py`` (terms as fields, conditional integration), written for arrays of gains
that a running node may change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(slots=True)
class PidController:
    """``output = p + i + d + f`` within limits.

    Attributes:
        p, i, d, f: The terms of the last update, in the unit of the output.
        saturated: The last output was cut at a limit.
    """

    p: float = 0.0
    i: float = 0.0
    d: float = 0.0
    f: float = 0.0
    saturated: bool = False

    def update(
        self,
        error: float,
        rate: float,
        *,
        kp: float,
        ki: float,
        kd: float,
        feedforward: float,
        dt: float,
        limits: tuple[float, float],
        freeze_integrator: bool = False,
    ) -> float:
        """One step.

        The integral moves only where that does not push the output further beyond a limit (conditional integration), so
        that a saturated actuator winds nothing up.

        Args:
            error: Reference minus measurement.
            rate: Its time derivative, measured and not differenced where the caller can.
            kp: Gain of the error.
            ki: Gain of its integral, 1/s.
            kd: Gain of its rate, s.
            feedforward: Added as it is.
            dt: Seconds since the last update.
            limits: Smallest and largest output.
            freeze_integrator: Keep the integral (at standstill, or while another drives).
        """
        low, high = limits
        self.p, self.d, self.f = kp * error, kd * rate, feedforward
        if not freeze_integrator:
            integral = self.i + ki * error * dt
            unlimited = self.p + integral + self.d + self.f
            pushes_out = (unlimited > high and error > 0.0) or (unlimited < low and error < 0.0)
            # A term that is not finite passes with its step; an integral would keep it for good.
            if math.isfinite(integral) and (not pushes_out or abs(integral) < abs(self.i)):
                self.i = float(np.clip(integral, low, high))
        unlimited = self.p + self.i + self.d + self.f
        output = float(np.clip(unlimited, low, high))
        self.saturated = output != unlimited
        return output

    def reset(self) -> None:
        """Forget everything."""
        self.p = self.i = self.d = self.f = 0.0
        self.saturated = False


def scheduled(speed: float, speeds: Sequence[float], gains: Sequence[float]) -> float:
    """A gain interpolated over speed, held beyond the ends."""
    return float(np.interp(speed, speeds, gains))
