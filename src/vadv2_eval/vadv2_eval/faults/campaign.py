"""A campaign: every fault, alone and in pairs, each beside the same drive without it, and what it did."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from vadv2_core.drive import DriveState, VehicleCommand
from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_json_atomic
from vadv2_core.geometry import Array, project_to_polyline
from vadv2_core.vehicle import VehicleConfig
from vadv2_eval.faults.drive import BLIND, ON_PICTURES, STEP, DriveSpec, Trace, drive, is_finite
from vadv2_eval.faults.injections import FAULTS, SEEN, Fault

Order = tuple[Fault, ...]
"""Faults that strike together."""

_NORMAL = (DriveState.DRIVING, DriveState.DEGRADED)
_SEVERITY = (
    DriveState.DRIVING,
    DriveState.DEGRADED,
    DriveState.LAST_PLAN,
    DriveState.SOFT_STOP,
    DriveState.STOPPED,
    DriveState.EMERGENCY,
)
_PAIRS, _PAIRS_SEEN, _PAIRS_SHORT = 60, 2, 6


@dataclass(frozen=True, slots=True)
class FaultOutcome:
    """What a fault, or a pair of them, did to a drive.

    Attributes:
        name: Of the fault; a pair's names joined by ``+``.
        what: In words.
        driver: Who planned: the expert, or a model's id.
        state: Worst state of the drive.
        cause: The words that state came with.
        seconds: Time outside normal driving.
        speed: Of the vehicle when it was struck, m/s.
        max_deviation_m: Farthest from the line driven without the fault.
        recovered: It drove on, or stood with its emergency cleared, when the fault was over.
        nonfinite_commands: Commands with a number that is not finite.
        limit_violations: Commands beyond the vehicle's limits.
        collisions: That the drive without the fault does not have, whoever was to blame.
        exceptions: Errors that left a stage; the campaign goes on.
    """

    name: str
    what: str
    driver: str
    state: str
    cause: str
    seconds: float
    speed: float
    max_deviation_m: float
    recovered: bool
    nonfinite_commands: int
    limit_violations: int
    collisions: int
    exceptions: tuple[str, ...] = ()


def violations(commands: Sequence[VehicleCommand], vehicle: VehicleConfig) -> int:
    """Commands beyond the limits of the vehicle file, steering rate and jerk between neighbours included."""
    count = 0
    before: VehicleCommand | None = None
    for command in commands:
        beyond = (
            abs(command.steering_angle) > vehicle.max_steering_angle + 1e-6
            or abs(command.steering_rate) > vehicle.max_steering_rate + 1e-6
            or not -vehicle.max_deceleration - 1e-6 <= command.acceleration <= vehicle.max_acceleration + 1e-6
            or not 0.0 <= command.speed <= vehicle.max_speed
        )
        if before is not None:
            beyond = beyond or abs(command.acceleration - before.acceleration) > vehicle.max_emergency_jerk * 0.2 + 1e-6
            beyond = (
                beyond or abs(command.steering_angle - before.steering_angle) > vehicle.max_steering_rate * 0.2 + 1e-6
            )
        count += beyond
        before = command
    return count


def _deviation(trace: Trace, plain: Trace) -> float:
    """Farthest beside the line of the drive without the fault, m; having come farther along it is no deviation."""
    line: Array = np.array(plain.places)
    line = line[np.concatenate([[True], np.hypot(*np.diff(line, axis=0).T) > 1e-3])]
    if len(line) < 2:
        return 0.0
    station, lateral = project_to_polyline(line, np.array(trace.places))
    beyond = station >= float(np.hypot(*np.diff(line, axis=0).T).sum()) - 1e-6
    return float(np.abs(lateral[~beyond]).max(initial=0.0))


def _outcome(faults: Order, spec: DriveSpec, trace: Trace, plain: Trace) -> FaultOutcome:
    begin = round(spec.begin / STEP)
    after = [s for s in trace.states[begin:] if s in _SEVERITY] or [trace.states[-1]]
    worst = max(after, key=lambda s: _SEVERITY.index(s) if s in _SEVERITY else 0)
    cause = next((c for s, c in zip(trace.states[begin:], trace.causes[begin:], strict=True) if s is worst), "")
    deviation = _deviation(trace, plain)
    abnormal = sum(s not in _NORMAL for s in trace.states[begin:]) * STEP
    return FaultOutcome(
        name_of(faults),
        "; ".join(f.what for f in faults),
        trace.model_id,
        worst.name,
        cause,
        round(abnormal, 2),
        round(math.dist(*trace.places[begin - 2 : begin]) / STEP, 1),
        round(deviation, 3),
        trace.states[-1] in _NORMAL or plain.states[-1] not in _NORMAL,
        sum(not is_finite(c) for c in trace.commands),
        violations(trace.commands, VehicleConfig()),
        max(trace.collisions - plain.collisions, 0),
        tuple(dict.fromkeys(trace.exceptions)),
    )


def name_of(faults: Order) -> str:
    """Their names, joined by ``+``."""
    return "+".join(f.name for f in faults)


def chosen_faults(short: bool) -> list[Order]:
    """Single faults and pairs, seeded: all faults and a share of the pairs, or a share that takes under two minutes."""
    pairs: list[Order] = list(combinations(FAULTS, 2))
    Random(7).shuffle(pairs)
    blind: list[Order] = [(f,) for f in FAULTS if f.place not in SEEN]
    seen: list[Order] = [(f,) for f in FAULTS if f.place in SEEN]
    blind_pairs = [p for p in pairs if not _is_seen(p)]
    if short:
        return blind + blind_pairs[:_PAIRS_SHORT]
    return blind + blind_pairs[:_PAIRS] + seen + [p for p in pairs if _is_seen(p)][:_PAIRS_SEEN]


def _is_seen(faults: Order) -> bool:
    return any(f.place in SEEN for f in faults)


@dataclass(frozen=True, slots=True)
class Drives:
    """The drives that faults are injected into: without pictures, and with them where a fault needs them."""

    blind: DriveSpec = BLIND
    on_pictures: DriveSpec = ON_PICTURES

    def of(self, faults: Order) -> DriveSpec:
        """The one that these faults strike."""
        return self.on_pictures if _is_seen(faults) else self.blind


def run(drives: Drives, orders: Sequence[Order]) -> Iterator[FaultOutcome]:
    """Drive every order and compare it with the same drive without faults."""
    plain: dict[DriveSpec, Trace] = {}
    for faults in orders:
        spec = drives.of(faults)
        if spec not in plain:
            plain[spec] = drive(spec, ())
        yield _outcome(faults, spec, drive(spec, faults), plain[spec])


def run_kept(drives: Drives, orders: Sequence[Order], kept: Path) -> Iterator[FaultOutcome]:
    """As `run`; outcomes go to a file, and what it holds of the same drives already is not driven again.

    Args:
        drives: The drives.
        orders: What strikes.
        kept: File of the outcomes so far; removed by whoever has written the whole elsewhere.

    Raises:
        InputError: for a file that holds something else.
    """
    known = {o.name: o for o in _read_kept(drives, kept)}
    found = [known[name] for name in map(name_of, orders) if name in known]
    yield from found
    for outcome in run(drives, [o for o in orders if name_of(o) not in known]):
        found.append(outcome)
        write_json_atomic(kept, {"drives": asdict(drives), "faults": [asdict(o) for o in found]})
        yield outcome


def _read_kept(drives: Drives, kept: Path) -> list[FaultOutcome]:
    if not kept.exists():
        return []
    expected = "what an interrupted campaign left; remove it to begin anew"
    table = read_json(kept)
    if not isinstance(table, dict) or not isinstance(table.get("faults"), list):
        raise InputError("holds no outcomes", str(kept), expected)
    if table.get("drives") != asdict(drives):
        return []
    names = {f.name for f in fields(FaultOutcome)}
    if any(not isinstance(row, dict) or set(row) != names for row in table["faults"]):
        raise InputError("holds outcomes of another version", str(kept), expected)
    return [FaultOutcome(**{**row, "exceptions": tuple(row["exceptions"])}) for row in table["faults"]]


def summary(outcomes: Sequence[FaultOutcome], drives: Drives) -> dict[str, Any]:
    """The file of a campaign."""
    return {
        "drives": asdict(drives),
        "load_1min": round(os.getloadavg()[0], 1),
        "nonfinite_commands": sum(o.nonfinite_commands for o in outcomes),
        "limit_violations": sum(o.limit_violations for o in outcomes),
        "collisions": sum(o.collisions for o in outcomes),
        "faults": [asdict(o) for o in outcomes],
    }
