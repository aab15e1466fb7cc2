"""Learning curves of a run as one picture, from its TensorBoard logs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_core.geometry import Array

LOGS = "tensorboard"
"""Folder of a run's logs: one folder a stage, one scalar a loss."""
TOTAL = "total"
_SMOOTHED = 40
"""A drawn curve is the mean over so many of its stretches; the raw one lies behind it."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One loss over one stage: (n,) steps and values in order of the step."""

    name: str
    steps: NDArray[np.int64]
    values: Array


def read_curves(run: Path) -> dict[str, list[Curve]]:
    """Curves by stage, the total first, then by falling mean.

    A run that was killed logs some steps twice: the last word counts.

    Args:
        run: Folder of a run, with ``tensorboard/`` in it.

    Raises:
        InputError: for a folder without logs.
    """
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        EventAccumulator,
    )

    found: dict[str, list[Curve]] = {}
    folders = [path for path in (run / LOGS).glob("*") if any(path.glob("events.*"))]
    for folder in sorted(folders, key=lambda path: min(file.stat().st_mtime for file in path.glob("events.*"))):
        accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        accumulator.Reload()
        curves = []
        for name in accumulator.Tags()["scalars"]:
            by_step = {event.step: event.value for event in accumulator.Scalars(name)}
            steps = np.array(sorted(by_step), dtype=np.int64)
            curves.append(Curve(name, steps, np.array([by_step[int(s)] for s in steps], dtype=np.float64)))
        if curves:
            found[folder.name] = sorted(curves, key=lambda c: (c.name != TOTAL, -float(c.values.mean())))
    if not found:
        raise InputError("holds no learning curves", str(run / LOGS), "the --out of a `./vadv2 train`")
    return found


def smoothed(values: Array, parts: int = _SMOOTHED) -> Array:
    """A running mean over a window of one of so many parts."""
    window = max(1, len(values) // parts)
    if window == 1:
        return values
    padded = np.pad(values, (window // 2, window - 1 - window // 2), mode="edge")
    return np.convolve(padded, np.full(window, 1.0 / window), mode="valid")


def draw_curves(stages: dict[str, list[Curve]], out: Path) -> None:
    """One panel a stage, losses on a logarithmic scale; a loss that is zero throughout is left out.

    Args:
        stages: Of `read_curves`.
        out: A PNG file.
    """
    import io

    from matplotlib.figure import Figure

    columns = min(len(stages), 2)
    rows = -(-len(stages) // columns)
    figure = Figure(figsize=(7.2 * columns, 4.2 * rows), dpi=110, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel, (stage, curves) in zip(panels.flat, stages.items(), strict=False):
        for curve in curves:
            shown = curve.values > 0
            if not shown.any():
                continue
            own: dict[str, Any] = (
                {"color": "black", "linewidth": 2.0, "zorder": 5} if curve.name == TOTAL else {"linewidth": 1.3}
            )
            own |= {"marker": "o"} if shown.sum() < 3 else {}
            (line,) = panel.plot(curve.steps[shown], smoothed(curve.values[shown]), label=curve.name, **own)
            panel.plot(curve.steps[shown], curve.values[shown], color=line.get_color(), alpha=0.15, linewidth=0.8)
        panel.set_yscale("log")
        panel.set_title(f"{stage}: {int(curves[0].steps[-1])} steps")
        panel.set_xlabel("step")
        panel.set_ylabel("weighted loss")
        panel.grid(True, which="both", alpha=0.2)
        panel.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    for panel in list(panels.flat)[len(stages) :]:
        panel.set_visible(False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_bytes_atomic(out, picture.getvalue())
