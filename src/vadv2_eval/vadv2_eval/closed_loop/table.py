"""The rows of the table that says what a model reached, from records of drives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vadv2_eval.closed_loop.wheels import FRAME_CPU
from vadv2_eval.intervals import Estimate, rate_interval

TABLE_CONVENTIONS = {
    "at_fault_collision": "share of drives with a collision that the ego is to blame for",
    "signal_violation": "stop lines driven over at red, of those met at red (seen red within 40 m before the line)",
    "command_obeyed": "of the commands given in words that no model trained on, action UNKNOWN and no route",
    "edge_recall": "all edge-case flags of all reasonings at 0.5, truth by what the cameras see; so precision",
    "intent_f1": "mean of the macro F1 of longitudinal action, lateral action and cause against the expert's decision",
    "agent_intent_f1": "macro F1 of the stated intentions of agents",
    "trace_accuracy": "share of the statements of description and trace that are true of the Scene",
    "cot_accuracy": "share of the traces that argue for the action the expert takes",
    "planner_hz": "1 / median wall time of perception, planner and control of a frame; the words are made beside them",
    "planner_cpu_hz": "1 / median processor time of a frame, embedding included: what one free core would give",
}
"""What each key of the table means."""
PLANNING_STAGES = ("perception", "planner", "control")


def drive_table(driven: Sequence[dict[str, Any]]) -> dict[str, Estimate | None]:
    """Collisions, signals and commands of drive records, with 95 % intervals (Wilson); None where none was met."""
    blamed = [any(k.startswith("collision") for k in r["score"]["infractions"]) for r in driven]
    violations = sum(r["signals"]["violations"] for r in driven)
    met = max(sum(r["signals"]["encounters"] for r in driven), violations)
    commands = [c["obeyed"] for r in driven for c in r["commands"]]
    return {
        "at_fault_collision": rate_interval(sum(blamed), len(blamed)),
        "signal_violation": rate_interval(violations, met),
        "command_obeyed": rate_interval(sum(commands), len(commands)),
    }


def stage_medians(driven: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Median over drives of the median wall time of each stage, ms; ``vlm`` is the embedding alone."""
    names = sorted({name for r in driven for name in r["timings_ms"]})
    return {n: float(np.median([r["timings_ms"][n] for r in driven if n in r["timings_ms"]])) for n in names}


def planner_cpu_hz(driven: Sequence[dict[str, Any]]) -> float | None:
    """Frames a second that one core would give if nothing else ran; None for a driver without pictures."""
    medians = stage_medians(driven)
    return 1000.0 / medians[FRAME_CPU] if "perception" in medians and FRAME_CPU in medians else None


def planner_hz(driven: Sequence[dict[str, Any]]) -> float | None:
    """Frames a second from image to command, the reasoner working beside it; None for a driver without pictures."""
    medians = stage_medians(driven)
    if "perception" not in medians:
        return None
    return 1000.0 / sum(medians[name] for name in PLANNING_STAGES if name in medians)
