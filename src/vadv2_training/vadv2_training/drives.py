"""Recorded drives (scene logs) as training reads them; the held-out towns never come through this door."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_core.decision import Decision
from vadv2_core.errors import InputError
from vadv2_core.road_map_file import load_road_map
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.scene_log import SceneLog, scene_logs
from vadv2_core.taxonomy import Cause, EdgeCaseFlag, LateralAction, LongitudinalAction
from vadv2_sim.narrator import Narrator
from vadv2_sim.narrator import Visibility as NarratorVisibility
from vadv2_training.expert_plans import expert_future
from vadv2_training.rendering import Drive, seed_of
from vadv2_training.scene_targets import Visibility

HELD_OUT_TOWNS = frozenset({"town_e", "town_f"})
"""Towns that only evaluation drives."""
_BAD_ENDS = frozenset({"collision", "stuck"})


def _decision(notes: dict[str, Any]) -> Decision | None:
    value = notes.get("decision")
    if value is None:
        return None
    return Decision(
        LongitudinalAction(value["longitudinal"]),
        LateralAction(value["lateral"]),
        Cause(value["cause"]),
        value.get("subject_agent_id"),
    )


def town_maps(folder: Path) -> dict[str, RoadMap]:
    """The road maps of a recording by their hash."""
    maps = [load_road_map(path) for path in sorted((folder / "maps").glob("*.map.zst"))]
    return {road.hash: road for road in maps}


def load_drive(path: Path, folder: Path, maps: dict[str, RoadMap]) -> Drive | None:
    """One log of a recording; None where the expert failed in it (a teacher's mistakes are not lessons).

    Raises:
        InputError: for a log of a held-out town, or one whose map is not in the recording.
    """
    log = SceneLog(path)
    if log.header.town in HELD_OUT_TOWNS:
        raise InputError(f"town {log.header.town!r} is held out for tests", str(path), "a recording of training towns")
    if log.header.map_hash not in maps:
        raise InputError("its road map is not in the recording", str(path), f"a map of hash {log.header.map_hash[:12]}")
    blamed = any(event["at_fault"] and event["kind"] in ("collision", "red_light") for f in log for event in f.events)
    if log.truncated or blamed or log.end.get("reason") in _BAD_ENDS:
        return None
    frames = list(log)
    decisions: list[Decision | None] = []
    for frame in frames:
        # Plans are made every second step; in between the last one holds.
        decisions.append(_decision(frame.notes) or (decisions[-1] if decisions else None))
    road = maps[log.header.map_hash]
    narrator = Narrator(road)
    name = "-".join(path.relative_to(folder).with_name(path.name.split(".")[0]).parts)
    words = np.random.default_rng(seed_of(name, -1))

    def flags(scene: Scene, visible: Visibility) -> frozenset[EdgeCaseFlag]:
        said = narrator.narrate(scene, None, NarratorVisibility(visible.agents, visible.signals))
        return frozenset(flag for flag in EdgeCaseFlag if said.flags[flag])

    def texts(scene: Scene, decision: Decision | None, visible: Visibility) -> dict[str, Any]:
        said = narrator.narrate(scene, decision, NarratorVisibility(visible.agents, visible.signals), words)
        return {
            "scene": said.scene_text,
            "intent": said.intent_text,
            "trace": said.trace_text,
            "flags": [bool(flag) for flag in said.flags],
            "grounded": said.grounded,
            "command": scene.command.text,
            "action": int(scene.command.action),
            "distance": scene.command.distance,
        }

    return Drive(name, [frame.scene for frame in frames], decisions, road, flags, texts, partial(expert_future, path))


def drive_paths(folder: Path) -> list[Path]:
    """Logs of a recording, in an order that mixes towns and scenarios (by a hash of their names)."""
    return sorted(scene_logs(folder), key=lambda path: seed_of(path.name, 0))


def drives(folder: Path) -> Iterator[Drive]:
    """Every usable drive of a recording.

    Raises:
        InputError: see `load_drive`.
    """
    maps = town_maps(folder)
    for path in drive_paths(folder):
        drive = load_drive(path, folder, maps)
        if drive is not None:
            yield drive
