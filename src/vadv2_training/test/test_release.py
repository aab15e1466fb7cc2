"""Shipping a model: nothing below a gate, nothing half, every file's hash and a card that says what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vadv2_core.errors import InputError
from vadv2_core.files import sha256_of
from vadv2_training.release import GATES, MANIFEST, PARTS, failures, release, results_of

FACTS = {
    "meant_for": "The simulator's towns.",
    "made": {"hours of expert driving": 2.0},
    "command": "./vadv2 train --recipe tiny-cpu",
    "steps": {"driving": {"wall_s": 10.0, "cpu_s": 9.0, "memory_mb": 800}},
    "evaluation": ["./vadv2 eval closed-loop --driver model"],
    "limits": ["No snow was ever seen."],
}


def model(folder: Path, size: int = 100) -> Path:
    for part in PARTS:
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text("{}")
        (folder / part / "model.safetensors").write_bytes(bytes(size))
    return folder


def good() -> dict[str, float]:
    return {gate.key: gate.target for gate in GATES}


def told(path: Path, values: dict[str, float]) -> Path:
    path.write_text(json.dumps(values))
    return path


def test_a_release_holds_its_parts_their_hashes_and_a_card(tmp_path: Path) -> None:
    to = tmp_path / "models" / "tiny"
    for _ in range(2):  # a second time replaces the first
        release(model(tmp_path / f"m{_}"), to, (told(tmp_path / "r.json", good()),), FACTS)
    manifest = json.loads((to / MANIFEST).read_text())["files"]
    assert set(manifest) == {f"{p}/{f}" for p in PARTS for f in ("config.json", "model.safetensors")} | {"results.json"}
    assert all(sha256_of(to / name) == digest for name, digest in manifest.items())
    text = (to / "README.md").read_text()
    assert "| `at_fault_collision` | 0.030 | 0.15 | 0.03 |" in text
    assert "No snow was ever seen." in text
    assert [p.name for p in to.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("gate", GATES, ids=lambda g: g.key)
def test_nothing_below_a_gate_is_shipped(gate, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    worse = gate.bound - 0.01 if gate.at_least else gate.bound + 0.01
    with pytest.raises(InputError, match=f"{gate.key} is "):
        release(model(tmp_path / "m"), tmp_path / "t", (told(tmp_path / "r.json", good() | {gate.key: worse}),), FACTS)
    assert not (tmp_path / "t").exists()


def test_what_was_not_measured_is_not_shipped() -> None:
    measured = good()
    measured.pop("trace_accuracy")
    assert failures(measured) == ["trace_accuracy was not measured"]


def test_values_with_intervals_are_read_and_later_files_win(tmp_path: Path) -> None:
    first = told(tmp_path / "a.json", {"planner_hz": 11.0, "route_completion": 0.9})
    second = tmp_path / "b.json"
    second.write_text(json.dumps({"planner_hz": {"value": 12.5, "low": 11.0, "high": 13.0}, "other": "text"}))
    assert results_of((first, second)) == {"planner_hz": 12.5, "route_completion": 0.9}


def test_a_model_that_is_too_large_or_lacks_a_part_is_refused(tmp_path: Path) -> None:
    results = (told(tmp_path / "r.json", good()),)
    with pytest.raises(InputError, match=r"takes 4[0-9]\.\d MB"):
        release(model(tmp_path / "m", 15 * 10**6), tmp_path / "t", results, FACTS)
    (tmp_path / "m" / "vlm" / "config.json").unlink()
    with pytest.raises(InputError, match="has no vlm"):
        release(tmp_path / "m", tmp_path / "t", results, FACTS)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".t.")]
