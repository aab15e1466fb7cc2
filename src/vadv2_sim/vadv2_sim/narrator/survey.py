"""Narrating recorded drives: how much is said, how much of it is true when read back, and pictures to check by eye."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_core.decision import Decision
from vadv2_core.errors import InputError
from vadv2_core.road_map_file import load_road_map
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.scene_log import SceneLog, scene_logs
from vadv2_core.taxonomy import Cause, EdgeCaseFlag, LateralAction, LongitudinalAction
from vadv2_sim.narrator.facts import Visibility
from vadv2_sim.narrator.narrator import Narration, Narrator
from vadv2_sim.narrator.truth import check_text


@dataclass(slots=True)
class Survey:
    """Counts over narrated moments.

    Attributes:
        frames: Moments narrated.
        statements: Sentences read back.
        wrong: Of these, sentences that are not true of the Scene.
        unread: Sentences that could not be read back.
        words: Of all texts.
        flags: Moments with an edge case, by scenario and flag.
        scenarios: Moments by scenario.
        causes: Decisions by cause: all, and those whose cause is in sight.
    """

    frames: int = 0
    statements: int = 0
    wrong: int = 0
    unread: int = 0
    words: int = 0
    flags: dict[str, Counter[str]] = field(default_factory=dict)
    scenarios: Counter[str] = field(default_factory=Counter)
    causes: dict[str, list[int]] = field(default_factory=dict)

    def add(
        self, scenario: str, scene: Scene, road_map: RoadMap, decision: Decision | None, said: Narration,
        visibility: Visibility | None = None,
    ) -> None:  # fmt: skip
        """Count one narrated moment."""
        self.frames += 1
        self.scenarios[scenario] += 1
        for text in (said.scene_text, said.intent_text, said.trace_text):
            truths, unread = check_text(text, scene, road_map, decision, visibility)
            self.statements += len(truths)
            self.wrong += sum(not true for _, true in truths)
            self.unread += len(unread)
            self.words += len(text.split())
        counted = self.flags.setdefault(scenario, Counter())
        counted.update(flag.name for flag in EdgeCaseFlag if said.flags[flag])
        if decision is not None:
            row = self.causes.setdefault(decision.cause.name, [0, 0])
            row[0] += 1
            row[1] += said.grounded

    def as_mapping(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "frames": self.frames,
            "statements": self.statements,
            "wrong": self.wrong,
            "unread": self.unread,
            "words_per_frame": round(self.words / max(self.frames, 1), 1),
            "scenarios": {
                name: {"frames": count, "flags": dict(self.flags[name])}
                for name, count in sorted(self.scenarios.items())
            },
            "causes": {
                name: {"decisions": row[0], "in_sight": row[1]}
                for name, row in sorted(self.causes.items(), key=lambda item: -item[1][0])
            },
        }


def decision_of(notes: dict[str, Any]) -> Decision | None:
    """The expert's decision from a log frame's notes; None where none was noted."""
    value = notes.get("decision")
    if value is None:
        return None
    return Decision(
        LongitudinalAction(value["longitudinal"]),
        LateralAction(value["lateral"]),
        Cause(value["cause"]),
        value.get("subject_agent_id"),
    )


def moments(folder: Path, every: int) -> Iterator[tuple[Path, str, RoadMap, Scene, Decision | None]]:
    """Every so many frames of every log of a recording: log, scenario, map, Scene, and the decision that then held.

    Raises:
        InputError: for a folder without logs, or a log whose map is not in it.
    """
    maps = {road.hash: road for road in map(load_road_map, sorted((folder / "maps").glob("*.map.zst")))}
    logs = scene_logs(folder)
    if not logs:
        raise InputError("no scene logs", str(folder), "a folder that `./vadv2 sim record` wrote")
    for path in logs:
        log = SceneLog(path)
        if log.header.map_hash not in maps:
            raise InputError("its road map is not in the recording", str(path), f"map {log.header.map_hash[:12]}")
        decision: Decision | None = None
        for index, frame in enumerate(log):
            decision = decision_of(frame.notes) or decision
            if index % every == 0:
                yield path, log.header.scenario, maps[log.header.map_hash], frame.scene, decision


def survey(folder: Path, every: int, seed: int) -> Survey:
    """Narrate a recording as if everything in range were in sight, and read every sentence back.

    Args:
        folder: Of the recording.
        every: Frames between narrated moments.
        seed: Of the choice of words.
    """
    generator = np.random.default_rng(seed)
    found = Survey()
    for _, scenario, road, scene, decision in moments(folder, every):
        said = Narrator(road).narrate(scene, decision, None, generator)
        found.add(scenario, scene, road, decision, said)
    return found


def draw_moments(folder: Path, out: Path, count: int, seed: int, on_drawn: Callable[[Path], None]) -> Survey:
    """Draw randomly chosen moments with what the narrator says of them, given what the cameras really see.

    Args:
        folder: Of the recording.
        out: Folder for the pictures.
        count: How many.
        seed: Of the choice of moments and words.
        on_drawn: Called with each picture's path.
    """
    from vadv2_sim.renderer.montage import captioned, sheet, write_png
    from vadv2_sim.renderer.renderer import Renderer
    from vadv2_sim.rig_files import default_rig

    generator = np.random.default_rng(seed)
    every = 7
    total = sum(1 for _ in moments(folder, every))
    chosen = set(generator.choice(total, min(count, total), replace=False).tolist())
    found = Survey()
    for index, (path, scenario, road, scene, decision) in enumerate(moments(folder, every)):
        if index not in chosen:
            continue
        renderer = Renderer(road, default_rig())
        drawn = renderer.render(scene, ground_truth=True)
        renderer.close()
        assert drawn.truth is not None
        seen = Visibility(drawn.truth.visible_agents(), drawn.truth.visible_signals())
        said = Narrator(road).narrate(scene, decision, seen, generator)
        found.add(scenario, scene, road, decision, said, seen)
        flags = ", ".join(flag.name.lower() for flag in EdgeCaseFlag if said.flags[flag]) or "no edge case"
        picture = sheet(drawn.frame)
        lines = [f"trace: {said.trace_text}", f"intent: {said.intent_text}", f"scene: {said.scene_text}"]
        lines.append(f"{path.parent.name}/{path.name.split('.')[0]} at {scene.stamp / 1e9:.1f} s - {flags}")
        for line in lines:
            for part in reversed(textwrap.wrap(line, 200)):
                picture = captioned(picture, part)
        target = out / f"moment_{index:05d}.png"
        write_png(target, picture)
        on_drawn(target)
    return found
