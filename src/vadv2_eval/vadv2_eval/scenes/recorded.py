"""Recorded drives of the expert as scenes to score on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_core.config import from_mapping
from vadv2_core.decision import Decision
from vadv2_core.road_map_file import load_road_map
from vadv2_core.scene import RoadMap
from vadv2_core.scene_log import SCENE_LOG_SUFFIX, SceneLog, map_of
from vadv2_core.taxonomy import Cause, LateralAction, LongitudinalAction
from vadv2_core.vehicle import VehicleConfig
from vadv2_eval.logs.drive_log import DriveLog, scored_vehicle

FAILED = frozenset({"collision", "stuck"})
"""Ends of drives whose expert is no example."""


@dataclass(frozen=True)
class RecordedDrive:
    """A drive of the expert.

    Attributes:
        log: Its scenes and map.
        decisions: The expert's at every scene; between two of its plans the last one holds.
        vehicle: The ego.
        failed: It ended in a collision or stuck, or the expert was to blame for something.
    """

    log: DriveLog
    decisions: tuple[Decision | None, ...]
    vehicle: VehicleConfig
    failed: bool


@lru_cache(maxsize=8)
def _road(path: Path) -> RoadMap:
    return load_road_map(path)


def drive_name(log: Path) -> str:
    """``town/scenario_seed`` of a log's file."""
    return f"{log.parent.name}/{log.name.removesuffix(SCENE_LOG_SUFFIX)}"


def _decision(notes: dict[str, Any]) -> Decision | None:
    value = notes.get("decision")
    if value is None:
        return None
    actions = LongitudinalAction(value["longitudinal"]), LateralAction(value["lateral"])
    return Decision(*actions, Cause(value["cause"]), value.get("subject_agent_id"))


@lru_cache(maxsize=2)
def read_drive(path: Path) -> RecordedDrive:
    """A scene log with its map.

    Raises:
        InputError: for a file that is no scene log, or whose map is missing.
    """
    source = SceneLog(path)
    header = source.header
    frames = list(source)
    decisions: list[Decision | None] = []
    for frame in frames:
        decisions.append(_decision(frame.notes) or (decisions[-1] if decisions else None))
    vehicle = from_mapping(VehicleConfig, header.vehicle, str(path))
    route = header.route
    blamed = any(e["at_fault"] and e["kind"] in ("collision", "red_light") for f in frames for e in f.events)
    log = DriveLog(
        drive_name(path),
        _road(map_of(path, header)),
        tuple(f.scene for f in frames),
        scored_vehicle(vehicle),
        route.lane_ids if route else (),
        np.asarray(route.points if route else np.zeros((0, 2)), dtype=np.float64),
    )
    failed = source.truncated or blamed or source.end.get("reason") in FAILED or route is None
    return RecordedDrive(log, tuple(decisions), vehicle, failed)
