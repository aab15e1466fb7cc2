"""What the reasoner says of chosen scenes, held against the narrator's truth, and a page on which a person can look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_core.meta_action import planned_action
from vadv2_eval.closed_loop.kept_parts import fresh_driver, kept_renderer
from vadv2_eval.closed_loop.reasoning import FUTURE_SCENES, judged_reasoning
from vadv2_eval.html import heading, image, page, paragraph, table
from vadv2_eval.rating import RatedFrame
from vadv2_eval.scenes.recorded import read_drive
from vadv2_eval.scenes.seen import StackOrder, token_path
from vadv2_eval.scenes.token_file import load_tokens

SPOKEN = "spoken.jsonl"
"""Store of everything said."""
GAP = 6
"""Pixels between two cameras' pictures."""


def speak_scenes(argument: dict[str, Any]) -> dict[str, Any]:
    """Reason in words on a drive's scenes; a job of `vadv2_eval.jobs`. Keys: log, indices, tokens (folder), stack.

    Without a past, so that nothing but the scene can be what the words come from; told its own plan, as on the road.
    """
    from vadv2_sim.narrator import Narrator, Visibility

    log, order = Path(argument["log"]), StackOrder(**argument["stack"])
    drive = read_drive(log)
    driver = fresh_driver(order.config(drive.vehicle))
    narrator = Narrator(drive.log.road)
    rows = []
    for index in argument["indices"]:
        scene, decision = drive.log.scenes[index], drive.decisions[index]
        tokens, visible = load_tokens(token_path(Path(argument["tokens"]), log, index), scene.ego)
        driver.planner.reset()
        embedding = driver.reasoner.embed(tokens, scene.command, scene.route)
        plan = driver.planner.plan(tokens, scene.ego, scene.command, scene.route, embedding).trajectory()
        planned = planned_action(plan, scene.stamp, scene.ego.speed, scene.command.action)
        said = driver.reasoner.reason(tokens, scene.command, planned=planned, route=scene.route)
        future = drive.log.scenes[index : index + FUTURE_SCENES]
        record = judged_reasoning(said, future, drive.log.road, decision, drive.log.name, 0.1 * index, visible)
        true = narrator.narrate(scene, decision, Visibility(*visible))
        rows.append(
            {
                "index": index,
                "record": record.to_json(),
                "grounded": true.grounded,
                "command": scene.command.text,
                "said": {"scene": said.scene_description, "intent": said.intent, "trace": said.trace},
                "true": {"scene": true.scene_text, "intent": true.intent_text, "trace": true.trace_text},
            }
        )
    return {"rows": rows}


def sampled(rows: Sequence[tuple[str, dict[str, Any]]], count: int, seed: int = 0) -> list[tuple[str, dict[str, Any]]]:
    """``count`` of the spoken rows, drawn by a seed, in their order."""
    picked = np.random.default_rng(seed).permutation(len(rows))[:count]
    return [rows[i] for i in sorted(picked)]


def write_page(path: Path, rows: Sequence[tuple[str, dict[str, Any]]], rig: Path) -> None:
    """A page with the three front pictures of each scene, what was said and what is true.

    Args:
        path: Of the page; pictures lie in ``pictures`` beside it and inside the page.
        rows: Log file and row of `speak_scenes`.
        rig: Rig file.
    """
    parts = [paragraph("Front left, front and front right as the encoder saw them; said by the model, true by Scene.")]
    for log, row in rows:
        name, png = front_picture(Path(log), row["index"], rig)
        picture = path.parent / "pictures" / f"{name}.png"
        write_bytes_atomic(picture, png)
        parts += [heading(name), image(picture, name), table(["", "said", "true"], comparison(row))]
    page(path, "What the model says", parts)


def front_picture(log: Path, index: int, rig: Path) -> tuple[str, bytes]:
    """A scene's name, and its front left, front and front right pictures side by side as PNG."""
    drive = read_drive(log)
    frame = kept_renderer(drive.log.road, rig, drive.vehicle).render(drive.log.scenes[index]).frame
    views = dict(zip((c.name for c in frame.rig.cameras), frame.images, strict=True))
    shown = [views[name] for name in ("front_left", "front", "front_right") if name in views] or [frame.images[0]]
    # Without a gap neighbours that overlap look like one picture in which things stand twice.
    apart = [np.pad(view, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for view in shown]
    png = cv2.imencode(".png", np.hstack(apart)[:, :-GAP, ::-1])[1].tobytes()
    return f"{drive.log.name.replace('/', '_')}_{index:04d}", png


def frames_to_rate(folder: Path, count: int, seed: int, rig: Path) -> list[RatedFrame]:
    """Spoken scenes for people to rate blind: the model's rationale, the narrator's, the model's of another drive.

    Raises:
        InputError: for a folder in which nothing was spoken of, or of one drive only.
    """
    from vadv2_eval.jobs import ResultStore

    store = ResultStore(folder / SPOKEN)
    spoken = [(key.split("#")[0], row) for key, kept in store.rows.items() for row in kept["result"]["rows"]]
    if len({log for log, _ in spoken}) < 2:
        raise InputError("speaks of fewer than two drives", str(folder), "a folder of `vadv2 eval scenes` with --words")
    rng = np.random.default_rng(seed)
    frames = []
    for log, row in sampled(spoken, count, seed):
        others = [r for other, r in spoken if other != log]
        other = others[int(rng.integers(len(others)))]
        name, png = front_picture(Path(log), row["index"], rig)
        words = {"model": row["said"], "narrator": row["true"], "shuffled": other["said"]}
        rationales = {source: f"{text['intent']} {text['trace']}".strip() for source, text in words.items()}
        frames.append(RatedFrame(name, png, rationales))
    return frames


def comparison(row: dict[str, Any]) -> list[list[str]]:
    """One scene's answers beside the truth."""
    record = row["record"]
    made, right = record["statements"]
    flags = ", ".join(f"{n} {p:.2f}" for n, p in record["flags"].items() if p >= 0.5) or "none"
    there = ", ".join(n for n, true in record["flag_truths"].items() if true) or "none"
    return [
        ["command", row["command"], ""],
        ["decision", " ".join(record["said"]), " ".join(record["true"]) + ("" if row["grounded"] else " (hidden)")],
        ["edge cases", flags, there],
        *([part, row["said"][part], row["true"][part]] for part in ("intent", "scene", "trace")),
        ["statements true", f"{right} of {made}, {record['unread']} sentences unread", ""],
    ]
