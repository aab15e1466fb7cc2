"""Ways to drive on: sideways offsets, speeds and places to wait, driven forward together by one car-following model.

After PDM-Closed (Dauner et al. 2023): a few lateral variants times a few speeds, each followed by the intelligent driver
model (Treiber et al. 2000) behind whoever is in its corridor, all at once as arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.expert.prediction import STEP, STEPS, Predictions
from vadv2_sim.expert.route_frame import RouteFrame

_ACCELERATION, _COMFORT, _HARD = 1.7, 2.2, 6.5
_JERK_UP, _JERK_DOWN, _JERK_HARD = 2.5, 5.0, 18.0
_HEADWAY, _STANDING_GAP = 1.3, 2.2
_SIDE_MARGIN = 0.35
_FAR = 1e6


@dataclass(frozen=True, slots=True)
class OffsetPlan:
    """Where across the route to drive.

    Attributes:
        name: ``lane``, ``left`` or ``right``.
        s: (k,) distances.
        d: (k,) offsets at them, joined by smooth steps.
        passes: Indices of the agents it passes beside.
    """

    name: str
    s: Array
    d: Array
    passes: frozenset[int] = frozenset()

    def at(self, s: Array) -> Array:
        """Offsets at distances: smooth steps between the given ones."""
        index = np.clip(np.searchsorted(self.s, s, side="right") - 1, 0, len(self.s) - 2)
        span = np.maximum(self.s[index + 1] - self.s[index], 1e-6)
        u = np.clip((s - self.s[index]) / span, 0.0, 1.0)
        return np.asarray(self.d[index] + (self.d[index + 1] - self.d[index]) * u**3 * (10 - 15 * u + 6 * u * u))


@dataclass(frozen=True, slots=True)
class Proposals:
    """p ways to drive on, at the predictor's times.

    Attributes:
        offsets: Offset plan of each.
        factors: (p,) share of the allowed speed.
        stops: (p,) rear-axle place before which each stands; a large number for none.
        s: (p, t) distance along the route.
        v: (p, t) m/s.
        a: (p, t) m/s^2.
        leader: (p, t) index of the agent each follows, -1 free, -2 a stop point.
    """

    offsets: tuple[OffsetPlan, ...]
    factors: Array
    stops: Array
    s: Array
    v: Array
    a: Array
    leader: NDArray[np.int64]


def way_back(frame: RouteFrame, speed: float, target: float = 0.0) -> OffsetPlan:
    """From where the ego is to an offset of the way, in a length that suits its speed."""
    length = float(np.clip(2.2 * speed, 5.0, 30.0))
    s = np.array([frame.ego_s - 1.0, frame.ego_s, frame.ego_s + length, frame.ego_s + length + 1.0])
    return OffsetPlan("lane", s, np.array([frame.ego_d, frame.ego_d, target, target]))


def follow(
    frame: RouteFrame,
    predictions: Predictions,
    offsets: tuple[OffsetPlan, ...],
    factors: Array,
    stops: Array,
    speed: float,
    acceleration: float,
    vehicle: VehicleConfig,
    *,
    hard: NDArray[np.bool_],
) -> Proposals:
    """Drive every proposal forward.

    Args:
        frame: The way.
        predictions: Of the others.
        offsets: (p) offset plans.
        factors: (p,) share of the allowed speed.
        stops: (p,) places to stand before.
        speed: The ego's, m/s.
        acceleration: The ego's, m/s^2.
        vehicle: Its sizes.
        hard: (p,) brake as hard as it goes.
    """
    count, agents = len(offsets), len(predictions.agents)
    front = vehicle.length - vehicle.rear_overhang
    half_width = 0.5 * vehicle.width
    s, v, a = (np.zeros((count, STEPS)) for _ in range(3))
    leader = np.full((count, STEPS), -1, dtype=np.int64)
    s[:, 0], v[:, 0], a[:, 0] = frame.ego_s, speed, np.clip(acceleration, -_HARD, _ACCELERATION)
    # Corridor of each proposal at every agent's predicted places, all times at once: (p, a, t).
    inside = np.zeros((count, agents, STEPS), dtype=bool)
    for p, plan in enumerate(offsets):
        if agents:
            gap = np.abs(predictions.d - plan.at(predictions.s))
            inside[p] = gap < predictions.across + half_width + _SIDE_MARGIN
            if plan.passes:
                inside[p, list(plan.passes)] &= (
                    gap[list(plan.passes)] < predictions.across[list(plan.passes)] + half_width
                )
    floor = np.where(hard, -_HARD, -4.0)
    jerk_down = np.where(hard, _JERK_HARD, _JERK_DOWN)
    rear = predictions.s - predictions.along
    for j in range(STEPS - 1):
        here, now = s[:, j], v[:, j]
        allowed = np.interp(here + 0.5 * now, frame.s, frame.speed) * factors
        free = _ACCELERATION * (1.0 - (now / np.maximum(allowed, 0.5)) ** 4)
        free = np.maximum(free, -_COMFORT)
        gap_stop = stops - here
        wanted = free
        if agents:
            gaps = rear[None, :, j] - (here + front)[:, None]
            blocks = inside[:, :, j] & (gaps > -0.5 * vehicle.length)
            gaps = np.where(blocks, np.maximum(gaps, 0.05), _FAR)
            nearest = gaps.argmin(axis=1)
            gap = gaps[np.arange(count), nearest]
            other = np.maximum(predictions.speed[nearest, j], 0.0)
            close = now - other
            desired = _STANDING_GAP + np.maximum(
                now * _HEADWAY + now * close / (2.0 * np.sqrt(_ACCELERATION * _COMFORT)), 0.0
            )
            behind = _ACCELERATION * (1.0 - (now / np.maximum(allowed, 0.5)) ** 4 - (desired / gap) ** 2)
            leads = gap < _FAR / 2
            wanted = np.where(leads & (behind < wanted), behind, wanted)
            leader[:, j] = np.where(leads & (behind < free), nearest, -1)
        stopping = gap_stop < 300.0
        # Constant deceleration ends at the point; it begins when it is comfortable and not before.
        need = now * now / (2.0 * np.maximum(gap_stop - 0.15, 0.05))
        brake = np.where(need > 0.75 * BRAKE_START, -need, wanted)
        brake = np.where((gap_stop < 0.3) | ((now < 0.3) & (gap_stop < 1.2)), -np.maximum(2.0, need), brake)
        held = stopping & (brake < wanted)
        wanted = np.where(held, brake, wanted)
        leader[held, j] = -2
        wanted = np.where(hard, -_HARD, np.clip(wanted, floor, _ACCELERATION))
        change = np.clip(wanted - a[:, j], -jerk_down * STEP, _JERK_UP * STEP)
        a[:, j + 1] = a[:, j] + change
        following = np.maximum(now + a[:, j + 1] * STEP, 0.0)
        a[:, j + 1] = np.where(following <= 0.0, np.minimum(a[:, j + 1], 0.0) * (now > 0.0), a[:, j + 1])
        s[:, j + 1] = here + 0.5 * (now + following) * STEP
        v[:, j + 1] = following
    leader[:, -1] = leader[:, -2]
    return Proposals(offsets, factors, stops, s, v, a, leader)


BRAKE_START = 1.9
"""m/s^2; braking for a place begins at three quarters of it."""
