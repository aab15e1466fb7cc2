"""A model as it is shipped: its parts, what every file's hash is, what it reached, and a card that says so."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vadv2_core.errors import InputError
from vadv2_core.files import read_json, sha256_of, write_bytes_atomic, write_json_atomic
from vadv2_core.taxonomy import TAXONOMY_VERSION

PARTS = ("perception", "planner", "vlm")
"""Folders of a model."""
MANIFEST, CARD, RESULTS = "MANIFEST.json", "README.md", "results.json"
MAX_BYTES = 40 * 10**6
"""A release lies in the repository."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A number below (or above) which a model is not shipped.

    Attributes:
        key: Of the results.
        bound: The gate.
        target: What it should reach.
        at_least: Whether more is better.
        meaning: In words.
    """

    key: str
    bound: float
    target: float
    at_least: bool
    meaning: str

    def passed(self, value: float) -> bool:
        """Whether a measured value may be shipped."""
        return value >= self.bound if self.at_least else value <= self.bound


GATES = (
    Gate("route_completion", 0.80, 0.95, True, "share of the route driven"),
    Gate("at_fault_collision", 0.15, 0.03, False, "drives with a collision that is the ego's fault"),
    Gate("signal_violation", 0.05, 0.01, False, "red lights run, of those met"),
    Gate("command_obeyed", 0.85, 0.95, True, "commands in words never trained on that were driven"),
    Gate("edge_recall", 0.71, 0.90, True, "edge cases that were flagged"),
    Gate("edge_precision", 0.71, 0.90, True, "flags that were right"),
    Gate("intent_f1", 0.80, 0.87, True, "meta-action and cause, F1"),
    Gate("agent_intent_f1", 0.70, 0.79, True, "what others are about to do, F1"),
    Gate("trace_accuracy", 0.75, 0.90, True, "statements of the reasoning that are true"),
    Gate("cot_accuracy", 0.75, 0.82, True, "action argued for is the expert's"),
    Gate("planner_hz", 10.0, 15.0, True, "plans a second on two cores, the VLM beside it"),
)
"""What a model must reach on towns it has never seen; see docs/training.md."""


def results_of(paths: tuple[Path, ...]) -> dict[str, float]:
    """The measured values of several result files, later ones over earlier ones.

    Raises:
        InputError: for a file that is not a JSON object.
    """
    found: dict[str, float] = {}
    for path in paths:
        told = read_json(path)
        if not isinstance(told, dict):
            raise InputError("is not an object", str(path), "what `vadv2 eval … --json` wrote")
        for gate in GATES:
            value = told.get(gate.key)
            if isinstance(value, Mapping):
                value = value.get("value")
            if isinstance(value, (int, float)):
                found[gate.key] = float(value)
    return found


def failures(results: Mapping[str, float]) -> list[str]:
    """What keeps a model with these results from being shipped, a line each."""
    lacking = []
    for gate in GATES:
        if gate.key not in results:
            lacking.append(f"{gate.key} was not measured")
        elif not gate.passed(results[gate.key]):
            bound = f"{'at least' if gate.at_least else 'at most'} {gate.bound}"
            lacking.append(f"{gate.key} is {results[gate.key]:.3g}, {bound} is asked for")
    return lacking


def release(model: Path, to: Path, results: tuple[Path, ...], facts: Mapping[str, Any]) -> Path:
    """Put a trained model where it is shipped from, whole or not at all.

    Args:
        model: Directory with `PARTS`.
        to: Its place, ``models/<name>``; a release that is there is replaced.
        results: Files of `GATES` keys that the evaluation printed.
        facts: For the card: data, seeds, commands, hours, limits.

    Raises:
        InputError: for a missing part, a model that is too large, or one below a gate.
    """
    for part in PARTS:
        if not (model / part / "config.json").is_file():
            raise InputError(f"has no {part}", str(model), "a model that `vadv2 train` finished")
    measured = results_of(results)
    lacking = failures(measured)
    if lacking:
        raise InputError("; ".join(lacking), "release", "a model that passes every gate")
    to.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
    try:
        for part in PARTS:
            shutil.copytree(model / part, work / part)
        write_json_atomic(work / RESULTS, measured)
        files = sorted(p for p in work.rglob("*") if p.is_file())
        hashes = {str(p.relative_to(work)): sha256_of(p) for p in files}
        size = sum(p.stat().st_size for p in files)
        if size > MAX_BYTES:
            raise InputError(f"takes {size / 1e6:.1f} MB", str(model), f"at most {MAX_BYTES / 1e6:.0f} MB")
        write_bytes_atomic(work / CARD, card(to.name, measured, size, facts).encode())
        write_json_atomic(work / MANIFEST, {"taxonomy": TAXONOMY_VERSION, "files": hashes})
        _replace(work, to)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return to


def _replace(work: Path, to: Path) -> None:
    if not to.exists():
        work.replace(to)
        return
    old = to.with_name(f".{to.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    to.replace(old)
    work.replace(to)
    shutil.rmtree(old)


def card(name: str, results: Mapping[str, float], size: int, facts: Mapping[str, Any]) -> str:
    """The model card."""
    environment = Environment(
        loader=PackageLoader("vadv2_training", "templates"), undefined=StrictUndefined, trim_blocks=True
    )
    template = environment.get_template("card.md.jinja")
    return template.render(name=name, results=results, gates=GATES, megabytes=size / 1e6, facts=facts)
