"""People and crossing cyclists: where and when they get in the way, and where to stop for them."""

from __future__ import annotations

import numpy as np

from vadv2_core.geometry import Array
from vadv2_core.scene import Crossing, Scene
from vadv2_core.taxonomy import AgentClass, AgentIntention, Cause, SignalState
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.expert.gates import EgoMotion, Gate
from vadv2_sim.expert.motion import TIMES, Movers
from vadv2_sim.expert.route_path import RoutePath

ROOM = 0.9
"""Room kept beside a person, m."""
STOP_BEFORE = 2.2
"""Front to a person's way when waiting, m."""


def people_gates(
    scene: Scene,
    path: RoutePath,
    movers: Movers,
    zebras: list[tuple[Crossing, float, float]],
    ego: EgoMotion,
    vehicle: VehicleConfig,
    still: float,
    passed: frozenset[str] = frozenset(),
) -> list[Gate]:
    """Gates closed for people who cross, or are about to.

    Args:
        scene: The moment.
        path: The way.
        movers: Everyone near it.
        zebras: Crossings on the way with where it enters and leaves them.
        ego: Its ends and speed.
        vehicle: Its width.
        still: How long it has stood, s.
        passed: People who are driven round instead.
    """
    gates = []
    corridor = vehicle.width / 2 + ROOM
    for k, agent in enumerate(movers.agents):
        if agent.cls is not AgentClass.PEDESTRIAN or agent.id in passed:
            continue
        low, high = float(movers.low[k].min()), float(movers.high[k].max())
        if high < ego.front - 0.5 and movers.high[k, 0] < ego.front - 0.5:
            continue
        if movers.low[k, 0] > ego.front + 65.0:
            continue
        zebra = _zebra_of(zebras, float(movers.low[k, 0]), float(movers.high[k, 0]))
        stop = (
            min(
                float(movers.low[k, 0]),
                low if low > ego.front else float(movers.low[k, 0]),
            )
            - STOP_BEFORE
        )
        if zebra is not None:
            stop = zebra[1] - 0.8
        # Who stands beside the way, waiting, is passed closely.
        walks = float(np.hypot(*agent.velocity)) > 0.15
        crosses = abs(float(movers.right[k, 2] - movers.right[k, 0])) > 0.25
        width = vehicle.width / 2
        reach = corridor if crosses else width + 0.4 if walks else width + (0.22 if still < 5.0 else 0.1)
        if _meets(movers, k, reach, ego, high):
            gates.append(
                Gate(
                    max(stop, ego.front - 0.2) if ego.speed < 1.0 else stop,
                    Cause.PEDESTRIAN,
                    agent.id,
                )
            )
        elif (
            zebra is not None
            and ego.speed**2 / (2 * 3.0) < zebra[1] - ego.front
            and _waits(scene, zebra[0], agent.intention, movers, k, still)
        ):
            gates.append(Gate(stop, Cause.PEDESTRIAN, agent.id))
    return gates


def _zebra_of(
    zebras: list[tuple[Crossing, float, float]], low: float, high: float
) -> tuple[Crossing, float, float] | None:
    for zebra in zebras:
        if zebra[1] - 1.5 < high and low < zebra[2] + 1.5:
            return zebra
    return None


def _meets(movers: Movers, k: int, corridor: float, ego: EgoMotion, high: float) -> bool:
    """Whether a person is in the ego's corridor while the ego may be there."""
    right, left = movers.right[k], movers.left[k]
    inside: Array = (right < corridor) & (left > -corridor)
    if not inside.any():
        return False
    # Nobody is foreseen further than he can be: who walks along the kerb keeps walking along it.
    first, last = (
        float(TIMES[inside.argmax()]),
        float(TIMES[len(TIMES) - 1 - inside[::-1].argmax()]),
    )
    if first > 4.5:
        return False
    away = float(movers.low[k].min()) - STOP_BEFORE - ego.front
    arrives = ego.time_to(away, max(ego.speed, 6.0))
    leaves = ego.time_to(high + 0.5 - ego.rear, max(ego.speed, 5.0))
    if inside[0]:
        return arrives < last + 1.5
    return first < leaves + 1.2 and last > arrives - 1.0


def _waits(
    scene: Scene,
    crossing: Crossing,
    intention: AgentIntention,
    movers: Movers,
    k: int,
    still: float,
) -> bool:
    """Whether someone waits at, or steps onto, a crossing without a light and is let go first."""
    if crossing.signal is not None and scene.signals.get(crossing.signal) is not SignalState.GREEN:
        return False
    beside = min(abs(float(movers.right[k, 0])), abs(float(movers.left[k, 0])))
    if beside > 7.0:
        return False
    if intention is AgentIntention.YIELDS:
        return crossing.signal is None and still < 4.0
    moves_in = abs(float(movers.right[k, 2] + movers.left[k, 2])) < abs(float(movers.right[k, 0] + movers.left[k, 0]))
    return intention is AgentIntention.CROSSES and moves_in and beside < 5.0 and still < 12.0
