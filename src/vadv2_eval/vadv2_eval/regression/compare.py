"""Where a run differs from a golden one and by how much, in words; score deltas; the timing gate."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vadv2_core.errors import InputError
from vadv2_eval.intervals import Estimate, paired_difference
from vadv2_eval.regression.snapshot import Snapshot

STAGES = ("perception", "vlm", "planner", "control")
TOLERANCES = {
    "perception/tokens": 2e-3,
    "perception/queries": 2e-3,
    "perception/objects": 5e-3,
    "perception/novelty": 1e-3,
    "vlm/embedding": 1e-3,
    "vlm/flags": 1e-3,
    "planner/points": 1e-3,
    "planner/confidences": 1e-4,
    "control/command": 1e-3,
}
"""Largest absolute difference a field; a field that is not listed must be equal."""
UNITS = {"planner/points": ("x, m", "y, m", "yaw, rad", "v, m/s", "a, m/s^2")}
TIMING_RATIO = 2.0
"""A stage may be this many times slower than golden, in units of the calibration loop."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs.

    Attributes:
        field: ``stage/name``.
        frames: In how many frames.
        first_frame: The first of them.
        first_time: Its time, s after the first frame.
        largest: Largest absolute difference; None for texts.
        tolerance: Allowed; 0 for exact.
        words: The same in a sentence.
        detail: More lines, for the long form.
    """

    field: str
    frames: int
    first_frame: int
    first_time: float
    largest: float | None
    tolerance: float
    words: str
    detail: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome: differences in order of stage and time, slow stages, score deltas, and what was looked at."""

    frames: int
    fields: int
    differences: tuple[Difference, ...]
    slower: tuple[str, ...]
    scores: dict[str, Estimate | None]
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Nothing differs and nothing is too slow."""
        return not self.differences and not self.slower

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "same": self.same,
            "frames": self.frames,
            "fields": self.fields,
            "differences": [d.to_json() for d in self.differences],
            "slower": list(self.slower),
            "scores": {k: v.to_json() if v else None for k, v in self.scores.items()},
            "notes": list(self.notes),
        }

    def text(self, *, long: bool = False) -> str:
        """The short form, one line a stage, or the long form with every field."""
        lines = list(self.notes)
        for stage in STAGES:
            found = [d for d in self.differences if d.field.startswith(stage)]
            if not found:
                lines.append(f"{stage}: as golden")
            elif long:
                lines.append(f"{stage}: {len(found)} fields differ")
                lines += [f"  {line}" for d in found for line in (d.words, *(f"  {x}" for x in d.detail))]
            else:
                first = min(found, key=lambda d: d.first_frame)
                others = f" (and {len(found) - 1} other fields)" if len(found) > 1 else ""
                lines.append(f"{stage}: {first.words}{others}")
        lines += self.slower
        for name, value in self.scores.items():
            lines.append(f"{name}, new minus golden: {value}" if value else f"{name}: none")
        verdict = "same as golden" if self.same else "DIFFERS from golden"
        return "\n".join([*lines, f"{self.frames} frames, {self.fields} fields: {verdict}"])


def _array_difference(name: str, golden: Any, new: Any, times: Any) -> Difference | None:
    tolerance = TOLERANCES.get(name, 0.0)
    if golden.shape != new.shape:
        words = f"{name} has {new.shape[1]} values a frame instead of {golden.shape[1]}"
        return Difference(name, len(golden), 0, 0.0, None, tolerance, words)
    both = np.isnan(golden) & np.isnan(new)
    gap = np.where(both, 0.0, np.abs(golden - new))
    gap = np.where(np.isnan(gap), np.inf, gap)
    wrong = gap > tolerance
    if not wrong.any():
        return None
    rows = np.flatnonzero(wrong.any(axis=1))
    frame, place = np.unravel_index(int(gap.argmax()), gap.shape)
    largest = float(gap.max())
    where = f"value {place}"
    if name in UNITS:
        unit = UNITS[name][place % len(UNITS[name])]
        where = f"{unit} at knot {place // len(UNITS[name])}"
    size = "only in one of both" if np.isinf(largest) else f"by up to {largest:.4g}"
    words = (
        f"{name} differs in {len(rows)} of {len(golden)} frames from {times[rows[0]]:.2f} s on, {size} "
        f"({where}, {times[frame]:.2f} s; tolerance {tolerance:g})"
    )
    detail = tuple(
        f"frame {i} ({times[i]:.2f} s): {int(wrong[i].sum())} values, up to {gap[i].max():.4g}" for i in rows[:8]
    )
    finite = None if np.isinf(largest) else largest
    return Difference(name, len(rows), int(rows[0]), float(times[rows[0]]), finite, tolerance, words, detail)


def _text_difference(name: str, golden: Sequence[str], new: Sequence[str], times: Any) -> Difference | None:
    rows = [i for i, (a, b) in enumerate(zip(golden, new, strict=True)) if a != b]
    if not rows:
        return None
    first = rows[0]
    words = (
        f"{name} differs in {len(rows)} of {len(golden)} frames from {times[first]:.2f} s on: "
        f"{golden[first]!r:.80} became {new[first]!r:.80}"
    )
    changed = difflib.unified_diff(golden[first].split(". "), new[first].split(". "), "golden", "new", lineterm="", n=0)
    return Difference(name, len(rows), first, float(times[first]), None, 0.0, words, tuple(changed))


def compare_snapshots(
    golden: Snapshot,
    new: Snapshot,
    *,
    ignore: Sequence[str] = (),
    timing_ratio: float = TIMING_RATIO,
    scores: dict[str, tuple[Any, Any]] | None = None,
) -> Comparison:
    """Compare a run with a golden one.

    Args:
        golden: What was recorded.
        new: What was driven now over the same input.
        ignore: Fields (``stage/name``) or stages that are not looked at.
        timing_ratio: Allowed slowdown a stage; 0 for no gate.
        scores: Score by name as (golden, new) values a frame, for their deltas.

    Raises:
        InputError: where the two are not over the same frames.
    """
    if len(golden.stamps) != len(new.stamps) or (golden.stamps != new.stamps).any():
        raise InputError(
            f"{len(new.stamps)} frames where golden has {len(golden.stamps)}, or other stamps",
            "regression",
            "the same bag",
        )
    times = (golden.stamps - golden.stamps[0]) * 1e-9
    dropped = {n for n in (*golden.arrays, *golden.texts) for i in ignore if n == i or n.startswith(f"{i}/")}
    found: list[Difference] = []
    names = sorted({*golden.arrays, *new.arrays, *golden.texts, *new.texts} - dropped)
    for name in names:
        if (name in golden.arrays) != (name in new.arrays) or (name in golden.texts) != (name in new.texts):
            there = "is new" if name in new.arrays or name in new.texts else "is gone"
            found.append(Difference(name, len(times), 0, 0.0, None, 0.0, f"{name} {there}"))
            continue
        if name in golden.arrays:
            difference = _array_difference(name, golden.arrays[name], new.arrays[name], times)
        else:
            difference = _text_difference(name, golden.texts[name], new.texts[name], times)
        if difference is not None:
            found.append(difference)
    notes = tuple(
        f"{key}: {golden.about.get(key)!r} became {new.about.get(key)!r}"
        for key in sorted({*golden.about, *new.about})
        if golden.about.get(key) != new.about.get(key)
    )
    deltas = {name: paired_difference(a, b) for name, (a, b) in (scores or {}).items()}
    found.sort(key=lambda d: (STAGES.index(d.field.split("/")[0]), d.first_frame))
    return Comparison(len(times), len(names), tuple(found), _slower(golden, new, timing_ratio), deltas, notes)


def _slower(golden: Snapshot, new: Snapshot, allowed: float) -> tuple[str, ...]:
    """Stages whose fastest frame takes too many calibration loops more than golden's."""
    if allowed <= 0.0:
        return ()
    lines = []
    for stage in sorted(set(golden.timings) & set(new.timings)):
        before, after = (
            float(np.nanmin(s.timings[stage])) / 1e3 / s.calibration if np.isfinite(s.timings[stage]).any() else np.nan
            for s in (golden, new)
        )
        if np.isfinite(before) and np.isfinite(after) and before > 0.01 and after > allowed * before:
            lines.append(
                f"{stage} is {after / before:.1f} times slower: {after:.2f} calibration loops instead of {before:.2f} "
                f"(allowed {allowed:g} times)"
            )
    return tuple(lines)
